/* What may be said of values on their way, activations and those of a cache. */
#include "eval/quant/format.h"

bool bs_setting_is_static(const struct bs_setting *setting)
{
    return bs_setting_quantizes(setting) && bs_is_static((enum bs_sharing)setting->sharing);
}

bool bs_setting_watches(const struct bs_setting *setting)
{
    return bs_setting_is_static(setting) && setting->sharing != BS_BY_STATIC_CHANNEL &&
           setting->range.plugin && bs_setting_range(setting)->watch;
}

bool bs_setting_spans_tokens(const struct bs_setting *setting)
{
    return bs_setting_quantizes(setting) &&
           (setting->sharing == BS_BY_WINDOW || setting->sharing == BS_BY_CHANNEL ||
            setting->threshold > 0);
}

/* A channel has as many values as the window has tokens, any number. */
static enum bs_status check_channels(const struct bs_setting *setting, struct bs_error *err)
{
    const int odd = 7; /* no multiple of any block */
    struct bs_code_layout layout;
    struct bs_error ignored;
    if (!bs_setting_lay(setting, 1, odd, &layout, &ignored) && !layout.tensor_bytes)
        return BS_OK;
    return bs_fail(err, BS_ECONFIG,
                   "sharing is channel, along the tokens of a window, of which there may be any "
                   "number, and format %s takes rows of some lengths alone, expected format %s, or "
                   "sharing: token or head",
                   setting->format.plugin->name, bs_format_registry.rows[0]->name);
}

/* What stays as it is beside the codes. */
static enum bs_status check_kept(const struct bs_setting *setting, struct bs_error *err)
{
    bool own = setting->sharing == BS_BY_TOKEN;
    if (setting->threshold > 0 && (setting->keep > 0 || !own))
        return bs_fail(err, BS_ECONFIG,
                       "threshold is about columns beside which each token has a scale of its own, "
                       "expected sharing: token, and no keep");
    if (setting->keep > 0 && !own && setting->sharing != BS_BY_HEAD &&
        setting->sharing != BS_BY_CHANNEL && setting->sharing != BS_BY_STATIC_CHANNEL)
        return bs_fail(err, BS_ECONFIG,
                       "keep is of values that share a scale as they pass, or of channels, and "
                       "sharing is %s, expected token, head, channel or static_channel",
                       bs_sharing_words[setting->sharing]);
    return BS_OK;
}

/* What is in a cache stays as it was stored. */
static enum bs_status check_cache(const struct bs_setting *setting, struct bs_error *err)
{
    bool stored = setting->when == BS_WHEN_STORED;
    struct bs_code_layout layout = bs_setting_layout(setting);
    if (setting->hadamard && bs_is_static((enum bs_sharing)setting->sharing))
        return bs_fail(err, BS_ECONFIG,
                       "hadamard turns values before they are rounded, and sharing is %s, whose "
                       "ranges are of values that are not turned: expected token, head or channel",
                       bs_sharing_words[setting->sharing]);
    if (setting->leave == BS_LEAVE_TOGETHER && !setting->residual)
        return bs_fail(err, BS_ECONFIG, "leave is together, expected a residual of so many tokens");
    if (stored && setting->sharing == BS_BY_WINDOW)
        return bs_fail(err, BS_ECONFIG,
                       "sharing is window, of which later tokens are a part, expected token, head "
                       "or channel with when: store");
    bool closed = layout.group < layout.in && setting->leave == BS_LEAVE_TOGETHER &&
                  setting->residual % layout.group == 0;
    if (stored && setting->sharing == BS_BY_CHANNEL && (!closed || setting->first))
        return bs_fail(err, BS_ECONFIG,
                       "sharing is channel, and a group of tokens is stored once it is whole, "
                       "expected a group_size, leave: together, a residual that is a multiple of "
                       "it, and no first with when: store");
    return BS_OK;
}

/* Activations come row by row, or are known by their extremes only. What a format shares in all of
 * a tensor is shared as `sharing` says, if there is room for it and rows have scales beside it. */
static enum bs_status check_activations(const struct bs_setting *setting, struct bs_error *err)
{
    const struct bs_range *range = (const struct bs_range *)setting->range.plugin;
    struct bs_code_layout layout = bs_setting_layout(setting);
    bool fixed = bs_is_static((enum bs_sharing)setting->sharing);
    bool one = setting->sharing == BS_BY_WINDOW || fixed;
    bool along = setting->sharing == BS_BY_CHANNEL || setting->sharing == BS_BY_STATIC_CHANNEL;
    if (check_kept(setting, err) || (along && check_channels(setting, err)))
        return err->status;
    if (layout.tensor_bytes && (!layout.param_bytes || layout.tensor_bytes > BS_FIXED_BYTES))
        return bs_fail(
            err, BS_ECONFIG,
            "the format shares its scales in all of a tensor, expected one for rows, and "
            "sharing: window or static");
    if (one && layout.group < layout.in && !layout.tensor_bytes)
        return bs_fail(err, BS_ECONFIG,
                       "sharing is %s, but a row has several groups of columns, expected sharing: "
                       "token, head or channel, or one group a row",
                       bs_sharing_words[setting->sharing]);
    if (fixed && !bs_setting_watches(setting) && (range->needs_values || range->watch))
        return bs_fail(err, BS_ECONFIG,
                       "range %s looks at values, but with sharing: %s only the extremes are "
                       "known, expected range %s",
                       range->plugin.name, bs_sharing_words[setting->sharing],
                       bs_range_registry.rows[0]->name);
    return BS_OK;
}

enum bs_status bs_setting_check_site(const struct bs_setting *setting, enum bs_use use,
                                     struct bs_error *err)
{
    if (check_activations(setting, err))
        return err->status;
    return use == BS_FOR_CACHE ? check_cache(setting, err) : BS_OK;
}

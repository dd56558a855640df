#include "eval/run/static_scales.h"

#include <math.h>

#include "eval/quant/format.h"

/* Whether the scales of a site are found by calibration; the extremes of probabilities are
 * known. */
static bool finds_scales(const struct bs_setting *setting, const struct bs_value *value)
{
    return value->kind == BS_SITE_PROBABILITIES ? bs_setting_watches(setting)
                                                : bs_setting_is_static(setting);
}

bool bs_static_any(const struct bs_assignment *places, const struct bs_program *p)
{
    bool any = false;
    for (int v = 0; v < p->num_values; v++)
        any |= finds_scales(places->sites[v], &p->values[v]);
    return any;
}

/* What the extremes of a site are found by. */
static const struct bs_statistic *statistic_of(const struct bs_setting *setting)
{
    if (setting->keep > 0)
        return &bs_stat_outermost;
    return setting->sharing == BS_BY_STATIC ? &bs_stat_extremes : &bs_stat_channel_extremes;
}

/* What a range that watches looks at besides. */
static const struct bs_statistic *watched_by(const struct bs_setting *setting)
{
    return setting->sharing == BS_BY_STATIC ? &bs_stat_watched : &bs_stat_watched_heads;
}

static int detail_of(const struct bs_setting *setting)
{
    return setting->keep > 0 ? bs_outermost_detail(setting->keep) : 0;
}

/* The value that is looked at: what is rounded. */
static int looked_at(const struct bs_program *p, int site, const struct bs_setting *setting)
{
    return bs_program_cached(p, site, setting->pre_rope);
}

void bs_static_want(const struct bs_assignment *places, struct bs_wanted *wanted)
{
    const struct bs_program *p = bs_wanted_program(wanted);
    for (int v = 0; v < p->num_values; v++) {
        const struct bs_setting *setting = places->sites[v];
        if (!finds_scales(setting, &p->values[v]))
            continue;
        int value = looked_at(p, v, setting);
        bs_want(wanted, statistic_of(setting), value, detail_of(setting));
        if (bs_setting_watches(setting))
            bs_want(wanted, watched_by(setting), value, bs_watched_detail(setting->range.plugin));
    }
}

static void leave_site(struct bs_assignment *places, struct bs_block *block, int site)
{
    static const struct bs_setting none = {.format = {.plugin = NULL}};
    places->sites[site] = &none;
    for (int s = 0; s < block->program->num_slots; s++)
        block->linears[s].fallback |= block->program->slots[s].input == site;
}

/* The extremes of so many channels, from `first` on. */
static struct bs_extremes extremes_of(const struct bs_collected *c, int first, int count)
{
    struct bs_extremes all = {INFINITY, -INFINITY};
    for (int j = first; j < first + count; j++) {
        struct bs_extremes own = c->wish.statistic == &bs_stat_outermost
                                     ? bs_outermost_extremes(&c->of, c->data, j)
                                     : ((const struct bs_extremes *)c->data)[j];
        all.low = fminf(all.low, own.low);
        all.high = fmaxf(all.high, own.high);
    }
    return all;
}

/* What the range makes of the extremes of the whole site, or of one head's. */
static void narrow(const struct bs_setting *setting, const struct bs_statistics *ranges, int site,
                   int head, struct bs_extremes *e)
{
    if (!bs_setting_watches(setting))
        return;
    const struct bs_range *range = bs_setting_range(setting);
    const struct bs_collected *seen =
        bs_statistics_at(ranges, watched_by(setting), site, bs_watched_detail(&range->plugin));
    const void *state = setting->sharing == BS_BY_STATIC
                            ? seen->data
                            : bs_watched_head(&seen->of, seen->data, head);
    range->extremes(setting->range.options, state, &e->low, &e->high);
}

/* The parameters of a site from what was collected there. */
static enum bs_status fix_site(struct bs_assignment *places, const struct bs_statistics *ranges,
                               struct bs_block *block, int site, struct bs_error *err)
{
    const struct bs_setting *setting = places->sites[site];
    int from = looked_at(block->program, site, setting);
    const struct bs_collected *c =
        bs_statistics_at(ranges, statistic_of(setting), from, detail_of(setting));
    int parts = bs_values_parts(setting, c->of.width, c->of.heads), width = c->of.width / parts;
    if (!c->of.rows) {
        leave_site(places, block, site);
        return BS_OK;
    }
    if (setting->sharing == BS_BY_STATIC) {
        struct bs_extremes e = *(const struct bs_extremes *)c->data;
        narrow(setting, ranges, from, 0, &e);
        bs_values_fix(setting, width, e.low, e.high, &block->sites[site].fixed);
        return BS_OK;
    }
    if (bs_block_give_parts(block, site, parts, err))
        return err->status;
    for (int k = 0; k < parts; k++) {
        struct bs_extremes e = extremes_of(c, k * width, width);
        narrow(setting, ranges, from, k, &e);
        bs_values_fix(setting, width, e.low, e.high, &block->sites[site].parts[k]);
    }
    return BS_OK;
}

enum bs_status bs_static_fix(struct bs_assignment *places, const struct bs_statistics *ranges,
                             struct bs_block *block, struct bs_error *err)
{
    for (int v = 0; v < block->program->num_values; v++)
        if (finds_scales(places->sites[v], &block->program->values[v]) &&
            fix_site(places, ranges, block, v, err))
            return err->status;
    return BS_OK;
}

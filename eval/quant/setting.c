#include "eval/quant/setting.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/quant/format.h"
#include "eval/quant/mix.h"

enum { ALLOWED_TEXT = 512 };

static const char *const rounding_words[] = {"nearest",  "half_away",  "floor", "ceil",
                                             "truncate", "stochastic", NULL};
static const char *const importance_words[] = {"none", "imatrix", NULL};
static const char *const when_words[] = {"use", "store", NULL};
static const char *const leave_words[] = {"one", "together", NULL};
const char *const bs_sharing_words[] = {"token",   "window",      "static",         "head",
                                        "channel", "static_head", "static_channel", NULL};

#define ROUNDING                                                                                   \
    BS_OPT_WORDS(struct bs_setting, rounding, BS_CHOICE, BS_NEAREST, 0, BS_STOCHASTIC,             \
                 rounding_words, "how a value between two levels is rounded"),                     \
        BS_OPT(struct bs_setting, rounding_seed, 0, 0, 2147483647,                                 \
               "stochastic: seed of the draws")

const struct bs_option bs_weights_options[] = {
    ROUNDING,
    {.name = "importance",
     .help = "what errors count where a format (those of GGUF files) or a range (mse with "
             "range_weighted) asks for it; imatrix = the mean square of their column's inputs in "
             "calibration; a file = the same as llama.cpp's tools (or bitsweep imatrix) wrote it",
     .offset = offsetof(struct bs_setting, importance),
     .type = BS_FILE,
     .initial = BS_ALIKE,
     .words = importance_words},
    {.name = "mix",
     .help = "a format for each tensor, as llama-quantize's files of this name have them",
     .offset = offsetof(struct bs_setting, mix),
     .type = BS_CHOICE,
     .max = BS_MIXES,
     .words = bs_mix_words},
    {.name = NULL},
};

const struct bs_option bs_activations_options[] = {
    BS_OPT_WORDS(struct bs_setting, sharing, BS_CHOICE, BS_BY_TOKEN, 0, BS_BY_STATIC_CHANNEL,
                 bs_sharing_words,
                 "who shares a scale: a token, a window, a head of a token (at a place without "
                 "heads the token), a channel of a window (its groups are of tokens); static = "
                 "fixed from the calibration, one for all, for each head or for each channel"),
    BS_OPT(struct bs_setting, keep, 0, 0, 0.5,
           "share of the values that stay in 16 bits: the largest and the smallest of those that "
           "share a scale, as KVQuant does it; of static_channel those beyond the quantiles of the "
           "calibration"),
    BS_OPT(struct bs_setting, threshold, 0, 0, 65504,
           "columns in which any token of the window has this size stay in 16 bits, as LLM.int8 "
           "does it with 6; 0 = none"),
    ROUNDING,
    {.name = NULL},
};

const struct bs_option bs_cache_options[] = {
    BS_OPT_WORDS(
        struct bs_setting, sharing, BS_CHOICE, BS_BY_HEAD, 0, BS_BY_STATIC_CHANNEL,
        bs_sharing_words,
        "who shares a scale: a head of a token, a token, or a channel, whose groups are of "
        "consecutive tokens; static as of activations"),
    BS_OPT(struct bs_setting, keep, 0, 0, 0.5, "share of the values that stay, as of activations"),
    BS_OPT_WORDS(
        struct bs_setting, when, BS_CHOICE, BS_WHEN_USED, 0, BS_WHEN_STORED, when_words,
        "use: every query sees all tokens quantized; store: it sees those that were stored "
        "by then, as a run token by token, and itself as it is"),
    BS_OPT(struct bs_setting, residual, 0, 0, 1 << 20,
           "store: so many of the newest tokens are not stored yet; of use there are none"),
    BS_OPT_WORDS(struct bs_setting, leave, BS_CHOICE, BS_LEAVE_ONE, 0, BS_LEAVE_TOGETHER,
                 leave_words,
                 "store: the residual tokens are stored one by one, or all together when there are "
                 "so many"),
    BS_OPT(struct bs_setting, first, 0, 0, 1 << 20, "so many of the first tokens are never stored"),
    BS_OPT(struct bs_setting, hadamard, false, 0, 1,
           "heads are turned by a Hadamard matrix before they are stored, as llama.cpp does it"),
    BS_OPT(struct bs_setting, pre_rope, false, 0, 1,
           "keys are stored as they are before rotary positions, which they get when they are "
           "read, as KVQuant does it; values have none"),
    ROUNDING,
    {.name = NULL},
};

const struct bs_option *bs_setting_options(enum bs_use use)
{
    return use == BS_FOR_WEIGHTS       ? bs_weights_options
           : use == BS_FOR_ACTIVATIONS ? bs_activations_options
                                       : bs_cache_options;
}

void bs_setting_init(struct bs_setting *setting)
{
    const struct bs_plugin *range = bs_range_registry.rows[0];
    assert(range->options_size == 0);
    *setting = (struct bs_setting){.range = {.plugin = range}};
}

void bs_setting_init_cache(struct bs_setting *setting)
{
    bs_setting_init(setting);
    setting->sharing = BS_BY_HEAD;
}

void bs_setting_release(struct bs_setting *setting)
{
    bs_choice_release(&setting->format);
    bs_choice_release(&setting->range);
    for (int f = 0; setting->mixed && bs_mix_formats[f]; f++)
        bs_setting_release(&setting->mixed[f]);
    bs_free(setting->mixed);
    setting->mixed = NULL;
}

/* What a mix may give: the setting with each of its formats. */
static enum bs_status make_mixed(struct bs_setting *setting, struct bs_error *err)
{
    int count = 0;
    while (bs_mix_formats[count])
        count++;
    struct bs_setting plain = *setting;
    plain.mix = 0;
    plain.mixed = NULL;
    setting->mixed = bs_calloc((size_t)count, sizeof *setting->mixed);
    if (!setting->mixed)
        return bs_fail_memory(err);
    for (int f = 0; f < count; f++)
        if (bs_setting_copy(&setting->mixed[f], &plain, err) ||
            bs_setting_choose_format(&setting->mixed[f], bs_mix_formats[f], err) ||
            bs_setting_resolve(&setting->mixed[f], BS_FOR_WEIGHTS, err))
            return err->status;
    return BS_OK;
}

const struct bs_setting *bs_mix_setting(const struct bs_setting *setting,
                                        const struct bs_mix_place *place)
{
    static const struct bs_setting none = {.format = {.plugin = NULL}};
    if (!setting->mixed)
        return setting;
    const struct bs_plugin *format =
        bs_mix_format(setting->mix, place, setting->importance.word != BS_ALIKE);
    for (int f = 0; bs_mix_formats[f]; f++)
        if (bs_mix_formats[f] == format)
            return &setting->mixed[f];
    return &none;
}

enum bs_status bs_setting_copy(struct bs_setting *to, const struct bs_setting *from,
                               struct bs_error *err)
{
    *to = *from;
    to->format = to->range = (struct bs_choice){.plugin = NULL};
    to->mixed = NULL;
    if (!bs_choice_copy(&to->format, &from->format, err) &&
        !bs_choice_copy(&to->range, &from->range, err) && (!from->mixed || !make_mixed(to, err)))
        return BS_OK;
    bs_setting_release(to);
    return err->status;
}

bool bs_setting_equal(const struct bs_setting *a, const struct bs_setting *b)
{
    return bs_choice_equal(&a->format, &b->format) && bs_choice_equal(&a->range, &b->range) &&
           a->rounding == b->rounding && a->rounding_seed == b->rounding_seed &&
           bs_option_equal(bs_option_find(bs_weights_options, "importance"), a, b) &&
           a->mix == b->mix && a->sharing == b->sharing && a->keep == b->keep &&
           a->threshold == b->threshold && a->when == b->when && a->residual == b->residual &&
           a->leave == b->leave && a->first == b->first && a->hadamard == b->hadamard;
}

/* ---- choosing ---- */

static enum bs_status choose(struct bs_choice *choice, const struct bs_plugin *plugin,
                             struct bs_error *err)
{
    struct bs_choice chosen;
    if (bs_choice_init(&chosen, plugin, err))
        return err->status;
    bs_choice_release(choice);
    *choice = chosen;
    return BS_OK;
}

enum bs_status bs_setting_choose_format(struct bs_setting *setting, const struct bs_plugin *format,
                                        struct bs_error *err)
{
    return choose(&setting->format, format, err);
}

/* "int, nf4, none", the nearest to `name` first. */
static void print_names(const struct bs_registry *registry, const char *name, bool none, char *out,
                        size_t size)
{
    size_t used = 0;
    const char *near = NULL;
    out[0] = '\0';
    for (int i = 0; registry->rows[i]; i++) {
        const char *candidate = registry->rows[i]->name;
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", candidate);
        used = used < size ? used : size - 1;
        if (!near)
            near = bs_nearest_word(name, (const char *const[]){candidate, NULL});
    }
    if (none)
        used += (size_t)snprintf(out + used, size - used, " or none");
    used = used < size ? used : size - 1;
    if (near)
        snprintf(out + used, size - used, "; did you mean %s?", near);
}

static enum bs_status choose_named(struct bs_choice *choice, const struct bs_registry *registry,
                                   bool none, const char *name, struct bs_error *err)
{
    const struct bs_plugin *plugin = bs_registry_find(registry, name);
    if (plugin || (none && !strcmp(name, "none")))
        return choose(choice, plugin, err);
    char allowed[ALLOWED_TEXT];
    print_names(registry, name, none, allowed, sizeof allowed);
    return bs_fail(err, BS_ECONFIG, "%s is '%.60s', expected %s", registry->kind, name, allowed);
}

/* The option that a key stands for, and the struct that holds it; NULL where there is none. */
static const struct bs_option *find_option(const struct bs_setting *setting, enum bs_use use,
                                           const char *key, const void **values)
{
    const struct bs_option *option = bs_option_find(bs_setting_options(use), key);
    *values = setting;
    if (!option && setting->range.plugin) {
        option = bs_option_find(setting->range.plugin->options, key);
        *values = setting->range.options;
    }
    if (!option && setting->format.plugin) {
        option = bs_option_find(setting->format.plugin->options, key);
        *values = setting->format.options;
    }
    return option;
}

bool bs_setting_has(const struct bs_setting *setting, enum bs_use use, const char *name)
{
    const void *values;
    return find_option(setting, use, name, &values) != NULL;
}

/* The first plug-in that has an option of this name, or NULL. */
static const struct bs_plugin *who_has(const struct bs_registry *registry, const char *name)
{
    for (int i = 0; registry->rows[i]; i++)
        if (bs_option_find(registry->rows[i]->options, name))
            return registry->rows[i];
    return NULL;
}

bool bs_setting_knows(enum bs_use use, const char *key)
{
    return !strcmp(key, "format") || !strcmp(key, "range") ||
           bs_option_find(bs_setting_options(use), key) || who_has(&bs_format_registry, key) ||
           who_has(&bs_range_registry, key);
}

/* The value of an option that this setting's plug-ins do not have, but others do. */
static enum bs_status check_value(const struct bs_plugin *plugin, const char *name,
                                  const char *text, struct bs_error *err)
{
    struct bs_choice room;
    if (bs_choice_init(&room, plugin, err))
        return err->status;
    enum bs_status status =
        bs_option_parse(bs_option_find(plugin->options, name), text, room.options, err);
    bs_choice_release(&room);
    return status;
}

enum bs_status bs_setting_set(struct bs_setting *setting, enum bs_use use, const char *key,
                              const char *text, struct bs_error *err)
{
    if (!strcmp(key, "format"))
        return choose_named(&setting->format, &bs_format_registry, true, text, err);
    if (!strcmp(key, "range"))
        return choose_named(&setting->range, &bs_range_registry, false, text, err);
    const void *values;
    const struct bs_plugin *format = who_has(&bs_format_registry, key);
    if (format && !setting->format.plugin &&
        bs_setting_choose_format(setting, bs_format_registry.rows[0], err))
        return err->status;
    const struct bs_option *option = find_option(setting, use, key, &values);
    if (option)
        return bs_option_parse(option, text, (void *)(uintptr_t)values, err);
    const struct bs_plugin *other = format ? format : who_has(&bs_range_registry, key);
    if (other)
        return check_value(other, key, text, err);
    return bs_fail(err, BS_ECONFIG, "'%.60s' is no option of a format or a range", key);
}

const char *bs_setting_text(const struct bs_setting *setting, const char *key, char *text,
                            size_t size)
{
    const void *values;
    const struct bs_option *option = find_option(setting, BS_FOR_ACTIVATIONS, key, &values);
    const struct bs_plugin *format = setting->format.plugin, *range = setting->range.plugin;
    if (!strcmp(key, "format"))
        snprintf(text, size, "%s", format ? format->name : "none");
    else if (!strcmp(key, "range") && format)
        snprintf(text, size, "%s", range->name);
    else if (format && option)
        bs_option_print(option, values, text, size);
    else
        snprintf(text, size, "none");
    return text;
}

/* ---- resolving ---- */

static const struct bs_format *format_of(const struct bs_choice *choice)
{
    return (const struct bs_format *)choice->plugin;
}

static bool is_auto(const struct bs_option *option, const void *values)
{
    char text[BS_OPTION_TEXT];
    bs_option_print(option, values, text, sizeof text);
    return !strcmp(text, "auto");
}

static void prefer(struct bs_choice *choice, const struct bs_preference *preferences)
{
    struct bs_error ignored; /* a word that an algorithm states is one of the option's */
    for (const struct bs_preference *p = preferences; p && p->format && choice->plugin; p++) {
        if (strcmp(p->format, choice->plugin->name))
            continue;
        const struct bs_option *option = bs_option_find(choice->plugin->options, p->option);
        if (option && is_auto(option, choice->options))
            bs_option_parse(option, p->word, choice->options, &ignored);
    }
}

void bs_setting_prefer(struct bs_setting *setting, const struct bs_preference *preferences)
{
    prefer(&setting->format, preferences);
}

static bool leaves_alone(const struct bs_choice *choice)
{
    const struct bs_format *format = format_of(choice);
    return !format || (format->idle && format->idle(choice->options));
}

bool bs_setting_quantizes(const struct bs_setting *setting)
{
    return !leaves_alone(&setting->format);
}

/* Whether the format asks a range for the extremes of what shares a scale. */
static bool asks_range(const struct bs_setting *setting)
{
    struct bs_code_layout layout = bs_setting_layout(setting);
    bool fits = layout.param_bytes || layout.tensor_bytes;
    return fits && !format_of(&setting->format)->own_search;
}

/* Whether the format, or the range that it asks, looks at importance. */
static bool weighs(const struct bs_setting *setting)
{
    const struct bs_format *format = format_of(&setting->format);
    const struct bs_range *range = (const struct bs_range *)setting->range.plugin;
    if (format->own_search)
        return format->weighs;
    return range->weighs && range->weighs(setting->range.options);
}

/* Options of a cache that say what is stored when. */
static bool is_of_storing(const char *name)
{
    return !strcmp(name, "residual") || !strcmp(name, "leave");
}

const char *bs_setting_deaf(const struct bs_setting *setting, const char *name)
{
    const struct bs_plugin *format = setting->format.plugin;
    if (leaves_alone(&setting->format))
        return NULL;
    if (is_of_storing(name))
        return setting->when == BS_WHEN_STORED ? NULL : "when: use";
    if (!strcmp(name, bs_range_registry.kind))
        return asks_range(setting) ? NULL : format->name;
    if (strcmp(name, "importance") || weighs(setting))
        return NULL;
    return asks_range(setting) ? setting->range.plugin->name : format->name;
}

/* A mix has the formats of its name. */
static enum bs_status begin_mix(struct bs_setting *setting, struct bs_error *err)
{
    const struct bs_plugin *usual = bs_mix_usual(setting->mix), *format = setting->format.plugin;
    bool other = format != usual && !leaves_alone(&setting->format);
    if (other)
        return bs_fail(err, BS_ECONFIG,
                       "mix %s has formats of its own, expected no format %s beside it",
                       bs_mix_words[setting->mix], format->name);
    if (bs_mix_needs_importance(setting->mix) && setting->importance.word == BS_ALIKE)
        return bs_fail(err, BS_ECONFIG, "mix %s is made by importance only, expected importance",
                       bs_mix_words[setting->mix]);
    return format == usual ? BS_OK : bs_setting_choose_format(setting, usual, err);
}

enum bs_status bs_setting_resolve(struct bs_setting *setting, enum bs_use use, struct bs_error *err)
{
    if (use == BS_FOR_WEIGHTS && setting->mix && begin_mix(setting, err))
        return err->status;
    if (leaves_alone(&setting->format)) {
        bs_setting_release(setting);
        bs_setting_init(setting);
        return BS_OK;
    }
    const struct bs_format *format = format_of(&setting->format);
    if (format->resolve && format->resolve(setting->format.options, use, err))
        return err->status;
    if (!asks_range(setting) && choose(&setting->range, bs_range_registry.rows[0], err))
        return err->status;
    if (setting->when == BS_WHEN_USED) /* then nothing waits to be stored */
        setting->residual = setting->leave = 0;
    if (use != BS_FOR_WEIGHTS && bs_setting_check_site(setting, use, err))
        return err->status;
    if (use != BS_FOR_WEIGHTS || !weighs(setting))
        setting->importance = (struct bs_file_choice){.word = BS_ALIKE};
    if (setting->rounding != BS_STOCHASTIC)
        setting->rounding_seed = 0;
    if (use != BS_FOR_WEIGHTS)
        return BS_OK;
    setting->sharing = BS_BY_TOKEN;
    setting->keep = setting->threshold = 0;
    return setting->mix && !setting->mixed ? make_mixed(setting, err) : BS_OK;
}

/* ---- printing ---- */

/* Whether the option has an effect in a resolved setting. */
static bool matters(const struct bs_setting *setting, const struct bs_option *option)
{
    if (!strcmp(option->name, "mix"))
        return setting->mix != 0;
    if (!strcmp(option->name, "importance"))
        return setting->importance.word != BS_ALIKE;
    if (!strcmp(option->name, "keep"))
        return setting->keep > 0;
    if (!strcmp(option->name, "threshold"))
        return setting->threshold > 0;
    if (is_of_storing(option->name))
        return setting->when == BS_WHEN_STORED;
    return strcmp(option->name, "rounding_seed") || setting->rounding == BS_STOCHASTIC;
}

void bs_setting_print(const struct bs_setting *setting, const char *prefix, enum bs_use use,
                      FILE *out)
{
    const struct bs_plugin *format = setting->format.plugin;
    fprintf(out, "%s.format: %s\n", prefix, format ? format->name : "none");
    if (!format)
        return;
    bs_choice_print_all(&setting->format, prefix, out);
    fprintf(out, "%s.range: %s\n", prefix, setting->range.plugin->name);
    bs_choice_print_all(&setting->range, prefix, out);
    for (const struct bs_option *o = bs_setting_options(use); o->name; o++) {
        if (!matters(setting, o))
            continue;
        char text[BS_OPTION_TEXT];
        bs_option_print_identity(o, setting, text, sizeof text);
        fprintf(out, "%s.%s: %s\n", prefix, o->name, text);
    }
}

/* Room for the options of any format, so that printing needs no memory of its own. */
struct room {
    struct bs_choice choice;
    max_align_t options[BS_MOST_OPTIONS_BYTES / sizeof(max_align_t)];
};

static void copy_into(struct room *room, const struct bs_choice *choice)
{
    assert(choice->plugin->options_size <= sizeof room->options);
    room->choice = (struct bs_choice){.plugin = choice->plugin, .options = room->options};
    if (choice->options)
        memcpy(room->options, choice->options, choice->plugin->options_size);
}

/* Settles what is `auto`; what is refused is set nevertheless. */
static void settle(struct bs_choice *choice, enum bs_use use,
                   const struct bs_preference *const *preferences)
{
    const struct bs_format *format = format_of(choice);
    struct bs_error ignored;
    for (const struct bs_preference *const *list = preferences; list && *list; list++)
        prefer(choice, *list);
    if (format->resolve)
        (void)format->resolve(choice->options, use, &ignored);
}

/* What each option would be were it alone left to `auto`; the others at their default. */
static void natural_options(const struct bs_choice *choice, enum bs_use use,
                            const struct bs_preference *const *preferences, struct room *natural)
{
    copy_into(natural, choice);
    bs_options_default(choice->plugin->options, natural->options);
    for (const struct bs_option *o = choice->plugin->options; o && o->name; o++) {
        struct bs_error ignored;
        char text[BS_OPTION_TEXT];
        if (o->type != BS_CHOICE || bs_option_parse(o, "auto", natural->options, &ignored))
            continue;
        struct room trial;
        copy_into(&trial, choice);
        bs_option_parse(o, "auto", trial.options, &ignored);
        settle(&trial.choice, use, preferences);
        bs_option_print(o, trial.options, text, sizeof text);
        bs_option_parse(o, text, natural->options, &ignored);
    }
}

/* Of a format without a way of its own: its name, and the options that are not natural. */
static void print_plainly(const struct bs_choice *choice, const struct bs_choice *natural,
                          const char *sharing, FILE *out)
{
    fprintf(out, "%s%s%s", choice->plugin->name, sharing ? " " : "", sharing ? sharing : "");
    for (const struct bs_option *o = choice->plugin->options; o && o->name; o++) {
        if (bs_option_equal(o, choice->options, natural->options))
            continue;
        fprintf(out, " %s=", o->name);
        bs_choice_print_value(o, choice->options, out);
    }
}

/* Options of a site beside those of its format, who shares and how it is rounded. */
static void print_site(const struct bs_setting *setting, enum bs_use use, FILE *out)
{
    for (const struct bs_option *o = bs_setting_options(use); o->name; o++) {
        struct bs_setting usual;
        char text[BS_OPTION_TEXT];
        bs_setting_init_cache(&usual);
        bool said = !strcmp(o->name, "sharing") || !strncmp(o->name, "rounding", 8);
        if (use == BS_FOR_WEIGHTS || said || bs_option_equal(o, setting, &usual))
            continue;
        bs_option_print(o, setting, text, sizeof text);
        if (!strcmp(o->name, "when") || o->type == BS_BOOL)
            fprintf(out, " %s", o->type == BS_BOOL ? o->name : text);
        else
            fprintf(out, " %s=%s", o->name, text);
    }
}

/* What stands after the format and its range. */
static void print_rest(const struct bs_setting *setting, enum bs_use use, FILE *out)
{
    if (setting->importance.word == BS_FROM_FILE)
        fprintf(out, " imatrix=%s", bs_path_name(setting->importance.path));
    else if (setting->importance.word != BS_ALIKE)
        fprintf(out, " %s", importance_words[setting->importance.word]);
    print_site(setting, use, out);
    if (setting->rounding != BS_NEAREST)
        fprintf(out, " %s", rounding_words[setting->rounding]);
    if (setting->rounding == BS_STOCHASTIC && setting->rounding_seed)
        fprintf(out, " rounding_seed=%d", setting->rounding_seed);
}

void bs_setting_print_short(const struct bs_setting *setting, enum bs_use use,
                            const struct bs_preference *const *preferences, FILE *out)
{
    struct room settled, natural;
    const struct bs_format *format = format_of(&setting->format);
    const char *sharing = use == BS_FOR_WEIGHTS ? NULL : bs_sharing_words[setting->sharing];
    if (setting->mix) {
        fprintf(out, "mix %s", bs_mix_words[setting->mix]);
        print_rest(setting, use, out);
        return;
    }
    copy_into(&settled, &setting->format);
    settle(&settled.choice, use, preferences);
    natural_options(&settled.choice, use, preferences, &natural);
    if (format->print_short)
        format->print_short(settled.options, natural.options, sharing, out);
    else
        print_plainly(&settled.choice, &natural.choice, sharing, out);
    if (setting->range.plugin != bs_range_registry.rows[0])
        fprintf(out, " %s", setting->range.plugin->name);
    bs_choice_print_short(&setting->range, NULL, NULL, out);
    print_rest(setting, use, out);
}

/* What happens to the numbers at a place, the weight of a linear or an activation: a number format,
 * the range that its scales are fitted to, how values are rounded, and who shares a scale. */
#ifndef BS_EVAL_QUANT_SETTING_H
#define BS_EVAL_QUANT_SETTING_H

#include "eval/base/plugin.h"

/* How a value between two levels is rounded. Beyond the levels every mode takes the outermost. A
 * tie is one in steps of the scale: of whole numbers before a zero point is added, unless the grid
 * adds it before it rounds. The other modes look at what the two levels decode to. */
enum bs_rounding {
    BS_NEAREST,    /* ties to even, as torch.round, or as the format has them */
    BS_HALF_AWAY,  /* ties to the level that is farther from zero, as C's round */
    BS_FLOOR,      /* to the level below */
    BS_CEIL,       /* to the level above */
    BS_TRUNCATE,   /* to the one of the two that is nearer to zero */
    BS_STOCHASTIC, /* up with the probability that makes the mean of many draws the value itself */
};

/* Who shares a scale at an activation; weights are shared as their format says. */
enum bs_sharing {
    BS_BY_TOKEN,       /* each token has its own, found as it passes */
    BS_BY_WINDOW,      /* all tokens of a window, found as it passes */
    BS_BY_STATIC,      /* all tokens there are, fixed from the calibration */
    BS_BY_HEAD,        /* each head of a token has its own; of a value without heads as a token */
    BS_BY_CHANNEL,     /* each channel of a window has its own: the format lies along the tokens, so
                      that a group is so many consecutive tokens of one channel */
    BS_BY_STATIC_HEAD, /* as static, but each head has its own; of a value without heads it is
                             that */
    BS_BY_STATIC_CHANNEL, /* as static, but each channel has its own */
};

/* Whether scales are fixed from the calibration. */
static inline bool bs_is_static(enum bs_sharing sharing)
{
    return sharing == BS_BY_STATIC || sharing == BS_BY_STATIC_HEAD ||
           sharing == BS_BY_STATIC_CHANNEL;
}

/* When values of a cache are quantized. */
enum bs_when {
    BS_WHEN_USED,   /* before anything reads them: every query sees all of them so */
    BS_WHEN_STORED, /* a query sees those as stored that were in the cache by then, and itself as it
                       is: what a run token by token computes */
};

/* How values become stored, of the newest that stay as they are. */
enum bs_leave {
    BS_LEAVE_ONE,      /* the oldest, as soon as there are more than `residual` others */
    BS_LEAVE_TOGETHER, /* all of them, when they are `residual` */
};

/* The words of a config for enum bs_sharing; NULL ends them. */
extern const char *const bs_sharing_words[];

/* What an error in each column of a weight counts where its scales are searched for: in formats and
 * ranges that look at it. */
enum bs_importance {
    BS_ALIKE,       /* the same */
    BS_MEAN_SQUARE, /* the mean square of the column's inputs in calibration, as llama.cpp's
                       importance matrix; an algorithm that knows its inputs' has them from there */
    BS_FROM_FILE = BS_IS_FILE, /* the same, from an importance matrix that llama.cpp wrote */
};

/* How the values of a place are quantized. */
struct bs_setting {
    struct bs_choice format;          /* of bs_format_registry; none = not quantized */
    struct bs_choice range;           /* of bs_range_registry */
    int rounding;                     /* enum bs_rounding */
    int rounding_seed;                /* of stochastic draws */
    struct bs_file_choice importance; /* of weights; its word is an enum bs_importance */
    int mix; /* of weights: of bs_mix_words; not 0: each tensor has its own format */
    struct bs_setting *mixed; /* of a resolved mix: [bs_mix_formats], by format; owned */
    int sharing;              /* enum bs_sharing, of activations */
    double keep;      /* of activations: share of the values that stay as they are, the largest and
                         the smallest of those that share a scale */
    double threshold; /* of activations: columns where any token's |x| reaches it stay; 0 = none */
    int when, residual, leave, first; /* of a cache: enum bs_when; the newest tokens, enum bs_leave;
                                         the first tokens, which stay as they are */
    bool hadamard; /* of a cache: turned by a Hadamard matrix over a head before it is rounded */
    bool pre_rope; /* of keys in a cache: rounded before their rotary positions */
};

/* Bits of a value that is not quantized, as models are published. */
enum { BS_UNQUANTIZED_BITS = 16 };

/* What a setting is for. */
enum bs_use { BS_FOR_WEIGHTS, BS_FOR_ACTIVATIONS, BS_FOR_CACHE, BS_NUM_USES };

/* The setting's own options, for each use, on struct bs_setting; those of its format and its range
 * come beside them. */
extern const struct bs_option bs_weights_options[], bs_activations_options[], bs_cache_options[];
const struct bs_option *bs_setting_options(enum bs_use use);

/* All formats and all ranges. The first of each is the one that stands where none is named; the
 * first range has no options. Those of ranges have names that begin with "range_", as a config has
 * them beside those of formats. */
extern const struct bs_registry bs_format_registry, bs_range_registry;

/* What the authors of an algorithm choose where an option of a format is `auto`. */
struct bs_preference {
    const char *format, *option, *word; /* "int", "grid", "awq"; a list ends with a NULL format */
};

/* Not quantized: no format, the first range, rounding to nearest, by token; keys or values of a
 * cache by head. Owns nothing yet. */
void bs_setting_init(struct bs_setting *setting);
void bs_setting_init_cache(struct bs_setting *setting);
void bs_setting_release(struct bs_setting *setting);

/* A copy with its own options; `to` owns nothing before. BS_ENOMEM, and then `to` owns nothing. */
enum bs_status bs_setting_copy(struct bs_setting *to, const struct bs_setting *from,
                               struct bs_error *err);

/* Whether both say the same. */
bool bs_setting_equal(const struct bs_setting *a, const struct bs_setting *b);

/* Whether values are quantized at all; whether they are by scales that calibration fixes. */
bool bs_setting_quantizes(const struct bs_setting *setting);
bool bs_setting_is_static(const struct bs_setting *setting);

/* Whether such scales, of all or of each head, are by a range that watches values. */
bool bs_setting_watches(const struct bs_setting *setting);

/* Whether what becomes of a token's values depends on the other tokens of its window. */
bool bs_setting_spans_tokens(const struct bs_setting *setting);

/* Chooses a format (NULL = none) with its default options. BS_ENOMEM. */
enum bs_status bs_setting_choose_format(struct bs_setting *setting, const struct bs_plugin *format,
                                        struct bs_error *err);

/* Whether bs_setting_set knows the key: an option of any format or range, or of a setting
 * itself. */
bool bs_setting_knows(enum bs_use use, const char *key);

/* Whether the setting, its format or its range has an option of this name. */
bool bs_setting_has(const struct bs_setting *setting, enum bs_use use, const char *name);

/* What in a resolved setting does not look at an option: at "range" or "importance" its format, or
 * the range that this asks; at what is of storing in a cache that this is when: use. NULL where it
 * is looked at, or nothing is quantized. */
const char *bs_setting_deaf(const struct bs_setting *setting, const char *name);

/* Sets what a config calls `key`: "format" or "range" (the plug-in's name; "none" for no format),
 * an option of the setting ("rounding"), of its format ("bits"), or of its range ("range_norm").
 * Where there is no format yet, an option of a format chooses the first one. A key that only
 * another format or range has is checked and then left alone: it is not this one's. BS_ECONFIG
 * naming what is allowed; BS_ENOMEM. */
enum bs_status bs_setting_set(struct bs_setting *setting, enum bs_use use, const char *key,
                              const char *text, struct bs_error *err);

/* The text of what a config calls `key`, as bs_setting_set reads it; "none" where the setting has
 * no such option. Returns `text`. */
const char *bs_setting_text(const struct bs_setting *setting, const char *key, char *text,
                            size_t size);

/* Gives options of the format that are still `auto` what the list says of them; NULL is an empty
 * list. Of several lists the first that knows an option holds. */
void bs_setting_prefer(struct bs_setting *setting, const struct bs_preference *preferences);

/* Settles what is still `auto`, and what has no effect: settings that do the same are equal
 * afterwards. Options by which a format leaves values as they are (int of 16 bits) make it none.
 * BS_ECONFIG where the parts do not fit together; BS_ENOMEM. */
enum bs_status bs_setting_resolve(struct bs_setting *setting, enum bs_use use,
                                  struct bs_error *err);

/* Refuses parts of a resolved setting of activations, or of a cache, that do not fit together.
 * BS_ECONFIG. */
enum bs_status bs_setting_check_site(const struct bs_setting *setting, enum bs_use use,
                                     struct bs_error *err);

/* Every setting that has an effect, one "prefix.key: value" a line: canonical text of a resolved
 * setting. */
void bs_setting_print(const struct bs_setting *setting, const char *prefix, enum bs_use use,
                      FILE *out);

/* Short text that tells settings which quantize apart: "4 g128 sym", "8 token". What the lists of
 * preferences, which end with NULL, and resolving make of an option that is `auto` is left out; it
 * is the same before and after resolving. */
void bs_setting_print_short(const struct bs_setting *setting, enum bs_use use,
                            const struct bs_preference *const *preferences, FILE *out);

#endif

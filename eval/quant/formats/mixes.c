/* llama-quantize's mixes of dense models (ggml-org/llama.cpp src/llama-quant.cpp at 007dbbf3): the
 * rows say what a file of the name has other than its usual format. Where a row's columns are not
 * whole blocks the next format does that has smaller ones. */
#include "eval/quant/mix.h"

#include "eval/quant/format.h"
#include "eval/quant/formats/mix_formats.h"

#define DECLARE(f) extern const struct bs_format bs_format_##f;
#define ENTRY(f) &bs_format_##f.plugin,
#define IS(f) &bs_format_##f.plugin

BS_MIX_FORMATS(DECLARE)

const struct bs_plugin *const bs_mix_formats[] = {BS_MIX_FORMATS(ENTRY) NULL};

enum {
    NO_MIX,
    Q2_K,
    Q2_K_S,
    Q3_K_S,
    Q3_K_M,
    Q3_K_L,
    Q4_K_S,
    Q4_K_M,
    Q5_K_S,
    Q5_K_M,
    Q6_K,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    IQ4_NL,
    IQ4_XS,
    TQ1_0,
    TQ2_0,
};

const char *const bs_mix_words[BS_MIXES + 2] = {
    [NO_MIX] = "none",   [Q2_K] = "q2_k",     [Q2_K_S] = "q2_k_s", [Q3_K_S] = "q3_k_s",
    [Q3_K_M] = "q3_k_m", [Q3_K_L] = "q3_k_l", [Q4_K_S] = "q4_k_s", [Q4_K_M] = "q4_k_m",
    [Q5_K_S] = "q5_k_s", [Q5_K_M] = "q5_k_m", [Q6_K] = "q6_k",     [Q8_0] = "q8_0",
    [Q4_0] = "q4_0",     [Q4_1] = "q4_1",     [Q5_0] = "q5_0",     [Q5_1] = "q5_1",
    [IQ4_NL] = "iq4_nl", [IQ4_XS] = "iq4_xs", [TQ1_0] = "tq1_0",   [TQ2_0] = "tq2_0",
};
_Static_assert((int)TQ2_0 == (int)BS_MIXES, "a word for each");

static const signed char file_types[BS_MIXES + 1] = {
    [NO_MIX] = -1, [Q2_K] = 10,   [Q2_K_S] = 21, [Q3_K_S] = 11, [Q3_K_M] = 12,
    [Q3_K_L] = 13, [Q4_K_S] = 14, [Q4_K_M] = 15, [Q5_K_S] = 16, [Q5_K_M] = 17,
    [Q6_K] = 18,   [Q8_0] = 7,    [Q4_0] = 2,    [Q4_1] = 3,    [Q5_0] = 8,
    [Q5_1] = 9,    [IQ4_NL] = 25, [IQ4_XS] = 30, [TQ1_0] = 36,  [TQ2_0] = 37,
};

int bs_mix_file_type(int mix) { return file_types[mix]; }

/* Which layers an exception is for. */
enum layers { NEVER, ALL, FIRST_TWO, FIRST_FOUR, AN_EIGHTH, A_SIXTEENTH, MORE };

/* Another format in some layers, else a second one (NULL = the usual). */
struct exception {
    enum layers layers;
    const struct bs_plugin *there, *elsewhere;
};

/* A mix. */
static const struct mix {
    const struct bs_plugin *usual;
    struct exception value, down, output;
    const struct bs_plugin *shared_value; /* of values that four heads or more share */
    const struct bs_plugin *weighed_down; /* of an eighth of `down`, where there is importance */
    bool without_importance;              /* `down` holds only without importance */
    bool needs_importance;
} mixes[] = {
    [Q2_K] = {.usual = IS(q2_k),
              .value = {ALL, IS(q3_k), NULL},
              .down = {ALL, IS(q3_k), NULL},
              .output = {ALL, IS(q3_k), NULL},
              .shared_value = IS(q4_k)},
    [Q2_K_S] = {.usual = IS(q2_k),
                .down = {AN_EIGHTH, IS(q4_k), NULL},
                .shared_value = IS(q4_k),
                .needs_importance = true},
    [Q3_K_S] = {.usual = IS(q3_k)},
    [Q3_K_M] = {.usual = IS(q3_k),
                .value = {FIRST_TWO, IS(q5_k), IS(q4_k)},
                .down = {A_SIXTEENTH, IS(q5_k), IS(q4_k)},
                .output = {ALL, IS(q4_k), NULL}},
    [Q3_K_L] = {.usual = IS(q3_k),
                .value = {ALL, IS(q5_k), NULL},
                .down = {ALL, IS(q5_k), NULL},
                .output = {ALL, IS(q5_k), NULL}},
    [Q4_K_S] = {.usual = IS(q4_k),
                .value = {FIRST_FOUR, IS(q5_k), NULL},
                .down = {AN_EIGHTH, IS(q5_k), NULL}},
    [Q4_K_M] = {.usual = IS(q4_k), .value = {MORE, IS(q6_k), NULL}, .down = {MORE, IS(q6_k), NULL}},
    [Q5_K_S] = {.usual = IS(q5_k)},
    [Q5_K_M] = {.usual = IS(q5_k), .value = {MORE, IS(q6_k), NULL}, .down = {MORE, IS(q6_k), NULL}},
    [Q6_K] = {.usual = IS(q6_k)},
    [Q8_0] = {.usual = IS(q8_0)},
    [Q4_0] = {.usual = IS(q4_0), .weighed_down = IS(q4_1)},
    [Q4_1] = {.usual = IS(q4_1)},
    [Q5_0] = {.usual = IS(q5_0), .weighed_down = IS(q5_1)},
    [Q5_1] = {.usual = IS(q5_1)},
    [IQ4_NL] = {.usual = IS(iq4_nl),
                .down = {AN_EIGHTH, IS(q5_k), NULL},
                .shared_value = IS(q5_k),
                .without_importance = true},
    [IQ4_XS] = {.usual = IS(iq4_xs),
                .down = {AN_EIGHTH, IS(q5_k), NULL},
                .shared_value = IS(q5_k),
                .without_importance = true},
    [TQ1_0] = {.usual = IS(tq1_0)},
    [TQ2_0] = {.usual = IS(tq2_0)},
};

const struct bs_plugin *bs_mix_usual(int mix) { return mixes[mix].usual; }

bool bs_mix_needs_importance(int mix) { return mixes[mix].needs_importance; }

static bool is_among(enum layers layers, int layer, int count)
{
    int eighth = count / 8;
    switch (layers) {
    case NEVER:
        return false;
    case ALL:
        return true;
    case FIRST_TWO:
        return layer < 2;
    case FIRST_FOUR:
        return layer < 4;
    case AN_EIGHTH:
        return layer < eighth;
    case A_SIXTEENTH:
        return layer < count / 16;
    case MORE:
        return layer < eighth || layer >= 7 * count / 8 || (layer - eighth) % 3 == 2;
    }
    return false;
}

static const struct bs_plugin *by_exception(const struct mix *mix, const struct exception *e,
                                            const struct bs_mix_place *place)
{
    const struct bs_plugin *format =
        is_among(e->layers, place->layer, place->layers) ? e->there : e->elsewhere;
    return format ? format : mix->usual;
}

static const struct bs_plugin *value_format(const struct mix *mix, const struct bs_mix_place *place)
{
    enum { LARGE = 80, MANY = 4 }; /* layers of models of 70 billion weights; heads */
    bool many = mix->shared_value && place->sharing >= MANY;
    const struct bs_plugin *format =
        many ? mix->shared_value : by_exception(mix, &mix->value, place);
    bool few_bits = format == IS(q3_k) || format == IS(q4_k);
    return place->layers == LARGE && place->sharing > 1 && few_bits ? IS(q5_k) : format;
}

static const struct bs_plugin *down_format(const struct mix *mix, const struct bs_mix_place *place,
                                           bool importance)
{
    if (mix->weighed_down)
        return importance && is_among(AN_EIGHTH, place->layer, place->layers) ? mix->weighed_down
                                                                              : mix->usual;
    return mix->without_importance && importance ? mix->usual
                                                 : by_exception(mix, &mix->down, place);
}

static bool takes(const struct bs_plugin *plugin, int in)
{
    const struct bs_format *format = (const struct bs_format *)plugin;
    struct bs_code_layout layout;
    struct bs_error ignored;
    return !format->lay(plugin->variant, 1, in, &layout, &ignored);
}

static const struct bs_plugin *head_format(const struct mix *mix, const struct bs_mix_place *place)
{
    return mix->usual == IS(q8_0) || !takes(mix->usual, place->in) ? IS(q8_0) : IS(q6_k);
}

static const struct bs_plugin *embedding_format(const struct mix *mix)
{
    return mix->usual == IS(tq1_0) || mix->usual == IS(tq2_0) ? IS(q4_k) : mix->usual;
}

/* What stands for a format whose blocks do not fit. */
static const struct bs_plugin *smaller(const struct bs_plugin *format)
{
    static const struct {
        const struct bs_plugin *of, *is;
    } rows[] = {{IS(q2_k), IS(q4_0)},  {IS(q3_k), IS(q4_0)},    {IS(tq1_0), IS(q4_0)},
                {IS(tq2_0), IS(q4_0)}, {IS(q4_k), IS(q5_0)},    {IS(q5_k), IS(q5_1)},
                {IS(q6_k), IS(q8_0)},  {IS(iq4_xs), IS(iq4_nl)}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        if (rows[k].of == format)
            return rows[k].is;
    return NULL;
}

const struct bs_plugin *bs_mix_format(int index, const struct bs_mix_place *place, bool importance)
{
    const struct mix *mix = &mixes[index];
    const struct bs_plugin *format = mix->usual;
    switch (place->role) {
    case BS_MIX_OTHER:
        break;
    case BS_MIX_VALUE:
        format = value_format(mix, place);
        break;
    case BS_MIX_OUTPUT:
        format = by_exception(mix, &mix->output, place);
        break;
    case BS_MIX_DOWN:
        format = down_format(mix, place, importance);
        break;
    case BS_MIX_EMBEDDING:
        format = embedding_format(mix);
        break;
    case BS_MIX_HEAD:
        format = head_format(mix, place);
        break;
    }
    while (format && !takes(format, place->in))
        format = smaller(format);
    return format;
}

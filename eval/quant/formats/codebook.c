/* Levels of one's own: any 2 to 256 numbers, times a scale. The scale is the least float16 ratio of
 * a range's ends to the outermost levels of their sign: the range [low, high] lies within what the
 * levels reach, as far as float16 says it; a side without levels is left out. A value takes the
 * nearest level, a tie the one of even place among the levels. In a file a group is a float16 and
 * codes of as many bits as places need. */
#include <math.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/quant/format.h"

enum { GROUP_CHANNEL = 0, GROUP_TENSOR = -1, SCALE_BITS = 16, MOST_SHOWN = 8 };

/* The options, and what resolving makes of them. */
struct codebook {
    struct bs_numbers levels;
    int group_size;
    float values[BS_MOST_NUMBERS];
    struct bs_level_index index;
    struct bs_levels table; /* whose values and index are these */
};

static const struct bs_numbers ternary = {.count = 3, .values = {-1, 0, 1}};
static const char *const group_words[] = {"channel", "tensor", NULL};

static const struct bs_option codebook_options[] = {
    {.name = "levels",
     .help = "what codes stand for, times a scale; a list of lists is an axis",
     .offset = offsetof(struct codebook, levels),
     .type = BS_NUMBERS,
     .min = -1e6,
     .max = 1e6,
     .fewest = 2,
     .numbers = &ternary},
    BS_OPT_WORDS(struct codebook, group_size, BS_INT, GROUP_CHANNEL, 1, 1 << 24, group_words,
                 "columns that share a scale; channel = a row, tensor = the matrix"),
    {.name = NULL},
};

/* Of a group. */
struct params {
    float scale;
};

/* --- options --- */

static void sort(struct bs_numbers *levels)
{
    for (int i = 1; i < levels->count; i++) {
        double moved = levels->values[i];
        int k = i;
        for (; k > 0 && levels->values[k - 1] > moved; k--)
            levels->values[k] = levels->values[k - 1];
        levels->values[k] = moved;
    }
}

static void codebook_copied(void *options)
{
    struct codebook *opt = options;
    opt->table.values = opt->values;
    opt->table.index = &opt->index;
}

static enum bs_status codebook_resolve(void *options, enum bs_use use, struct bs_error *err)
{
    (void)use;
    struct codebook *opt = options;
    sort(&opt->levels);
    for (int k = 0; k < opt->levels.count; k++) {
        opt->values[k] = (float)opt->levels.values[k];
        if (k > 0 && opt->values[k] <= opt->values[k - 1])
            return bs_fail(err, BS_ECONFIG, "levels has %.9g twice, expected each once",
                           opt->levels.values[k]);
    }
    opt->table = (struct bs_levels){.count = opt->levels.count, .ties = BS_TIES_EVEN};
    opt->table.values = opt->values;
    bs_levels_index(&opt->table, &opt->index);
    codebook_copied(opt);
    return BS_OK;
}

/* Few levels are shown, many are told apart. */
static void print_levels(const struct codebook *opt, FILE *out)
{
    const struct bs_numbers *levels = &opt->levels;
    size_t size = (size_t)levels->count * sizeof *levels->values;
    if (levels->count > MOST_SHOWN)
        fprintf(out, "%d levels %.8s", levels->count, bs_digest_of(levels->values, size).hex);
    else
        bs_choice_print_value(&codebook_options[0], opt, out);
}

static void codebook_print_short(const void *options, const void *natural, const char *sharing,
                                 FILE *out)
{
    (void)natural;
    const struct codebook *opt = options;
    fputs("codebook", out);
    if (sharing)
        fprintf(out, " %s", sharing);
    fputc(' ', out);
    print_levels(opt, out);
    if (opt->group_size > 0)
        fprintf(out, " g%d", opt->group_size);
    else if (!sharing)
        fprintf(out, " %s", group_words[-opt->group_size]);
}

static int code_bits(const struct codebook *opt)
{
    int bits = 1;
    while (1 << bits < opt->levels.count)
        bits++;
    return bits;
}

static enum bs_status codebook_lay(const void *options, int out, int in,
                                   struct bs_code_layout *layout, struct bs_error *err)
{
    (void)err;
    const struct codebook *opt = options;
    bool tensor = opt->group_size == GROUP_TENSOR;
    int group = opt->group_size > 0 && opt->group_size < in ? opt->group_size : in;
    int in_row = (in + group - 1) / group;
    double groups = tensor ? 1 : (double)out * in_row;
    *layout =
        (struct bs_code_layout){.out = out,
                                .in = in,
                                .group = group,
                                .span = group,
                                .by_columns = opt->group_size > 0,
                                .code_bits = code_bits(opt),
                                .param_bytes = tensor ? 0 : sizeof(struct params),
                                .tensor_bytes = tensor ? sizeof(struct params) : 0,
                                .bits = (double)out * in * code_bits(opt) + groups * SCALE_BITS,
                                .group_index = true};
    return BS_OK;
}

/* --- fitting --- */

static struct params params_of(const struct codebook *opt, float low, float high)
{
    const float least = 0x1p-24f, most = 65504;
    float first = opt->values[0], last = opt->values[opt->levels.count - 1], scale = 0;
    if (first < 0)
        scale = fmaxf(scale, low / first);
    if (last > 0)
        scale = fmaxf(scale, high / last);
    return (struct params){bs_half_value(bs_half_of(fminf(fmaxf(scale, least), most)))};
}

static struct bs_cell cell_of(const struct codebook *opt, struct params params)
{
    return (struct bs_cell){.levels = &opt->table, .scale = params.scale};
}

static double error_of(const void *context, const struct bs_sample *sample, float low, float high,
                       double power, bool weighted)
{
    struct bs_cell cell = cell_of(context, params_of(context, low, high));
    return bs_cell_error(&cell, sample, power, weighted);
}

static void fit(const struct codebook *opt, const struct bs_choice *range,
                const struct bs_sample *sample, struct params *params)
{
    const struct bs_range_trial trial = {.error = error_of, .context = opt};
    float low, high;
    bs_sample_extremes(sample, &low, &high);
    bs_range_find(range, sample, &trial, &low, &high);
    *params = params_of(opt, low, high);
}

static void codebook_fit(const void *options, const struct bs_choice *range, const void *tensor,
                         const struct bs_sample *span, void *params)
{
    (void)tensor;
    fit(options, range, span, params);
}

static void codebook_fit_tensor(const void *options, const struct bs_choice *range,
                                const struct bs_code_layout *layout, const struct bs_sample *all,
                                void *tensor)
{
    (void)layout;
    fit(options, range, all, tensor);
}

static struct bs_cell codebook_cell(const void *options, const void *tensor, const void *params,
                                    int g)
{
    (void)g;
    const struct params *own = tensor ? tensor : params;
    return cell_of(options, *own);
}

/* --- files --- */

static void put_scale(const struct params *params, struct bs_bits *to)
{
    bs_bits_put(to, bs_half_of(params->scale), SCALE_BITS);
}

static struct params get_scale(struct bs_bits *from)
{
    return (struct params){bs_half_value((uint16_t)bs_bits_get(from, SCALE_BITS))};
}

static void codebook_pack_tensor(const void *options, const struct bs_code_layout *layout,
                                 const void *tensor, struct bs_bits *to)
{
    (void)options, (void)layout;
    put_scale(tensor, to);
}

static void codebook_unpack_tensor(const void *options, const struct bs_code_layout *layout,
                                   struct bs_bits *from, void *tensor)
{
    (void)options, (void)layout;
    struct params *own = tensor;
    *own = get_scale(from);
}

static void codebook_pack(const void *options, const void *params, const uint16_t *codes, int count,
                          struct bs_bits *to)
{
    const struct codebook *opt = options;
    if (opt->group_size != GROUP_TENSOR)
        put_scale(params, to);
    for (int j = 0; j < count; j++)
        bs_bits_put(to, codes[j], code_bits(opt));
}

static void codebook_unpack(const void *options, const void *tensor, uint64_t index,
                            struct bs_bits *from, void *params, uint16_t *codes, int count)
{
    (void)tensor, (void)index;
    const struct codebook *opt = options;
    if (opt->group_size != GROUP_TENSOR)
        *(struct params *)params = get_scale(from);
    for (int j = 0; j < count; j++)
        codes[j] = (uint16_t)bs_bits_get(from, code_bits(opt));
}

const struct bs_format bs_format_codebook = {
    .plugin = {.name = "codebook",
               .summary = "levels of one's own, with a float16 scale for each group",
               .reference = "tables of levels as those of QLoRA (arXiv 2305.14314) or of k-means",
               .options_size = sizeof(struct codebook),
               .options = codebook_options,
               .copied = codebook_copied},
    .family = BS_FAMILY_LOOKUP,
    .resolve = codebook_resolve,
    .print_short = codebook_print_short,
    .lay = codebook_lay,
    .fit_tensor = codebook_fit_tensor,
    .fit = codebook_fit,
    .cell = codebook_cell,
    .pack_tensor = codebook_pack_tensor,
    .unpack_tensor = codebook_unpack_tensor,
    .pack = codebook_pack,
    .unpack = codebook_unpack,
};

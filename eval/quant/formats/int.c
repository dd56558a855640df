/* Whole numbers of 2 to 8 bits, by the three published grids. */
#include <string.h>

#include "eval/quant/flat.h"
#include "eval/quant/format.h"

static const char *const symmetric_words[] = {"false", "true", "auto", NULL};
static const char *const grid_words[] = {"gptq", "awq", "smoothquant", "auto", NULL};
static const char *const group_words[] = {"channel", "tensor", NULL};

static const struct bs_option int_options[] = {
    {.name = "bits",
     .help = "bits of a code; 16 = not quantized",
     .offset = offsetof(struct bs_int, bits),
     .type = BS_INT,
     .initial = BS_BITS_NONE,
     .min = 2,
     .max = 8,
     .also = BS_BITS_NONE},
    BS_OPT_WORDS(struct bs_int, group_size, BS_INT, BS_GROUP_CHANNEL, 1, 1 << 24, group_words,
                 "columns that share scale and zero point; channel = a row, tensor = the matrix"),
    BS_OPT_WORDS(struct bs_int, symmetric, BS_CHOICE, BS_SYMMETRIC_AUTO, 0, 2, symmetric_words,
                 "no zero point; auto = as the grid's authors have it"),
    BS_OPT_WORDS(struct bs_int, grid, BS_CHOICE, BS_GRID_AUTO, 0, 3, grid_words,
                 "whose range rule; auto = that of the algorithm's authors"),
    {.name = NULL},
};

static bool int_idle(const void *options)
{
    const struct bs_int *opt = options;
    return opt->bits == BS_BITS_NONE;
}

static enum bs_status int_resolve(void *options, enum bs_use use, struct bs_error *err)
{
    struct bs_int *opt = options;
    struct bs_flat flat = {.bits = opt->bits, .symmetric = opt->symmetric, .grid = opt->grid};
    bool values = use == BS_FOR_ACTIVATIONS;
    enum bs_status status =
        bs_format_resolve(&flat, values ? BS_GRID_SMOOTHQUANT : BS_GRID_GPTQ, err);
    opt->symmetric = flat.symmetric;
    opt->grid = flat.grid;
    if (!status && values && opt->group_size != BS_GROUP_CHANNEL)
        return bs_fail(err, BS_ECONFIG,
                       "group_size is an option of weights, expected sharing: token, window or "
                       "static");
    return status;
}

static void int_print_short(const void *options, const void *natural, const char *sharing,
                            FILE *out)
{
    const struct bs_int *opt = options, *usual = natural;
    fprintf(out, "%d", opt->bits);
    if (sharing)
        fprintf(out, " %s", sharing);
    else if (opt->group_size > 0)
        fprintf(out, " g%d", opt->group_size);
    else
        fprintf(out, " %s", group_words[-opt->group_size]);
    if (opt->symmetric != usual->symmetric)
        fputs(opt->symmetric == BS_SYMMETRIC ? " sym" : " asym", out);
    if (opt->grid != usual->grid)
        fprintf(out, " grid=%s", grid_words[opt->grid]);
}

const struct bs_format bs_format_int = {
    .plugin = {.name = "int",
               .summary = "whole numbers of 2 to 8 bits, a scale and a zero point a group",
               .reference = "IST-DASLab/gptq quant.py; mit-han-lab/llm-awq quantizer.py; "
                            "mit-han-lab/smoothquant fake_quant.py",
               .options_size = sizeof(struct bs_int),
               .options = int_options},
    .idle = int_idle,
    .resolve = int_resolve,
    .print_short = int_print_short,
};

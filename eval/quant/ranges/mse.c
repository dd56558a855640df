/* Shrinks the extremes step by step and keeps those whose rounding has the least error: of full
 * range and of each share of it, 1 - i / range_grid for i below range_maxshrink * range_grid, the
 * first of the best (IST-DASLab/gptq quant.py, mse). llm-compressor's mse (observers/mse.py) is
 * range_maxshrink: 0.2 with range_patience: 5. */
#include <math.h>

#include "eval/quant/format.h"

struct mse {
    double range_norm, range_maxshrink;
    int range_grid, range_patience;
    bool range_weighted;
};

static const struct bs_option mse_options[] = {
    BS_OPT(struct mse, range_norm, 2.4, 0.1, 10, "power of the error"),
    BS_OPT(struct mse, range_grid, 100, 1, 10000, "steps from full range to none"),
    BS_OPT(struct mse, range_maxshrink, 0.8, 0, 1, "share of the steps that is tried"),
    BS_OPT(struct mse, range_patience, 0, 0, 10000,
           "steps without a better one after which the search ends; 0 = it goes on"),
    BS_OPT(struct mse, range_weighted, false, 0, 1,
           "errors count by importance where an algorithm knows it: by diag(H) of their columns"),
    {.name = NULL},
};

static void mse_find(const void *options, const struct bs_sample *sample,
                     const struct bs_range_trial *trial, float *low, float *high)
{
    const struct mse *opt = options;
    int steps = (int)(opt->range_maxshrink * opt->range_grid);
    double least = INFINITY;
    int waited = 0;
    float full[] = {*low, *high};
    for (int i = 0; i < steps; i++) {
        float p = (float)(1 - (double)i / opt->range_grid);
        double error = trial->error(trial->context, sample, p * full[0], p * full[1],
                                    opt->range_norm, opt->range_weighted);
        waited = error < least ? 0 : waited + 1;
        if (opt->range_patience && waited >= opt->range_patience)
            break;
        if (error < least) {
            least = error;
            *low = p * full[0];
            *high = p * full[1];
        }
    }
}

static bool mse_weighs(const void *options)
{
    const struct mse *opt = options;
    return opt->range_weighted;
}

const struct bs_range bs_range_mse = {
    .plugin = {.name = "mse",
               .summary = "shrunk to the least sum of |error|^norm",
               .reference = "IST-DASLab/gptq quant.py",
               .options_size = sizeof(struct mse),
               .options = mse_options},
    .needs_values = true,
    .weighs = mse_weighs,
    .find = mse_find,
};

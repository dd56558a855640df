/* A multiple of the root of the mean of x^2, on both sides of 0: for values that are distributed
 * alike, as weights are that were turned at random (Cornell-RelaxML/QuIP quant.py, qfn b). */
#include <math.h>

#include "eval/linalg/vector.h"
#include "eval/quant/format.h"

struct rms {
    double range_factor;
};

static const struct bs_option rms_options[] = {
    BS_OPT(struct rms, range_factor, 2.4, 0.1, 100, "times the root of the mean of x^2"),
    {.name = NULL},
};

static void rms_find(const void *options, const struct bs_sample *sample,
                     const struct bs_range_trial *trial, float *low, float *high)
{
    (void)trial;
    const struct rms *opt = options;
    double sum = 0;
    for (size_t r = 0; r < sample->rows; r++)
        sum += bs_sum_squares(sample->x + r * sample->stride, sample->count);
    float most = (float)(opt->range_factor * sqrt(sum / (double)(sample->rows * sample->count)));
    if (!(most > 0)) /* zeros */
        return;
    *low = -most;
    *high = most;
}

const struct bs_range bs_range_rms = {
    .plugin = {.name = "rms",
               .summary = "a multiple of the root mean square, for values distributed alike",
               .reference = "Cornell-RelaxML/QuIP quant.py",
               .options_size = sizeof(struct rms),
               .options = rms_options},
    .needs_values = true,
    .find = rms_find,
};

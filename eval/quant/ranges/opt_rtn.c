/* The range whose codes have the least squared error, of those whose ends are the extremes divided
 * by 1 - range_step * k: the extremes themselves, then k from -range_steps to range_steps, the
 * first of the best (intel/auto-round data_type/int.py, search_scales). With grid auto_round and
 * scales of float32 the scale is that of the authors to the bit, who try
 * 1 / (-(2^(bits-1) - step k) * (1 / M)) with M the extreme of larger size. For 2 bits they take
 * range_step: 0.005 and range_steps: 90. */
#include <math.h>

#include "eval/quant/format.h"

struct opt_rtn {
    double range_step;
    int range_steps;
    bool range_weighted;
};

static const struct bs_option opt_rtn_options[] = {
    BS_OPT(struct opt_rtn, range_step, 0.0075, 0, 1, "of the inverse of the scale"),
    BS_OPT(struct opt_rtn, range_steps, 100, 1, 10000, "steps to either side"),
    BS_OPT(struct opt_rtn, range_weighted, true, 0, 1,
           "errors count by importance where it is asked for or an algorithm knows it"),
    {.name = NULL},
};

/* Both ends so that the larger in size is 1 / (share * (1 / size)), each step in float32. */
static void scaled(const float *full, float size, double share, float *ends)
{
    float most = 1 / ((float)share * (1 / size));
    for (int i = 0; i < 2; i++)
        ends[i] = fabsf(full[i]) == size ? copysignf(most, full[i]) : full[i] * (most / size);
}

/* Of two extremes of one size the first counts: the other becomes the lesser. */
static void make_one_larger(const struct bs_sample *sample, float *full)
{
    size_t count = sample->rows * sample->count;
    if (full[0] != -full[1])
        return;
    for (size_t i = 0; sample->x && i < count; i++) {
        float x = sample->x[i / sample->count * sample->stride + i % sample->count];
        if (fabsf(x) == full[1]) {
            full[x < 0] = nextafterf(full[x < 0], 0);
            return;
        }
    }
}

static void opt_rtn_find(const void *options, const struct bs_sample *sample,
                         const struct bs_range_trial *trial, float *low, float *high)
{
    const struct opt_rtn *opt = options;
    float full[] = {*low, *high};
    float size = fmaxf(fabsf(*low), fabsf(*high)), ends[2];
    double least = (double)INFINITY;
    if (!(size > 0))
        return;
    make_one_larger(sample, full);
    for (int i = 0; i <= 2 * opt->range_steps + 1; i++) {
        int k = i ? i - 1 - opt->range_steps : 0;
        double share = 1 - opt->range_step * k;
        if ((i && !k) || !(share > 0))
            continue;
        scaled(full, size, share, ends);
        double error =
            trial->error(trial->context, sample, ends[0], ends[1], 2, opt->range_weighted);
        if (!i || error < least) {
            least = error;
            *low = ends[0];
            *high = ends[1];
        }
    }
}

static bool opt_rtn_weighs(const void *options)
{
    const struct opt_rtn *opt = options;
    return opt->range_weighted;
}

const struct bs_range bs_range_opt_rtn = {
    .plugin = {.name = "opt_rtn",
               .summary = "shrunk or widened to the least squared error",
               .reference = "intel/auto-round data_type/int.py",
               .options_size = sizeof(struct opt_rtn),
               .options = opt_rtn_options},
    .needs_values = true,
    .weighs = opt_rtn_weighs,
    .find = opt_rtn_find,
};

/* SmoothQuant (Xiao et al. 2023, arXiv 2211.10438, equation 4): moves the difficulty of activation
 * outliers into the weights. For the inputs c of the linears that read a norm
 *   s_c = max|X_c|^alpha / max|W_c|^(1 - alpha),
 * the norm's output is divided by s and the linears' columns are multiplied by it.
 *
 * As mit-han-lab/smoothquant smooth.py: max|W_c| is taken over the rows of all linears of the set
 * and is at least 1e-5, s is at least 1e-5, and only the readers of a norm are smoothed (never
 * o_proj and down_proj). Arithmetic is float32 where the original uses the model's half
 * precision. */
#include "algorithms/algorithm.h"

#include <math.h>

#include "eval/base/mem.h"
#include "eval/linalg/vector.h"

struct smoothquant {
    double alpha;
};

static const struct bs_option smoothquant_options[] = {
    BS_OPT(struct smoothquant, alpha, 0.5, 0, 1,
           "migration strength: 0 leaves the difficulty to the activations, 1 moves it all"),
    {.name = NULL},
};

static void smoothquant_needs(const void *options, struct bs_wanted *wanted)
{
    (void)options;
    if (!wanted->architecture) {
        bs_want(wanted, &bs_stat_absmax, BS_EVERY_SITE, 0);
        return;
    }
    const struct bs_program *p = bs_wanted_program(wanted);
    for (int k = 0; k < p->num_inputs; k++)
        if (bs_folds_into(p, p->inputs[k], BS_OP_NORM))
            bs_want(wanted, &bs_stat_absmax, p->inputs[k], 0);
}

/* column_max [in] = largest |weight| of each column over all linears that read the site or rows
 * of it. */
static void column_maxima(const struct bs_block *block, int site, float *column_max,
                          int in_features)
{
    for (int j = 0; j < in_features; j++)
        column_max[j] = 1e-5f;
    int slots[BS_MAX_SLOTS];
    int count = bs_program_scaled(block->program, site, slots);
    for (int k = 0; k < count; k++) {
        const struct bs_linear *linear = &block->linears[slots[k]];
        for (int i = 0; i < linear->out_features; i++) {
            const float *row = linear->weight + (size_t)i * (size_t)in_features;
            for (int j = 0; j < in_features; j++)
                column_max[j] = fabsf(row[j]) > column_max[j] ? fabsf(row[j]) : column_max[j];
        }
    }
}

static enum bs_status smoothquant_prepare(const void *options, const struct bs_job *job,
                                          struct bs_error *err)
{
    const struct smoothquant *opt = options;
    const struct bs_program *p = job->block->program;
    size_t widest = 0;
    for (int k = 0; k < p->num_inputs; k++) {
        size_t width = (size_t)p->values[p->inputs[k]].width;
        widest = width > widest ? width : widest;
    }
    float *scale = bs_alloc(2 * widest, sizeof *scale);
    if (!scale)
        return bs_fail_memory(err);
    float *weight_max = scale + widest;
    enum bs_status status = BS_OK;
    for (int k = 0; k < p->num_inputs && !status; k++) {
        int site = p->inputs[k];
        if (!bs_folds_into(p, site, BS_OP_NORM))
            continue;
        size_t width = (size_t)p->values[site].width;
        column_maxima(job->block, site, weight_max, (int)width);
        bs_power(bs_statistics_of(job->statistics, &bs_stat_absmax, site), width, (float)opt->alpha,
                 scale);
        bs_power(weight_max, width, (float)(1 - opt->alpha), weight_max);
        for (size_t j = 0; j < width; j++)
            scale[j] = fmaxf(scale[j] / weight_max[j], 1e-5f);
        status = bs_block_fold(job->block, site, scale, err);
    }
    bs_free(scale);
    return status;
}

/* Columns are compared, then multiplied. */
static void smoothquant_cost(const void *options, const struct bs_extent *extent,
                             struct bs_cost *cost)
{
    (void)options;
    const struct bs_program *p = bs_program_of(extent->architecture, extent->layer);
    for (int k = 0; k < p->num_inputs; k++)
        if (bs_folds_into(p, p->inputs[k], BS_OP_NORM))
            cost->weights += 2 * bs_site_weights(p, p->inputs[k]);
}

static const struct bs_preference smoothquant_preferences[] = {{"int", "grid", "smoothquant"},
                                                               {.format = NULL}};

const struct bs_algorithm bs_alg_smoothquant = {
    .plugin =
        {
            .name = "smoothquant",
            .summary = "per-channel smoothing of activation outliers into the weights",
            .reference = "Xiao et al. 2023, arXiv 2211.10438; mit-han-lab/smoothquant",
            .options_size = sizeof(struct smoothquant),
            .options = smoothquant_options,
        },
    .preferences = smoothquant_preferences,
    .calibrate_on = BS_ON_UNQUANTIZED,
    .needs = smoothquant_needs,
    .prepare_block = smoothquant_prepare,
    .cost = smoothquant_cost,
};

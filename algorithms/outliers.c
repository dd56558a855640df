/* A stress step, the inverse of smoothing. Models of billions of parameters have a few channels
 * whose activations are far larger than the rest; a small model has none. Here chosen channels of
 * each norm's output are multiplied by a power of two and the columns that read them divided by it,
 * so that the model computes exactly the same function, and yet has the outliers (LLM.int8, arXiv
 * 2208.07339, and SmoothQuant, section 3, describe them: the same few channels for all tokens, 10
 * to 100 times the rest). Which channels are chosen comes from the seed, and is the same in every
 * norm, as there. */
#include "algorithms/algorithm.h"

#include <math.h>

#include "eval/base/mem.h"

struct outliers {
    int channels, factor, seed;
};

static const struct bs_option outliers_options[] = {
    BS_OPT(struct outliers, channels, 4, 0, 65536, "channels of each norm that become outliers"),
    BS_OPT(struct outliers, factor, 64, 1, 1 << 20, "how many times larger; a power of two"),
    BS_OPT(struct outliers, seed, 0, 0, 2147483647, "which channels"),
    {.name = NULL},
};

static enum bs_status outliers_check(const void *options, const struct bs_setting *weights,
                                     struct bs_error *err)
{
    (void)weights;
    const struct outliers *opt = options;
    if (opt->factor & (opt->factor - 1))
        return bs_fail(err, BS_ECONFIG,
                       "factor is %d, expected a power of two: only then is the function the same",
                       opt->factor);
    return BS_OK;
}

/* SplitMix64 (Steele et al. 2014): a few well-mixed draws from any seed. */
static uint64_t next_draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Whether a site gets outliers: what a norm makes of the residual stream. */
static bool is_given(const struct bs_program *p, int site)
{
    return bs_folds_into(p, site, BS_OP_NORM) && !bs_is_latent(p->ops[p->folds[site].op].detail);
}

static enum bs_status outliers_prepare(const void *options, const struct bs_job *job,
                                       struct bs_error *err)
{
    const struct outliers *opt = options;
    const struct bs_architecture *a = job->block->architecture;
    if (opt->channels > a->hidden_size)
        return bs_fail(err, BS_ECONFIG, "channels is %d, but the model has %d", opt->channels,
                       a->hidden_size);
    if (opt->factor == 1)
        return BS_OK;
    float *scale = bs_alloc((size_t)a->hidden_size, sizeof *scale);
    if (!scale)
        return bs_fail_memory(err);
    for (int j = 0; j < a->hidden_size; j++)
        scale[j] = 1;
    uint64_t state = (uint64_t)opt->seed;
    for (int chosen = 0; chosen < opt->channels;) {
        float *at = scale + next_draw(&state) % (uint64_t)a->hidden_size;
        chosen += *at == 1;
        *at = 1 / (float)opt->factor;
    }
    enum bs_status status = BS_OK;
    const struct bs_program *p = job->block->program;
    for (int k = 0; k < p->num_inputs && !status; k++)
        if (is_given(p, p->inputs[k]))
            status = bs_block_fold(job->block, p->inputs[k], scale, err);
    bs_free(scale);
    return status;
}

static void outliers_cost(const void *options, const struct bs_extent *extent, struct bs_cost *cost)
{
    const struct outliers *opt = options;
    const struct bs_program *p = bs_program_of(extent->architecture, extent->layer);
    for (int k = 0; k < p->num_inputs && opt->factor > 1; k++)
        if (is_given(p, p->inputs[k]))
            cost->weights += bs_site_weights(p, p->inputs[k]);
}

const struct bs_algorithm bs_alg_outliers = {
    .plugin =
        {
            .name = "outliers",
            .summary = "stress: gives the norms' outputs the outlier channels of large models",
            .reference = "the inverse of SmoothQuant's equation 4, by powers of two",
            .options_size = sizeof(struct outliers),
            .options = outliers_options,
        },
    .calibrate_on = BS_ON_UNQUANTIZED,
    .check = outliers_check,
    .prepare_block = outliers_prepare,
    .cost = outliers_cost,
};

/* GPTQ (Frantar et al. 2023, arXiv 2210.17323): rounds the columns of W one after the other and
 * lets the columns not yet rounded make up for each error. With H = 2/n X^T X, damped, and U the
 * upper Cholesky factor of H^-1: q_i = quantize(w_i),  e = (w_i - q_i) / U_ii,  W[:, i:] -= e U[i,
 * i:]. */
#include "algorithms/columns.h"

struct gptq {
    double percdamp;
    int block_size;
    bool act_order, static_groups, true_sequential;
};

static const struct bs_option gptq_options[] = {
    BS_COLUMNS_OPTIONS(struct gptq, false),
    {.name = NULL},
};

static struct bs_columns columns_of(const struct gptq *opt)
{
    return (struct bs_columns){.factor = {.act_order = opt->act_order, .percdamp = opt->percdamp},
                               .block_size = opt->block_size,
                               .static_groups = opt->static_groups};
}

static enum bs_status gptq_check(const void *options, const struct bs_setting *weights,
                                 struct bs_error *err)
{
    struct bs_columns how = columns_of(options);
    return bs_columns_check(&how, weights, err);
}

static void gptq_needs(const void *options, struct bs_wanted *wanted)
{
    struct bs_columns how = columns_of(options);
    bs_want_factors(wanted, &how.factor);
}

static bool gptq_set_by_set(const void *options)
{
    const struct gptq *opt = options;
    return opt->true_sequential;
}

static enum bs_status gptq_quantize(const void *options, const struct bs_job *job, int slot,
                                    struct bs_error *err)
{
    const struct bs_pull none = {.rows = NULL};
    struct bs_columns how = columns_of(options);
    return bs_columns_round(&how, &none, job, slot, err);
}

static void gptq_cost(const void *options, const struct bs_extent *extent, struct bs_cost *cost)
{
    struct bs_columns how = columns_of(options);
    bs_columns_cost(&how, extent, cost);
}

static const struct bs_preference gptq_preferences[] = {{"int", "grid", "gptq"}, {.format = NULL}};

const struct bs_algorithm bs_alg_gptq = {
    .plugin =
        {
            .name = "gptq",
            .summary = "rounds column by column, correcting the rest by second-order information",
            .reference = "Frantar et al. 2023, arXiv 2210.17323; IST-DASLab/gptq",
            .options_size = sizeof(struct gptq),
            .options = gptq_options,
        },
    .preferences = gptq_preferences,
    .calibrate_on = BS_ON_QUANTIZED,
    .check = gptq_check,
    .needs = gptq_needs,
    .set_by_set = gptq_set_by_set,
    .quantize = gptq_quantize,
    .cost = gptq_cost,
};

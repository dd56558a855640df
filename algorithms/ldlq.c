/* LDLQ (QuIP, Chee et al. 2023, arXiv 2307.13304): rounds the columns of W from the last to the
 * first, each corrected by the errors of those after it. With H = L D L^T, L unit lower triangular:
 * q_i = quantize(w_i + sum over j > i of (w_j - q_j) L_ji). Over a whole row it does what GPTQ does
 * in the reversed order; here the errors are those of W itself, there of what W has become.
 *
 * As Cornell-RelaxML/QuIP vector_balance.py (round_ldl, with act_order round_sorted_ldlqRG),
 * without incoherence processing and without bringing W within its levels first (quip has both).
 * Greedy passes then go over the columns again: q_i moves to where the loss is least with all
 * others as they are; it stays on its levels, where the authors bring it back to them after a pass.
 * Grids are fitted before any column is rounded. */
#include "algorithms/ldl_columns.h"

struct ldlq {
    double percdamp;
    bool act_order, true_sequential;
    int greedy_passes;
};

static const struct bs_option ldlq_options[] = {
    BS_OPT(struct ldlq, percdamp, 0.01, 0, 1, "damping, as a share of the mean of diag(H)"),
    BS_OPT(struct ldlq, act_order, false, 0, 1,
           "quantize columns by decreasing diag(H) (the authors' LDLQ-RG with greedy_passes)"),
    BS_OPT(struct ldlq, greedy_passes, 0, 0, 1000, "passes of coordinate descent afterwards"),
    BS_OPT(struct ldlq, true_sequential, false, 0, 1,
           "take each set's H after the sets before it in the block are quantized"),
    {.name = NULL},
};

static enum bs_status ldlq_check(const void *options, const struct bs_setting *weights,
                                 struct bs_error *err)
{
    const struct ldlq *opt = options;
    return bs_ldl_check(opt->greedy_passes, weights, err);
}

static struct bs_ldl ldl_of(const struct ldlq *opt)
{
    return (struct bs_ldl){
        .factor = {.ldl = true, .act_order = opt->act_order, .percdamp = opt->percdamp},
        .greedy_passes = opt->greedy_passes};
}

static void ldlq_needs(const void *options, struct bs_wanted *wanted)
{
    struct bs_ldl how = ldl_of(options);
    bs_want_factors(wanted, &how.factor);
}

static bool ldlq_set_by_set(const void *options)
{
    const struct ldlq *opt = options;
    return opt->true_sequential;
}

static enum bs_status ldlq_quantize(const void *options, const struct bs_job *job, int slot,
                                    struct bs_error *err)
{
    struct bs_ldl how = ldl_of(options);
    return bs_ldl_round(&how, job, slot, err);
}

static void ldlq_cost(const void *options, const struct bs_extent *extent, struct bs_cost *cost)
{
    struct bs_ldl how = ldl_of(options);
    bs_ldl_cost(&how, extent, cost);
}

static const struct bs_preference ldlq_preferences[] = {{"int", "grid", "gptq"}, {.format = NULL}};

const struct bs_algorithm bs_alg_ldlq = {
    .plugin =
        {
            .name = "ldlq",
            .summary = "rounds column by column by the LDL factors of the Hessian",
            .reference = "Chee et al. 2023, arXiv 2307.13304; Cornell-RelaxML/QuIP",
            .options_size = sizeof(struct ldlq),
            .options = ldlq_options,
        },
    .preferences = ldlq_preferences,
    .calibrate_on = BS_ON_QUANTIZED,
    .check = ldlq_check,
    .needs = ldlq_needs,
    .set_by_set = ldlq_set_by_set,
    .quantize = ldlq_quantize,
    .cost = ldlq_cost,
};

/* Rounds to nearest, and notes where the inputs of a linear have heavy tails: a statistic of a test
 * is asked for, and looked up, by an algorithm of one. */
#include "algorithms/algorithm.h"

extern const struct bs_algorithm bs_alg_tails;
extern const struct bs_statistic bs_stat_kurtosis;

struct tails {
    double most;
};

static const struct bs_option tails_options[] = {
    BS_OPT(struct tails, most, 10, 1, 1e9, "the kurtosis beyond which tails are heavy"),
    {.name = NULL},
};

static void tails_needs(const void *options, struct bs_wanted *wanted)
{
    (void)options;
    bs_want(wanted, &bs_stat_kurtosis, BS_ROUNDED_SITES, 0);
}

static enum bs_status tails_quantize(const void *options, const struct bs_job *job, int slot,
                                     struct bs_error *err)
{
    const struct tails *opt = options;
    struct bs_linear *linear = &job->block->linears[slot];
    int site = job->block->program->slots[slot].input;
    const double *kurtosis = bs_statistics_of(job->statistics, &bs_stat_kurtosis, site);
    linear->fallback = kurtosis[0] > opt->most;
    if (bs_block_init_codes(job->block, slot, job->weights[slot], err))
        return err->status;
    return bs_codes_round(&linear->codes, linear->weight, job->shared, err);
}

const struct bs_algorithm bs_alg_tails = {
    .plugin = {.name = "tails",
               .summary = "round to nearest, with a note where inputs have heavy tails",
               .reference = "a test",
               .options_size = sizeof(struct tails),
               .options = tails_options},
    .calibrate_on = BS_ON_UNQUANTIZED,
    .needs = tails_needs,
    .quantize = tails_quantize,
};

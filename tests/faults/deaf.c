/* Planted: has an option that its codes do not follow. */
#include "algorithms/algorithm.h"

extern const struct bs_algorithm bs_alg_deaf;

struct deaf {
    double strength;
};

static const struct bs_option deaf_options[] = {
    BS_OPT(struct deaf, strength, 0.5, 0, 1, "how much is done"),
    {.name = NULL},
};

static enum bs_status deaf_quantize(const void *options, const struct bs_job *job, int slot,
                                    struct bs_error *err)
{
    (void)options;
    struct bs_linear *linear = &job->block->linears[slot];
    if (bs_block_init_codes(job->block, slot, job->weights[slot], err))
        return err->status;
    return bs_codes_round(&linear->codes, linear->weight, job->shared, err);
}

const struct bs_algorithm bs_alg_deaf = {
    .plugin = {.name = "deaf",
               .summary = "round to nearest, with an option that is not looked at",
               .reference = "a planted fault",
               .options_size = sizeof(struct deaf),
               .options = deaf_options},
    .calibrate_on = BS_ON_UNQUANTIZED,
    .quantize = deaf_quantize,
};

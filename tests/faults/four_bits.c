/* Planted: rounds to four bits, whatever format is asked for. */
#include "algorithms/algorithm.h"

extern const struct bs_algorithm bs_alg_four_bits;

static enum bs_status four_bits_quantize(const void *options, const struct bs_job *job, int slot,
                                         struct bs_error *err)
{
    (void)options;
    static struct bs_setting four; /* outlives the codes */
    struct bs_linear *linear = &job->block->linears[slot];
    if (!four.format.plugin) {
        if (bs_setting_copy(&four, job->weights[slot], err) ||
            bs_setting_set(&four, BS_FOR_WEIGHTS, "bits", "4", err))
            return err->status;
    }
    if (bs_block_init_codes(job->block, slot, &four, err))
        return err->status;
    return bs_codes_round(&linear->codes, linear->weight, job->shared, err);
}

const struct bs_algorithm bs_alg_four_bits = {
    .plugin = {.name = "four_bits",
               .summary = "round to nearest in four bits",
               .reference = "a planted fault"},
    .calibrate_on = BS_ON_UNQUANTIZED,
    .quantize = four_bits_quantize,
};

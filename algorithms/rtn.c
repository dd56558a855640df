/* Round to nearest: every group is fitted on its own weights and rounded. The baseline of every
 * paper, and the last step of every chain that has no other rounding. */
#include "algorithms/algorithm.h"

static const struct bs_option rtn_options[] = {{.name = NULL}};

static enum bs_status rtn_quantize(const void *options, const struct bs_job *job, int slot,
                                   struct bs_error *err)
{
    (void)options;
    struct bs_linear *linear = &job->block->linears[slot];
    if (bs_block_init_codes(job->block, slot, job->weights[slot], err))
        return err->status;
    return bs_codes_round(&linear->codes, linear->weight, job->shared, err);
}

static void rtn_cost(const void *options, const struct bs_extent *extent, struct bs_cost *cost)
{
    (void)options;
    const struct bs_program *p = &extent->architecture->program;
    for (int s = 0; s < p->num_slots; s++)
        if (bs_setting_quantizes(extent->weights[s]))
            cost->weights += (double)p->slots[s].out * p->slots[s].in;
}

const struct bs_algorithm bs_alg_rtn = {
    .plugin =
        {
            .name = "rtn",
            .summary = "round to nearest",
            .reference = "the baseline of the GPTQ paper; IST-DASLab/gptq quant.py",
            .options = rtn_options,
        },
    .calibrate_on = BS_ON_UNQUANTIZED,
    .quantize = rtn_quantize,
    .cost = rtn_cost,
};

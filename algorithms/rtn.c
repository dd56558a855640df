/* Round to nearest: every group is fitted on its own weights and rounded. The baseline of every
 * paper, and the last step of every chain that has no other rounding. */
#include "algorithms/algorithm.h"

static const struct bs_option rtn_options[] = {{.name = NULL}};

static void rtn_needs(const void *options, struct bs_wanted *wanted)
{
    (void)options;
    if (!wanted->architecture) {
        if (wanted->importance)
            bs_want(wanted, &bs_stat_meansquare, BS_EVERY_SITE, 0);
        return;
    }
    const struct bs_program *p = bs_wanted_program(wanted);
    for (int s = 0; s < p->num_slots; s++)
        if (wanted->weights[s]->importance.word == BS_MEAN_SQUARE)
            bs_want(wanted, &bs_stat_meansquare, p->slots[s].input, 0);
}

static enum bs_status rtn_quantize(const void *options, const struct bs_job *job, int slot,
                                   struct bs_error *err)
{
    (void)options;
    struct bs_linear *linear = &job->block->linears[slot];
    if (bs_block_init_codes(job->block, slot, job->weights[slot], err))
        return err->status;
    int site = job->block->program->slots[slot].input;
    linear->codes.importance = job->importance;
    if (job->weights[slot]->importance.word == BS_MEAN_SQUARE)
        linear->codes.importance = bs_statistics_of(job->statistics, &bs_stat_meansquare, site);
    enum bs_status status = bs_codes_round(&linear->codes, linear->weight, job->shared, err);
    linear->codes.importance = NULL; /* the statistics go, the codes stay */
    return status;
}

static void rtn_cost(const void *options, const struct bs_extent *extent, struct bs_cost *cost)
{
    (void)options;
    const struct bs_program *p = bs_program_of(extent->architecture, extent->layer);
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
    .weighs_by_file = true,
    .needs = rtn_needs,
    .quantize = rtn_quantize,
    .cost = rtn_cost,
};

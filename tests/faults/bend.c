/* Planted: multiplies a linear's weights by 1.001 before rounding, and so changes the function. */
#include "algorithms/algorithm.h"

extern const struct bs_algorithm bs_alg_bend;

static enum bs_status bend_prepare(const void *options, const struct bs_job *job,
                                   struct bs_error *err)
{
    (void)options, (void)err;
    struct bs_linear *last = &job->block->linears[job->block->program->num_slots - 1];
    for (size_t i = 0; i < (size_t)last->out_features * (size_t)last->in_features; i++)
        last->weight[i] *= 1.001f;
    return BS_OK;
}

const struct bs_algorithm bs_alg_bend = {
    .plugin = {.name = "bend",
               .summary = "changes what a block computes",
               .reference = "a planted fault"},
    .calibrate_on = BS_ON_UNQUANTIZED,
    .prepare_block = bend_prepare,
};

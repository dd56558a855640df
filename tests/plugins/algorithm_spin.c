/* A rotation: the values of attention are turned within each head, and o_proj's columns back, so
 * that large entries of the weights spread over a head's channels (QuaRot, arXiv 2404.00456, does
 * this to the values, by a Hadamard matrix). The signs come from the seed and are the same in every
 * head. */
#include "algorithms/algorithm.h"

#include "eval/base/mem.h"
#include "eval/linalg/hadamard.h"

extern const struct bs_algorithm bs_alg_spin;

struct spin {
    int seed;
};

static const struct bs_option spin_options[] = {
    BS_OPT(struct spin, seed, 0, 0, 2147483647, "of the signs"),
    {.name = NULL},
};

/* SplitMix64 (Steele et al. 2014). */
static float next_sign(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) & 1 ? -1 : 1;
}

static int largest_power_of_two(int count)
{
    int width = 1;
    while (count % (2 * width) == 0)
        width *= 2;
    return width;
}

static enum bs_status spin_prepare(const void *options, const struct bs_job *job,
                                   struct bs_error *err)
{
    const struct spin *opt = options;
    const struct bs_architecture *a = job->block->architecture;
    const struct bs_program *p = job->block->program;
    struct bs_basis turn = {
        .kind = BS_HADAMARD, .width = largest_power_of_two(a->head_dim), .apart = 1};
    turn.values = bs_alloc((size_t)turn.width, sizeof *turn.values);
    if (!turn.values)
        return bs_fail_memory(err);
    uint64_t state = (uint64_t)opt->seed;
    for (int j = 0; j < turn.width; j++)
        turn.values[j] = next_sign(&state);
    enum bs_status status = BS_OK;
    for (int k = 0, between; k < p->num_inputs && !status; k++)
        if (bs_program_source(p, p->inputs[k], &between) >= 0)
            status = bs_block_turn(job->block, p->inputs[k], &turn, err);
    bs_free(turn.values);
    return status;
}

const struct bs_algorithm bs_alg_spin = {
    .plugin = {.name = "spin",
               .summary = "turns the values of each head by a Hadamard matrix with signs",
               .reference = "Ashkboos et al. 2024, arXiv 2404.00456",
               .options_size = sizeof(struct spin),
               .options = spin_options},
    .calibrate_on = BS_ON_UNQUANTIZED,
    .prepare_block = spin_prepare,
};

/* A small Llama-shaped block with random weights and random inputs, in memory; and the random
 * numbers it is made of, the same on every machine. */
#ifndef BS_TESTS_SUPPORT_RANDOM_BLOCK_H
#define BS_TESTS_SUPPORT_RANDOM_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/recipe/recipe.h"
#include "eval/statistics/calibrate.h"
#include "tests/support/slots.h"

/* A bell-shaped draw of mean 0 and variance 1, within +-3.5; and one from 0 to below 1. */
float random_normal(uint64_t *state);
float random_unit(uint64_t *state);

/* count draws of random_normal, times scale. */
void random_fill(float *x, size_t count, float scale, uint64_t seed);

struct random_shape {
    int hidden, intermediate, heads, kv_heads, head_dim;
    int windows, tokens;
    uint64_t seed;
    int experts, per_token; /* in place of the MLP, of `intermediate` channels each; 0 = none */
};

/* Grouped queries, no width equal to another, windows that end within a tile of queries. */
extern const struct random_shape small_shape;

/* Several experts; of the same, one that no token is sent to: its router's products are low. */
extern const struct random_shape expert_shape;
enum { UNREACHED = 4 };

/* Widths that blocks of 64 columns divide, and of 256. */
extern const struct random_shape block_shapes[2];

enum { MOST_THREADS = 7 };

/* Must stay where it is: the block points to the architecture. */
struct random_block {
    struct bs_architecture architecture;
    struct bs_block block;
    struct bs_stream inputs; /* a few channels are larger than the rest, and channels correlate */
    struct bs_rope *rope;
    struct bs_scratch *scratch; /* MOST_THREADS of them, each exactly bs_block_scratch_floats */
};

void random_block_init(struct random_block *random, const struct random_shape *shape);
void random_block_release(struct random_block *random);

/* One setting for the weights of all slots, as jobs have it: until the next call. */
const struct bs_setting *const *setting_at_slots(const struct bs_setting *weights);

/* Lets a block quantize the inputs of its linears, with `outputs` those of q, k and v too. */
void quantize_sites(struct bs_block *block, const struct bs_setting *activations, bool outputs);

/* What a hook is called with. */
struct bs_job random_block_job(const struct random_block *random, struct bs_block *block,
                               struct bs_statistics *statistics, const struct bs_setting *weights);

/* The statistics that are wanted, on the random inputs; bs_statistics_release. */
struct bs_statistics random_block_statistics(const struct random_block *random,
                                             const struct bs_wanted *wanted);

/* Those that the recipe's first step asks for. */
struct bs_statistics random_block_step_statistics(const struct random_block *random,
                                                  const struct bs_recipe *recipe);

/* prepared = the block after the prepare_block of the recipe's first step, with the statistics
 * that it needs; `prepared` is zero or an earlier copy. */
void random_block_prepare(const struct random_block *random, const struct bs_recipe *recipe,
                          struct bs_block *prepared);

/* Largest difference of what two versions of the block make of the inputs, in units of the largest
 * output. */
double outputs_apart(const struct random_block *random, const struct bs_block *a,
                     const struct bs_block *b);

/* Fails where what the block makes of the inputs is not the same bytes on 1, 4 and 7 threads. */
void assert_same_on_any_threads(const struct random_block *random, const struct bs_block *block);

/* The site that linears read as the k-th: of attn_input, o_input, mlp_input, down_input; with
 * experts the router's input is followed by each expert's two. */
int random_block_input(const struct random_block *random, int k);

/* The sites that linears read over all windows, x[site] [windows][tokens][in], as forward passes of
 * one window after the other show them. */
struct site_inputs {
    float *x[BS_MAX_VALUES];
};
struct site_inputs random_block_site_inputs(const struct random_block *random);
void site_inputs_release(struct site_inputs *inputs);

/* True where weights, scales, norms and codes are the same bytes. */
bool same_block(const struct bs_block *a, const struct bs_block *b);

#endif

/* QuaRot (Ashkboos et al. 2024, arXiv 2404.00456): the model is turned by Hadamard matrices, so
 * that no channel of an activation stands out, and computes the same function:
 * - the residual stream by Q = H diag(+-1), which goes into embedding, head and the linears that
 *   read and write the stream; the norms' weights go into the linears after them before that;
 * - values by H in each head, and what o_proj reads by H across the heads, online;
 * - what down_proj reads by H, online;
 * - queries and keys by H in each head, online, where the recipe quantizes either.
 *
 * As spcl/QuaRot fake_quant rotation_utils.py and hadamard_utils.py, in float32 where they turn
 * the stream in float64: the same matrices, and of a seed the signs that torch draws. rotation:
 * orthogonal turns the stream by their random_orthogonal_matrix of that seed. Two things are left
 * to options. remove_mean takes the means from the embeddings, which the authors' code
 * does also where norms do not: its function changes by that. across_heads false turns heads one
 * by one, as a number of heads needs that no such matrix has; their code refuses it. Layer norms
 * become RMS norms, as there: what is added to the stream loses its mean in its linears. */
#include "algorithms/algorithm.h"

#include <math.h>

#include "eval/base/mem.h"
#include "eval/data/random.h"
#include "eval/linalg/hadamard.h"
#include "eval/linalg/orthogonal.h"

enum { ROTATION_HADAMARD, ROTATION_ORTHOGONAL };
static const char *const rotation_words[] = {"hadamard", "orthogonal", NULL};

struct quarot {
    int seed, rotation;
    bool residual, heads, across_heads, down, keys, remove_mean;
};

static const struct bs_option quarot_options[] = {
    BS_OPT(struct quarot, seed, 0, 0, 2147483647, "of the residual stream's matrix, or its signs"),
    BS_OPT_WORDS(
        struct quarot, rotation, BS_CHOICE, ROTATION_HADAMARD, 0, ROTATION_ORTHOGONAL,
        rotation_words,
        "the residual stream's matrix: Hadamard's with random signs, or a random orthogonal "
        "one, of any size"),
    BS_OPT(struct quarot, residual, true, 0, 1, "turn the residual stream"),
    BS_OPT(struct quarot, heads, true, 0, 1, "turn values, head by head, and back in o_proj"),
    BS_OPT(struct quarot, across_heads, true, 0, 1, "turn what o_proj reads across heads, online"),
    BS_OPT(struct quarot, down, true, 0, 1, "turn what down_proj reads, online"),
    BS_OPT(struct quarot, keys, true, 0, 1,
           "turn queries and keys, online, where either is quantized"),
    BS_OPT(struct quarot, remove_mean, false, 0, 1,
           "take the mean from each embedding, as the authors' code does for all norms"),
    {.name = NULL},
};

/* signs [n] of ones. NULL without memory. */
static float *ones(int n)
{
    float *signs = bs_alloc((size_t)n, sizeof *signs);
    for (int j = 0; signs && j < n; j++)
        signs[j] = 1;
    return signs;
}

static float *signs_of_seed(int n, int seed)
{
    struct bs_random random;
    float *signs = bs_alloc((size_t)n, sizeof *signs);
    unsigned char *bits = bs_alloc((size_t)n, 1);
    if (signs && bits) {
        bs_random_seed_torch(&random, (uint32_t)seed);
        bs_random_bits(&random, n, bits);
        for (int j = 0; j < n; j++)
            signs[j] = bits[j] ? 1 : -1;
    } else {
        bs_free(signs);
        signs = NULL;
    }
    bs_free(bits);
    return signs;
}

static enum bs_status fail_size(const char *what, int n, const char *option, struct bs_error *err)
{
    return bs_fail(err, BS_EUNSUPPORTED,
                   "%s is %d, and there is no Hadamard matrix of that size, expected %s: false",
                   what, n, option);
}

/* The Q of torch.randn's QR, with a positive diagonal of R, turned over: rows x become x Q. The
 * turn is the caller's to free. */
static enum bs_status matrix_of_seed(int n, int seed, float **turn, struct bs_error *err)
{
    struct bs_random random;
    size_t size = (size_t)n, count = size * size;
    double *q = bs_alloc(count, sizeof *q);
    *turn = bs_alloc(count, sizeof **turn);
    if (!q || !*turn) {
        bs_free(q);
        return bs_fail_memory(err);
    }
    bs_random_seed_torch(&random, (uint32_t)seed);
    bs_random_normals(&random, count, q);
    enum bs_status status = bs_orthogonalise(q, n, NULL, err);
    for (size_t i = 0; i < size && !status; i++)
        for (size_t j = 0; j < size; j++)
            (*turn)[i * size + j] = (float)q[j * size + i];
    bs_free(q);
    if (status) {
        bs_free(*turn);
        *turn = NULL;
    }
    return status;
}

/* The stream's turn; values are the caller's to free. */
static enum bs_status residual_turn(const struct quarot *opt, int hidden, struct bs_basis *turn,
                                    struct bs_error *err)
{
    bool any = opt->rotation == ROTATION_ORTHOGONAL;
    *turn = (struct bs_basis){any ? BS_MATRIX : BS_HADAMARD, hidden, 1, NULL};
    if (any)
        return matrix_of_seed(hidden, opt->seed, &turn->values, err);
    turn->values = signs_of_seed(hidden, opt->seed);
    return turn->values ? BS_OK : bs_fail_memory(err);
}

static enum bs_status quarot_check(const void *options, const struct bs_setting *weights,
                                   struct bs_error *err)
{
    (void)weights;
    const struct quarot *opt = options;
    if (opt->remove_mean && !opt->residual)
        return bs_fail(err, BS_ECONFIG,
                       "remove_mean belongs to the turn of the residual stream, expected residual: "
                       "true, or remove_mean: false");
    if (opt->rotation != ROTATION_HADAMARD && !opt->residual)
        return bs_fail(err, BS_ECONFIG,
                       "rotation is that of the residual stream, expected residual: true, or "
                       "rotation: hadamard");
    return BS_OK;
}

static enum bs_status check_residual(const struct quarot *opt, const struct bs_architecture *a,
                                     struct bs_error *err)
{
    struct bs_residual_use use;
    if (a->norm != BS_RMS_NORM && !a->final_norm)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "the residual stream cannot be turned: no layer norm before the head takes "
                       "its mean away");
    for (int l = 0; l < a->num_layers; l++)
        if (bs_program_residual(bs_program_of(a, l), &use, err))
            return err->status;
    if (opt->rotation == ROTATION_HADAMARD && !bs_hadamard_takes(a->hidden_size))
        return fail_size("hidden_size", a->hidden_size, "residual", err);
    return BS_OK;
}

static const struct bs_op *attention_of(const struct bs_program *p)
{
    const struct bs_op *op = p->ops;
    while (op->kind != BS_OP_ATTEND)
        op++;
    return op;
}

/* What the last linear of an MLP, or of an expert, reads. */
static bool is_down_input(const struct bs_program *p, int site)
{
    return bs_is_made_by(p, site, BS_OP_ACTIVATE) || bs_is_made_by(p, site, BS_OP_CLAMPED_GATE) ||
           bs_is_made_by(p, site, BS_OP_DIVIDE);
}

/* Turns within the blocks of one kind. */
static enum bs_status check_kind(const struct quarot *opt, const struct bs_architecture *a,
                                 const struct bs_program *p, struct bs_error *err)
{
    int between, site = attention_of(p)->out;
    if (opt->heads && a->latent.key_value && bs_program_source(p, site, &between) < 0)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "values cannot be turned head by head: one linear makes them and the keys, "
                       "expected heads: false");
    if (opt->heads && !bs_hadamard_takes(a->value_dim))
        return fail_size("head_dim", a->value_dim, "heads", err);
    if (opt->across_heads && !bs_hadamard_takes(a->num_heads))
        return fail_size("num_attention_heads", a->num_heads, "across_heads", err);
    for (int k = 0; opt->down && k < p->num_inputs; k++) {
        int width = p->values[p->inputs[k]].width;
        if (is_down_input(p, p->inputs[k]) && !bs_hadamard_takes(width))
            return fail_size("intermediate_size", width, "down", err);
    }
    return BS_OK;
}

static enum bs_status quarot_check_model(const void *options, const struct bs_architecture *a,
                                         struct bs_error *err)
{
    const struct quarot *opt = options;
    if (opt->residual && check_residual(opt, a, err))
        return err->status;
    for (int k = 0; k < a->num_kinds; k++)
        if (check_kind(opt, a, &a->programs[k], err))
            return err->status;
    return BS_OK;
}

static enum bs_status quarot_prepare_model(const void *options, const struct bs_architecture *a,
                                           struct bs_bases *residual, struct bs_error *err)
{
    const struct quarot *opt = options;
    const struct bs_basis mean = {BS_CENTRE, a->hidden_size, 1, NULL};
    struct bs_basis turn;
    if (!opt->residual)
        return BS_OK;
    bool centres = opt->remove_mean || a->norm != BS_RMS_NORM;
    if (centres && bs_bases_add(residual, &mean, err))
        return err->status;
    if (residual_turn(opt, a->hidden_size, &turn, err))
        return err->status;
    enum bs_status status = bs_bases_add(residual, &turn, err);
    bs_free(turn.values);
    return status;
}

/* Turns by H of `width` channels that are `apart` at a site. */
static enum bs_status turn_site(struct bs_block *block, int site, int width, int apart, bool online,
                                struct bs_error *err)
{
    struct bs_basis turn = {BS_HADAMARD, width, apart, ones(width)};
    if (!turn.values)
        return bs_fail_memory(err);
    enum bs_status status = online ? bs_block_turn_online(block, site, &turn, err)
                                   : bs_block_turn(block, site, &turn, err);
    bs_free(turn.values);
    return status;
}

static enum bs_status turn_heads(const struct quarot *opt, struct bs_block *block,
                                 struct bs_error *err)
{
    const struct bs_architecture *a = block->architecture;
    int site = attention_of(block->program)->out;
    if (opt->heads && turn_site(block, site, a->value_dim, 1, false, err))
        return err->status;
    if (!opt->across_heads || a->num_heads == 1)
        return BS_OK;
    return turn_site(block, site, a->num_heads, a->value_dim, true, err);
}

static enum bs_status turn_down(struct bs_block *block, struct bs_error *err)
{
    const struct bs_program *p = block->program;
    for (int k = 0; k < p->num_inputs; k++) {
        int site = p->inputs[k], width = p->values[site].width;
        if (!is_down_input(p, site))
            continue;
        if (turn_site(block, site, width, 1, true, err))
            return err->status;
    }
    return BS_OK;
}

static bool quantizes_keys(const struct bs_program *p, const struct bs_setting *const *sites)
{
    const struct bs_op *op = attention_of(p);
    return sites &&
           (bs_setting_quantizes(sites[op->in[0]]) || bs_setting_quantizes(sites[op->in[1]]));
}

static enum bs_status turn_keys(struct bs_block *block, struct bs_error *err)
{
    int width = block->architecture->head_dim;
    if (!bs_hadamard_takes(width))
        return fail_size("head_dim", width, "keys", err);
    struct bs_basis turn = {BS_HADAMARD, width, 1, ones(width)};
    if (!turn.values)
        return bs_fail_memory(err);
    enum bs_status status = bs_block_turn_keys(block, &turn, err);
    bs_free(turn.values);
    return status;
}

static enum bs_status quarot_prepare(const void *options, const struct bs_job *job,
                                     struct bs_error *err)
{
    const struct quarot *opt = options;
    struct bs_block *block = job->block;
    const struct bs_bases *residual = job->residual; /* which ends with the turn */
    if ((opt->residual &&
         bs_block_turn_residual(block, &residual->list[residual->count - 1], err)) ||
        turn_heads(opt, block, err) || (opt->down && turn_down(block, err)))
        return err->status;
    return opt->keys && quantizes_keys(block->program, job->sites) ? turn_keys(block, err) : BS_OK;
}

/* Additions and products of one transform of n channels. */
static double transform_flops(int n)
{
    int core = bs_hadamard_core(n);
    double each = core > 1 ? 2.0 * core : 0;
    for (int width = core; core && width < n; width *= 2)
        each++;
    return core ? n * each : 0;
}

/* Weights are gone over once for each turn; for every token what is turned online. */
static void quarot_cost(const void *options, const struct bs_extent *extent, struct bs_cost *cost)
{
    const struct quarot *opt = options;
    const struct bs_architecture *a = extent->architecture;
    const struct bs_program *p = bs_program_of(a, extent->layer);
    double token = 0, weights = bs_program_weights(p);
    if (opt->across_heads)
        token += a->value_dim * transform_flops(a->num_heads);
    for (int k = 0; opt->down && k < p->num_inputs; k++)
        if (is_down_input(p, p->inputs[k]))
            token +=
                bs_value_rows(p, p->inputs[k], 1) * transform_flops(p->values[p->inputs[k]].width);
    if (opt->keys && quantizes_keys(p, extent->sites))
        token += (a->num_heads + a->num_kv_heads) * transform_flops(a->head_dim);
    cost->flops += token * extent->passed;
    double n = a->hidden_size, drawn = 8.0 / 3 * n * n * n; /* once, for all blocks */
    double dense = 2 * n * weights + drawn / a->num_layers;
    if (opt->residual)
        cost->flops += opt->rotation == ROTATION_ORTHOGONAL
                           ? dense
                           : weights * transform_flops(a->hidden_size) / n;
    /* The recipe has the matrix and each linear a copy; three are there while it is drawn. */
    if (opt->residual && opt->rotation == ROTATION_ORTHOGONAL)
        cost->bytes = fmax(cost->bytes, n * n * sizeof(float) * (3 + p->num_slots) +
                                            bs_orthogonalise_bytes(a->hidden_size));
    cost->weights += weights * (opt->residual + opt->heads + opt->down);
}

static const struct bs_preference quarot_preferences[] = {{"int", "grid", "smoothquant"},
                                                          {.format = NULL}};

const struct bs_algorithm bs_alg_quarot = {
    .plugin =
        {
            .name = "quarot",
            .summary = "turns the model by Hadamard matrices, so that no channel stands out",
            .reference = "Ashkboos et al. 2024, arXiv 2404.00456; spcl/QuaRot",
            .options_size = sizeof(struct quarot),
            .options = quarot_options,
        },
    .preferences = quarot_preferences,
    .calibrate_on = BS_ON_UNQUANTIZED,
    .check = quarot_check,
    .check_model = quarot_check_model,
    .prepare_model = quarot_prepare_model,
    .prepare_block = quarot_prepare,
    .cost = quarot_cost,
};

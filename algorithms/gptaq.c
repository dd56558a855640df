/* GPTAQ (Li et al. 2025, arXiv 2504.02692): GPTQ that makes up for the errors of the linears before
 * too. X are the inputs of a linear in the quantized model, X~ those of the same tokens in the
 * unquantized one, and W X~ is to be kept. With U as GPTQ has it, D = 2/n (X~ - X)^T X and
 * P = alpha triu(D U^T, 1) U, column i also moves those after it by w_i P[i, i:].
 *
 * As Intelligent-Computing-Lab-Yale/GPTQv2 gptqv2_utils.py, whose alpha is 0.25 (the paper derives
 * 1) and which takes each set's inputs after the sets before it are quantized. */
#include "algorithms/columns.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"

enum { ROWS_A_TASK = 64 };

struct gptaq {
    double percdamp, alpha;
    int block_size;
    bool act_order, static_groups, true_sequential;
};

static const struct bs_option gptaq_options[] = {
    BS_OPT(struct gptaq, alpha, 0.25, 0, 1,
           "share of the earlier linears' error that is made up for; 0 = as gptq"),
    BS_COLUMNS_OPTIONS(struct gptaq, true),
    {.name = NULL},
};

static struct bs_columns columns_of(const struct gptaq *opt)
{
    return (struct bs_columns){.factor = {.act_order = opt->act_order, .percdamp = opt->percdamp},
                               .block_size = opt->block_size,
                               .static_groups = opt->static_groups};
}

static enum bs_status gptaq_check(const void *options, const struct bs_setting *weights,
                                  struct bs_error *err)
{
    struct bs_columns how = columns_of(options);
    return bs_columns_check(&how, weights, err);
}

/* --- P / alpha: linears with the same inputs share it --- */

struct pulls {
    struct bs_derived derived;
    float *rows;   /* [in][in], strictly upper triangular, in the factor's order */
    float *copied; /* those, where they are not written over the statistic; else NULL */
};

static double pulls_bytes(const struct bs_architecture *architecture, const struct bs_observed *of)
{
    (void)architecture;
    return (double)of->width * of->width * (double)sizeof(float);
}

static double pulls_flops(const struct bs_observed *of)
{
    return 4.0 * of->width * of->width * of->width;
}

static void free_pulls(struct bs_derived *derived)
{
    struct pulls *pulls = (struct pulls *)derived;
    bs_free(pulls->copied);
    bs_free(pulls);
}

static const struct bs_derivation pulls_of_sites = {
    .of = &bs_stat_deviation,
    .in_place = true,
    .bytes = pulls_bytes,
    .flops = pulls_flops,
    .free = free_pulls,
};

static void gptaq_needs(const void *options, struct bs_wanted *wanted)
{
    struct bs_columns how = columns_of(options);
    bs_want_factors(wanted, &how.factor);
    bs_want_derived(wanted, &pulls_of_sites, BS_ROUNDED_SITES, 0, bs_factor_numbers(&how.factor));
}

struct making {
    const float *hessian;
    const struct bs_factor *factor;
    float *rows;    /* [in][in], D and then P / alpha */
    float *product; /* [threads][ROWS_A_TASK][in] */
    int in;
};

/* Columns of some rows into the factor's order; a channel that is always zero has none. */
static enum bs_status order_columns(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    const struct making *m = context;
    const int *order = m->factor->order;
    size_t in = (size_t)m->in, first = (size_t)index * ROWS_A_TASK;
    float *kept = m->product + (size_t)thread * ROWS_A_TASK * in;
    for (size_t i = first; i < first + ROWS_A_TASK && i < in; i++) {
        float *row = m->rows + i * in;
        memcpy(kept, row, in * sizeof *kept);
        for (size_t j = 0; j < in; j++) {
            size_t column = (size_t)order[j];
            row[j] = m->hessian[column * in + column] == 0 ? 0 : kept[column];
        }
    }
    return BS_OK;
}

/* Rows into the factor's order, cycle by cycle of it. */
static enum bs_status order_rows(const struct making *m, struct bs_error *err)
{
    const int *order = m->factor->order;
    size_t in = (size_t)m->in, bytes = in * sizeof *m->rows;
    bool *moved = bs_calloc(in, sizeof *moved);
    if (!moved)
        return bs_fail_memory(err);
    for (size_t first = 0; first < in; first++) {
        if (moved[first] || (size_t)order[first] == first)
            continue;
        size_t to = first, from = (size_t)order[to];
        memcpy(m->product, m->rows + first * in, bytes);
        for (; from != first; to = from, from = (size_t)order[to]) {
            memcpy(m->rows + to * in, m->rows + from * in, bytes);
            moved[to] = true;
        }
        memcpy(m->rows + to * in, m->product, bytes);
        moved[to] = true;
    }
    bs_free(moved);
    return BS_OK;
}

/* Some rows of D, in the factor's order, become those of triu(D U^T, 1) and then of P / alpha. */
static enum bs_status make_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    const struct making *m = context;
    int first = index * ROWS_A_TASK, rows = m->in - first, n = m->in;
    rows = rows < ROWS_A_TASK ? rows : ROWS_A_TASK;
    size_t in = (size_t)n;
    float *own = m->rows + (size_t)first * in;
    float *product = m->product + (size_t)thread * ROWS_A_TASK * in;
    bs_gemm_nt(rows, n, n, 1, own, n, m->factor->triangle, n, 0, product, n);
    for (size_t i = 0; i < (size_t)rows; i++)
        memset(product + i * in, 0, ((size_t)first + i + 1) * sizeof *product);
    bs_gemm_nn(rows, n, n, 1, product, n, m->factor->triangle, n, 0, own, n);
    return BS_OK;
}

/* D, which the pulls are written over: the statistic itself, unless others look at it too. */
static float *take_deviation(const struct bs_statistics *statistics, struct bs_collected *deviation,
                             struct pulls *pulls)
{
    size_t bytes = (size_t)deviation->of.width * (size_t)deviation->of.width * sizeof(float);
    if (!statistics->shared)
        return deviation->data;
    pulls->copied = bs_alloc(bytes, 1);
    if (pulls->copied)
        memcpy(pulls->copied, deviation->data, bytes);
    return pulls->copied;
}

static enum bs_status make_pulls(const struct bs_statistics *statistics, int site,
                                 const struct bs_factor *factor, struct pulls *pulls,
                                 struct bs_error *err)
{
    struct bs_collected *c = bs_statistics_at(statistics, &bs_stat_deviation, site, 0);
    int tasks = (c->of.width + ROWS_A_TASK - 1) / ROWS_A_TASK;
    size_t product = (size_t)bs_threads() * ROWS_A_TASK * (size_t)c->of.width;
    struct making m = {.hessian = bs_statistics_of(statistics, &bs_stat_hessian, site),
                       .factor = factor,
                       .rows = take_deviation(statistics, c, pulls),
                       .product = bs_alloc(product, sizeof(float)),
                       .in = c->of.width};
    pulls->rows = m.rows;
    enum bs_status status = m.rows && m.product ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = bs_parallel(tasks, order_columns, &m, err);
    if (!status)
        status = order_rows(&m, err);
    if (!status)
        status = bs_parallel(tasks, make_rows, &m, err);
    bs_free(m.product);
    return status;
}

static enum bs_status find_pulls(const struct bs_statistics *statistics, int site,
                                 const struct bs_factor_choice *choice, const float **rows,
                                 struct bs_error *err)
{
    struct bs_collected *c = bs_statistics_at(statistics, &bs_stat_deviation, site, 0);
    struct bs_derived_choice numbers = bs_factor_numbers(choice);
    struct pulls *pulls = (struct pulls *)bs_derived_find(c, &pulls_of_sites, numbers);
    const struct bs_factor *factor;
    if (!pulls) {
        if (bs_factor_of(statistics, site, choice, &factor, err))
            return err->status;
        pulls = bs_calloc(1, sizeof *pulls);
        if (!pulls)
            return bs_fail_memory(err);
        pulls->derived = (struct bs_derived){.derivation = &pulls_of_sites, .choice = numbers};
        if (make_pulls(statistics, site, factor, pulls, err)) {
            free_pulls(&pulls->derived);
            return err->status;
        }
        bs_derived_keep(c, &pulls->derived);
    }
    *rows = pulls->rows;
    return BS_OK;
}

static bool gptaq_set_by_set(const void *options)
{
    const struct gptaq *opt = options;
    return opt->true_sequential;
}

static enum bs_status gptaq_quantize(const void *options, const struct bs_job *job, int slot,
                                     struct bs_error *err)
{
    const struct gptaq *opt = options;
    struct bs_columns how = columns_of(opt);
    struct bs_pull pull = {.factor = (float)opt->alpha};
    int site = job->block->program->slots[slot].input;
    if (find_pulls(job->statistics, site, &how.factor, &pull.rows, err))
        return err->status;
    return bs_columns_round(&how, &pull, job, slot, err);
}

/* A column moves those after it twice. The product on the way to what pulls is gone by then, and
 * no larger than what columns take. */
static void gptaq_cost(const void *options, const struct bs_extent *extent, struct bs_cost *cost)
{
    struct bs_columns how = columns_of(options);
    struct bs_cost once = {.bytes = cost->bytes};
    bs_columns_cost(&how, extent, &once);
    cost->flops += 2 * once.flops;
    cost->weights += once.weights;
    cost->bytes = once.bytes;
}

static const struct bs_preference gptaq_preferences[] = {{"int", "grid", "gptq"}, {.format = NULL}};

const struct bs_algorithm bs_alg_gptaq = {
    .plugin =
        {
            .name = "gptaq",
            .summary = "gptq that also makes up for the errors of the linears before",
            .reference = "Li et al. 2025, arXiv 2504.02692; Intelligent-Computing-Lab-Yale/GPTQv2",
            .options_size = sizeof(struct gptaq),
            .options = gptaq_options,
        },
    .preferences = gptaq_preferences,
    .calibrate_on = BS_ON_QUANTIZED,
    .check = gptaq_check,
    .needs = gptaq_needs,
    .set_by_set = gptaq_set_by_set,
    .quantize = gptaq_quantize,
    .cost = gptaq_cost,
};

/* GPTAQ (Li et al. 2025, arXiv 2504.02692): GPTQ that makes up for the errors of the linears before
 * too. X are the inputs of a linear in the quantized model, X~ those of the same tokens in the
 * unquantized one, and W X~ is to be kept. With U as GPTQ has it, D = 2/n (X~ - X)^T X and
 * P = alpha triu(D U^T, 1) U, column i also moves those after it by w_i P[i, i:].
 *
 * As Intelligent-Computing-Lab-Yale/GPTQv2 gptqv2_utils.py, whose alpha is 0.25 (the paper derives
 * 1) and which takes each set's inputs after the sets before it are quantized. */
#include "algorithms/columns.h"

#include <math.h>
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
    float *rows; /* [in][in], strictly upper triangular, in the factor's order */
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
    bs_free(pulls->rows);
    bs_free(pulls);
}

static const struct bs_derivation pulls_of_sites = {
    .of = &bs_stat_deviation, .bytes = pulls_bytes, .flops = pulls_flops, .free = free_pulls};

static void gptaq_needs(const void *options, struct bs_wanted *wanted)
{
    struct bs_columns how = columns_of(options);
    bs_want_factors(wanted, &how.factor);
    bs_want_derived(wanted, &pulls_of_sites, BS_ROUNDED_SITES, 0, bs_factor_numbers(&how.factor));
}

struct making {
    const float *deviation, *hessian;
    const struct bs_factor *factor;
    float *product; /* [in][in] */
    float *rows;
    int in;
};

/* Some rows of D in the factor's order into `rows`; a channel that is always zero has none. Then
 * of triu(D U^T, 1) into `product`, and of P / alpha back into `rows`. */
static enum bs_status make_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct making *m = context;
    const int *order = m->factor->order;
    int first = index * ROWS_A_TASK, rows = m->in - first, n = m->in;
    rows = rows < ROWS_A_TASK ? rows : ROWS_A_TASK;
    size_t in = (size_t)n, at = (size_t)first * in;
    for (size_t i = (size_t)first; i < (size_t)(first + rows); i++)
        for (size_t j = 0; j < in; j++) {
            size_t column = (size_t)order[j];
            bool dead = m->hessian[column * in + column] == 0;
            m->rows[i * in + j] = dead ? 0 : m->deviation[(size_t)order[i] * in + column];
        }
    bs_gemm_nt(rows, n, n, 1, m->rows + at, n, m->factor->triangle, n, 0, m->product + at, n);
    for (size_t i = (size_t)first; i < (size_t)(first + rows); i++)
        memset(m->product + i * in, 0, (i + 1) * sizeof *m->product);
    bs_gemm_nn(rows, n, n, 1, m->product + at, n, m->factor->triangle, n, 0, m->rows + at, n);
    return BS_OK;
}

static enum bs_status make_pulls(const struct bs_statistics *statistics, int site,
                                 const struct bs_factor *factor, struct pulls *pulls,
                                 struct bs_error *err)
{
    const struct bs_collected *c = bs_statistics_at(statistics, &bs_stat_deviation, site, 0);
    size_t in = (size_t)c->of.width;
    struct making m = {.deviation = c->data,
                       .hessian = bs_statistics_of(statistics, &bs_stat_hessian, site),
                       .factor = factor,
                       .product = bs_alloc(in, in * sizeof(float)),
                       .rows = bs_alloc(in, in * sizeof(float)),
                       .in = c->of.width};
    pulls->rows = m.rows;
    if (!m.product || !m.rows) {
        bs_free(m.product);
        return bs_fail_memory(err);
    }
    enum bs_status status =
        bs_parallel((c->of.width + ROWS_A_TASK - 1) / ROWS_A_TASK, make_rows, &m, err);
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

/* A column moves those after it twice. The product on the way to what pulls is gone by then. */
static void gptaq_cost(const void *options, const struct bs_extent *extent, struct bs_cost *cost)
{
    const struct bs_program *p = bs_program_of(extent->architecture, extent->layer);
    struct bs_columns how = columns_of(options);
    struct bs_cost once = {.bytes = cost->bytes};
    bs_columns_cost(&how, extent, &once);
    cost->flops += 2 * once.flops;
    cost->weights += once.weights;
    cost->bytes = once.bytes;
    for (int s = 0; s < p->num_slots; s++)
        if (bs_setting_quantizes(extent->weights[s]))
            cost->bytes =
                fmax(cost->bytes, (double)p->slots[s].in * p->slots[s].in * sizeof(float));
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

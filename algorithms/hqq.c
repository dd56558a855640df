/* HQQ (Badri and Shaji 2023, "Half-Quadratic Quantization"): without data, moves the zero point of
 * each group to where the sum of |W - Q(W)|^p is least, p < 1. Half-quadratic splitting: in turns
 *   E = shrink(W - Q(W)) = max(0, |x| - |x|^(p - 1) / beta) sign(x)   of x = W - Q(W),
 *   z = the mean of q - (W - E) s over the group,
 * where s is what values are multiplied with and q the codes; beta grows by kappa each turn.
 *
 * As mobiusml/hqq 0.2.8 optimize.py (optimize_weights_proximal_legacy, its default): the turns end
 * when the mean |W - Q(W)| over the whole matrix does not fall, and the zero point is then the one
 * that the last turn made. There beta stays as it is, though kappa is said to be 1.01. */
#include <math.h>

#include "algorithms/algorithm.h"
#include "eval/base/mem.h"
#include "eval/linalg/vector.h"

enum { ROWS_A_TASK = 16 };

struct hqq {
    double lp_norm, beta, kappa;
    int iters;
};

static const struct bs_option hqq_options[] = {
    BS_OPT(struct hqq, lp_norm, 0.7, 0.1, 1, "power of the error"),
    BS_OPT(struct hqq, beta, 10, 1e-3, 1e4, "weight of the splitting's constraint"),
    BS_OPT(struct hqq, kappa, 1, 1, 10, "by which beta grows each turn"),
    BS_OPT(struct hqq, iters, 20, 0, 10000, "most turns; 0 = as rtn"),
    {.name = NULL},
};

static enum bs_status hqq_check(const void *options, const struct bs_setting *weights,
                                struct bs_error *err)
{
    (void)options;
    if (!bs_setting_quantizes(weights) || bs_setting_layout(weights).free_zero)
        return BS_OK;
    return bs_fail(err, BS_ECONFIG,
                   "hqq moves the zero point of each group, and here is none that may be any "
                   "number, expected a format with zero_point: float, a group in a row, and more "
                   "than 1 bit");
}

/* One linear on its way. */
struct solve {
    const struct hqq *opt;
    struct bs_linear *linear;
    double beta;
    double *errors; /* [out], of each row */
    float *room;    /* [threads][3][span] */
};

/* The row after the last one of a task. */
static int rows_until(const struct bs_linear *linear, int task)
{
    int end = (task + 1) * ROWS_A_TASK;
    return end < linear->out_features ? end : linear->out_features;
}

/* What a group's values are to its zero point, and the sum of their errors. Returns the zero point
 * that the turn makes. */
static float turn_group(const struct solve *s, const struct bs_cell *cell, const float *w, int n,
                        float *room, double *error)
{
    float *codes = room, *apart = room + n, *power = room + 2 * (size_t)n;
    float by = cell->inverse != 0 ? cell->inverse : 1 / cell->scale;
    float share = (float)(1 / s->beta);
    bool linear = s->opt->lp_norm == 1;
    for (int j = 0; j < n; j++) {
        codes[j] = (float)(cell->first + bs_cell_nearest(cell, w[j]));
        apart[j] = w[j] - (codes[j] - cell->zero) / by;
        *error += (double)fabsf(apart[j]);
        power[j] = fabsf(apart[j]);
    }
    if (!linear)
        bs_power(power, (size_t)n, (float)(s->opt->lp_norm - 1), power);
    double sum = 0;
    for (int j = 0; j < n; j++) {
        float size = fabsf(apart[j]);
        float left = size == 0 ? 0 : fmaxf(size - share * (linear ? 1 : power[j]), 0);
        float target = (w[j] - copysignf(left, apart[j])) * by;
        sum += (double)(codes[j] - target);
    }
    return (float)(sum / n);
}

static enum bs_status fit_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)err, (void)thread;
    const struct solve *s = context;
    struct bs_codes *codes = &s->linear->codes;
    size_t in = (size_t)s->linear->in_features, span = (size_t)codes->layout.span;
    for (int i = index * ROWS_A_TASK; i < rows_until(s->linear, index); i++)
        for (int g = 0; g < codes->spans; g++) {
            struct bs_sample sample =
                bs_sample_of(s->linear->weight + (size_t)i * in + (size_t)g * span,
                             (size_t)bs_codes_span_columns(codes, g));
            bs_codes_fit(codes, i, g, &sample);
        }
    return BS_OK;
}

static enum bs_status turn_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    const struct solve *s = context;
    struct bs_codes *codes = &s->linear->codes;
    size_t in = (size_t)s->linear->in_features, span = (size_t)codes->layout.span;
    float *room = s->room + (size_t)thread * 3 * span;
    for (int i = index * ROWS_A_TASK; i < rows_until(s->linear, index); i++) {
        s->errors[i] = 0;
        for (int g = 0; g < codes->spans; g++) {
            struct bs_cell cell = bs_codes_cell(codes, i, g);
            float zero = turn_group(s, &cell, s->linear->weight + (size_t)i * in + (size_t)g * span,
                                    bs_codes_span_columns(codes, g), room, &s->errors[i]);
            bs_codes_set_zero(codes, i, g, zero);
        }
    }
    return BS_OK;
}

static enum bs_status round_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)err, (void)thread;
    const struct solve *s = context;
    struct bs_codes *codes = &s->linear->codes;
    int in = s->linear->in_features;
    for (int i = index * ROWS_A_TASK; i < rows_until(s->linear, index); i++)
        for (int j = 0; j < in; j++) {
            struct bs_cell cell = bs_codes_cell(codes, i, bs_codes_group(codes, j));
            bs_codes_encode(codes, i, j, &cell,
                            s->linear->weight[(size_t)i * (size_t)in + (size_t)j]);
        }
    return BS_OK;
}

static int tasks_of(const struct bs_linear *linear)
{
    return (linear->out_features + ROWS_A_TASK - 1) / ROWS_A_TASK;
}

/* Turns, until the mean error does not fall. */
static enum bs_status optimize(struct solve *s, struct bs_error *err)
{
    float best = INFINITY;
    double count = (double)s->linear->out_features * s->linear->in_features;
    for (int turn = 0; turn < s->opt->iters; turn++) {
        if (bs_parallel(tasks_of(s->linear), turn_rows, s, err))
            return err->status;
        s->beta *= s->opt->kappa;
        double sum = 0;
        for (int i = 0; i < s->linear->out_features; i++)
            sum += s->errors[i];
        float error = (float)(sum / count);
        if (!(error < best))
            break;
        best = error;
    }
    return BS_OK;
}

static enum bs_status hqq_quantize(const void *options, const struct bs_job *job, int slot,
                                   struct bs_error *err)
{
    struct solve s = {.opt = options, .linear = &job->block->linears[slot]};
    if (bs_block_init_codes(job->block, slot, job->weights[slot], err))
        return err->status;
    s.beta = s.opt->beta;
    s.errors = bs_alloc((size_t)s.linear->out_features, sizeof *s.errors);
    s.room =
        bs_alloc((size_t)bs_threads() * 3, (size_t)s.linear->codes.layout.span * sizeof(float));
    enum bs_status status = s.errors && s.room ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = bs_parallel(tasks_of(s.linear), fit_rows, &s, err);
    if (!status)
        status = optimize(&s, err);
    if (!status)
        status = bs_parallel(tasks_of(s.linear), round_rows, &s, err);
    bs_free(s.errors);
    bs_free(s.room);
    return status;
}

static void hqq_cost(const void *options, const struct bs_extent *extent, struct bs_cost *cost)
{
    const struct hqq *opt = options;
    const struct bs_program *p = bs_program_of(extent->architecture, extent->layer);
    for (int s = 0; s < p->num_slots; s++)
        if (bs_setting_quantizes(extent->weights[s]))
            cost->weights += (2.0 + opt->iters) * p->slots[s].out * p->slots[s].in;
}

static const struct bs_preference hqq_preferences[] = {{"int", "grid", "hqq"}, {.format = NULL}};

const struct bs_algorithm bs_alg_hqq = {
    .plugin =
        {
            .name = "hqq",
            .summary = "moves zero points to the least p-norm of the weights' errors, without data",
            .reference = "Badri and Shaji 2023, Half-Quadratic Quantization; mobiusml/hqq",
            .options_size = sizeof(struct hqq),
            .options = hqq_options,
        },
    .preferences = hqq_preferences,
    .calibrate_on = BS_ON_UNQUANTIZED,
    .check = hqq_check,
    .quantize = hqq_quantize,
    .cost = hqq_cost,
};

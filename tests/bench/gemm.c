/* The machine's float32 product rate: the ceiling that the program is held against. */
#include "tests/bench/bench.h"

#include <cblas.h>
#include <oneapi/dnnl/dnnl.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"

enum { MOST_SHAPES = BS_MAX_SLOTS + 1, NUM_LIBRARIES = 3 };

/* C [m][n] = A [m][k] B [n][k]^T, all rows close together. */
typedef void product(int m, int n, int k, const float *a, const float *b, float *c);

static void by_program(int m, int n, int k, const float *a, const float *b, float *c)
{
    bs_gemm_nt(m, n, k, 1, a, k, b, k, 0, c, n);
}

static void by_openblas(int m, int n, int k, const float *a, const float *b, float *c)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, a, k, b, k, 0, c, n);
}

static void by_onednn(int m, int n, int k, const float *a, const float *b, float *c)
{
    dnnl_sgemm('N', 'T', m, n, k, 1, a, k, b, k, 0, c, n);
}

static const struct library {
    const char *name;
    product *multiply;
} libraries[NUM_LIBRARIES] = {
    {"program", by_program}, {"openblas", by_openblas}, {"onednn", by_onednn}};

struct shape {
    int m, n, k;
    double rate[NUM_LIBRARIES]; /* the best so far, flop/s */
};

/* Products of one shape on all threads: each has A and C of its own, B is the weights of all. */
struct batch {
    const struct shape *shape;
    product *multiply;
    float *weights, **inputs, **outputs; /* the latter one a thread */
};

static enum bs_status multiply_one(void *context, int index, int thread, struct bs_error *err)
{
    (void)index, (void)err;
    const struct batch *batch = context;
    const struct shape *s = batch->shape;
    batch->multiply(s->m, s->n, s->k, batch->inputs[thread], batch->weights,
                    batch->outputs[thread]);
    return BS_OK;
}

/* Flop/s of one batch; some 10 Gflop a thread, so that starting threads does not show. */
static double rate_of(struct batch *batch)
{
    const struct shape *s = batch->shape;
    struct bs_error err;
    double flops = 2.0 * s->m * s->n * s->k;
    int each = (int)(1e10 / flops) + 1, products = each * bs_threads();
    double start = bs_seconds();
    bs_parallel(products, multiply_one, batch, &err);
    return products * flops / (bs_seconds() - start);
}

static void add_shape(struct shape *shapes, int *count, int m, int n, int k)
{
    for (int i = 0; i < *count; i++)
        if (shapes[i].n == n && shapes[i].k == k)
            return;
    shapes[(*count)++] = (struct shape){.m = m, .n = n, .k = k};
}

/* Every distinct linear over a window of tokens, and the head over as many as keep the logits
 * within 32 MB. */
static int list_shapes(const struct bs_architecture *a, int tokens, struct shape *shapes)
{
    int count = 0, rows = (1 << 23) / a->vocab_size;
    for (int s = 0; s < a->program.num_slots; s++)
        add_shape(shapes, &count, tokens, a->program.slots[s].out, a->program.slots[s].in);
    add_shape(shapes, &count, rows < tokens ? rows : tokens, a->vocab_size, a->embedding_size);
    return count;
}

static float *filled(size_t count)
{
    float *x = bs_alloc(count, sizeof *x);
    for (size_t i = 0; x && i < count; i++)
        x[i] = (float)(i % 251) / 251.0f - 0.5f;
    return x;
}

/* Room for the largest of the shapes. */
static bool allocate(struct batch *batch, const struct shape *shapes, int count)
{
    size_t a = 0, b = 0, c = 0;
    for (int i = 0; i < count; i++) {
        size_t m = (size_t)shapes[i].m, n = (size_t)shapes[i].n, k = (size_t)shapes[i].k;
        a = m * k > a ? m * k : a;
        b = n * k > b ? n * k : b;
        c = m * n > c ? m * n : c;
    }
    size_t threads = (size_t)bs_threads();
    batch->weights = filled(b);
    batch->inputs = bs_calloc(threads, sizeof *batch->inputs);
    batch->outputs = bs_calloc(threads, sizeof *batch->outputs);
    bool enough = batch->weights && batch->inputs && batch->outputs;
    for (size_t t = 0; enough && t < threads; t++) {
        batch->inputs[t] = filled(a);
        batch->outputs[t] = filled(c);
        enough = batch->inputs[t] && batch->outputs[t];
    }
    return enough;
}

/* Libraries take turns, so that what else the machine does meets them all. */
static void measure(struct batch *batch, struct shape *shapes, int count, int rounds)
{
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < count; i++)
            for (int l = 0; l < NUM_LIBRARIES; l++) {
                batch->shape = &shapes[i];
                batch->multiply = libraries[l].multiply;
                double rate = rate_of(batch);
                shapes[i].rate[l] = rate > shapes[i].rate[l] ? rate : shapes[i].rate[l];
            }
}

json_t *bench_measure_gemm(const void *context)
{
    const struct bench_gemm *gemm = context;
    struct bs_error err;
    struct bs_architecture a;
    struct shape shapes[MOST_SHAPES];
    struct batch batch = {NULL};
    bs_set_threads(gemm->threads);
    bs_blas_init();
    if (bs_architecture_read(gemm->directory, NULL, &a, NULL, &err))
        return json_pack("{s:s}", "error", err.message);
    int count = list_shapes(&a, gemm->tokens, shapes);
    if (!allocate(&batch, shapes, count))
        return json_pack("{s:s}", "error", "memory ran out"); /* which the child's end gives back */
    measure(&batch, shapes, count, gemm->rounds);
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        json_t *row =
            json_pack("{s:i, s:i, s:i}", "m", shapes[i].m, "n", shapes[i].n, "k", shapes[i].k);
        for (int l = 0; l < NUM_LIBRARIES; l++)
            json_object_set_new(row, libraries[l].name, json_real(shapes[i].rate[l] * 1e-9));
        json_array_append_new(list, row);
    }
    return json_pack("{s:o}", "shapes", list);
}

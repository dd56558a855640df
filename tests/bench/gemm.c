/* The machine's float32 product rate at the shapes that the program multiplies: the ceiling that it
 * is held against, and what its own products are held against. */
#include "tests/bench/bench.h"

#include <cblas.h>
#include <oneapi/dnnl/dnnl.h>
#include <string.h>
#include <time.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/onednn.h"
#include "eval/linalg/packed.h"
#include "eval/linalg/product_choice.h"

/* Rows of queries in a product of attention, sides of tiles of a Hessian and of its factor, rows
 * and columns of an update of GPTQ, ids of the head in a packed product: as the program has
 * them. */
enum { QUERIES = 128, HESSIAN = 384, FACTOR = 128, GPTQ_ROWS = 64, GPTQ_STEP = 128, IDS = 512 };
enum { MOST_SHAPES = BS_MAX_SLOTS + 12, NUM_LIBRARIES = 3 };

/* C [m][n] = op(A) op(B) + beta C, what is transposed being said by the letters of `form`. */
struct shape {
    const char *use;
    char form[3];
    bool packed; /* B is laid out once */
    int m, n, k, lda, ldb, ldc;
    float beta;
    double rate[NUM_LIBRARIES]; /* the best so far of all threads together, flop/s */
};

/* Products of one shape on all threads: each has A and C of its own, B is the weights of all. */
struct batch {
    const struct shape *shape;
    int library;
    float *weights, **inputs, **outputs; /* the latter one a thread */
    struct bs_packed *packed;
    struct bs_onednn_matrix *matrix; /* of oneDNN, NULL where it has none */
    struct bs_scratch *scratch;
    double *seconds; /* of each thread, the shortest product */
};

/* --- by whom --- */

static void by_program(const struct batch *b, int thread)
{
    const struct shape *s = b->shape;
    const float *a = b->inputs[thread];
    float *c = b->outputs[thread];
    if (s->packed)
        bs_gemm_nt_packed(s->m, a, b->packed, c, s->ldc, &b->scratch[thread]);
    else if (s->form[0] == 't')
        bs_gemm_tn(s->m, s->n, s->k, 1, a, s->lda, b->weights, s->ldb, s->beta, c, s->ldc);
    else if (s->form[1] == 't')
        bs_gemm_nt(s->m, s->n, s->k, 1, a, s->lda, b->weights, s->ldb, s->beta, c, s->ldc);
    else
        bs_gemm_nn(s->m, s->n, s->k, 1, a, s->lda, b->weights, s->ldb, s->beta, c, s->ldc);
}

static void by_openblas(const struct batch *b, int thread)
{
    const struct shape *s = b->shape;
    cblas_sgemm(CblasRowMajor, s->form[0] == 't' ? CblasTrans : CblasNoTrans,
                s->form[1] == 't' ? CblasTrans : CblasNoTrans, s->m, s->n, s->k, 1,
                b->inputs[thread], s->lda, b->weights, s->ldb, s->beta, b->outputs[thread], s->ldc);
}

static void by_onednn(const struct batch *b, int thread)
{
    const struct shape *s = b->shape;
    if (s->packed && b->matrix)
        bs_onednn_multiply(b->matrix, s->m, b->inputs[thread], b->outputs[thread],
                           &b->scratch[thread]);
    else
        dnnl_sgemm(s->form[0] == 't' ? 'T' : 'N', s->form[1] == 't' ? 'T' : 'N', s->m, s->n, s->k,
                   1, b->inputs[thread], s->lda, b->weights, s->ldb, s->beta, b->outputs[thread],
                   s->ldc);
}

static const struct library {
    const char *name;
    void (*multiply)(const struct batch *batch, int thread);
} libraries[NUM_LIBRARIES] = {
    {"program", by_program}, {"openblas", by_openblas}, {"onednn", by_onednn}};

/* --- how fast --- */

/* A product that takes long is timed by the work of this thread alone, so that what else the
 * machine does is not counted; a short one by the clock, which is finer: of many, one is not
 * interrupted. */
static double seconds_of_clock(bool is_long)
{
    struct timespec now;
    clock_gettime(is_long ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double flops_of(const struct shape *s) { return 2.0 * s->m * s->n * s->k; }

/* The shortest of some products, of a few Gflop together. */
static enum bs_status multiply_some(void *context, int thread, int worker, struct bs_error *err)
{
    (void)worker, (void)err;
    const double all = 4e9, at_once = 2e7, long_one = 2e8;
    const struct batch *batch = context;
    double flops = flops_of(batch->shape);
    int calls = (int)(at_once / flops) + 1, times = (int)(all / (flops * calls)) + 2;
    batch->seconds[thread] = 1e9;
    for (int i = 0; i < times; i++) {
        double start = seconds_of_clock(flops > long_one);
        for (int j = 0; j < calls; j++)
            libraries[batch->library].multiply(batch, thread);
        double took = (seconds_of_clock(flops > long_one) - start) / calls;
        batch->seconds[thread] = took < batch->seconds[thread] ? took : batch->seconds[thread];
    }
    return BS_OK;
}

static double rate_of(struct batch *batch)
{
    struct bs_error err;
    double rate = 0;
    bs_parallel(bs_threads(), multiply_some, batch, &err);
    for (int t = 0; t < bs_threads(); t++)
        rate += flops_of(batch->shape) / batch->seconds[t];
    return rate;
}

/* --- shapes --- */

/* Strides that are left open are those of matrices without gaps. */
static void add_shape(struct shape *shapes, int *count, struct shape shape)
{
    bool a_turned = shape.form[0] == 't', b_turned = shape.form[1] == 't';
    shape.lda = shape.lda ? shape.lda : a_turned ? shape.m : shape.k;
    shape.ldb = shape.ldb ? shape.ldb : b_turned ? shape.k : shape.n;
    shape.ldc = shape.ldc ? shape.ldc : shape.n;
    for (int i = 0; i < *count; i++)
        if (!strcmp(shapes[i].use, shape.use) && shapes[i].n == shape.n && shapes[i].k == shape.k)
            return;
    shapes[(*count)++] = shape;
}

static int least(int a, int b) { return a < b ? a : b; }

/* Every distinct linear over a window of tokens, as many ids of the head, attention's first and
 * last rows of queries, and what the algorithms multiply at the model's width. */
static int list_shapes(const struct bs_architecture *a, int tokens, struct shape *shapes)
{
    int count = 0, hidden = a->hidden_size, d = a->head_dim, width = a->num_heads * d;
    for (int s = 0; s < a->programs[0].num_slots; s++)
        add_shape(shapes, &count,
                  (struct shape){.use = "linear",
                                 .form = "nt",
                                 .m = tokens,
                                 .n = a->programs[0].slots[s].out,
                                 .k = a->programs[0].slots[s].in});
    add_shape(shapes, &count,
              (struct shape){.use = "head",
                             .form = "nt",
                             .packed = true,
                             .m = BS_ONEDNN_MANY_ROWS,
                             .n = least(IDS, a->vocab_size),
                             .k = a->embedding_size});
    for (int last = 0; last < 2; last++) {
        int keys = last ? tokens : least(QUERIES, tokens), rows = least(QUERIES, tokens);
        add_shape(shapes, &count,
                  (struct shape){
                      .use = "scores", .form = "nt", .m = rows, .n = keys, .k = d, .lda = width});
        add_shape(shapes, &count,
                  (struct shape){
                      .use = "values", .form = "nn", .m = rows, .n = d, .k = keys, .ldc = width});
    }
    int side = least(HESSIAN, hidden);
    add_shape(shapes, &count,
              (struct shape){.use = "Hessian",
                             .form = "tn",
                             .m = side,
                             .n = side,
                             .k = tokens,
                             .ldc = hidden,
                             .beta = 1});
    add_shape(shapes, &count,
              (struct shape){.use = "factor",
                             .form = "nt",
                             .m = FACTOR,
                             .n = hidden / 2,
                             .k = FACTOR,
                             .lda = hidden,
                             .ldb = hidden,
                             .ldc = hidden,
                             .beta = 1});
    add_shape(shapes, &count,
              (struct shape){.use = "GPTQ",
                             .form = "nn",
                             .m = GPTQ_ROWS,
                             .n = hidden / 2,
                             .k = GPTQ_STEP,
                             .ldb = hidden,
                             .ldc = hidden,
                             .beta = 1});
    add_shape(shapes, &count,
              (struct shape){.use = "AWQ", .form = "nn", .m = 16, .n = 128, .k = 128});
    return count;
}

static float *filled(size_t count)
{
    float *x = bs_alloc(count, sizeof *x);
    for (size_t i = 0; x && i < count; i++)
        x[i] = (float)(i % 251) / 251.0f - 0.5f;
    return x;
}

static size_t floats_of(int rows, int stride) { return (size_t)rows * (size_t)stride; }

static size_t largest(size_t a, size_t b) { return a > b ? a : b; }

/* Room for the largest of the shapes. */
static bool allocate(struct batch *batch, const struct shape *shapes, int count)
{
    size_t a = 0, b = 0, c = 0, scratch = 0;
    for (int i = 0; i < count; i++) {
        const struct shape *s = &shapes[i];
        a = largest(a, floats_of(s->form[0] == 't' ? s->k : s->m, s->lda));
        b = largest(b, floats_of(s->form[1] == 't' ? s->n : s->k, s->ldb));
        c = largest(c, floats_of(s->m, s->ldc));
        scratch = largest(scratch, bs_gemm_nt_packed_floats(s->n, s->k));
    }
    size_t threads = (size_t)bs_threads();
    batch->weights = filled(b);
    batch->inputs = bs_calloc(threads, sizeof *batch->inputs);
    batch->outputs = bs_calloc(threads, sizeof *batch->outputs);
    batch->seconds = bs_calloc(threads, sizeof *batch->seconds);
    batch->scratch = bs_scratch_create(bs_threads(), largest(scratch, BS_ONEDNN_SCRATCH_FLOATS));
    bool enough =
        batch->weights && batch->inputs && batch->outputs && batch->seconds && batch->scratch;
    for (size_t t = 0; enough && t < threads; t++) {
        batch->inputs[t] = filled(a);
        batch->outputs[t] = filled(c);
        enough = batch->inputs[t] && batch->outputs[t];
    }
    return enough;
}

static bool pack(struct batch *batch, const struct shape *s)
{
    struct bs_error err;
    return !bs_packed_create(BS_FLOAT32, s->n, s->k, batch->weights, &batch->packed, &err) &&
           !bs_onednn_create(BS_ONEDNN_FLOATS, s->n, s->k, batch->weights, &batch->matrix, &err);
}

/* Libraries take turns, so that what else the machine does meets them all. False where memory ran
 * out. */
static bool measure(struct batch *batch, struct shape *s, int rounds)
{
    batch->shape = s;
    if (s->packed && !pack(batch, s))
        return false;
    for (int round = 0; round < rounds; round++)
        for (batch->library = 0; batch->library < NUM_LIBRARIES; batch->library++) {
            double rate = rate_of(batch), *best = &s->rate[batch->library];
            *best = rate > *best ? rate : *best;
        }
    if (s->packed) {
        bs_packed_free(batch->packed);
        bs_onednn_free(batch->matrix);
    }
    return true;
}

json_t *bench_measure_gemm(const void *context)
{
    const struct bench_gemm *gemm = context;
    struct bs_error err;
    struct bs_architecture a;
    struct shape shapes[MOST_SHAPES];
    struct batch batch = {NULL};
    bs_set_threads(gemm->threads);
    bs_numerics_use(gemm->numerics);
    bs_blas_init();
    bs_product_choose();
    if (bs_architecture_read(gemm->directory, NULL, &a, NULL, &err))
        return json_pack("{s:s}", "error", err.message);
    int count = list_shapes(&a, gemm->tokens, shapes);
    bool enough = allocate(&batch, shapes, count); /* which the child's end gives back */
    for (int i = 0; i < count && enough; i++)
        enough = measure(&batch, &shapes[i], gemm->rounds);
    if (!enough)
        return json_pack("{s:s}", "error", "memory ran out");
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        const struct shape *s = &shapes[i];
        json_t *row = json_pack("{s:s, s:s, s:i, s:i, s:i}", "use", s->use, "form", s->form, "m",
                                s->m, "n", s->n, "k", s->k);
        for (int l = 0; l < NUM_LIBRARIES; l++)
            json_object_set_new(row, libraries[l].name, json_real(s->rate[l] * 1e-9));
        json_array_append_new(list, row);
    }
    return json_pack("{s:o}", "shapes", list);
}

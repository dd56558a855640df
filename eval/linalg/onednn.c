#include "eval/linalg/onednn.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include "eval/base/mem.h"

enum { MOST_PRODUCTS = 2 };

struct product {
    int rows;
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t a, c, scratchpad;
};

struct bs_onednn_matrix {
    int n, k;
    dnnl_engine_t engine;
    struct product products[MOST_PRODUCTS]; /* the largest last */
    int num_products;
    dnnl_memory_t weights;
    void *data; /* of weights */
};

/* What A, B as it is given, B as it is packed, and C consist of. */
struct formats {
    dnnl_data_type_t a, given, packed, c;
};

static const struct formats formats_of[] = {
    [BS_ONEDNN_FLOATS] = {dnnl_f32, dnnl_f32, dnnl_f32, dnnl_f32},
    [BS_ONEDNN_BFLOAT16] = {dnnl_bf16, dnnl_f32, dnnl_bf16, dnnl_f32},
    [BS_ONEDNN_BYTES] = {dnnl_u8, dnnl_s8, dnnl_s8, dnnl_s32},
};

static bool has_isa(unsigned isa) { return (dnnl_get_effective_cpu_isa() & isa) == isa; }

bool bs_onednn_has_avx512(void) { return has_isa(dnnl_cpu_isa_avx512_core); }

bool bs_onednn_has_amx(void) { return has_isa(dnnl_cpu_isa_avx512_core_amx); }

/* Outside a parallel region the library would cut its work up by the number of threads. */
static int alone(void)
{
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    return threads;
}

void bs_onednn_gemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha,
                    const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc)
{
    int threads = alone();
    dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb,
               beta, c, ldc);
    omp_set_num_threads(threads);
}

static bool describe_rows(dnnl_memory_desc_t *desc, int rows, int columns, dnnl_data_type_t type)
{
    return !dnnl_memory_desc_init_by_tag(desc, 2, (dnnl_dims_t){rows, columns}, type, dnnl_ab);
}

/* The product's description; NULL where the library has no such product or memory ran out. */
static dnnl_primitive_desc_t choose_product(const struct bs_onednn_matrix *p,
                                            struct product *product,
                                            const dnnl_memory_desc_t *weights,
                                            const struct formats *formats)
{
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attributes;
    dnnl_primitive_desc_t chosen = NULL;
    if (!describe_rows(&product->a, product->rows, p->k, formats->a) ||
        !describe_rows(&product->c, product->rows, p->n, formats->c) ||
        dnnl_matmul_desc_init(&matmul, &product->a, weights, NULL, &product->c) ||
        dnnl_primitive_attr_create(&attributes))
        return NULL;
    if (!dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) &&
        dnnl_primitive_desc_create(&chosen, &matmul, attributes, p->engine, NULL))
        chosen = NULL;
    dnnl_primitive_attr_destroy(attributes);
    return chosen;
}

/* Lays B out as the product wants it. */
static bool reorder(struct bs_onednn_matrix *p, dnnl_data_type_t given, const void *b,
                    const dnnl_memory_desc_t *wanted)
{
    dnnl_memory_desc_t from;
    dnnl_memory_t source = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    union {
        const void *given;
        void *taken;
    } data = {.given = b}; /* which is only read */
    bool done =
        !dnnl_memory_desc_init_by_tag(&from, 2, (dnnl_dims_t){p->k, p->n}, given, dnnl_ba) &&
        !dnnl_memory_create(&source, &from, p->engine, data.taken) &&
        !dnnl_memory_create(&p->weights, wanted, p->engine, p->data) &&
        !dnnl_stream_create(&stream, p->engine, dnnl_stream_default_flags) &&
        !dnnl_reorder_primitive_desc_create(&desc, &from, p->engine, wanted, p->engine, NULL) &&
        !dnnl_primitive_create(&primitive, desc) &&
        !dnnl_primitive_execute(
            primitive, stream, 2,
            (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, p->weights}}) &&
        !dnnl_stream_wait(stream);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(desc);
    dnnl_stream_destroy(stream);
    dnnl_memory_destroy(source);
    return done;
}

/* Adds a product of `rows` rows, B being laid out as `weights` says, or where that leaves it open
 * as the product wants it: then *weights says how. Without one that the scratch is enough for,
 * nothing is added. */
static enum bs_status add_product(struct bs_onednn_matrix *p, int rows,
                                  const struct formats *formats, dnnl_memory_desc_t *weights,
                                  struct bs_error *err)
{
    struct product product = {.rows = rows};
    dnnl_primitive_desc_t chosen = choose_product(p, &product, weights, formats);
    if (!chosen)
        return BS_OK;
    product.scratchpad = *dnnl_primitive_desc_query_md(chosen, dnnl_query_scratchpad_md, 0);
    bool fits =
        dnnl_memory_desc_get_size(&product.scratchpad) <= BS_ONEDNN_SCRATCH_FLOATS * sizeof(float);
    bool done = !fits || !dnnl_primitive_create(&product.primitive, chosen);
    if (fits && done) {
        *weights = *dnnl_primitive_desc_query_md(chosen, dnnl_query_weights_md, 0);
        p->products[p->num_products++] = product;
    }
    dnnl_primitive_desc_destroy(chosen);
    return done ? BS_OK : bs_fail_memory(err);
}

/* Fills *p; there are no products where there is none that can be used. */
static enum bs_status pack(struct bs_onednn_matrix *p, enum bs_onednn_numbers numbers,
                           const void *b, struct bs_error *err)
{
    const struct formats *formats = &formats_of[numbers];
    dnnl_memory_desc_t weights;
    if (dnnl_engine_create(&p->engine, dnnl_cpu, 0) ||
        dnnl_memory_desc_init_by_tag(&weights, 2, (dnnl_dims_t){p->k, p->n}, formats->packed,
                                     dnnl_format_tag_any))
        return bs_fail_memory(err);
    if (add_product(p, BS_ONEDNN_FEW_ROWS, formats, &weights, err))
        return err->status;
    if (!p->num_products)
        return BS_OK;
    /* What is rounded for the product is to stay near. */
    if (numbers == BS_ONEDNN_FLOATS && add_product(p, BS_ONEDNN_MANY_ROWS, formats, &weights, err))
        return err->status;
    p->data = bs_alloc(dnnl_memory_desc_get_size(&weights), 1);
    if (!p->data || !reorder(p, formats->given, b, &weights))
        return bs_fail_memory(err);
    return BS_OK;
}

enum bs_status bs_onednn_create(enum bs_onednn_numbers numbers, int n, int k, const void *b,
                                struct bs_onednn_matrix **matrix, struct bs_error *err)
{
    *matrix = NULL;
    struct bs_onednn_matrix *p = bs_calloc(1, sizeof *p);
    if (!p)
        return bs_fail_memory(err);
    p->n = n;
    p->k = k;
    int threads = alone();
    enum bs_status status = pack(p, numbers, b, err);
    omp_set_num_threads(threads);
    if (!status && p->num_products)
        *matrix = p;
    else
        bs_onednn_free(p);
    return status;
}

void bs_onednn_free(struct bs_onednn_matrix *p)
{
    if (!p)
        return;
    dnnl_memory_destroy(p->weights);
    for (int i = 0; i < p->num_products; i++)
        dnnl_primitive_destroy(p->products[i].primitive);
    dnnl_engine_destroy(p->engine);
    bs_free(p->data);
    bs_free(p);
}

static const struct product *product_of(const struct bs_onednn_matrix *p, int rows)
{
    int i = p->num_products - 1;
    while (i > 0 && p->products[i].rows > rows)
        i--;
    return &p->products[i];
}

int bs_onednn_rows(const struct bs_onednn_matrix *p, int rows) { return product_of(p, rows)->rows; }

/* The objects that the library wants are the call's own: they hold its addresses. */
bool bs_onednn_multiply(const struct bs_onednn_matrix *b, int rows_of_a, const void *a, void *c,
                        struct bs_scratch *scratch)
{
    const struct product *product = product_of(b, rows_of_a);
    dnnl_memory_t rows = NULL, out = NULL, pad = NULL;
    dnnl_stream_t stream = NULL;
    size_t mark = scratch->used;
    union {
        const void *given;
        void *taken;
    } rows_of = {.given = a}; /* which are only read */
    float *working = bs_scratch_take(scratch, BS_ONEDNN_SCRATCH_FLOATS);
    int threads = alone();
    bool done = !dnnl_memory_create(&rows, &product->a, b->engine, rows_of.taken) &&
                !dnnl_memory_create(&out, &product->c, b->engine, c) &&
                !dnnl_memory_create(&pad, &product->scratchpad, b->engine, working) &&
                !dnnl_stream_create(&stream, b->engine, dnnl_stream_default_flags) &&
                !dnnl_primitive_execute(product->primitive, stream, 4,
                                        (dnnl_exec_arg_t[]){{DNNL_ARG_SRC, rows},
                                                            {DNNL_ARG_WEIGHTS, b->weights},
                                                            {DNNL_ARG_DST, out},
                                                            {DNNL_ARG_SCRATCHPAD, pad}}) &&
                !dnnl_stream_wait(stream);
    omp_set_num_threads(threads);
    dnnl_stream_destroy(stream);
    dnnl_memory_destroy(pad);
    dnnl_memory_destroy(out);
    dnnl_memory_destroy(rows);
    scratch->used = mark;
    return done;
}

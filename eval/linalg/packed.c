#include "eval/linalg/packed.h"

#include <math.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/bfloat16.h"

/* Rows of A and C in a product of floats: of many at a time, and of the rest of them. */
enum { MANY_ROWS = 512, FEW_ROWS = BS_PACKED_ROWS, MOST_PRODUCTS = 2 };

struct product {
    int rows;
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t a, c, scratchpad;
};

struct bs_packed {
    enum bs_compute compute; /* of floats */
    int n, k;
    int16_t *plain; /* [n][k], B of bytes where the library has no product of them, else NULL */
    bool widened;   /* what is rounded to bfloat16 is multiplied as the float32 that equals it */
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

/* Outside a parallel region the library would cut its work up by the number of threads. */
static int alone(void)
{
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    return threads;
}

static bool describe_rows(dnnl_memory_desc_t *desc, int rows, int columns, dnnl_data_type_t type)
{
    return !dnnl_memory_desc_init_by_tag(desc, 2, (dnnl_dims_t){rows, columns}, type, dnnl_ab);
}

/* The product's description; NULL where the library has no such product or memory ran out. */
static dnnl_primitive_desc_t choose_product(const struct bs_packed *p, struct product *product,
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
static bool reorder(struct bs_packed *p, dnnl_data_type_t given, const void *b,
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
static enum bs_status add_product(struct bs_packed *p, int rows, const struct formats *formats,
                                  dnnl_memory_desc_t *weights, struct bs_error *err)
{
    struct product product = {.rows = rows};
    dnnl_primitive_desc_t chosen = choose_product(p, &product, weights, formats);
    if (!chosen)
        return BS_OK;
    product.scratchpad = *dnnl_primitive_desc_query_md(chosen, dnnl_query_scratchpad_md, 0);
    bool fits =
        dnnl_memory_desc_get_size(&product.scratchpad) <= BS_PACKED_SCRATCH_FLOATS * sizeof(float);
    bool done = !fits || !dnnl_primitive_create(&product.primitive, chosen);
    if (fits && done) {
        *weights = *dnnl_primitive_desc_query_md(chosen, dnnl_query_weights_md, 0);
        p->products[p->num_products++] = product;
    }
    dnnl_primitive_desc_destroy(chosen);
    return done ? BS_OK : bs_fail_memory(err);
}

/* Fills *p; there are no products where there is none that can be used. */
static enum bs_status pack(struct bs_packed *p, const struct formats *formats, const void *b,
                           struct bs_error *err)
{
    dnnl_memory_desc_t weights;
    if (dnnl_engine_create(&p->engine, dnnl_cpu, 0) ||
        dnnl_memory_desc_init_by_tag(&weights, 2, (dnnl_dims_t){p->k, p->n}, formats->packed,
                                     dnnl_format_tag_any))
        return bs_fail_memory(err);
    if (add_product(p, FEW_ROWS, formats, &weights, err))
        return err->status;
    if (!p->num_products)
        return BS_OK;
    /* In bfloat16 the rounded rows are to stay near. */
    if (formats->a == dnnl_f32 && p->compute == BS_FLOAT32 &&
        add_product(p, MANY_ROWS, formats, &weights, err))
        return err->status;
    p->data = bs_alloc(dnnl_memory_desc_get_size(&weights), 1);
    if (!p->data || !reorder(p, formats->given, b, &weights))
        return bs_fail_memory(err);
    return BS_OK;
}

/* Where the library has no product, *packed has none either. */
static enum bs_status create(enum bs_compute compute, int n, int k, const struct formats *formats,
                             const void *b, struct bs_packed **packed, struct bs_error *err)
{
    struct bs_packed *p = bs_calloc(1, sizeof *p);
    if (!p)
        return bs_fail_memory(err);
    p->compute = compute;
    p->n = n;
    p->k = k;
    int threads = alone();
    enum bs_status status = pack(p, formats, b, err);
    omp_set_num_threads(threads);
    if (!status)
        *packed = p;
    else
        bs_packed_free(p);
    return status;
}

void bs_packed_free(struct bs_packed *packed)
{
    if (!packed)
        return;
    dnnl_memory_destroy(packed->weights);
    for (int i = 0; i < packed->num_products; i++)
        dnnl_primitive_destroy(packed->products[i].primitive);
    dnnl_engine_destroy(packed->engine);
    bs_free(packed->data);
    bs_free(packed->plain);
    bs_free(packed);
}

static bool has_isa(unsigned isa) { return (dnnl_get_effective_cpu_isa() & isa) == isa; }

/* AVX-512 VNNI and AMX add up products of bytes exactly; what the library has for others adds pairs
 * of them in 16 bits, which saturate. */
static bool library_is_exact(void) { return has_isa(dnnl_cpu_isa_avx512_core_vnni); }

size_t bs_packed_int8_bytes(void) { return library_is_exact() ? 1 : sizeof(int16_t); }

size_t bs_packed_bytes(enum bs_compute compute)
{
    bool is_short = compute == BS_BFLOAT16 && has_isa(dnnl_cpu_isa_avx512_core);
    return is_short ? sizeof(uint16_t) : sizeof(float);
}

enum bs_status bs_packed_create_int8(int n, int k, const int8_t *b, struct bs_packed **packed,
                                     struct bs_error *err)
{
    static const struct formats formats = {dnnl_u8, dnnl_s8, dnnl_s8, dnnl_s32};
    size_t count = (size_t)n * (size_t)k;
    *packed = NULL;
    if (library_is_exact() && create(BS_FLOAT32, n, k, &formats, b, packed, err))
        return err->status;
    if (*packed && (*packed)->num_products)
        return BS_OK;
    bs_packed_free(*packed);
    *packed = NULL;
    struct bs_packed *p = bs_calloc(1, sizeof *p);
    int16_t *plain = bs_alloc(count, sizeof *plain);
    if (!p || !plain) {
        bs_free(p);
        bs_free(plain);
        return bs_fail_memory(err);
    }
    for (size_t i = 0; i < count; i++)
        plain[i] = b[i];
    *p = (struct bs_packed){.n = n, .k = k, .plain = plain};
    *packed = p;
    return BS_OK;
}

/* The objects that the library wants are the call's own: they hold its addresses. */
static bool multiply(const struct bs_packed *b, const struct product *product, const void *a,
                     void *c, struct bs_scratch *scratch)
{
    dnnl_memory_t rows = NULL, out = NULL, pad = NULL;
    dnnl_stream_t stream = NULL;
    size_t mark = scratch->used;
    union {
        const void *given;
        void *taken;
    } rows_of = {.given = a}; /* which are only read */
    float *working = bs_scratch_take(scratch, BS_PACKED_SCRATCH_FLOATS);
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

/* The sums of products of `a` with COLUMNS rows of B; compilers make the widening multiply-and-add
 * of every processor of it. */
enum { COLUMNS = 4 };

static void multiply_row(const uint8_t *a, const int16_t *b, size_t k, int32_t *sums)
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    _Static_assert(COLUMNS == 4, "one sum for each");
    for (size_t j = 0; j < k; j++) {
        int16_t x = a[j];
        s0 += x * b[j];
        s1 += x * b[k + j];
        s2 += x * b[2 * k + j];
        s3 += x * b[3 * k + j];
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

static void multiply_plain(const struct bs_packed *b, const uint8_t *a, int32_t *c)
{
    size_t n = (size_t)b->n, k = (size_t)b->k, whole = n / COLUMNS * COLUMNS;
    for (size_t i = 0; i < whole; i += COLUMNS)
        for (size_t r = 0; r < BS_PACKED_ROWS; r++)
            multiply_row(a + r * k, b->plain + i * k, k, c + r * n + i);
    for (size_t i = whole; i < n; i++)
        for (size_t r = 0; r < BS_PACKED_ROWS; r++) {
            int32_t sum = 0;
            for (size_t j = 0; j < k; j++)
                sum += a[r * k + j] * b->plain[i * k + j];
            c[r * n + i] = sum;
        }
}

bool bs_gemm_nt_int8(const struct bs_packed *b, uint8_t *a, int32_t *c, struct bs_scratch *scratch)
{
    if (!b->plain)
        return multiply(b, &b->products[0], a, c, scratch);
    multiply_plain(b, a, c);
    return true;
}

static void round_to_bfloat16(const float *x, size_t count, uint16_t *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = bs_to_bfloat16(x[i]);
}

/* The same numbers as floats. */
static void round_widened(const float *x, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = bs_round_to_bfloat16(x[i]);
}

static const struct formats float_formats = {dnnl_f32, dnnl_f32, dnnl_f32, dnnl_f32};

/* A product of two numbers of 8 bits is exact in float32: that of the rounded matrices in float32
 * differs from one in bfloat16 by the order of its sums alone. */
static enum bs_status create_widened(int n, int k, const float *b, struct bs_packed **packed,
                                     struct bs_error *err)
{
    size_t count = (size_t)n * (size_t)k;
    float *rounded = bs_alloc(count, sizeof *rounded);
    if (!rounded)
        return bs_fail_memory(err);
    round_widened(b, count, rounded);
    enum bs_status status = create(BS_BFLOAT16, n, k, &float_formats, rounded, packed, err);
    bs_free(rounded);
    if (!status)
        (*packed)->widened = true;
    return status;
}

enum bs_status bs_packed_create(enum bs_compute compute, int n, int k, const float *b,
                                struct bs_packed **packed, struct bs_error *err)
{
    static const struct formats short_formats = {dnnl_bf16, dnnl_f32, dnnl_bf16, dnnl_f32};
    bool is_short = compute == BS_BFLOAT16;
    *packed = NULL;
    if (create(compute, n, k, is_short ? &short_formats : &float_formats, b, packed, err))
        return err->status;
    if (is_short && !(*packed)->num_products) {
        bs_packed_free(*packed);
        *packed = NULL;
        if (create_widened(n, k, b, packed, err))
            return err->status;
    }
    if ((*packed)->num_products)
        return BS_OK;
    bs_packed_free(*packed);
    *packed = NULL;
    return bs_fail(err, BS_EUNSUPPORTED, "oneDNN has no product with a matrix of %d x %d", n, k);
}

/* The largest product of no more than this many rows; the smallest where all are of more. */
static const struct product *product_of(const struct bs_packed *b, int rows)
{
    int i = b->num_products - 1;
    while (i > 0 && b->products[i].rows > rows)
        i--;
    return &b->products[i];
}

/* The next rows of A as the product reads them: in place where they are all there. */
static const void *enter_rows(const struct bs_packed *b, const float *a, int rows, int wanted,
                              float *room)
{
    size_t count = (size_t)rows * (size_t)b->k;
    if (b->widened)
        round_widened(a, count, room);
    else if (b->compute == BS_BFLOAT16)
        round_to_bfloat16(a, count, (uint16_t *)(void *)room);
    else if (rows == wanted)
        return a;
    else
        memcpy(room, a, count * sizeof *a);
    return room;
}

void bs_gemm_nt_packed(int m, const float *a, const struct bs_packed *b, float *c, int ldc,
                       struct bs_scratch *scratch)
{
    size_t mark = scratch->used, n = (size_t)b->n, k = (size_t)b->k;
    float *room = bs_scratch_take(scratch, FEW_ROWS * k);
    float *tile = bs_scratch_take(scratch, FEW_ROWS * n);
    for (int first = 0, rows; first < m; first += rows) {
        int left = m - first;
        const struct product *product = product_of(b, ldc == b->n ? left : FEW_ROWS);
        rows = left < product->rows ? left : product->rows;
        float *to = c + (size_t)first * (size_t)ldc;
        bool direct = rows == product->rows && ldc == b->n;
        const void *from = enter_rows(b, a + (size_t)first * k, rows, product->rows, room);
        bool done = multiply(b, product, from, direct ? to : tile, scratch);
        for (size_t r = 0; r < (size_t)rows && !(direct && done); r++)
            for (size_t i = 0; i < n; i++)
                to[r * (size_t)ldc + i] = done ? tile[r * n + i] : NAN;
    }
    scratch->used = mark;
}

size_t bs_gemm_nt_packed_floats(int n, int k)
{
    return bs_scratch_floats(FEW_ROWS * (size_t)k) + bs_scratch_floats(FEW_ROWS * (size_t)n) +
           bs_scratch_floats(BS_PACKED_SCRATCH_FLOATS);
}

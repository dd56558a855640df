#include "eval/linalg/packed.h"

#include <math.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <string.h>

#include "eval/base/mem.h"

struct bs_packed {
    int n, k;
    dnnl_engine_t engine;
    dnnl_primitive_t product;
    dnnl_memory_desc_t a, c, scratchpad;
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

static bool describe_rows(dnnl_memory_desc_t *desc, int columns, dnnl_data_type_t type)
{
    return !dnnl_memory_desc_init_by_tag(desc, 2, (dnnl_dims_t){BS_PACKED_ROWS, columns}, type,
                                         dnnl_ab);
}

/* The product's description, which leaves the layout of B to the library; NULL where it has no such
 * product or memory ran out. */
static dnnl_primitive_desc_t choose_product(struct bs_packed *p, int n, int k,
                                            const struct formats *formats)
{
    dnnl_memory_desc_t weights;
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attributes;
    dnnl_primitive_desc_t chosen = NULL;
    if (!describe_rows(&p->a, k, formats->a) || !describe_rows(&p->c, n, formats->c) ||
        dnnl_memory_desc_init_by_tag(&weights, 2, (dnnl_dims_t){k, n}, formats->packed,
                                     dnnl_format_tag_any) ||
        dnnl_matmul_desc_init(&matmul, &p->a, &weights, NULL, &p->c) ||
        dnnl_primitive_attr_create(&attributes))
        return NULL;
    if (!dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) &&
        dnnl_primitive_desc_create(&chosen, &matmul, attributes, p->engine, NULL))
        chosen = NULL;
    dnnl_primitive_attr_destroy(attributes);
    return chosen;
}

/* Lays B out as the product wants it. */
static bool reorder(struct bs_packed *p, int n, int k, dnnl_data_type_t given, const void *b,
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
        !dnnl_memory_desc_init_by_tag(&from, 2, (dnnl_dims_t){k, n}, given, dnnl_ba) &&
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

static bool fits_scratch(const struct bs_packed *p)
{
    return dnnl_memory_desc_get_size(&p->scratchpad) <= BS_PACKED_SCRATCH_FLOATS * sizeof(float);
}

/* Fills *p; p->product stays NULL where there is none that can be used. */
static enum bs_status pack(struct bs_packed *p, int n, int k, const struct formats *formats,
                           const void *b, struct bs_error *err)
{
    dnnl_primitive_desc_t chosen = NULL;
    if (dnnl_engine_create(&p->engine, dnnl_cpu, 0))
        return bs_fail_memory(err);
    if (!(chosen = choose_product(p, n, k, formats)))
        return BS_OK;
    enum bs_status status = BS_OK;
    p->scratchpad = *dnnl_primitive_desc_query_md(chosen, dnnl_query_scratchpad_md, 0);
    if (fits_scratch(p)) {
        const dnnl_memory_desc_t *b_desc =
            dnnl_primitive_desc_query_md(chosen, dnnl_query_weights_md, 0);
        p->data = bs_alloc(dnnl_memory_desc_get_size(b_desc), 1);
        if (!p->data || dnnl_primitive_create(&p->product, chosen) ||
            !reorder(p, n, k, formats->given, b, b_desc))
            status = bs_fail_memory(err);
    }
    dnnl_primitive_desc_destroy(chosen);
    return status;
}

static enum bs_status create(int n, int k, const struct formats *formats, const void *b,
                             struct bs_packed **packed, struct bs_error *err)
{
    *packed = NULL;
    struct bs_packed *p = bs_calloc(1, sizeof *p);
    if (!p)
        return bs_fail_memory(err);
    p->n = n;
    p->k = k;
    int threads = alone();
    enum bs_status status = pack(p, n, k, formats, b, err);
    omp_set_num_threads(threads);
    if (!status && p->product)
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
    dnnl_primitive_destroy(packed->product);
    dnnl_engine_destroy(packed->engine);
    bs_free(packed->data);
    bs_free(packed);
}

enum bs_status bs_packed_create_int8(int n, int k, const int8_t *b, struct bs_packed **packed,
                                     struct bs_error *err)
{
    static const struct formats formats = {dnnl_u8, dnnl_s8, dnnl_s8, dnnl_s32};
    const unsigned exact = dnnl_cpu_isa_avx512_core_vnni;
    *packed = NULL;
    if ((dnnl_get_effective_cpu_isa() & exact) != exact)
        return BS_OK;
    return create(n, k, &formats, b, packed, err);
}

/* The objects that the library wants are the call's own: they hold its addresses. */
static bool multiply(const struct bs_packed *b, void *a, void *c, struct bs_scratch *scratch)
{
    dnnl_memory_t rows = NULL, out = NULL, pad = NULL;
    dnnl_stream_t stream = NULL;
    size_t mark = scratch->used;
    float *working = bs_scratch_take(scratch, BS_PACKED_SCRATCH_FLOATS);
    int threads = alone();
    bool done = !dnnl_memory_create(&rows, &b->a, b->engine, a) &&
                !dnnl_memory_create(&out, &b->c, b->engine, c) &&
                !dnnl_memory_create(&pad, &b->scratchpad, b->engine, working) &&
                !dnnl_stream_create(&stream, b->engine, dnnl_stream_default_flags) &&
                !dnnl_primitive_execute(b->product, stream, 4,
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

bool bs_gemm_nt_int8(const struct bs_packed *b, uint8_t *a, int32_t *c, struct bs_scratch *scratch)
{
    return multiply(b, a, c, scratch);
}

enum bs_status bs_packed_create_bfloat16(int n, int k, const float *b, struct bs_packed **packed,
                                         struct bs_error *err)
{
    static const struct formats formats = {dnnl_bf16, dnnl_f32, dnnl_bf16, dnnl_f32};
    if (create(n, k, &formats, b, packed, err))
        return err->status;
    return *packed ? BS_OK
                   : bs_fail(err, BS_EUNSUPPORTED,
                             "this processor has no product in bfloat16 of a matrix of %d x %d, "
                             "expected AVX-512; compute: float32 needs none",
                             n, k);
}

/* The upper halves, rounded to nearest, ties to even. What is no number keeps its upper half, with
 * a bit that an infinity does not have. */
static void round_to_bfloat16(const float *x, size_t count, uint16_t *out)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        out[i] = (uint16_t)(x[i] == x[i] ? rounded : (bits >> 16 | 0x40));
    }
}

void bs_gemm_nt_bfloat16(int m, const float *a, const struct bs_packed *b, float *c, int ldc,
                         struct bs_scratch *scratch)
{
    size_t mark = scratch->used, n = (size_t)b->n, k = (size_t)b->k;
    uint16_t *rounded = (uint16_t *)(void *)bs_scratch_take(scratch, BS_PACKED_ROWS * k / 2);
    float *tile = bs_scratch_take(scratch, BS_PACKED_ROWS * n);
    for (int first = 0; first < m; first += BS_PACKED_ROWS) {
        int left = m - first, rows = left < BS_PACKED_ROWS ? left : BS_PACKED_ROWS;
        float *to = c + (size_t)first * (size_t)ldc;
        bool direct = rows == BS_PACKED_ROWS && ldc == b->n;
        round_to_bfloat16(a + (size_t)first * k, (size_t)rows * k, rounded);
        bool done = multiply(b, rounded, direct ? to : tile, scratch);
        for (size_t r = 0; r < (size_t)rows && !(direct && done); r++)
            for (size_t i = 0; i < n; i++)
                to[r * (size_t)ldc + i] = done ? tile[r * n + i] : NAN;
    }
    scratch->used = mark;
}

size_t bs_gemm_nt_bfloat16_floats(int n, int k)
{
    return bs_scratch_floats(BS_PACKED_ROWS * (size_t)k / 2) +
           bs_scratch_floats(BS_PACKED_ROWS * (size_t)n) +
           bs_scratch_floats(BS_PACKED_SCRATCH_FLOATS);
}

/* Products in an order of sums that is fixed (product.h), tiles of the factorisation by steps that
 * are (factor_tile.h). */
#include "eval/base/mem.h"
#include "eval/linalg/bfloat16.h"
#include "eval/linalg/numerics.h"
#include "eval/linalg/product.h"

/* Of A, that are rounded to bfloat16 at a time. */
enum { ROUNDED_ROWS = 128 };

struct portable_packed {
    struct bs_packed head;
    enum bs_compute compute;
    int n, k;
    struct bs_panels *panels;
};

static void portable_free(struct bs_packed *packed)
{
    struct portable_packed *p = (struct portable_packed *)packed; /* whose head it is */
    bs_panels_free(p->panels);
    bs_free(p);
}

/* Numbers rounded to bfloat16 are multiplied as the floats that equal them: each product is then
 * exact, and the order of the sums is that of floats. */
static enum bs_status fill_panels(struct portable_packed *p, const float *b, struct bs_error *err)
{
    if (p->compute == BS_FLOAT32)
        return bs_panels_create(p->n, p->k, b, &p->panels, err);
    size_t count = (size_t)p->n * (size_t)p->k;
    float *rounded = bs_alloc(count, sizeof *rounded);
    if (!rounded)
        return bs_fail_memory(err);
    bs_round_all_to_bfloat16(b, count, rounded);
    enum bs_status status = bs_panels_create(p->n, p->k, rounded, &p->panels, err);
    bs_free(rounded);
    return status;
}

static enum bs_status portable_pack(enum bs_compute compute, int n, int k, const float *b,
                                    struct bs_packed **packed, struct bs_error *err)
{
    *packed = NULL;
    struct portable_packed *p = bs_calloc(1, sizeof *p);
    if (!p)
        return bs_fail_memory(err);
    *p = (struct portable_packed){
        .head.numerics = &bs_numerics_portable, .compute = compute, .n = n, .k = k};
    if (fill_panels(p, b, err))
        portable_free(&p->head);
    else
        *packed = &p->head;
    return *packed ? BS_OK : err->status;
}

static size_t portable_packed_bytes(enum bs_compute compute)
{
    (void)compute;
    return sizeof(float);
}

static void portable_gemm_nt_packed(int m, const float *a, const struct bs_packed *packed, float *c,
                                    int ldc, struct bs_scratch *scratch)
{
    const struct portable_packed *b = (const struct portable_packed *)packed;
    if (b->compute == BS_FLOAT32) {
        bs_product_panels(m, a, b->k, b->panels, c, ldc);
        return;
    }
    size_t mark = scratch->used, k = (size_t)b->k;
    float *rounded = bs_scratch_take(scratch, ROUNDED_ROWS * k);
    for (int first = 0; first < m; first += ROUNDED_ROWS) {
        int rows = m - first < ROUNDED_ROWS ? m - first : ROUNDED_ROWS;
        bs_round_all_to_bfloat16(a + (size_t)first * k, (size_t)rows * k, rounded);
        bs_product_panels(rows, rounded, b->k, b->panels, c + (size_t)first * (size_t)ldc, ldc);
    }
    scratch->used = mark;
}

static size_t portable_gemm_nt_packed_floats(int n, int k)
{
    (void)n;
    return bs_scratch_floats(ROUNDED_ROWS * (size_t)k);
}

const struct bs_numerics bs_numerics_portable = {
    .plugin = {.name = "portable",
               .summary = "own products and factors, whose every sum has a fixed order",
               .reference = "eval/linalg/product.h, eval/linalg/factor_tile.h"},
    .same_everywhere = true,
    .gemm = bs_product,
    .factor_tile = bs_factor_tile,
    .pack = portable_pack,
    .free_packed = portable_free,
    .packed_bytes = portable_packed_bytes,
    .gemm_nt_packed = portable_gemm_nt_packed,
    .gemm_nt_packed_floats = portable_gemm_nt_packed_floats,
};

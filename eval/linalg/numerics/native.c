/* Products by oneDNN, tiles of the factorisation by LAPACK on OpenBLAS: what these libraries have
 * for the processor at hand. */
#include "eval/linalg/numerics.h"

#include <lapacke.h>
#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/bfloat16.h"
#include "eval/linalg/onednn.h"

/* LAPACK's factors are L L^T only: of the tile with rows and columns reversed, which reversed again
 * is R, with A = R R^T. */
static bool native_factor_tile(float *tile, int side, int stride)
{
    float reversed[BS_FACTOR_TILE * BS_FACTOR_TILE];
    for (int i = 0; i < side; i++)
        for (int j = 0; j <= i; j++)
            reversed[i * side + j] = tile[(size_t)(side - 1 - i) * (size_t)stride + side - 1 - j];
    /* LAPACK reads columns: its upper triangle is our lower one. */
    if (LAPACKE_spotrf(LAPACK_COL_MAJOR, 'U', side, reversed, side) ||
        LAPACKE_strtri(LAPACK_COL_MAJOR, 'U', 'N', side, reversed, side))
        return false;
    for (int i = 0; i < side; i++) {
        float *row = tile + (size_t)i * (size_t)stride;
        memset(row, 0, (size_t)i * sizeof *row);
        for (int j = i; j < side; j++)
            row[j] = reversed[(side - 1 - i) * side + side - 1 - j];
    }
    return true;
}

/* ---- packed matrices ---- */

struct native_packed {
    struct bs_packed head;
    enum bs_compute compute;
    int n, k;
    bool widened; /* what is rounded to bfloat16 is multiplied as the float32 that equals it */
    struct bs_onednn_matrix *matrix;
};

static void native_free(struct bs_packed *packed)
{
    struct native_packed *p = (struct native_packed *)packed; /* whose head it is */
    bs_onednn_free(p->matrix);
    bs_free(p);
}

static void round_to_bfloat16(const float *x, size_t count, uint16_t *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = bs_to_bfloat16(x[i]);
}

/* A product of two numbers of 8 bits is exact in float32: that of the rounded matrices in float32
 * differs from one in bfloat16 by the order of its sums alone. */
static enum bs_status create_widened(struct native_packed *p, const float *b, struct bs_error *err)
{
    size_t count = (size_t)p->n * (size_t)p->k;
    float *rounded = bs_alloc(count, sizeof *rounded);
    if (!rounded)
        return bs_fail_memory(err);
    bs_round_all_to_bfloat16(b, count, rounded);
    p->widened = true;
    enum bs_status status =
        bs_onednn_create(BS_ONEDNN_FLOATS, p->n, p->k, rounded, &p->matrix, err);
    bs_free(rounded);
    return status;
}

static enum bs_status native_pack(enum bs_compute compute, int n, int k, const float *b,
                                  struct bs_packed **packed, struct bs_error *err)
{
    bool is_short = compute == BS_BFLOAT16;
    *packed = NULL;
    struct native_packed *p = bs_calloc(1, sizeof *p);
    if (!p)
        return bs_fail_memory(err);
    *p = (struct native_packed){
        .head.numerics = &bs_numerics_native, .compute = compute, .n = n, .k = k};
    enum bs_status status = bs_onednn_create(is_short ? BS_ONEDNN_BFLOAT16 : BS_ONEDNN_FLOATS, n, k,
                                             b, &p->matrix, err);
    if (!status && is_short && !p->matrix)
        status = create_widened(p, b, err);
    if (!status && !p->matrix)
        status =
            bs_fail(err, BS_EUNSUPPORTED, "oneDNN has no product with a matrix of %d x %d", n, k);
    if (status)
        native_free(&p->head);
    else
        *packed = &p->head;
    return status;
}

static size_t native_packed_bytes(enum bs_compute compute)
{
    return compute == BS_BFLOAT16 && bs_onednn_has_avx512() ? sizeof(uint16_t) : sizeof(float);
}

/* The next rows of A as the product reads them: in place where they are all there. */
static const void *enter_rows(const struct native_packed *b, const float *a, int rows, int wanted,
                              float *room)
{
    size_t count = (size_t)rows * (size_t)b->k;
    if (b->widened)
        bs_round_all_to_bfloat16(a, count, room);
    else if (b->compute == BS_BFLOAT16)
        round_to_bfloat16(a, count, (uint16_t *)(void *)room);
    else if (rows == wanted)
        return a;
    else
        memcpy(room, a, count * sizeof *a);
    return room;
}

static void native_gemm_nt_packed(int m, const float *a, const struct bs_packed *packed, float *c,
                                  int ldc, struct bs_scratch *scratch)
{
    const struct native_packed *b = (const struct native_packed *)packed;
    size_t mark = scratch->used, n = (size_t)b->n, k = (size_t)b->k;
    float *room = bs_scratch_take(scratch, BS_ONEDNN_FEW_ROWS * k);
    float *tile = bs_scratch_take(scratch, BS_ONEDNN_FEW_ROWS * n);
    for (int first = 0, rows; first < m; first += rows) {
        int left = m - first;
        int wanted = bs_onednn_rows(b->matrix, ldc == b->n ? left : BS_ONEDNN_FEW_ROWS);
        rows = left < wanted ? left : wanted;
        float *to = c + (size_t)first * (size_t)ldc;
        bool direct = rows == wanted && ldc == b->n;
        const void *from = enter_rows(b, a + (size_t)first * k, rows, wanted, room);
        bool done = bs_onednn_multiply(b->matrix, wanted, from, direct ? to : tile, scratch);
        for (size_t r = 0; r < (size_t)rows && !(direct && done); r++)
            for (size_t i = 0; i < n; i++)
                to[r * (size_t)ldc + i] = done ? tile[r * n + i] : NAN;
    }
    scratch->used = mark;
}

static size_t native_gemm_nt_packed_floats(int n, int k)
{
    return bs_scratch_floats(BS_ONEDNN_FEW_ROWS * (size_t)k) +
           bs_scratch_floats(BS_ONEDNN_FEW_ROWS * (size_t)n) +
           bs_scratch_floats(BS_ONEDNN_SCRATCH_FLOATS);
}

const struct bs_numerics bs_numerics_native = {
    .plugin = {.name = "native",
               .summary = "products by oneDNN, factors by LAPACK: the libraries' own for this "
                          "processor",
               .reference = "oneDNN; LAPACK by OpenBLAS"},
    .gemm = bs_onednn_gemm,
    .factor_tile = native_factor_tile,
    .pack = native_pack,
    .free_packed = native_free,
    .packed_bytes = native_packed_bytes,
    .gemm_nt_packed = native_gemm_nt_packed,
    .gemm_nt_packed_floats = native_gemm_nt_packed_floats,
};

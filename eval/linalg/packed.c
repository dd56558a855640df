#include "eval/linalg/packed.h"

#include "eval/linalg/numerics.h"

enum bs_status bs_packed_create(enum bs_compute compute, int n, int k, const float *b,
                                struct bs_packed **packed, struct bs_error *err)
{
    return bs_numerics()->pack(compute, n, k, b, packed, err);
}

void bs_packed_free(struct bs_packed *packed)
{
    if (packed)
        packed->numerics->free_packed(packed);
}

size_t bs_packed_bytes(enum bs_compute compute) { return bs_numerics()->packed_bytes(compute); }

void bs_gemm_nt_packed(int m, const float *a, const struct bs_packed *b, float *c, int ldc,
                       struct bs_scratch *scratch)
{
    b->numerics->gemm_nt_packed(m, a, b, c, ldc, scratch);
}

size_t bs_gemm_nt_packed_floats(int n, int k) { return bs_numerics()->gemm_nt_packed_floats(n, k); }

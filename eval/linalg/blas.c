#include "eval/linalg/blas.h"

#include <cblas.h>
#include <lapacke.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <string.h>

void bs_blas_init(void)
{
    /* Some builds of the library pass this on to OpenMP, whose setting is ours. */
    int threads = omp_get_max_threads();
    openblas_set_num_threads(1);
    omp_set_num_threads(threads);
}

const char *bs_blas_name(void)
{
    static char name[160];
    const dnnl_version_t *v = dnnl_version();
    snprintf(name, sizeof name, "oneDNN %d.%d.%d, %s", v->major, v->minor, v->patch,
             openblas_get_config());
    return name;
}

/* oneDNN is faster than OpenBLAS at every shape here, most at the narrow ones of attention. Outside
 * a parallel region it would take all threads and cut the product up by their number. */
static void gemm(char transpose_a, char transpose_b, int m, int n, int k, float alpha,
                 const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc)
{
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    dnnl_sgemm(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    omp_set_num_threads(threads);
}

void bs_gemm_nt(int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                float beta, float *c, int ldc)
{
    gemm('N', 'T', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void bs_gemm_nn(int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                float beta, float *c, int ldc)
{
    gemm('N', 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void bs_gemm_tn(int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                float beta, float *c, int ldc)
{
    gemm('T', 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

bool bs_cholesky_of_inverse(float *a, int n)
{
    /* LAPACK reads columns: its lower triangle is our upper one, and its L with A^-1 = L L^T is our
     * U^T. Asking for column-major order avoids LAPACKE's transposed copies. */
    if (LAPACKE_spotrf(LAPACK_COL_MAJOR, 'L', n, a, n) ||
        LAPACKE_spotri(LAPACK_COL_MAJOR, 'L', n, a, n) ||
        LAPACKE_spotrf(LAPACK_COL_MAJOR, 'L', n, a, n))
        return false;
    for (int i = 1; i < n; i++)
        memset(a + (size_t)i * (size_t)n, 0, (size_t)i * sizeof *a);
    return true;
}

#include "tests/support/naive.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static void swap_rows(double *a, int n, int i, int j)
{
    for (int k = 0; k < n; k++) {
        double kept = a[i * n + k];
        a[i * n + k] = a[j * n + k];
        a[j * n + k] = kept;
    }
}

/* Clears column i of every other row of A, doing to B what it does to A. */
static void eliminate(double *a, double *b, int n, int i)
{
    double pivot = a[i * n + i];
    assert(pivot != 0);
    for (int k = 0; k < n; k++) {
        a[i * n + k] /= pivot;
        b[i * n + k] /= pivot;
    }
    for (int r = 0; r < n; r++) {
        double factor = r == i ? 0 : a[r * n + i];
        for (int k = 0; k < n; k++) {
            a[r * n + k] -= factor * a[i * n + k];
            b[r * n + k] -= factor * b[i * n + k];
        }
    }
}

void naive_invert(double *a, int n)
{
    double *b = calloc((size_t)n * (size_t)n, sizeof *b);
    assert(b);
    for (int i = 0; i < n; i++)
        b[i * n + i] = 1;
    for (int i = 0; i < n; i++) {
        int largest = i;
        for (int r = i + 1; r < n; r++)
            largest = fabs(a[r * n + i]) > fabs(a[largest * n + i]) ? r : largest;
        swap_rows(a, n, i, largest);
        swap_rows(b, n, i, largest);
        eliminate(a, b, n, i);
    }
    for (int i = 0; i < n * n; i++)
        a[i] = b[i];
    free(b);
}

void naive_cholesky(double *a, int n)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double sum = a[i * n + j];
            for (int k = 0; k < j && j <= i; k++)
                sum -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = j > i ? 0 : j == i ? sqrt(sum) : sum / a[j * n + j];
        }
}

void naive_product_nt(const double *a, const double *b, int m, int n, int k, double *c)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int l = 0; l < k; l++)
                sum += a[i * k + l] * b[j * k + l];
            c[i * n + j] = sum;
        }
}

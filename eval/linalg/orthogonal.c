/* Householder's reflections, columns one after the other. A column gets all reflections before it
 * at once, some columns side by side, so that reflections are read from memory once for all of
 * them. */
#include "eval/linalg/orthogonal.h"

#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"

enum { SIDE_BY_SIDE = 16, LANES = 8 };

/* Columns [n] lie one after the other. */
struct reflecting {
    int n;
    double *columns;  /* of A; then from the k-th row on of reflection k: I - factor v v^T */
    double *factors;  /* [n] */
    double *diagonal; /* [n] of R */
    double *q;        /* columns of Q */
    int first;        /* of the columns at work */
};

static double dot(const double *x, const double *y, int count)
{
    double lanes[LANES] = {0}, sum = 0;
    int i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int l = 0; l < LANES; l++)
            lanes[l] += x[i + l] * y[i + l];
    for (; i < count; i++)
        sum += x[i] * y[i];
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

static double *column_of(const struct reflecting *r, double *columns, int j)
{
    return columns + (size_t)j * (size_t)r->n;
}

/* Reflection k of a column. */
static void reflect(const struct reflecting *r, int k, double *column)
{
    const double *v = column_of(r, r->columns, k) + k;
    double *x = column + k, by = r->factors[k] * dot(v, x, r->n - k);
    for (int i = 0; i < r->n - k; i++)
        x[i] -= by * v[i];
}

static int end_of(const struct reflecting *r, int first)
{
    return first + SIDE_BY_SIDE < r->n ? first + SIDE_BY_SIDE : r->n;
}

/* All reflections before the columns at work, of one of them. */
static enum bs_status reflect_column(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct reflecting *r = context;
    for (int k = 0; k < r->first; k++)
        reflect(r, k, column_of(r, r->columns, r->first + index));
    return BS_OK;
}

/* The reflection that leaves of column k nothing below the diagonal. */
static void make_reflection(const struct reflecting *r, int k)
{
    double *v = column_of(r, r->columns, k) + k, squares = dot(v, v, r->n - k);
    r->diagonal[k] = v[0] > 0 ? -sqrt(squares) : sqrt(squares);
    v[0] -= r->diagonal[k];
    double size = dot(v, v, r->n - k);
    r->factors[k] = size > 0 ? 2 / size : 0;
}

/* Some columns of Q: the reflections, from the last to the first, of the unit matrix. Those after a
 * column's own leave it as it is. */
static enum bs_status make_columns(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct reflecting *r = context;
    int first = index * SIDE_BY_SIDE, end = end_of(r, first);
    memset(column_of(r, r->q, first), 0, (size_t)(end - first) * (size_t)r->n * sizeof *r->q);
    for (int j = first; j < end; j++)
        column_of(r, r->q, j)[j] = r->diagonal[j] < 0 ? -1 : 1;
    for (int k = end - 1; k >= 0; k--)
        for (int j = k > first ? k : first; j < end; j++)
            reflect(r, k, column_of(r, r->q, j));
    return BS_OK;
}

/* from [n][n] becomes the columns of `to`. */
static void transpose(int n, const double *from, double *to)
{
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t j = 0; j < (size_t)n; j++)
            to[j * (size_t)n + i] = from[i * (size_t)n + j];
}

/* A reflection turns the sign of the determinant, and so does a column's. */
static int determinant_of(const struct reflecting *r)
{
    int sign = 1;
    for (int k = 0; k < r->n; k++) {
        sign = r->factors[k] > 0 ? -sign : sign;
        sign = r->diagonal[k] < 0 ? -sign : sign;
    }
    return sign;
}

enum bs_status bs_orthogonalise(double *a, int n, int *determinant, struct bs_error *err)
{
    struct reflecting r = {.n = n, .q = a};
    struct bs_error ignored; /* no column can fail */
    r.columns = bs_alloc((size_t)n * (size_t)n, sizeof *r.columns);
    r.factors = bs_alloc((size_t)n, 2 * sizeof *r.factors);
    enum bs_status status = r.columns && r.factors ? BS_OK : bs_fail_memory(err);
    r.diagonal = r.factors + (status ? 0 : n);
    if (!status)
        transpose(n, a, r.columns);
    for (r.first = 0; r.first < n && !status; r.first = end_of(&r, r.first)) {
        int end = end_of(&r, r.first);
        bs_parallel(end - r.first, reflect_column, &r, &ignored);
        for (int k = r.first; k < end; k++) {
            make_reflection(&r, k);
            for (int j = k + 1; j < end; j++)
                reflect(&r, k, column_of(&r, r.columns, j));
        }
    }
    if (!status) {
        bs_parallel((n + SIDE_BY_SIDE - 1) / SIDE_BY_SIDE, make_columns, &r, &ignored);
        if (determinant)
            *determinant = determinant_of(&r);
        transpose(n, r.q, r.columns);
        memcpy(a, r.columns, (size_t)n * (size_t)n * sizeof *a);
    }
    bs_free(r.columns);
    bs_free(r.factors);
    return status;
}

double bs_orthogonalise_bytes(int n) { return (double)n * n * sizeof(double); }

#include "eval/model/basis.h"

#include <assert.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/hadamard.h"

static size_t values_of(enum bs_basis_kind kind, int width)
{
    return (size_t)width * (kind == BS_MATRIX ? (size_t)width : 1);
}

enum bs_status bs_bases_init(struct bs_bases *bases, int channels, struct bs_error *err)
{
    *bases = (struct bs_bases){.channels = channels};
    bases->list = bs_alloc(1, sizeof *bases->list);
    float *ones = bs_alloc((size_t)channels, sizeof *ones);
    if (!bases->list || !ones) {
        bs_free(bases->list);
        bs_free(ones);
        bases->list = NULL;
        return bs_fail_memory(err);
    }
    for (int j = 0; j < channels; j++)
        ones[j] = 1;
    bases->list[0] = (struct bs_basis){BS_DIAGONAL, channels, ones};
    bases->count = 1;
    return BS_OK;
}

void bs_bases_release(struct bs_bases *bases)
{
    for (int k = 0; k < bases->count; k++)
        bs_free(bases->list[k].values);
    bs_free(bases->list);
    *bases = (struct bs_bases){.channels = 0};
}

/* Adds a copy as it is. */
static enum bs_status append(struct bs_bases *bases, const struct bs_basis *basis,
                             struct bs_error *err)
{
    size_t values = values_of(basis->kind, basis->width), count = (size_t)bases->count;
    struct bs_basis *list = bs_realloc(bases->list, count, count + 1, sizeof *list);
    if (!list)
        return bs_fail_memory(err);
    bases->list = list;
    float *copy = bs_alloc(values, sizeof *copy);
    if (!copy)
        return bs_fail_memory(err);
    memcpy(copy, basis->values, values * sizeof *copy);
    list[bases->count++] = (struct bs_basis){basis->kind, basis->width, copy};
    return BS_OK;
}

void bs_bases_drop(struct bs_bases *bases)
{
    assert(bases->count > 1);
    bs_free(bases->list[--bases->count].values);
}

enum bs_status bs_bases_copy(struct bs_bases *to, const struct bs_bases *from, struct bs_error *err)
{
    size_t size = (size_t)from->channels * sizeof(float);
    assert(to->channels == from->channels);
    while (to->count > 1)
        bs_bases_drop(to);
    memcpy(to->list[0].values, from->list[0].values, size);
    for (int k = 1; k < from->count; k++)
        if (append(to, &from->list[k], err)) {
            while (to->count > 1)
                bs_bases_drop(to);
            for (int j = 0; j < to->channels; j++)
                to->list[0].values[j] = 1;
            return err->status;
        }
    return BS_OK;
}

enum bs_status bs_bases_add(struct bs_bases *bases, const struct bs_basis *basis,
                            struct bs_error *err)
{
    struct bs_basis *last = &bases->list[bases->count - 1];
    assert(bases->channels % basis->width == 0);
    if (basis->kind != BS_DIAGONAL || last->kind != BS_DIAGONAL)
        return append(bases, basis, err);
    assert(basis->width == bases->channels);
    for (int j = 0; j < bases->channels; j++)
        last->values[j] *= basis->values[j];
    return BS_OK;
}

bool bs_bases_diagonal(const struct bs_bases *bases) { return bases->count == 1; }

static int common_multiple(int a, int b)
{
    int multiple = a;
    while (multiple % b)
        multiple += a;
    return multiple;
}

int bs_bases_span(const struct bs_bases *bases)
{
    int span = 1;
    for (int k = 0; k < bases->count; k++)
        if (bases->list[k].kind != BS_DIAGONAL)
            span = common_multiple(span, bases->list[k].width);
    return span;
}

static void divide(const float *values, float *x, int count)
{
    for (int i = 0; i < count; i++)
        x[i] /= values[i];
}

/* Row i of x [count][length] by values[i]. */
static void multiply(const float *values, float *x, int count, int length)
{
    for (int i = 0; i < count && length == 1; i++)
        x[i] *= values[i];
    for (int i = 0; i < count && length > 1; i++)
        for (int j = 0; j < length; j++)
            x[(size_t)i * (size_t)length + (size_t)j] *= values[i];
}

void bs_basis_turn(const struct bs_basis *basis, bool inverse, float *x, int length, float *room)
{
    int n = basis->width;
    if (basis->kind == BS_HADAMARD) {
        if (!inverse)
            multiply(basis->values, x, n, length);
        bs_hadamard(x, n, length);
        if (inverse)
            multiply(basis->values, x, n, length);
        return;
    }
    assert(basis->kind == BS_MATRIX);
    if (inverse)
        bs_gemm_tn(n, length, n, 1, basis->values, n, x, length, 0, room, length);
    else
        bs_gemm_nn(n, length, n, 1, basis->values, n, x, length, 0, room, length);
    memcpy(x, room, (size_t)n * (size_t)length * sizeof *x);
}

/* Turns channels first to first + count - 1, each `length` values. */
static void turn_all(const struct bs_basis *basis, bool inverse, float *x, int count, int length,
                     float *room)
{
    for (int i = 0; i < count; i += basis->width)
        bs_basis_turn(basis, inverse, x + (size_t)i * (size_t)length, length, room);
}

void bs_bases_apply(const struct bs_bases *bases, float *x, int rows, float *room)
{
    size_t channels = (size_t)bases->channels;
    for (int t = 0; t < rows; t++)
        for (int k = 0; k < bases->count; k++) {
            const struct bs_basis *basis = &bases->list[k];
            float *row = x + (size_t)t * channels;
            if (basis->kind == BS_DIAGONAL)
                divide(basis->values, row, bases->channels);
            else
                turn_all(basis, false, row, bases->channels, 1, room);
        }
}

void bs_bases_undo_rows(const struct bs_bases *bases, float *w, int first, int count, int length,
                        float *room)
{
    for (int k = bases->count - 1; k >= 0; k--) {
        const struct bs_basis *basis = &bases->list[k];
        if (basis->kind == BS_DIAGONAL)
            multiply(basis->values + first, w, count, length);
        else
            turn_all(basis, true, w, count, length, room);
    }
}

void bs_bases_undo(const struct bs_bases *bases, float *x, int rows, float *room)
{
    for (int t = 0; t < rows; t++)
        bs_bases_undo_rows(bases, x + (size_t)t * (size_t)bases->channels, 0, bases->channels, 1,
                           room);
}

/* Of a turn the transpose is the inverse; a diagonal is its own. */
void bs_bases_transpose(const struct bs_bases *bases, float *x, int rows, float *room)
{
    size_t channels = (size_t)bases->channels;
    for (int t = 0; t < rows; t++)
        for (int k = bases->count - 1; k >= 0; k--) {
            const struct bs_basis *basis = &bases->list[k];
            float *row = x + (size_t)t * channels;
            if (basis->kind == BS_DIAGONAL)
                divide(basis->values, row, bases->channels);
            else
                turn_all(basis, true, row, bases->channels, 1, room);
        }
}

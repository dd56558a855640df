#include "eval/model/basis.h"

#include <assert.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/hadamard.h"

static size_t values_of(const struct bs_basis *basis)
{
    size_t width = (size_t)basis->width;
    return basis->kind == BS_CENTRE ? 0 : basis->kind == BS_MATRIX ? width * width : width;
}

bool bs_basis_turns(const struct bs_basis *basis)
{
    return basis->kind == BS_HADAMARD || basis->kind == BS_MATRIX;
}

int bs_basis_span(const struct bs_basis *basis) { return basis->width * basis->apart; }

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
    bases->list[0] = (struct bs_basis){BS_DIAGONAL, channels, 1, ones};
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

enum bs_status bs_basis_copy(struct bs_basis *to, const struct bs_basis *from, struct bs_error *err)
{
    size_t values = values_of(from);
    float *copy = values ? bs_alloc(values, sizeof *copy) : NULL;
    if (values && !copy)
        return bs_fail_memory(err);
    if (values)
        memcpy(copy, from->values, values * sizeof *copy);
    *to = *from;
    to->values = copy;
    return BS_OK;
}

/* Adds a copy as it is. */
static enum bs_status append(struct bs_bases *bases, const struct bs_basis *basis,
                             struct bs_error *err)
{
    size_t count = (size_t)bases->count;
    struct bs_basis *list = bs_realloc(bases->list, count, count + 1, sizeof *list);
    if (!list)
        return bs_fail_memory(err);
    bases->list = list;
    if (bs_basis_copy(&list[bases->count], basis, err))
        return err->status;
    bases->count++;
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
    assert(bases->channels % bs_basis_span(basis) == 0);
    assert(bs_basis_turns(basis) || bs_basis_span(basis) == bases->channels);
    if (basis->kind != BS_DIAGONAL || last->kind != BS_DIAGONAL)
        return append(bases, basis, err);
    for (int j = 0; j < bases->channels; j++)
        last->values[j] *= basis->values[j];
    return BS_OK;
}

bool bs_bases_diagonal(const struct bs_bases *bases) { return bases->count == 1; }

bool bs_bases_centre(const struct bs_bases *bases)
{
    bool any = false;
    for (int k = 0; k < bases->count; k++)
        any |= bases->list[k].kind == BS_CENTRE;
    return any;
}

bool bs_bases_equal(const struct bs_bases *a, const struct bs_bases *b)
{
    bool equal = a->channels == b->channels && a->count == b->count;
    for (int k = 0; k < a->count && equal; k++) {
        const struct bs_basis *x = &a->list[k], *y = &b->list[k];
        size_t bytes = values_of(x) * sizeof(float);
        equal = x->kind == y->kind && x->width == y->width && x->apart == y->apart &&
                (!bytes || !memcmp(x->values, y->values, bytes));
    }
    return equal;
}

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
        if (bs_basis_turns(&bases->list[k]))
            span = common_multiple(span, bs_basis_span(&bases->list[k]));
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

/* Subtracts what a change does, or with factor -1 adds it. */
static void shift(const float *values, float factor, float *x, int count)
{
    for (int i = 0; i < count; i++)
        x[i] -= factor * values[i];
}

static void centre(float *x, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += (double)x[i];
    float mean = (float)(sum / count);
    for (int i = 0; i < count; i++)
        x[i] -= mean;
}

void bs_basis_turn(const struct bs_basis *basis, bool inverse, float *x, int length, float *room)
{
    int n = basis->width, each = basis->apart * length;
    if (basis->kind == BS_HADAMARD) {
        if (!inverse)
            multiply(basis->values, x, n, each);
        if (inverse)
            bs_hadamard_back(x, n, each);
        else
            bs_hadamard(x, n, each);
        if (inverse)
            multiply(basis->values, x, n, each);
        return;
    }
    assert(basis->kind == BS_MATRIX);
    if (inverse)
        bs_gemm_tn(n, each, n, 1, basis->values, n, x, each, 0, room, each);
    else
        bs_gemm_nn(n, each, n, 1, basis->values, n, x, each, 0, room, each);
    memcpy(x, room, (size_t)n * (size_t)each * sizeof *x);
}

/* Turns channels first to first + count - 1, each `length` values. */
static void turn_all(const struct bs_basis *basis, bool inverse, float *x, int count, int length,
                     float *room)
{
    for (int i = 0; i < count; i += bs_basis_span(basis))
        bs_basis_turn(basis, inverse, x + (size_t)i * (size_t)length, length, room);
}

static void apply(const struct bs_basis *basis, float *row, int channels, float *room)
{
    switch (basis->kind) {
    case BS_DIAGONAL:
        divide(basis->values, row, channels);
        break;
    case BS_SHIFT:
        shift(basis->values, 1, row, channels);
        break;
    case BS_CENTRE:
        centre(row, channels);
        break;
    default:
        turn_all(basis, false, row, channels, 1, room);
    }
}

void bs_bases_apply(const struct bs_bases *bases, float *x, int rows, float *room)
{
    for (int t = 0; t < rows; t++)
        for (int k = 0; k < bases->count; k++)
            apply(&bases->list[k], x + (size_t)t * (size_t)bases->channels, bases->channels, room);
}

void bs_bases_undo_rows(const struct bs_bases *bases, float *w, int first, int count, int length,
                        float *room)
{
    for (int k = bases->count - 1; k >= 0; k--) {
        const struct bs_basis *basis = &bases->list[k];
        if (basis->kind == BS_DIAGONAL)
            multiply(basis->values + first, w, count, length);
        else if (bs_basis_turns(basis))
            turn_all(basis, true, w, count, length, room);
    }
}

void bs_bases_undo(const struct bs_bases *bases, float *x, int rows, float *room)
{
    for (int t = 0; t < rows; t++)
        for (int k = bases->count - 1; k >= 0; k--) {
            const struct bs_basis *basis = &bases->list[k];
            float *row = x + (size_t)t * (size_t)bases->channels;
            if (basis->kind == BS_DIAGONAL)
                multiply(basis->values, row, bases->channels, 1);
            else if (basis->kind == BS_SHIFT)
                shift(basis->values, -1, row, bases->channels);
            else if (bs_basis_turns(basis))
                turn_all(basis, true, row, bases->channels, 1, room);
        }
}

/* Of a turn the transpose is the inverse; a diagonal is its own. */
void bs_bases_transpose(const struct bs_bases *bases, float *x, int rows, float *room)
{
    for (int t = 0; t < rows; t++)
        for (int k = bases->count - 1; k >= 0; k--) {
            const struct bs_basis *basis = &bases->list[k];
            float *row = x + (size_t)t * (size_t)bases->channels;
            if (basis->kind == BS_DIAGONAL)
                divide(basis->values, row, bases->channels);
            else if (bs_basis_turns(basis))
                turn_all(basis, true, row, bases->channels, 1, room);
        }
}

void bs_bases_read(const struct bs_bases *bases, float *w, int rows, float *room)
{
    for (int i = 0; i < rows; i++)
        for (int k = 0; k < bases->count; k++) {
            const struct bs_basis *basis = &bases->list[k];
            float *row = w + (size_t)i * (size_t)bases->channels;
            if (basis->kind == BS_DIAGONAL)
                multiply(basis->values, row, bases->channels, 1);
            else if (bs_basis_turns(basis))
                turn_all(basis, false, row, bases->channels, 1, room);
        }
}

#include "algorithms/incoherence.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/data/random.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/orthogonal.h"

enum { COLUMNS = 64 };

/* n = p q: prime factors in ascending order go to one and the other in turn. */
static void split(int n, int factors[2])
{
    int turn = 0;
    factors[0] = factors[1] = 1;
    for (int prime = 2; n > 1; prime++) {
        if (prime * prime > n)
            prime = n;
        for (; n % prime == 0; n /= prime, turn ^= 1)
            factors[turn] *= prime;
    }
}

/* How many matrices there are of one factor. */
static int count_of(const struct bs_projector *p, int k)
{
    return p->same ? 1 : p->n / p->factors[k];
}

/* A rotation, uniform among all. */
static enum bs_status draw_block(struct bs_random *random, int size, double *room, float *block,
                                 struct bs_error *err)
{
    size_t count = (size_t)size * (size_t)size, last = count - (size_t)size;
    int determinant;
    bs_random_normals(random, count, room);
    if (bs_orthogonalise(room, size, &determinant, err))
        return err->status;
    for (size_t i = 0; i < count; i++)
        block[i] = (float)(i >= last && determinant < 0 ? -room[i] : room[i]);
    return BS_OK;
}

static enum bs_status draw_blocks(struct bs_projector *p, int k, struct bs_random *random,
                                  struct bs_error *err)
{
    int size = p->factors[k];
    size_t count = (size_t)size * (size_t)size;
    if (size == 1)
        return BS_OK;
    double *room = bs_alloc(count, sizeof *room);
    p->blocks[k] = bs_alloc((size_t)count_of(p, k) * count, sizeof(float));
    enum bs_status status = room && p->blocks[k] ? BS_OK : bs_fail_memory(err);
    for (int b = 0; b < count_of(p, k) && !status; b++)
        status = draw_block(random, size, room, p->blocks[k] + (size_t)b * count, err);
    bs_free(room);
    return status;
}

static enum bs_status draw_order(int n, struct bs_random *random, int **order, struct bs_error *err)
{
    int *drawn = *order = bs_alloc((size_t)n, sizeof *drawn);
    if (!drawn)
        return bs_fail_memory(err);
    for (int i = 0; i < n; i++)
        drawn[i] = i;
    for (int i = n - 1; i > 0; i--) { /* Fisher and Yates */
        int j = (int)bs_random_int(random, 0, i), moved = drawn[i];
        drawn[i] = drawn[j];
        drawn[j] = moved;
    }
    return BS_OK;
}

enum bs_status bs_projector_init(struct bs_projector *projector, enum bs_projection how, int n,
                                 uint32_t seed, struct bs_error *err)
{
    struct bs_random random;
    *projector = (struct bs_projector){.n = n, .same = how == BS_PROJECT_KRONECKER};
    split(n, projector->factors);
    bs_random_seed_torch(&random, seed);
    for (int k = 0; k < 2 && how != BS_PROJECT_NOT; k++)
        if (draw_blocks(projector, k, &random, err))
            return err->status;
    for (int k = 0; k < 2 && how != BS_PROJECT_NOT && how != BS_PROJECT_UNPERMUTED; k++)
        if (draw_order(n, &random, &projector->orders[k], err))
            return err->status;
    return BS_OK;
}

void bs_projector_release(struct bs_projector *projector)
{
    for (int k = 0; k < 2; k++) {
        bs_free(projector->orders[k]);
        bs_free(projector->blocks[k]);
    }
    *projector = (struct bs_projector){.n = 0};
}

/* Some columns of x on their way. */
struct projecting {
    const struct bs_projector *projector;
    bool transposed;
    float *x;
    int length;
    float *room; /* [threads][2][n][COLUMNS] */
};

/* to [n][columns] = the factor's matrices times `from`. The channels of the first factor's blocks
 * are as many apart as the second one is large. */
static void mix(const struct projecting *at, int k, const float *from, float *to, int columns)
{
    const struct bs_projector *p = at->projector;
    int size = p->factors[k], apart = k ? 1 : p->factors[1];
    size_t count = (size_t)size * (size_t)size;
    for (int b = 0; b < p->n / size; b++) {
        const float *block = p->blocks[k] + (p->same ? 0 : (size_t)b * count);
        size_t first = (size_t)(k ? b * size : b) * (size_t)columns;
        if (at->transposed)
            bs_gemm_tn(size, columns, size, 1, block, size, from + first, apart * columns, 0,
                       to + first, apart * columns);
        else
            bs_gemm_nn(size, columns, size, 1, block, size, from + first, apart * columns, 0,
                       to + first, apart * columns);
    }
}

/* Columns first to first + columns - 1 of row i of x. */
static float *row_of(const struct projecting *at, int i, int first)
{
    return at->x + (size_t)i * (size_t)at->length + first;
}

/* Where channel i is taken from at the end of the matrix that comes first (end 0), and where it
 * goes to at the other: their orders say where each is taken from, and so the transposed matrix
 * the other way round. */
static int place_of(const struct projecting *at, int end, int i)
{
    const int *order = at->projector->orders[at->transposed ? 1 - end : end];
    return order ? order[i] : i;
}

static enum bs_status project_columns(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    const struct projecting *at = context;
    const struct bs_projector *p = at->projector;
    int first = index * COLUMNS, rest = at->length - first;
    int columns = rest < COLUMNS ? rest : COLUMNS;
    size_t bytes = (size_t)columns * sizeof(float), size = (size_t)p->n * COLUMNS;
    float *from = at->room + (size_t)thread * 2 * size, *to = from + size;
    for (int i = 0; i < p->n; i++) {
        int taken = at->transposed ? i : place_of(at, 0, i);
        int put = at->transposed ? place_of(at, 0, i) : i;
        memcpy(from + (size_t)put * (size_t)columns, row_of(at, taken, first), bytes);
    }
    for (int turn = 0; turn < 2; turn++) {
        int k = at->transposed ? 1 - turn : turn;
        if (!p->blocks[k])
            continue;
        mix(at, k, from, to, columns);
        float *mixed = to;
        to = from;
        from = mixed;
    }
    for (int i = 0; i < p->n; i++) {
        int taken = at->transposed ? i : place_of(at, 1, i);
        int put = at->transposed ? place_of(at, 1, i) : i;
        memcpy(row_of(at, put, first), from + (size_t)taken * (size_t)columns, bytes);
    }
    return BS_OK;
}

static bool is_unit(const struct bs_projector *p)
{
    return !p->blocks[0] && !p->blocks[1] && !p->orders[0] && !p->orders[1];
}

enum bs_status bs_project(const struct bs_projector *projector, bool transposed, float *x,
                          int length, struct bs_error *err)
{
    struct projecting at = {projector, transposed, x, length, NULL};
    if (is_unit(projector))
        return BS_OK;
    at.room = bs_alloc((size_t)bs_threads() * 2 * COLUMNS, (size_t)projector->n * sizeof *at.room);
    if (!at.room)
        return bs_fail_memory(err);
    enum bs_status status =
        bs_parallel((length + COLUMNS - 1) / COLUMNS, project_columns, &at, err);
    bs_free(at.room);
    return status;
}

double bs_projector_floats(enum bs_projection how, int n)
{
    int factors[2];
    if (how == BS_PROJECT_NOT)
        return 0;
    split(n, factors);
    double larger = factors[0] > factors[1] ? factors[0] : factors[1];
    double blocks = how == BS_PROJECT_KRONECKER
                        ? (double)factors[0] * factors[0] + (double)factors[1] * factors[1]
                        : (double)n * (factors[0] + factors[1]);
    double drawing =
        (double)larger * larger * 2 + bs_orthogonalise_bytes((int)larger) / sizeof(float);
    double applying = (double)bs_threads() * 2 * COLUMNS * n;
    return 2 * (double)n + blocks + (drawing > applying ? drawing : applying);
}

double bs_project_flops(enum bs_projection how, int n)
{
    int factors[2];
    split(n, factors);
    return how == BS_PROJECT_NOT ? 0 : 2.0 * n * (factors[0] + factors[1]);
}

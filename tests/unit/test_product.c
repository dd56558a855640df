/* Products have the bits that their contract's order of sums gives, at every level that the
 * machine has: against one loop that sums in that order with the C library's fmaf. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/isa.h"
#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/linalg/product.h"
#include "tests/support/random_block.h"

/* A product, and the strides beyond the rows' lengths. */
struct asked {
    bool transpose_a, transpose_b;
    int m, n, k;
    int more_a, more_b, more_c;
    float alpha, beta;
};

/* What surrounds C must stay as it is. */
enum { ROOM = 700000 };
static float a[ROOM], b[ROOM], before[ROOM], want[ROOM], got[ROOM];

static int lda_of(const struct asked *q) { return (q->transpose_a ? q->m : q->k) + q->more_a; }
static int ldb_of(const struct asked *q) { return (q->transpose_b ? q->k : q->n) + q->more_b; }

static float by_contract(const struct asked *q, int i, int j, float c)
{
    int lda = lda_of(q), ldb = ldb_of(q);
    if (!q->k)
        return q->beta == 0 ? 0 : q->beta * c;
    for (int first = 0; first < q->k; first += BS_PRODUCT_BLOCK) {
        float s = 0;
        for (int p = first; p < q->k && p < first + BS_PRODUCT_BLOCK; p++)
            s = fmaf(q->transpose_a ? a[p * lda + i] : a[i * lda + p],
                     q->transpose_b ? b[j * ldb + p] : b[p * ldb + j], s);
        if (first)
            c = fmaf(q->alpha, s, c);
        else
            c = q->beta == 0 ? q->alpha * s : fmaf(q->alpha, s, q->beta * c);
    }
    return c;
}

static void assert_same_bits(const float *x, const float *y, size_t count, const struct asked *q,
                             const char *how)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&x[i], &y[i], sizeof *x) && !(isnan(x[i]) && isnan(y[i])))
            fail_msg("%s at %s, %d x %d x %d, forms %d %d, alpha %g, beta %g: element %zu is %.9g, "
                     "by the contract %.9g",
                     how, bs_isa_name(bs_isa()), q->m, q->n, q->k, q->transpose_a, q->transpose_b,
                     (double)q->alpha, (double)q->beta, i, (double)x[i], (double)y[i]);
}

static void check_panels(const struct asked *q, size_t size, int ldc)
{
    struct bs_error err;
    struct bs_panels *panels;
    assert_int_equal(bs_panels_create(q->n, q->k, b, &panels, &err), BS_OK);
    memcpy(got, before, size * sizeof *got);
    bs_product_panels(q->m, a, lda_of(q), panels, got, ldc);
    assert_same_bits(got, want, size, q, "a product with panels");
    bs_panels_free(panels);
}

/* At every level, and packed too where it can be. */
static void check(const struct asked *q)
{
    int ldc = q->n + q->more_c;
    size_t size = (size_t)(q->m + 1) * (size_t)ldc;
    assert_true(size <= ROOM && (q->m + q->k + 1) * lda_of(q) <= 2 * ROOM);
    memcpy(want, before, size * sizeof *want);
    for (int i = 0; i < q->m; i++)
        for (int j = 0; j < q->n; j++)
            want[i * ldc + j] = by_contract(q, i, j, want[i * ldc + j]);
    enum bs_isa best = bs_isa();
    for (int level = 0; level < BS_NUM_ISA && bs_isa_use((enum bs_isa)level); level++) {
        memcpy(got, before, size * sizeof *got);
        bs_product(q->transpose_a, q->transpose_b, q->m, q->n, q->k, q->alpha, a, lda_of(q), b,
                   ldb_of(q), q->beta, got, ldc);
        assert_same_bits(got, want, size, q, "a product");
        if (!q->transpose_a && q->transpose_b && !q->more_b && q->alpha == 1 && q->beta == 0)
            check_panels(q, size, ldc);
    }
    bs_isa_use(best);
}

static void check_forms(struct asked q)
{
    for (int form = 0; form < 4; form++) {
        q.transpose_a = form & 1;
        q.transpose_b = form & 2;
        check(&q);
    }
}

static int fill(void **state)
{
    (void)state;
    random_fill(a, ROOM, 1, 1);
    random_fill(b, ROOM, 1, 2);
    random_fill(before, ROOM, 3, 3);
    return 0;
}

static void every_small_shape(void **state)
{
    (void)state;
    enum { MOST = 40 };
    for (int m = 1; m <= MOST; m++)
        for (int n = 1; n <= MOST; n++) {
            int k = 1 + (m * 7 + n * 11) % MOST;
            check_forms((struct asked){.m = m, .n = n, .k = k, .alpha = 1});
        }
}

static void alpha_beta_and_strides(void **state)
{
    (void)state;
    static const float alphas[] = {1, -1, 2, 0.3f, 0}, betas[] = {0, 1, -2, 0.7f};
    for (size_t x = 0; x < sizeof alphas / sizeof *alphas; x++)
        for (size_t y = 0; y < sizeof betas / sizeof *betas; y++) {
            struct asked q = {.m = 17, .n = 45, .k = 23, .alpha = alphas[x], .beta = betas[y]};
            q.more_a = (int)x, q.more_b = (int)y, q.more_c = 3;
            check_forms(q);
            q.k = 2 * BS_PRODUCT_BLOCK + 5;
            check_forms(q);
        }
}

/* Over the edges of blocks, of strips of rows, of panels; rows that are read where they stand, near
 * each other and far, and with strides that send all lines to one set of a cache. */
static void large_and_ragged_shapes(void **state)
{
    (void)state;
    static const struct asked list[] = {
        {.m = 529, .n = 33, .k = 260, .alpha = 1},
        {.m = 61, .n = 301, .k = 513, .alpha = 1, .beta = 1},
        {.m = 3, .n = 700, .k = 255, .alpha = 1},
        {.m = 200, .n = 1, .k = 256, .alpha = 1},
        {.m = 1, .n = 200, .k = 257, .alpha = 1},
        {.m = 30, .n = 64, .k = 300, .more_a = 1024 - 300, .more_b = 1024 - 64, .alpha = 1},
        {.m = 50, .n = 160, .k = 130, .more_a = 1024 - 130, .more_b = 2000 - 160, .alpha = 1},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        check_forms(list[i]);
}

static void without_steps_or_elements(void **state)
{
    (void)state;
    check_forms((struct asked){.m = 4, .n = 5, .alpha = 1});
    check_forms((struct asked){.m = 4, .n = 5, .alpha = 1, .beta = -2});
    check_forms((struct asked){.m = 0, .n = 5, .k = 3, .alpha = 1});
    check_forms((struct asked){.m = 4, .n = 0, .k = 3, .alpha = 1});
}

/* Numbers of all sizes, so that sums cancel, underflow and overflow. */
static void numbers_of_every_size(void **state)
{
    (void)state;
    uint64_t seed = 4;
    for (size_t i = 0; i < 20000; i++) {
        a[i] = ldexpf(random_normal(&seed), (int)(random_unit(&seed) * 150) - 100);
        b[i] = ldexpf(random_normal(&seed), (int)(random_unit(&seed) * 150) - 100);
        before[i] = ldexpf(random_normal(&seed), (int)(random_unit(&seed) * 240) - 140);
        if (i % 5 == 4) { /* nearly what cancels the step before, and halfway between floats */
            a[i] = -a[i - 1];
            b[i] = nextafterf(b[i - 1], i % 2 ? 0 : INFINITY);
        }
    }
    for (int k = 1; k <= 9; k++)
        for (int beta = 0; beta < 2; beta++)
            check_forms((struct asked){
                .m = 40, .n = 41, .k = k, .alpha = k % 2 ? 1 : 0x1.8p-20f, .beta = (float)beta});
    fill(state);
}

static void what_is_no_number_spreads_to_its_row_or_column_alone(void **state)
{
    (void)state;
    static const float strange[] = {NAN, INFINITY, -INFINITY};
    for (int s = 0; s < 3; s++)
        for (int at = 0; at < 3; at++) {
            float *to = at == 0 ? a : at == 1 ? b : before;
            to[37] = strange[s];
            check_forms((struct asked){.m = 20, .n = 35, .k = 19, .alpha = 1, .beta = 1});
            check_forms((struct asked){.m = 20, .n = 35, .k = 19, .alpha = 1});
            fill(state);
        }
}

struct shared {
    struct asked q;
    size_t size;
    float *results;
};

static enum bs_status multiply_again(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct shared *s = context;
    const struct asked *q = &s->q;
    bs_product(false, true, q->m, q->n, q->k, 1, a, q->k, b, q->k, 0,
               s->results + (size_t)index * s->size, q->n);
    return BS_OK;
}

static void threads_do_not_meet(void **state)
{
    (void)state;
    enum { TIMES = 16 };
    struct shared s = {.q = {.transpose_b = true, .m = 70, .n = 90, .k = 300, .alpha = 1}};
    struct bs_error err;
    s.size = (size_t)(s.q.m * s.q.n);
    s.results = bs_alloc(TIMES * s.size, sizeof *s.results);
    assert_non_null(s.results);
    bs_set_threads(4);
    assert_int_equal(bs_parallel(TIMES, multiply_again, &s, &err), BS_OK);
    bs_set_threads(0);
    check(&s.q);
    for (size_t i = 0; i < TIMES; i++)
        assert_memory_equal(s.results + i * s.size, want, s.size * sizeof *want);
    bs_free(s.results);
}

/* Products whose C no cache holds, against those of a few of their rows, whose C is small. */
static void what_no_cache_holds(void **state)
{
    (void)state;
    enum { M = 1025, N = 4100, K = 4 * BS_PRODUCT_BLOCK + 20, FEW = 205 };
    const size_t elements = (size_t)M * N;
    float *x = bs_alloc((size_t)M * K, sizeof *x), *y = bs_alloc((size_t)N * K, sizeof *y);
    float *large = bs_alloc(2 * elements, sizeof *large), *small = large + elements;
    struct bs_error err;
    struct bs_panels *panels;
    assert_true(x && y && large);
    for (size_t i = 0; i < (size_t)N * K; i++)
        y[i] = b[i % 65521]; /* a prime: no two rows are alike */
    for (size_t i = 0; i < (size_t)M * K; i++)
        x[i] = a[i % 65519];
    for (int beta = 0; beta < 2; beta++) {
        for (size_t i = 0; i < elements; i++)
            large[i] = small[i] = before[i % 65497];
        bs_product(false, true, M, N, K, 0.5f, x, K, y, K, (float)beta, large, N);
        for (int i = 0; i < M; i += FEW)
            bs_product(false, true, FEW, N, K, 0.5f, x + (size_t)i * K, K, y, K, (float)beta,
                       small + (size_t)i * N, N);
        assert_memory_equal(large, small, elements * sizeof *large);
    }
    assert_int_equal(bs_panels_create(N, K, y, &panels, &err), BS_OK);
    bs_product_panels(M, x, K, panels, large, N);
    for (int i = 0; i < M; i += FEW)
        bs_product_panels(FEW, x + (size_t)i * K, K, panels, small + (size_t)i * N, N);
    assert_memory_equal(large, small, elements * sizeof *large);
    bs_panels_free(panels);
    bs_free(x);
    bs_free(y);
    bs_free(large);
}

static void panels_need_memory(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_panels *panels;
    for (long n = 1; n <= 2; n++) {
        bs_alloc_fail_at(n);
        assert_int_equal(bs_panels_create(3, 4, b, &panels, &err), BS_ENOMEM);
        assert_null(panels);
    }
    bs_alloc_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_small_shape),
        cmocka_unit_test(alpha_beta_and_strides),
        cmocka_unit_test(large_and_ragged_shapes),
        cmocka_unit_test(without_steps_or_elements),
        cmocka_unit_test(numbers_of_every_size),
        cmocka_unit_test(what_is_no_number_spreads_to_its_row_or_column_alone),
        cmocka_unit_test(threads_do_not_meet),
        cmocka_unit_test(what_no_cache_holds),
        cmocka_unit_test(panels_need_memory),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}

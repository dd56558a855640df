/* Changes of basis: composed, taken back, and made at a site of a block with a record of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/linalg/hadamard.h"
#include "eval/run/layer_error.h"
#include "tests/support/close.h"
#include "tests/support/small_block.h"
#include "tests/support/values.h"

enum { CHANNELS = 24, ROWS = 3 };

/* Sylvester's: the sign is that of the ones that i and j have in common. */
static double hadamard(int n, int i, int j)
{
    return (__builtin_popcount((unsigned)(i & j)) % 2 ? -1 : 1) / sqrt(n);
}

static void a_hadamard_matrix_is_symmetric_and_its_own_inverse(void **state)
{
    (void)state;
    for (int n = 1; n <= 64; n *= 2)
        for (int length = 1; length <= 3; length++) {
            float x[64 * 3], was[64 * 3];
            assert_true(bs_hadamard_takes(n));
            random_fill(x, (size_t)(n * length), 1, (uint64_t)n);
            memcpy(was, x, sizeof was);
            bs_hadamard(x, n, length);
            for (int i = 0; i < n; i++)
                for (int l = 0; l < length; l++) {
                    double want = 0;
                    for (int j = 0; j < n; j++)
                        want += hadamard(n, i, j) * (double)was[j * length + l];
                    assert_close((double)x[i * length + l], want, 1e-5, 0);
                }
            bs_hadamard(x, n, length);
            for (int i = 0; i < n * length; i++)
                assert_close((double)x[i], (double)was[i], 1e-6, 0);
        }
    static const int others[] = {0, -2, 3, 18, 92};
    for (int k = 0; k < 5; k++)
        assert_false(bs_hadamard_takes(others[k]));
}

/* Of every size that has one the matrix is orthogonal with entries of one size, and is taken back
 * by its transpose; the cores are those of Paley and Williamson. */
static void cores_of_other_orders_are_orthogonal(void **state)
{
    (void)state;
    static const int sizes[] = {12, 20, 24, 28, 36, 40, 44, 52, 76, 80, 148, 156, 172, 344};
    static const int cores[] = {12, 20, 12, 28, 36, 40, 44, 52, 76, 40, 148, 156, 172, 172};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int n = sizes[s];
        float *h = bs_calloc((size_t)n * (size_t)n, sizeof *h);
        assert_int_equal(bs_hadamard_core(n), cores[s]);
        for (int i = 0; i < n; i++)
            h[i * n + i] = 1;
        bs_hadamard(h, n, n);
        for (int i = 0; i < n * n; i++)
            assert_close(fabs((double)h[i]), 1 / sqrt(n), 1e-6, 0);
        for (int i = 0; i < n; i += 7)
            for (int j = 0; j < n; j++) {
                double product = 0;
                for (int k = 0; k < n; k++)
                    product += (double)h[i * n + k] * (double)h[j * n + k];
                assert_close(product, i == j, 1e-5, 0);
            }
        bs_hadamard_back(h, n, n);
        for (int i = 0; i < n * n; i++)
            assert_close((double)h[i], i % (n + 1) == 0, 1e-5, 0);
        bs_free(h);
    }
}

/* The three kinds over CHANNELS: in the places where others would be. */
struct changes {
    float diagonal[CHANNELS], signs[8], matrix[12 * 12];
    struct bs_basis all[4];
};

/* A turn of 12 channels: rotations of pairs, one after the other. */
static void fill_matrix(float *matrix, uint64_t *seed)
{
    for (int i = 0; i < 12 * 12; i++)
        matrix[i] = i % 13 == 0;
    for (int k = 0; k < 60; k++) {
        int a = k % 12, b = (k * 5 + 1 + k / 12) % 12;
        double angle = 6 * (double)random_unit(seed);
        for (int j = 0; j < 12 && a != b; j++) {
            double x = (double)matrix[a * 12 + j], y = (double)matrix[b * 12 + j];
            matrix[a * 12 + j] = (float)(cos(angle) * x - sin(angle) * y);
            matrix[b * 12 + j] = (float)(sin(angle) * x + cos(angle) * y);
        }
    }
}

static void changes_init(struct changes *c)
{
    uint64_t seed = 3;
    for (int j = 0; j < CHANNELS; j++)
        c->diagonal[j] = 0.5f + random_unit(&seed);
    for (int j = 0; j < 8; j++)
        c->signs[j] = random_unit(&seed) < 0.5f ? -1 : 1;
    fill_matrix(c->matrix, &seed);
    c->all[0] = (struct bs_basis){BS_HADAMARD, 8, 1, c->signs};
    c->all[1] = (struct bs_basis){BS_DIAGONAL, CHANNELS, 1, c->diagonal};
    c->all[2] = (struct bs_basis){BS_MATRIX, 12, 1, c->matrix};
    c->all[3] = (struct bs_basis){BS_DIAGONAL, CHANNELS, 1, c->diagonal};
}

/* Element (i, j) of a change, by its definition. */
static double element(const struct bs_basis *b, int i, int j)
{
    int w = b->width;
    if (i / w != j / w)
        return 0;
    switch (b->kind) {
    case BS_DIAGONAL:
        return i == j ? 1 / (double)b->values[i] : 0;
    case BS_HADAMARD:
        return hadamard(w, i % w, j % w) * (double)b->values[j % w];
    default:
        return (double)b->values[i % w * w + j % w];
    }
}

/* T of all changes, the later ones to the left. */
static void product_of(const struct bs_basis *all, int count, double *t)
{
    static double next[CHANNELS * CHANNELS];
    for (int i = 0; i < CHANNELS * CHANNELS; i++)
        t[i] = i % (CHANNELS + 1) == 0;
    for (int k = 0; k < count; k++) {
        memset(next, 0, sizeof next);
        for (int i = 0; i < CHANNELS; i++)
            for (int l = 0; l < CHANNELS; l++)
                for (int j = 0; j < CHANNELS; j++)
                    next[i * CHANNELS + j] += element(&all[k], i, l) * t[l * CHANNELS + j];
        memcpy(t, next, sizeof next);
    }
}

static void changes_are_composed_and_taken_back(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_bases bases;
    struct changes changes;
    static double t[CHANNELS * CHANNELS];
    float x[ROWS * CHANNELS], y[ROWS * CHANNELS], room[CHANNELS * ROWS], w[CHANNELS * ROWS];
    changes_init(&changes);
    product_of(changes.all, 4, t);
    assert_int_equal(bs_bases_init(&bases, CHANNELS, &err), BS_OK);
    assert_true(bs_bases_diagonal(&bases) && bs_bases_span(&bases) == 1);
    for (int k = 0; k < 4; k++)
        assert_int_equal(bs_bases_add(&bases, &changes.all[k], &err), BS_OK);
    assert_false(bs_bases_diagonal(&bases));
    assert_int_equal(bs_bases_span(&bases), 24); /* of 8 and of 12 */
    random_fill(x, ROWS * CHANNELS, 1, 5);
    memcpy(y, x, sizeof y);
    bs_bases_apply(&bases, y, ROWS, room);
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < CHANNELS; i++) {
            double want = 0;
            for (int j = 0; j < CHANNELS; j++)
                want += t[i * CHANNELS + j] * (double)x[r * CHANNELS + j];
            assert_close((double)y[r * CHANNELS + i], want, 1e-5, 0);
        }
    bs_bases_undo(&bases, y, ROWS, room);
    for (int i = 0; i < ROWS * CHANNELS; i++)
        assert_close((double)y[i], (double)x[i], 1e-5, 0);
    bs_bases_transpose(&bases, y, ROWS, room);
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < CHANNELS; j++) {
            double want = 0;
            for (int i = 0; i < CHANNELS; i++)
                want += t[i * CHANNELS + j] * (double)x[r * CHANNELS + i];
            assert_close((double)y[r * CHANNELS + j], want, 1e-5, 0);
        }
    for (int i = 0; i < CHANNELS; i++) /* rows of T X^T */
        for (int r = 0; r < ROWS; r++) {
            double sum = 0;
            for (int j = 0; j < CHANNELS; j++)
                sum += t[i * CHANNELS + j] * (double)x[r * CHANNELS + j];
            w[i * ROWS + r] = (float)sum;
        }
    bs_bases_undo_rows(&bases, w, 0, CHANNELS, ROWS, room);
    for (int i = 0; i < CHANNELS; i++)
        for (int r = 0; r < ROWS; r++)
            assert_close((double)w[i * ROWS + r], (double)x[r * CHANNELS + i], 1e-5, 0);
    bs_bases_release(&bases);
}

static void diagonals_that_follow_one_another_are_one(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_bases bases, copy;
    struct changes changes;
    changes_init(&changes);
    assert_int_equal(bs_bases_init(&bases, CHANNELS, &err), BS_OK);
    assert_int_equal(bs_bases_init(&copy, CHANNELS, &err), BS_OK);
    for (int k = 0; k < 2; k++)
        assert_int_equal(bs_bases_add(&bases, &changes.all[1], &err), BS_OK);
    assert_true(bs_bases_diagonal(&bases));
    for (int j = 0; j < CHANNELS; j++)
        assert_true(bases.list[0].values[j] == changes.diagonal[j] * changes.diagonal[j]);
    assert_int_equal(bs_bases_add(&bases, &changes.all[0], &err), BS_OK);
    for (int k = 0; k < 2; k++) /* the second time there are others to let go of */
        assert_int_equal(bs_bases_copy(&copy, &bases, &err), BS_OK);
    assert_true(copy.count == 2 && copy.list[1].kind == BS_HADAMARD);
    assert_memory_equal(copy.list[0].values, bases.list[0].values, CHANNELS * sizeof(float));
    assert_memory_equal(copy.list[1].values, changes.signs, sizeof changes.signs);
    for (long n = 1; n <= 2; n++) {
        bs_alloc_fail_at(n);
        assert_int_equal(bs_bases_add(&bases, &changes.all[2], &err), BS_ENOMEM);
        bs_alloc_fail_at(n);
        assert_int_equal(bs_bases_copy(&copy, &bases, &err), BS_ENOMEM);
        bs_alloc_fail_at(0);
        assert_true(bases.count == 2 && bs_bases_diagonal(&copy) && copy.list[0].values[3] == 1);
    }
    bs_bases_release(&bases);
    bs_bases_release(&copy);
}

/* --- at a site of a block --- */

static struct bs_block turned;

static int site_called(const char *name)
{
    return bs_program_find(&random_.architecture.programs[0], name);
}

/* The largest of all figures that are zero where nothing was rounded. */
static double error_of(const struct bs_block *block, const char *linear, bool weights)
{
    struct bs_error err;
    struct bs_probe probe;
    struct bs_layer_row rows[BS_MAX_SLOTS];
    struct bs_layer_totals totals = {.weights = 0};
    const struct bs_stream *in = &random_.inputs;
    double most = 0;
    assert_int_equal(bs_probe_init(&probe, &random_.architecture, in->windows, in->tokens, &err),
                     BS_OK);
    assert_int_equal(bs_probe_fill(&probe, &random_.block, random_.rope, in, random_.scratch, &err),
                     BS_OK);
    assert_int_equal(
        bs_layer_errors(&random_.block, block, &probe, random_.scratch, rows, &totals, &err),
        BS_OK);
    for (int s = 0; s < random_.architecture.programs[0].num_slots; s++)
        if (!linear || strstr(rows[s].name, linear))
            most = fmax(most, weights ? sqrt(layer_value(&rows[s], "weight_mse"))
                                      : layer_value(&rows[s], "relative_output_error"));
    bs_probe_release(&probe);
    return most;
}

static void a_turn_of_values_keeps_the_function_and_its_record(void **state)
{
    (void)state;
    struct bs_error err;
    float signs[8] = {1, -1, -1, 1, 1, 1, -1, 1}, matrix[16];
    for (int i = 0; i < 16; i++)
        matrix[i] = (float)hadamard(4, i / 4, i % 4) * (i % 4 == 2 ? -1 : 1);
    const struct bs_basis turns[] = {{BS_HADAMARD, 8, 1, signs}, {BS_MATRIX, 4, 1, matrix}};
    assert_int_equal(random_.architecture.head_dim, 8);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(bs_block_copy(&turned, &random_.block, &err), BS_OK);
        for (int t = 0; t < 2; t++)
            if (k == t || k == 2)
                assert_int_equal(bs_block_turn(&turned, site_called("o_input"), &turns[t], &err),
                                 BS_OK);
        assert_false(same_block(&turned, &random_.block));
        assert_memory_not_equal(turned.linears[SLOT_O].weight, random_.block.linears[SLOT_O].weight,
                                64);
        assert_true(outputs_apart(&random_, &random_.block, &turned) < 1e-5);
        assert_true(error_of(&turned, NULL, false) < 1e-5 && error_of(&turned, NULL, true) < 1e-6);
        assert_true(bs_bases_span(&turned.linears[SLOT_O].in) == (k == 1 ? 4 : 8));
    }
    /* A factor on a norm beside it, and one after it, are of the same record. */
    float scale[64];
    for (int j = 0; j < 64; j++)
        scale[j] = 0.5f + 0.1f * (float)j;
    assert_int_equal(bs_block_fold(&turned, site_called("attn_input"), scale, &err), BS_OK);
    assert_int_equal(bs_block_fold(&turned, site_called("down_input"), scale, &err), BS_OK);
    assert_true(outputs_apart(&random_, &random_.block, &turned) < 1e-5);
    assert_true(error_of(&turned, NULL, false) < 1e-5 && error_of(&turned, NULL, true) < 1e-6);
    /* What then is rounded is an error, of the size that it has in the turned basis. */
    struct bs_linear *v = &turned.linears[SLOT_V];
    double sum = 0, count = (double)v->out_features * v->in_features;
    for (int i = 0; i < v->out_features * v->in_features; i++) {
        float rounded = rintf(v->weight[i] * 8) / 8;
        /* of the columns, which are scaled by the norm's factor */
        double change = (double)(rounded - v->weight[i]) / (double)scale[i % v->in_features];
        sum += change * change;
        v->weight[i] = rounded;
    }
    assert_close(error_of(&turned, "v_proj", true), sqrt(sum / count), 0, 1e-4);
    assert_true(error_of(&turned, "v_proj", false) > 0.01);
}

static void a_turn_that_would_change_the_function_is_refused(void **state)
{
    (void)state;
    struct bs_error err;
    float signs[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const struct bs_basis head = {BS_HADAMARD, 8, 1, signs}, two = {BS_HADAMARD, 16, 1, signs};
    static const char *const cases[][2] = {{"attn_input", "norm"},
                                           {"mlp_input", "norm"},
                                           {"down_input", "activate"},
                                           {"resid_mid", "not only linears read it"}};
    assert_int_equal(bs_block_copy(&turned, &random_.block, &err), BS_OK);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int site = site_called(cases[k][0]);
        assert_true(site >= 0);
        assert_int_equal(bs_block_turn(&turned, site, &head, &err), BS_EUNSUPPORTED);
        assert_ptr_equal(strstr(err.message, cases[k][0]), err.message);
        assert_non_null(strstr(err.message, cases[k][1]));
    }
    assert_int_equal(bs_block_turn(&turned, site_called("o_input"), &two, &err), BS_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "its heads have 8"));
    assert_true(same_block(&turned, &random_.block));
}

static void memory_may_run_out(void **state)
{
    (void)state;
    struct bs_error err;
    float signs[8] = {1, -1, 1, 1, -1, 1, 1, 1};
    const struct bs_basis turn = {BS_HADAMARD, 8, 1, signs};
    assert_int_equal(bs_block_copy(&turned, &random_.block, &err), BS_OK);
    for (long n = 1;; n++) {
        bs_alloc_fail_at(n);
        enum bs_status status = bs_block_turn(&turned, site_called("o_input"), &turn, &err);
        long made = bs_alloc_fail_at(0);
        if (!status) {
            assert_true(made < n && n > 4);
            break;
        }
        assert_int_equal(status, BS_ENOMEM);
        assert_true(same_block(&turned, &random_.block));
    }
}

static int teardown(void **state)
{
    bs_block_release(&turned);
    return small_block_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hadamard_matrix_is_symmetric_and_its_own_inverse),
        cmocka_unit_test(cores_of_other_orders_are_orthogonal),
        cmocka_unit_test(changes_are_composed_and_taken_back),
        cmocka_unit_test(diagonals_that_follow_one_another_are_one),
        cmocka_unit_test(a_turn_of_values_keeps_the_function_and_its_record),
        cmocka_unit_test(a_turn_that_would_change_the_function_is_refused),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, small_block_setup, teardown);
}

/* Products as llama.cpp makes them: the whole numbers of blocks of every type, inputs rounded as
 * ggml rounds them, and the same bits at every level of instructions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/isa.h"
#include "eval/base/mem.h"
#include "eval/linalg/bfloat16.h"
#include "eval/linalg/blas.h"
#include "eval/model/ggml.h"
#include "eval/quant/bits.h"
#include "tests/support/random_block.h"

enum { OUT = 19, IN = 512, ROWS = 11, MOST_BYTES = 256, TYPES = 64 };

static struct bs_error err;

/* A block of random bytes that decodes to numbers, none of them large. */
static void draw_block(const struct bs_gguf_type *type, uint64_t *seed, unsigned char *block)
{
    float values[BS_GGUF_MOST_VALUES];
    bool fine = false;
    while (!fine) {
        for (int i = 0; i < type->bytes; i++)
            block[i] = (unsigned char)(random_unit(seed) * 256);
        type->decode(block, values);
        fine = true;
        for (int j = 0; j < type->values; j++)
            fine &= fabsf(values[j]) < 1e6f;
    }
}

/* What the numbers say that value j is. */
static double value_of(const struct bs_gguf_product *product, const struct bs_gguf_numbers *n,
                       int j, double *size)
{
    double scaled = (double)n->scale[j / product->group] * n->levels[j];
    double least = product->minima  ? -(double)n->least * n->minima[j / BS_GGUF_MINIMA]
                   : product->least ? (double)n->least
                                    : 0;
    *size = fabs(scaled) + fabs(least);
    return scaled + least;
}

static void numbers_of_every_type_are_its_values(void **state)
{
    (void)state;
    int types = 0;
    for (uint32_t id = 0; id < TYPES; id++) {
        const struct bs_gguf_type *type = bs_gguf_type_find(id);
        const struct bs_gguf_product *product = bs_gguf_product_find(id);
        if (!product || !product->group) {
            assert_true(!type || !type->decode); /* all that are in blocks have a product */
            continue;
        }
        types++;
        uint64_t seed = id;
        for (int repeat = 0; repeat < 50; repeat++) {
            unsigned char block[MOST_BYTES];
            float values[BS_GGUF_MOST_VALUES];
            struct bs_gguf_numbers numbers;
            draw_block(type, &seed, block);
            type->decode(block, values);
            bs_gguf_numbers(type, product, block, &numbers);
            for (int j = 0; j < type->values; j++) {
                double size, want = value_of(product, &numbers, j, &size);
                if (fabs((double)values[j] - want) > 3e-7 * size)
                    fail_msg("%s, value %d: %g, expected %g", type->name, j, (double)values[j],
                             want);
            }
        }
    }
    assert_int_equal(types, 25);
}

/* --- products --- */

static unsigned char weights_[OUT][IN / 16 * 18];
static float x_[ROWS][IN];

static const unsigned char *row_of_weights(const void *context, int i, unsigned char *room)
{
    (void)context, (void)room;
    return weights_[i];
}

/* A block of inputs as ggml rounds it, and its total as Q8_1 has it. */
static void round_inputs(const float *x, int count, bool super, double *rounded, double *total)
{
    float most = 0, first = 0, sum = 0;
    for (int j = 0; j < count; j++)
        if (fabsf(x[j]) > most) {
            most = fabsf(x[j]);
            first = x[j];
        }
    float inverse = most > 0 ? (super ? -127 / first : 127 / most) : 0;
    float scale = super ? (most > 0 ? 1 / inverse : 0) : bs_half_value(bs_half_of(most / 127));
    for (int j = 0; j < count; j++) {
        float code = rintf(x[j] * inverse);
        code = code > 127 ? 127 : code;
        rounded[j] = (double)scale * (double)code;
        sum += code;
    }
    *total = (double)bs_half_value(bs_half_of(most / 127 * sum));
}

/* What a product is, in double precision, and the sum of sizes that its rounding is measured by. */
static double expected(const struct bs_gguf_type *type, const struct bs_gguf_product *product,
                       const unsigned char *row, const float *x, double *sizes)
{
    bool super = product->input == BS_GGUF_LONG;
    int block = super ? 256 : 32;
    double sum = 0, rounded[BS_GGUF_MOST_VALUES], total;
    struct bs_gguf_numbers n;
    *sizes = 0;
    for (int column = 0; column < IN; column++) {
        int j = column % type->values, at = column % block;
        if (!j)
            bs_gguf_numbers(type, product, row + column / type->values * type->bytes, &n);
        if (!at) {
            round_inputs(x + column, block, super, rounded, &total);
            sum += product->least ? (double)n.least * total : 0;
            *sizes += product->least ? fabs((double)n.least * total) : 0;
        }
        double size, weight = value_of(product, &n, j, &size);
        if (product->least)
            weight -= (double)n.least;
        sum += weight * rounded[at];
        *sizes += size * fabs(rounded[at]);
    }
    return sum;
}

static void check_type(const struct bs_gguf_type *type, enum bs_isa best,
                       struct bs_scratch *scratch)
{
    const struct bs_gguf_product *product = bs_gguf_product_find(type->id);
    const struct bs_ggml_rows rows = {type, OUT, IN, row_of_weights, NULL};
    uint64_t seed = type->id;
    for (int i = 0; i < OUT; i++)
        for (int b = 0; b < IN / type->values; b++)
            draw_block(type, &seed, weights_[i] + b * type->bytes);
    float first[ROWS][OUT + 1], y[ROWS][OUT + 1];
    struct bs_ggml_weights *weights;
    assert_int_equal(bs_ggml_blocks_create(&rows, &weights, &err), BS_OK);
    for (int level = 0; level <= (int)best; level++) {
        assert_true(bs_isa_use((enum bs_isa)level));
        memset(y, 0, sizeof y);
        bs_ggml_multiply(weights, x_[0], ROWS, y[0], OUT + 1, scratch);
        assert_int_equal(scratch->used, 0);
        if (!level)
            memcpy(first, y, sizeof y);
        assert_memory_equal(first, y, sizeof y); /* and nothing beside the outputs is written */
    }
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < OUT; i++) {
            double sizes, want = expected(type, product, weights_[i], x_[r], &sizes);
            if (fabs((double)y[r][i] - want) > 2e-6 * sizes)
                fail_msg("%s: %g, expected %g", type->name, (double)y[r][i], want);
        }
    bs_ggml_weights_free(weights);
}

static struct bs_scratch *scratch_of_product(void)
{
    struct bs_scratch *scratch = bs_scratch_create(1, bs_ggml_floats(OUT, IN));
    assert_non_null(scratch);
    random_fill(x_[0], ROWS * IN, 1, 7);
    memset(x_[2], 0, sizeof x_[2]);
    return scratch;
}

static void products_are_those_of_rounded_inputs(void **state)
{
    (void)state;
    enum bs_isa best = bs_isa();
    struct bs_scratch *scratch = scratch_of_product();
    for (uint32_t id = 0; id < TYPES; id++) {
        const struct bs_gguf_type *type = bs_gguf_type_find(id);
        if (type && type->decode)
            check_type(type, best, scratch);
    }
    assert_true(bs_isa_use(best));
    bs_scratch_free(scratch, 1);
}

static void plain_weights_round_inputs_to_their_own_type(void **state)
{
    (void)state;
    struct bs_scratch *scratch = scratch_of_product();
    static float weight[OUT * IN], x[ROWS][IN];
    random_fill(weight, OUT * IN, 1, 3);
    for (int input = BS_GGUF_FLOAT; input <= BS_GGUF_BFLOAT16; input++) {
        float y[ROWS * OUT], want[ROWS * OUT];
        struct bs_ggml_weights *weights;
        for (int i = 0; i < OUT * IN; i++) /* as such a file has them */
            weight[i] = bs_round_to_bfloat16(weight[i]);
        for (int i = 0; i < ROWS * IN; i++) {
            float value = x_[i / IN][i % IN];
            x[i / IN][i % IN] = input == BS_GGUF_HALF       ? bs_half_value(bs_half_of(value))
                                : input == BS_GGUF_BFLOAT16 ? bs_round_to_bfloat16(value)
                                                            : value;
        }
        assert_int_equal(
            bs_ggml_plain_create((enum bs_gguf_input)input, OUT, IN, weight, &weights, &err),
            BS_OK);
        bs_ggml_multiply(weights, x_[0], ROWS, y, OUT, scratch);
        bs_gemm_nt(ROWS, OUT, IN, 1, x[0], IN, weight, IN, 0, want, OUT);
        for (int i = 0; i < ROWS * OUT; i++)
            assert_true(fabsf(y[i] - want[i]) < 1e-4f);
        bs_ggml_weights_free(weights);
    }
    bs_scratch_free(scratch, 1);
}

/* A value that is not finite shows in every output of its row, and in no other's. */
static void what_is_not_finite_stays_so(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const uint32_t ids[] = {2, 3, 12, 14};
    struct bs_scratch *scratch = scratch_of_product();
    for (size_t k = 0; k < sizeof ids / sizeof *ids; k++)
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
            const struct bs_gguf_type *type = bs_gguf_type_find(ids[k]);
            const struct bs_ggml_rows rows = {type, OUT, IN, row_of_weights, NULL};
            uint64_t seed = k;
            for (int i = 0; i < OUT; i++)
                for (int j = 0; j < IN / type->values; j++)
                    draw_block(type, &seed, weights_[i] + j * type->bytes);
            float y[ROWS][OUT];
            struct bs_ggml_weights *weights;
            assert_int_equal(bs_ggml_blocks_create(&rows, &weights, &err), BS_OK);
            float kept = x_[3][300];
            x_[3][300] = bad[b];
            bs_ggml_multiply(weights, x_[0], ROWS, y[0], OUT, scratch);
            x_[3][300] = kept;
            for (int r = 0; r < ROWS; r++)
                for (int i = 0; i < OUT; i++)
                    assert_int_equal(isfinite(y[r][i]) != 0, r != 3);
            bs_ggml_weights_free(weights);
        }
    bs_scratch_free(scratch, 1);
}

int main(void)
{
    bs_blas_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_every_type_are_its_values),
        cmocka_unit_test(products_are_those_of_rounded_inputs),
        cmocka_unit_test(plain_weights_round_inputs_to_their_own_type),
        cmocka_unit_test(what_is_not_finite_stays_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The statistic deviation: a window and what it is in the unquantized model, side by side. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/linalg/blas.h"
#include "tests/support/close.h"
#include "tests/support/random_block.h"

static struct random_block random_;

static int tokens_in_all(void) { return random_.inputs.windows * random_.inputs.tokens; }

/* D of two runs of all inputs, in double. */
static double naive_deviation(const struct bs_statistics *of, const struct bs_statistics *beside,
                              int site, int i, int j)
{
    const float *x = bs_statistics_of(of, &bs_stat_inputs, site);
    const float *other = bs_statistics_of(beside, &bs_stat_inputs, site);
    int width = random_.architecture.programs[0].values[site].width;
    double sum = 0;
    for (int t = 0; t < tokens_in_all(); t++)
        sum += ((double)other[t * width + i] - (double)x[t * width + i]) * (double)x[t * width + j];
    return 2 * sum / random_.inputs.windows;
}

/* Other inputs, and a block of other weights. */
static void deviation_is_from_the_same_tokens_in_the_unquantized_model(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_block other = {.index = 0};
    struct bs_stream moved;
    const struct bs_stream *in = &random_.inputs;
    assert_int_equal(bs_stream_init(&moved, in->windows, in->tokens, in->width, &err), BS_OK);
    for (int i = 0; i < tokens_in_all() * moved.width; i++)
        moved.data[i] = in->data[i] + 0.1f * (float)(i % 11);
    assert_int_equal(bs_block_copy(&other, &random_.block, &err), BS_OK);
    for (int i = 0; i < 100; i++)
        other.linears[SLOT_V].weight[i] *= 2;
    struct bs_wanted wanted = {.architecture = &random_.architecture};
    bs_want(&wanted, &bs_stat_deviation, BS_EVERY_SITE, 0);
    bs_want(&wanted, &bs_stat_inputs, BS_EVERY_SITE, 0);
    struct bs_statistics here, there;
    struct bs_origin origin = {&other, &moved};
    assert_int_equal(bs_calibrate(&random_.block, random_.rope, &random_.inputs, &origin, &wanted,
                                  &here, NULL, random_.scratch, &err),
                     BS_OK);
    assert_int_equal(bs_calibrate(&other, random_.rope, &moved, NULL, &wanted, &there, NULL,
                                  random_.scratch, &err),
                     BS_OK);
    for (int k = 0; k < 4; k++) {
        int site = random_.architecture.programs[0].inputs[k],
            width = random_.architecture.programs[0].values[site].width;
        const float *d = bs_statistics_of(&here, &bs_stat_deviation, site);
        const float *none = bs_statistics_of(&there, &bs_stat_deviation, site);
        double size = fabs(naive_deviation(&here, &there, site, 0, 0)) + 1;
        for (int n = 0; n < width * width; n += 7) {
            assert_close((double)d[n], naive_deviation(&here, &there, site, n / width, n % width),
                         1e-4 * size, 1e-4);
            assert_true(none[n] == 0);
        }
    }
    bs_statistics_release(&here);
    bs_statistics_release(&there);
    bs_wanted_release(&wanted);
    bs_block_release(&other);
    bs_stream_release(&moved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deviation_is_from_the_same_tokens_in_the_unquantized_model),
    };
    bs_blas_init();
    random_block_init(&random_, &small_shape);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    random_block_release(&random_);
    return failed;
}

/* The range mse, of the integer format: the shrunk extremes with the least error. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/quant/codes.h"
#include "tests/support/close.h"
#include "tests/support/groups.h"

static double norm_of_error(struct bs_cell cell, const float *x, double norm)
{
    double sum = 0;
    for (int i = 0; i < COUNT; i++) {
        float value = bs_cell_decode(&cell, bs_cell_nearest(&cell, x[i]));
        sum += pow(fabs((double)value - (double)x[i]), norm);
    }
    return sum;
}

static const struct bs_setting *shrunk(const char *settings)
{
    char text[120];
    snprintf(text, sizeof text, "grid=gptq range=mse %s", settings);
    return weights_setting(text);
}

static void mse_range_is_the_best_of_the_shrunk_ones(void **state)
{
    (void)state;
    int better = 0;
    for (int bits = 2; bits <= 5; bits++)
        for (int symmetric = 0; symmetric < 2; symmetric++)
            for (int kind = 0; kind < 8; kind += 7) { /* plain, and with an outlier */
                const struct bs_setting *minmax = grid("gptq", bits, symmetric);
                char text[80];
                snprintf(text, sizeof text,
                         "bits=%d symmetric=%s range_grid=50 range_maxshrink=0.5", bits,
                         symmetric ? "true" : "false");
                const struct bs_setting *mse = shrunk(text);
                float x[COUNT], low = 0, high = 0;
                awkward_group(x, kind, (uint64_t)(bits + 10 * kind));
                for (int i = 0; i < COUNT; i++) {
                    low = fminf(low, x[i]);
                    high = fmaxf(high, x[i]);
                }
                double got = norm_of_error(cell_of_values(mse, x, COUNT), x, 2.4);
                for (int i = 0; i < 25; i++) {
                    /* both extremes times 1 - i / 50, up to half */
                    float p = (float)(1 - i / 50.0);
                    struct bs_cell tried = cell_between(minmax, p * low, p * high);
                    assert_true(got <= norm_of_error(tried, x, 2.4) * (1 + 1e-5));
                }
                double full = norm_of_error(cell_of_values(minmax, x, COUNT), x, 2.4);
                assert_true(got <= full * (1 + 1e-6));
                better += got < 0.99 * full;
            }
    assert_true(better >= 8);
}

static void mse_range_minimises_its_own_norm(void **state)
{
    (void)state;
    /* A high power looks at the largest error, a low one at all of them: the chosen ranges differ.
     */
    float x[COUNT];
    awkward_group(x, 7, 5);
    struct bs_cell few = cell_of_values(
        shrunk("bits=3 symmetric=false range_maxshrink=0.95 range_norm=0.5"), x, COUNT);
    struct bs_cell most = cell_of_values(
        shrunk("bits=3 symmetric=false range_maxshrink=0.95 range_norm=6"), x, COUNT);
    assert_true(few.scale < most.scale);
    assert_true(norm_of_error(few, x, 0.5) < norm_of_error(most, x, 0.5));
    assert_true(norm_of_error(most, x, 6) < norm_of_error(few, x, 6));
    /* nothing tried: minmax */
    struct bs_cell none =
        cell_of_values(shrunk("bits=3 symmetric=false range_maxshrink=0"), x, COUNT);
    assert_true(same_cell(none, cell_of_values(grid("gptq", 3, false), x, COUNT)));
}

/* Values whose largest one counts for nothing: where importance is looked at, the range is cut to
 * the rest of them. */
static void mse_range_counts_by_importance_where_it_is_asked_to(void **state)
{
    (void)state;
    float x[COUNT], importance[COUNT];
    awkward_group(x, 7, 6);
    for (int i = 0; i < COUNT; i++)
        importance[i] = i == COUNT / 2 ? 0 : 1;
    struct bs_sample sample = bs_sample_of(x, COUNT);
    float scales[2][2];
    for (int weighted = 0; weighted < 2; weighted++)
        for (int known = 0; known < 2; known++) {
            const struct bs_setting *setting =
                shrunk(weighted ? "bits=3 range_maxshrink=0.98 range_weighted=true"
                                : "bits=3 range_maxshrink=0.98");
            union {
                unsigned char bytes[BS_MOST_PARAM_BYTES];
                max_align_t align;
            } params;
            sample.importance = known ? importance : NULL;
            const struct bs_format *format = bs_format_of(setting);
            format->fit(setting->format.options, &setting->range, NULL, &sample, params.bytes);
            scales[weighted][known] =
                format->cell(setting->format.options, NULL, params.bytes, 0).scale;
        }
    assert_true(scales[0][0] == scales[0][1] && scales[0][0] == scales[1][0]);
    assert_true(scales[1][1] < 0.5f * scales[0][0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mse_range_is_the_best_of_the_shrunk_ones),
        cmocka_unit_test(mse_range_minimises_its_own_norm),
        cmocka_unit_test(mse_range_counts_by_importance_where_it_is_asked_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What becomes of the values of a site, against the authors' code of LLM.int8, KIVI and KVQuant
 * (tests/golden/sites.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/model/model.h"
#include "eval/quant/bits.h"
#include "eval/quant/values.h"
#include "tests/support/close.h"
#include "tests/support/fixed_numbers.h"
#include "tests/support/settings.h"

enum { TOKENS = 32, WIDTH = 64, HEADS = 4, OUT = 24, STEP = 29, COUNT = TOKENS * WIDTH };

static float inputs[COUNT], weights[OUT * WIDTH];

static float half(float x) { return bs_half_value(bs_half_of(x)); }

static int setup(void **state)
{
    (void)state;
    static float u[3 * COUNT + OUT * WIDTH];
    fixed_uniform(u, 3 * COUNT + OUT * WIDTH);
    for (int i = 0; i < COUNT; i++) {
        inputs[i] = (u[i] - u[COUNT + i]) * 4;
        inputs[i] *= i % WIDTH == 5 ? 3 : 1;
        inputs[i] = i % WIDTH == 40 ? inputs[i] * u[2 * COUNT + i] * 9 : inputs[i];
        inputs[i] = half(inputs[i]);
    }
    for (int i = 0; i < OUT * WIDTH; i++)
        weights[i] = half(u[3 * COUNT + i]);
    return 0;
}

/* Every so manieth of the values. Returns how many. */
static int compare(const float *x, const char *want, double absolute, double relative)
{
    int count = 0;
    for (char *end; *want; want = end, count++)
        assert_close((double)x[count * STEP], strtod(want, &end), absolute, relative);
    return count;
}

/* The library's CPU code multiplies by 6.200124e-05 in place of 1 / 127^2, its CUDA code by
 * 6.200012e-05: the products differ by that. */
static void assert_product(const float *x, const char *want)
{
    static float w[OUT * WIDTH], y[TOKENS * OUT];
    memcpy(w, weights, sizeof w);
    round_matrix(weights_setting("bits=8 group_size=channel grid=bitsandbytes"), w, OUT, WIDTH);
    struct bs_linear linear = {.out_features = OUT, .in_features = WIDTH, .weight = w};
    bs_linear_forward(&linear, x, y, OUT, TOKENS);
    assert_int_equal(compare(y, want, 1e-4, 3e-5), (TOKENS * OUT + STEP - 1) / STEP);
}

static void sites_are_the_authors(void **state)
{
    (void)state;
    json_error_t error;
    json_t *file = json_load_file("tests/golden/sites.json", 0, &error), *row;
    const json_t *rows = json_object_get(file, "rows");
    struct bs_scratch *scratch = bs_scratch_create(1, bs_values_floats(TOKENS, WIDTH));
    size_t index;
    assert_true(json_array_size(rows) > 40);
    json_array_foreach(rows, index, row)
    {
        static float x[COUNT];
        const struct bs_setting *setting =
            activations_setting(json_string_value(json_object_get(row, "settings")));
        const char *want = json_string_value(json_object_get(row, "values"));
        memcpy(x, inputs, sizeof x);
        bs_values_round(setting, NULL, bs_rounder_of(setting, 0),
                        &(struct bs_values){x, TOKENS, WIDTH, WIDTH, HEADS}, scratch);
        if (!strcmp(json_string_value(json_object_get(row, "what")), "product")) {
            assert_product(x, want);
            continue;
        }
        assert_int_equal(compare(x, want, 2e-6, 2e-6), (COUNT + STEP - 1) / STEP);
    }
    bs_scratch_free(scratch, 1);
    json_decref(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sites_are_the_authors)};
    return cmocka_run_group_tests(tests, setup, NULL);
}

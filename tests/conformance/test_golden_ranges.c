/* Ranges that watch batches, against the calibrators and observers of their authors
 * (tests/golden/ranges.py), to the bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/quant/format.h"
#include "tests/support/fixed_numbers.h"
#include "tests/support/settings.h"

enum { COUNT = 16 * 256, BATCHES = 4, TEXT = 160 };

static float batches[BATCHES][COUNT];

static int setup(void **state)
{
    (void)state;
    static float u[4][COUNT];
    fixed_uniform(u[0], 4 * COUNT);
    for (int i = 0; i < COUNT; i++) {
        batches[0][i] = u[0][i] + u[1][i] + u[2][i];
        batches[1][i] = u[1][i] * u[2][i] * 4;
        batches[2][i] = (u[0][i] - u[3][i]) * u[1][i] * 9;
        batches[3][i] = u[3][i];
    }
    return 0;
}

static float number(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text ? strtof(text, NULL) : 0;
}

static void ranges_are_the_authors(void **state)
{
    (void)state;
    json_error_t error;
    json_t *rows = json_load_file("tests/golden/ranges.json", 0, &error), *row;
    size_t index, wrong = 0;
    assert_true(json_array_size(rows) > 0);
    json_array_foreach(rows, index, row)
    {
        char text[TEXT];
        const char *settings = json_string_value(json_object_get(row, "settings"));
        snprintf(text, sizeof text, "bits=8 %s", settings);
        const struct bs_setting *setting = weights_setting(text);
        const struct bs_range *range = bs_setting_range(setting);
        int first = (int)json_integer_value(json_object_get(row, "first"));
        int count = (int)json_integer_value(json_object_get(row, "count"));
        void *seen = bs_calloc(range->watch_bytes(count), 1);
        for (int b = first; b < first + count; b++) {
            struct bs_sample batch = bs_sample_of(batches[b], COUNT);
            range->watch(seen, count, &batch);
        }
        float low = -100, high = 100;
        range->extremes(setting->range.options, seen, &low, &high);
        bool both = json_object_get(row, "low") != NULL;
        /* torch has a number of bins that grew at once in vectors, rounded as these are long. */
        bool equal = fabsf(high - number(row, "high")) <= 0x1p-23f * high;
        if (!equal || low != (both ? number(row, "low") : -high)) {
            print_error("%s of %d from %d: %.9g to %.9g, not %.9g\n", settings, count, first,
                        (double)low, (double)high, (double)number(row, "high"));
            wrong++;
        }
        bs_free(seen);
    }
    json_decref(rows);
    assert_int_equal(wrong, 0);
}

/* Of one batch a range finds in values what it finds when it watches them. */
static void a_weight_is_one_batch(void **state)
{
    (void)state;
    static const char *const names[] = {"percentile", "entropy", "histogram_mse", "histogram"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char text[TEXT];
        snprintf(text, sizeof text, "bits=8 grid=smoothquant range=%s", names[k]);
        const struct bs_setting *setting = weights_setting(text);
        const struct bs_range *range = bs_setting_range(setting);
        void *seen = bs_calloc(range->watch_bytes(1), 1);
        struct bs_sample batch = bs_sample_of(batches[1], COUNT);
        float low = -100, high = 100;
        range->watch(seen, 1, &batch);
        range->extremes(setting->range.options, seen, &low, &high);
        bs_free(seen);
        struct bs_cell cell = cell_of_values(setting, batches[1], COUNT);
        assert_true(cell.scale == fmaxf(-low, high) / 127);
        struct bs_cell whole =
            cell_of_values(weights_setting("bits=8 grid=smoothquant"), batches[1], COUNT);
        assert_true(k ? cell.scale <= whole.scale : cell.scale < whole.scale);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_the_authors),
        cmocka_unit_test(a_weight_is_one_batch),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

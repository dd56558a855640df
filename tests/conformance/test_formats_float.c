/* Floating-point, microscaling and NVFP4 formats against the libraries that define them
 * (tests/golden/formats_float.json, written by formats_float.py): fixed tensors and the first block
 * of the embedded model decode to the same bits, and the model with every format has the perplexity
 * that it has with the library's values in the place of its weights. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/run/walk.h"
#include "eval/tasks/uncertainty.h"
#include "tests/support/close.h"
#include "tests/support/recipes.h"
#include "tests/support/settings.h"
#include "tests/support/tiny_model.h"

enum { ROWS = 8, COLUMNS = 256, KINDS = 6 };

/* The sanitizers look for other things and take their time: some of the cases do. */
#ifdef __SANITIZE_ADDRESS__
enum { EVERY = 8, RIDERS = 2 };
#else
enum { EVERY = 1, RIDERS = 6 };
#endif

static json_t *golden;
static struct bs_model *model;
static struct bs_block block;
static float tensors[KINDS][ROWS][COLUMNS];

/* ---- the tensors of formats_float.py ---- */

static uint32_t draw(uint32_t *state)
{
    *state = 1664525 * *state + 1013904223;
    return *state >> 16;
}

static float gaussian(uint32_t *state)
{
    int sum = -12 * (1 << 15);
    for (int k = 0; k < 12; k++)
        sum += (int)draw(state);
    return (float)sum * 0x1p-16f;
}

static float of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float tie(uint32_t *state, int row, int column)
{
    int a = (int)draw(state), b = (int)draw(state);
    if (column == 0 && row % 2)
        return row == 1 ? 2688 : 448;
    return row % 2 == 0 ? (float)(a % 257 - 128) / 16 : ldexpf((float)(a % 127 - 63), b % 16 - 14);
}

static float element(int kind, uint32_t *state, int row, int column)
{
    if (kind == 3)
        return tie(state, row, column);
    if (kind < 3) {
        float value = gaussian(state);
        int extra = kind ? (int)draw(state) : 0;
        if (kind == 1)
            return extra % 16 ? value : ldexpf(value, 1 + extra / 16 % 6);
        return kind == 0 || (row && column / 16 % 3 && extra % 4 == 0) ? value : 0;
    }
    uint32_t sign = draw(state) % 2 << 31, a = draw(state), b = draw(state);
    return of_bits(kind == 4 ? sign | (64 + a % 128) << 23 | b << 7 : sign | b << a % 12);
}

/* Of float32 values in order, zeros without their sign. */
static uint32_t digest(const float *x, size_t count)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        float value = x[i] + 0.0f;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        bits = (bits ^ (uint32_t)i * 2654435761u) * 2246822519u;
        sum += (bits ^ bits >> 15) * 3266489917u;
    }
    return sum;
}

static void fill_tensors(void)
{
    for (int k = 0; k < KINDS; k++) {
        uint32_t state = (uint32_t)k + 1;
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < COLUMNS; j++)
                tensors[k][i][j] = element(k, &state, i, j);
    }
}

static const char *kind_name(int kind)
{
    return json_string_value(json_array_get(json_object_get(golden, "kinds"), (size_t)kind));
}

static const char *text_of(const json_t *of, const char *key)
{
    return json_string_value(json_object_get(of, key));
}

static int setup(void **state)
{
    (void)state;
    struct bs_error err;
    bs_blas_init();
    golden = json_load_file("tests/golden/formats_float.json", 0, NULL);
    if (!golden || bs_model_open("datasets/tiny", NULL, &model, &err) ||
        bs_block_load(model, 0, &block, &err))
        return -1;
    fill_tensors();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bs_block_release(&block);
    bs_model_free(model);
    json_decref(golden);
    return 0;
}

static void the_tensors_are_those_of_the_script(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < ROWS; i++) {
            const json_t *rows = json_object_get(json_object_get(golden, "tensors"), kind_name(k));
            assert_int_equal(digest(tensors[k][i], COLUMNS),
                             json_integer_value(json_array_get(rows, (size_t)i)));
        }
}

/* ---- decoded values ---- */

/* How many rows, or linears, of a case differ. */
static int compare(const json_t *entry, const char *of, const float *x, int rows, int columns,
                   int row, int64_t want)
{
    uint32_t got =
        digest(x + (size_t)row * (size_t)columns, (size_t)columns * (size_t)(rows ? 1 : 0));
    if (got == want)
        return 0;
    print_error("%s: %s, %s, row %d\n", text_of(entry, "library"), text_of(entry, "settings"), of,
                row);
    return 1;
}

static int compare_tensor(const json_t *entry, int kind, int *compared)
{
    float x[ROWS * COLUMNS];
    const json_t *rows = json_object_get(json_object_get(entry, "rows"), kind_name(kind));
    int apart = 0;
    if (!rows)
        return 0;
    memcpy(x, tensors[kind], sizeof x);
    round_matrix(weights_setting(text_of(entry, "settings")), x, ROWS, COLUMNS);
    for (int i = 0; i < ROWS; i++) {
        const json_t *want = json_array_get(rows, (size_t)i);
        if (json_is_null(want))
            continue;
        ++*compared;
        apart += compare(entry, kind_name(kind), x, ROWS, COLUMNS, i, json_integer_value(want));
    }
    return apart;
}

static void fixed_tensors_decode_as_the_libraries_have_it(void **state)
{
    (void)state;
    size_t index;
    json_t *entry;
    int apart = 0, compared = 0;
    json_array_foreach(json_object_get(golden, "cases"), index, entry)
    {
        for (int k = 0; k < KINDS; k++)
            apart += compare_tensor(entry, k, &compared);
    }
    print_message("%d rows compared, %d differ\n", compared, apart);
    assert_true(compared > 2000);
    assert_int_equal(apart, 0);
}

/* The linears of the block, by name. */
static const struct bs_linear *linear_at(size_t index)
{
    static const char *const names[] = {"down_proj", "gate_proj", "up_proj", "k_proj",
                                        "o_proj",    "q_proj",    "v_proj"};
    for (int s = 0; s < block.program->num_slots; s++)
        if (strstr(block.linears[s].name, names[index]))
            return &block.linears[s];
    fail();
    return NULL;
}

static int compare_linear(const json_t *entry, size_t index, int64_t want)
{
    const struct bs_linear *linear = linear_at(index);
    int out = linear->out_features, in = linear->in_features;
    size_t count = (size_t)out * (size_t)in;
    float *x = bs_alloc(count, sizeof *x);
    assert_non_null(x);
    memcpy(x, linear->weight, count * sizeof *x);
    round_matrix(weights_setting(text_of(entry, "settings")), x, out, in);
    int apart = compare(entry, linear->name, x, 1, (int)count, 0, want);
    bs_free(x);
    return apart;
}

static void weights_decode_as_the_libraries_have_it(void **state)
{
    (void)state;
    size_t index, k;
    json_t *entry, *want;
    int apart = 0, compared = 0;
    json_array_foreach(json_object_get(golden, "cases"), index, entry)
    {
        json_array_foreach(json_object_get(entry, "block"), k, want)
        {
            if (index % EVERY)
                continue;
            compared++;
            apart += compare_linear(entry, k, json_integer_value(want));
        }
    }
    print_message("%d linears compared, %d differ\n", compared, apart);
    assert_true(compared > 200 / EVERY);
    assert_int_equal(apart, 0);
}

/* Where casts saturate, overflow, underflow and tie, NaN and infinity included. */
static void single_values_are_cast_as_the_libraries_cast_them(void **state)
{
    (void)state;
    const json_t *special = json_object_get(golden, "special");
    const json_t *values = json_object_get(special, "values");
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(special, "casts"), index, entry)
    {
        const struct bs_setting *setting = weights_setting(text_of(entry, "settings"));
        for (size_t i = 0; i < json_array_size(values); i++) {
            const char *from = json_string_value(json_array_get(values, i));
            const char *to = json_string_value(json_array_get(json_object_get(entry, "values"), i));
            bool nan = !strcmp(from, "nan");
            float x = nan ? NAN : of_bits((uint32_t)strtoul(from, NULL, 16));
            struct bs_cell cell = cell_of_values(setting, &x, 1);
            float got = x;
            bs_cell_round(&cell, (struct bs_rounder){.mode = BS_NEAREST}, 0, &got, 1);
            if (nan ? !isnan(got) : !(got == of_bits((uint32_t)strtoul(to, NULL, 16))))
                fail_msg("%s: %g becomes %g, expected the bits %s", text_of(entry, "settings"),
                         (double)x, (double)got, to);
        }
    }
}

/* ---- perplexity ---- */

static void measure(const json_t *rows, size_t first, struct bs_windows *windows)
{
    struct bs_error err;
    struct bs_recipe recipes[RIDERS + 1];
    struct bs_variant variants[RIDERS + 1];
    size_t left = json_array_size(rows) - first, count = left < RIDERS ? left : RIDERS;
    memset(variants, 0, sizeof variants);
    bs_recipe_init(&recipes[0]);
    variants[0] = (struct bs_variant){.recipe = &recipes[0]};
    for (size_t i = 0; i < count; i++) {
        recipe_build(&recipes[i + 1], "rtn", text_of(json_array_get(rows, first + i), "settings"));
        variants[i + 1] = (struct bs_variant){.recipe = &recipes[i + 1], .wanted = {true}};
    }
    struct bs_walk walk = {
        .model = model, .calibration = windows, .num_texts = 1, .texts = windows};
    if (bs_walk_run(&walk, variants, (int)count + 1, &err))
        fail_msg("%s", err.message);
    struct bs_layout layout = {.windows = windows->windows,
                               .per_window = windows->tokens - 1,
                               .scored = windows->num_scored};
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(rows, first + i);
        double want = json_number_value(json_object_get(row, "perplexity"));
        double got =
            bs_perplexity_of(bs_figure_floats(&variants[i + 1].figures[0], BS_NLL), &layout).mean;
        print_message("%-60s %.6f, off %+.1e\n", text_of(row, "settings"), got, got / want - 1);
        assert_close(got, want, 0, 1e-6);
    }
    for (size_t i = 0; i <= count; i++) {
        bs_variant_release(&variants[i]);
        bs_recipe_release(&recipes[i]);
    }
}

static void perplexities_are_those_of_the_libraries_weights(void **state)
{
    (void)state;
    const json_t *perplexity = json_object_get(golden, "perplexity");
    const json_t *rows = json_object_get(perplexity, "rows");
    int count = (int)json_integer_value(json_object_get(perplexity, "windows"));
    int tokens = (int)json_integer_value(json_object_get(perplexity, "tokens"));
    struct bs_windows windows =
        tiny_model_windows("datasets/commons/evaluation.txt", count, tokens);
    assert_true(json_array_size(rows) >= 3);
    for (size_t first = 0; first < json_array_size(rows); first += (size_t)RIDERS * EVERY)
        measure(rows, first, &windows);
    bs_windows_release(&windows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tensors_are_those_of_the_script),
        cmocka_unit_test(fixed_tensors_decode_as_the_libraries_have_it),
        cmocka_unit_test(weights_decode_as_the_libraries_have_it),
        cmocka_unit_test(single_values_are_cast_as_the_libraries_cast_them),
        cmocka_unit_test(perplexities_are_those_of_the_libraries_weights),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

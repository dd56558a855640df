/* The formats of GGUF files against ggml's own encoders (tests/golden/formats_ggml.json, which says
 * how the tensors are made): the bytes of the file and the decoded values, with importance and
 * without, of fixed tensors and of the embedded model's weights. All are equal to the bit, at every
 * level of instructions, but for the sign of a zero. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <zlib.h>

#include "eval/base/isa.h"
#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/model/model.h"
#include "eval/quant/codes.h"
#include "eval/quant/values.h"
#include "tests/support/settings.h"

enum { ROWS = 6, COLUMNS = 768, MOST_COLUMNS = 768 };

static json_t *golden;

/* --- the inputs, as formats_ggml.py makes them --- */

static uint32_t next_of(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 40);
}

static float power(int exponent) { return ldexpf(1, exponent); }

static float value_of(const char *name, uint64_t *state, int i, int j)
{
    int64_t sum = -6 * (1 << 24);
    for (int k = 0; k < 12; k++)
        sum += next_of(state);
    int bits = (int)next_of(state);
    float plain = (float)(sum >> 4) * power(-24);
    if (!strcmp(name, "normal"))
        return plain;
    if (!strcmp(name, "heavy"))
        return plain * power(bits % 8 == 0 ? bits % 64 / 8 : 0);
    if (!strcmp(name, "zeros")) {
        bool empty = i == 1 || (i == 2 && j < 256) || (i == 3 && j / 32 % 2) || bits % 3 == 0;
        return empty ? 0 : plain;
    }
    if (!strcmp(name, "ties"))
        return (float)(bits % 17 - 8) * 0.25f;
    if (!strcmp(name, "one sign"))
        return (fabsf(plain) + 0.5f) * (i % 2 ? -1.0f : 1.0f);
    if (!strcmp(name, "extreme"))
        return plain * power(bits % 61 - 45);
    assert_string_equal(name, "tiny");
    return plain * power(-(40 + 15 * i));
}

static const char *const tensors[] = {"normal",  "heavy", "zeros",   "ties",
                                      "extreme", "tiny",  "one sign"};
enum { NUM_TENSORS = sizeof tensors / sizeof *tensors };

static void make_tensor(const char *name, float *x)
{
    uint64_t state = 0;
    for (size_t k = 0; k < NUM_TENSORS; k++)
        state = strcmp(name, tensors[k]) ? state : k + 1;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLUMNS; j++)
            x[i * COLUMNS + j] = value_of(name, &state, i, j);
}

static void make_importance(float *importance)
{
    uint64_t state = 99;
    for (int j = 0; j < MOST_COLUMNS; j++)
        importance[j] = j % 7 == 3 ? 0 : (float)(next_of(&state) / 256 + 1) * power(-16);
}

/* --- comparison --- */

static uint32_t crc_of(const void *bytes, size_t count)
{
    return (uint32_t)crc32(0, bytes, (uInt)count);
}

static uint32_t packed_crc(const struct bs_codes *codes)
{
    struct bs_error err;
    size_t bytes = (size_t)bs_codes_bits(codes) / 8;
    unsigned char *packed = bs_calloc(bytes, 1);
    struct bs_bits to = {.bytes = packed};
    assert_non_null(packed);
    assert_int_equal(bs_codes_pack(codes, &to, &err), BS_OK);
    assert_int_equal(to.at, 8 * bytes);
    uint32_t crc = crc_of(packed, bytes);
    bs_free(packed);
    return crc;
}

static void compare(const char *format, const char *tensor, const float *weight, int out, int in,
                    const float *importance, const json_t *want)
{
    struct bs_error err;
    struct bs_codes codes;
    char text[64];
    size_t count = (size_t)out * (size_t)in;
    snprintf(text, sizeof text, "format=%s importance=%s", format, importance ? "imatrix" : "none");
    float *decoded = bs_alloc(count, sizeof *decoded);
    assert_non_null(decoded);
    assert_int_equal(bs_codes_init(&codes, weights_setting(text), 0, out, in, &err), BS_OK);
    codes.importance = importance;
    assert_int_equal(bs_codes_round(&codes, weight, NULL, &err), BS_OK);
    bs_codes_decode(&codes, decoded);
    for (size_t i = 0; i < count; i++)
        decoded[i] = decoded[i] == 0 ? 0 : decoded[i];
    size_t at = importance ? 2 : 0;
    uint32_t bytes = (uint32_t)json_integer_value(json_array_get(want, at));
    uint32_t values = (uint32_t)json_integer_value(json_array_get(want, at + 1));
    if (packed_crc(&codes) != bytes || crc_of(decoded, count * sizeof *decoded) != values)
        fail_msg("%s of %s, %s importance, level %s", format, tensor,
                 importance ? "with" : "without", bs_isa_name(bs_isa()));
    bs_free(decoded);
    bs_codes_release(&codes);
}

static void compare_fixed(const char *name, const float *x, const float *importance)
{
    size_t k;
    json_t *row;
    json_array_foreach(json_object_get(golden, "rows"), k, row)
    {
        const char *format = json_string_value(json_object_get(row, "format"));
        const json_t *want = json_object_get(json_object_get(row, "tensors"), name);
        assert_non_null(want);
        compare(format, name, x, ROWS, COLUMNS, NULL, want);
        compare(format, name, x, ROWS, COLUMNS, importance, want);
    }
    assert_true(k >= 16);
}

static void fixed_tensors_are_encoded_as_by_ggml(void **state)
{
    (void)state;
    static float x[ROWS * COLUMNS];
    float importance[MOST_COLUMNS];
    enum bs_isa best = bs_isa();
    make_importance(importance);
    for (size_t t = 0; t < NUM_TENSORS; t++) {
        make_tensor(tensors[t], x);
        for (int level = 0; level < BS_NUM_ISA; level++)
            if (bs_isa_use((enum bs_isa)level))
                compare_fixed(tensors[t], x, importance);
        assert_true(bs_isa_use(best));
    }
}

static void values_are_those_printed_by_ggml(void **state)
{
    (void)state;
    static float normal[ROWS * COLUMNS], x[ROWS * COLUMNS];
    size_t k, j;
    json_t *row, *value;
    make_tensor("normal", normal);
    json_array_foreach(json_object_get(golden, "rows"), k, row)
    {
        char text[32];
        const char *format = json_string_value(json_object_get(row, "format"));
        snprintf(text, sizeof text, "format=%s", format);
        memcpy(x, normal, sizeof x);
        round_matrix(weights_setting(text), x, ROWS, COLUMNS);
        json_array_foreach(json_object_get(row, "printed"), j,
                           value) if ((double)x[j] != json_real_value(value))
            fail_msg("%s: value %zu is %.9g, expected %.9g", format, j, (double)x[j],
                     json_real_value(value));
        assert_true(j >= 256);
    }
}

static void compare_block(const struct bs_block *block, const json_t *row)
{
    float importance[MOST_COLUMNS];
    const char *format = json_string_value(json_object_get(row, "format")), *name;
    json_t *want;
    int compared = 0;
    make_importance(importance);
    json_object_foreach(json_object_get(row, "model"), name,
                        want) for (int s = 0; s < block->program->num_slots; s++)
    {
        const struct bs_linear *linear = &block->linears[s];
        char own[64];
        snprintf(own, sizeof own, "%d.%s", block->index, linear->name);
        if (strcmp(own, name))
            continue;
        compare(format, name, linear->weight, linear->out_features, linear->in_features, NULL,
                want);
        compare(format, name, linear->weight, linear->out_features, linear->in_features, importance,
                want);
        compared++;
    }
    assert_int_equal(compared, 3);
}

static void weights_of_the_model_are_encoded_as_by_ggml(void **state)
{
    (void)state;
    enum { LAYER = 3 };
    struct bs_error err;
    struct bs_model *model;
    struct bs_block block;
    size_t k;
    json_t *row;
    assert_int_equal(bs_model_open("datasets/tiny", NULL, &model, &err), BS_OK);
    assert_int_equal(bs_block_load(model, LAYER, &block, &err), BS_OK);
    json_array_foreach(json_object_get(golden, "rows"), k, row) compare_block(&block, row);
    bs_block_release(&block);
    bs_model_free(model);
}

static int setup(void **state)
{
    (void)state;
    bs_set_threads(1); /* the matrices are small */
    golden = json_load_file("tests/golden/formats_ggml.json", 0, NULL);
    return golden ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_tensors_are_encoded_as_by_ggml),
        cmocka_unit_test(values_are_those_printed_by_ggml),
        cmocka_unit_test(weights_of_the_model_are_encoded_as_by_ggml),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* Decoded values of number formats, to the bit, against the libraries of their authors
 * (tests/golden/formats.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <zlib.h>

#include "eval/base/mem.h"
#include "eval/model/model.h"
#include "tests/support/fixed_numbers.h"
#include "tests/support/settings.h"

enum { ROWS = 16, WIDTH = 256, COUNT = ROWS * WIDTH, LAYER = 2, TEXT = 256 };

static struct bs_model *embedded;
static struct bs_block block; /* of it */

static int setup(void **state)
{
    (void)state;
    struct bs_error err;
    return bs_model_open("datasets/tiny", NULL, &embedded, &err) ||
           bs_block_load(embedded, LAYER, &block, &err);
}

static int teardown(void **state)
{
    (void)state;
    bs_block_release(&block);
    bs_model_free(embedded);
    return 0;
}

/* The script's tensor of this name, [ROWS][WIDTH]. */
static void fill(const char *name, float *x)
{
    static float u[4][COUNT];
    fixed_uniform(u[0], 4 * COUNT);
    for (int i = 0; i < COUNT; i++) {
        float bell = u[0][i] + u[1][i] + u[2][i];
        x[i] = bell;
        if (!strcmp(name, "heavy"))
            x[i] = u[0][i] * u[1][i] * u[2][i] * 64;
        if (!strcmp(name, "ties"))
            x[i] = rintf(u[3][i] * 64) / 16;
        if (!strcmp(name, "holes"))
            x[i] = i / WIDTH % 4 == 1 ? 0 : bell;
        if (!strcmp(name, "aside"))
            x[i] = u[0][i] + 0.75f;
        if (!strcmp(name, "extreme"))
            x[i] = ldexpf(bell, i / WIDTH * 4 - 32);
    }
}

static uint32_t crc_of(const float *x, size_t count)
{
    uLong crc = crc32(0, NULL, 0);
    for (size_t i = 0; i < count; i++) {
        float value = x[i] + 0.0f; /* -0 counts as 0 */
        crc = crc32(crc, (const Bytef *)&value, sizeof value);
    }
    return (uint32_t)crc;
}

/* By the digest of all, or of rows of which two and one in 64 may be others: of two sums that
 * differ by their last digit the authors' may be the lesser. */
static bool is_equal(const json_t *row, const float *x, int out, int in)
{
    const json_t *digests = json_object_get(row, "rows");
    size_t count = json_array_size(digests), other = 0;
    if (!digests)
        return crc_of(x, (size_t)out * (size_t)in) ==
               json_integer_value(json_object_get(row, "crc"));
    assert_true(count > 0 && count <= (size_t)out);
    for (size_t i = 0; i < count; i++)
        other += crc_of(x + i * (size_t)in, (size_t)in) !=
                 json_integer_value(json_array_get(digests, i));
    return other <= 2 + count / 64;
}

static void decoded_values_are_the_authors(void **state)
{
    (void)state;
    json_error_t error;
    json_t *rows = json_load_file("tests/golden/formats.json", 0, &error), *row;
    size_t index, wrong = 0;
    assert_true(json_array_size(rows) > 0);
    json_array_foreach(rows, index, row)
    {
        const char *settings = json_string_value(json_object_get(row, "settings"));
        const char *tensor = json_string_value(json_object_get(row, "tensor"));
        const struct bs_linear *linear = &block.linears[0];
        while (strcmp(linear->name, "mlp.gate_proj"))
            linear++;
        bool fixed = !!strcmp(tensor, "weight");
        int out = fixed ? ROWS : linear->out_features, in = fixed ? WIDTH : linear->in_features;
        size_t count = (size_t)out * (size_t)in;
        float *x = bs_alloc(count, sizeof *x);
        if (fixed)
            fill(tensor, x);
        else
            memcpy(x, linear->weight, count * sizeof *x);
        struct bs_error err;
        struct bs_codes codes;
        if (bs_codes_init(&codes, weights_setting(settings), 0, out, in, &err) ||
            bs_codes_round(&codes, x, NULL, &err))
            fail_msg("%s: %s", settings, err.message);
        bs_codes_decode(&codes, x);
        if (!is_equal(row, x, out, in)) {
            print_error("%s, %s\n", settings, tensor);
            wrong++;
        }
        bs_codes_release(&codes);
        bs_free(x);
    }
    json_decref(rows);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoded_values_are_the_authors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* Every model family against transformers: the logits of the tiny models of tests/golden/families
 * within 1e-4 of their range, and the perplexity by protocol `gptq` within 1e-5
 * (tests/golden/families.py made both; PROVENANCE.md says with what). BITSWEEP_GOLDEN=name runs one
 * model only. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/metrics/statistics.h"
#include "eval/run/walk.h"

#define FAMILIES "tests/golden/families/"

static const double logits_bar = 1e-4, perplexity_bar = 1e-5;

static json_t *golden;

/* out [windows][tokens][hidden_size]. */
static void embed(const struct bs_model *model, const struct bs_windows *text, float *out)
{
    struct bs_error err;
    assert_int_equal(bs_model_embed(model, text->ids, text->windows, text->tokens, out, &err),
                     BS_OK);
}

static void check(enum bs_status status, const struct bs_error *err)
{
    if (status)
        fail_msg("%s", err->message);
}

/* The logits [tokens][vocab_size] of the first window; bs_free. */
static float *logits_of(const struct bs_model *model, const struct bs_windows *text)
{
    const struct bs_architecture *a = bs_model_architecture(model);
    struct bs_error err;
    struct bs_block block;
    struct bs_head head;
    int tokens = text->tokens;
    size_t head_floats = bs_scratch_floats((size_t)tokens * (size_t)a->hidden_size);
    float *x = bs_alloc((size_t)(text->windows * tokens) * (size_t)a->hidden_size, sizeof *x);
    float *logits = bs_alloc((size_t)tokens * (size_t)a->vocab_size, sizeof *logits);
    struct bs_rope *rope = bs_rope_create(a, tokens);
    struct bs_scratch *scratch =
        bs_scratch_create(1, bs_block_scratch_floats(a, tokens) + head_floats);
    assert_true(x && logits && rope && scratch);
    embed(model, text, x);
    for (int b = 0; b < a->num_layers; b++) {
        check(bs_block_load(model, b, &block, &err), &err);
        bs_block_forward(&block, rope, x, x, tokens, NULL, scratch);
        bs_block_release(&block);
    }
    check(bs_head_load(model, &head, &err), &err);
    bs_head_forward(&head, x, tokens, logits, scratch);
    bs_head_release(&head);
    bs_scratch_free(scratch, 1);
    bs_rope_free(rope);
    bs_free(x);
    return logits;
}

/* As the program measures it. */
static double perplexity_of(const struct bs_model *model, const struct bs_windows *text)
{
    struct bs_error err;
    struct bs_recipe none;
    bs_recipe_init(&none);
    struct bs_passenger passenger = {.recipe = &none, .wanted = {true}};
    struct bs_walk walk = {.model = model, .num_texts = 1, .texts = text};
    check(bs_walk_run(&walk, &passenger, 1, &err), &err);
    assert_int_equal(passenger.status, BS_OK);
    double mean = bs_perplexity_of(passenger.figures[0].nll, text->windows, text->tokens - 1).mean;
    bs_passenger_release(&passenger);
    return mean;
}

/* `count` floats of a family's file; bs_free. */
static float *read_floats(const char *name, size_t count)
{
    struct bs_error err;
    char path[256], *data;
    size_t size;
    snprintf(path, sizeof path, FAMILIES "%s/logits.f32", name);
    check(bs_file_read(path, &data, &size, &err), &err);
    assert_int_equal(size, count * sizeof(float));
    float *out = bs_alloc(count, sizeof *out);
    assert_non_null(out);
    memcpy(out, data, size);
    bs_free(data);
    return out;
}

/* The largest difference as a fraction of the golden range; NaN where there is one. */
static double distance(const float *got, const float *want, size_t count)
{
    double low = INFINITY, high = -INFINITY, most = 0;
    for (size_t i = 0; i < count; i++) {
        double off = fabs((double)got[i] - (double)want[i]);
        low = fmin(low, (double)want[i]);
        high = fmax(high, (double)want[i]);
        if (isnan(off))
            return off;
        most = fmax(most, off);
    }
    return most / (high - low);
}

static int integer(const json_t *row, const char *key)
{
    return (int)json_integer_value(json_object_get(row, key));
}

/* ids freed with bs_free. */
static struct bs_windows read_windows(const json_t *row)
{
    struct bs_windows text = {.windows = integer(row, "windows"), .tokens = integer(row, "tokens")};
    size_t i;
    const json_t *id, *ids = json_object_get(row, "ids");
    text.text_tokens = (size_t)(text.windows * text.tokens);
    assert_true(text.text_tokens > 0 && json_array_size(ids) == text.text_tokens);
    text.ids = bs_alloc(text.text_tokens, sizeof *text.ids);
    assert_non_null(text.ids);
    json_array_foreach(ids, i, id) text.ids[i] = (int32_t)json_integer_value(id);
    return text;
}

/* False where a family's model is outside a bar or does not open. */
static bool agrees(const json_t *row)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    double want = json_number_value(json_object_get(row, "perplexity"));
    struct bs_error err;
    struct bs_model *model;
    char directory[256];
    snprintf(directory, sizeof directory, FAMILIES "%s", name);
    if (bs_model_open(directory, &model, &err)) {
        printf("%-20s %s\n", name, err.message);
        return false;
    }
    struct bs_windows text = read_windows(row);
    size_t count = (size_t)text.tokens * (size_t)bs_model_architecture(model)->vocab_size;
    float *got = logits_of(model, &text), *golden_logits = read_floats(name, count);
    double logits_off = distance(got, golden_logits, count);
    double perplexity_off = perplexity_of(model, &text) / want - 1;
    bool inside = logits_off < logits_bar && fabs(perplexity_off) < perplexity_bar;
    printf("%-20s logits off %.1e of their range, perplexity off %+.1e%s\n", name, logits_off,
           perplexity_off, inside ? "" : "  OUTSIDE");
    bs_free(got);
    bs_free(golden_logits);
    bs_free(text.ids);
    bs_model_free(model);
    return inside;
}

static void families_agree_with_transformers(void **state)
{
    (void)state;
    const char *only = getenv("BITSWEEP_GOLDEN");
    const json_t *row;
    size_t i;
    int compared = 0, outside = 0;
    json_array_foreach(json_object_get(golden, "families"), i, row)
    {
        if (only && strcmp(only, json_string_value(json_object_get(row, "name"))))
            continue;
        outside += !agrees(row);
        compared++;
    }
    assert_true(compared > 0);
    assert_int_equal(outside, 0);
}

static int open_golden(void **state)
{
    (void)state;
    bs_blas_init();
    golden = json_load_file(FAMILIES "families.json", 0, NULL);
    return golden ? 0 : -1;
}

static int close_golden(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(families_agree_with_transformers)};
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}

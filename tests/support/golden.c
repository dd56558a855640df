#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/linalg/blas.h"

static struct bs_model *model;
static struct bs_windows calibration;
struct bs_windows golden_evaluation;

static bool flag(const json_t *row, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(row, key);
    return value ? json_is_true(value) : otherwise;
}

static void set_option(struct bs_recipe *recipe, const char *name, const char *value)
{
    struct bs_error err;
    struct bs_choice *stage = &recipe->stages[0];
    const struct bs_option *option = bs_option_find(stage->plugin->options, name);
    assert_non_null(option);
    assert_int_equal(bs_option_parse(option, value, stage->options, &err), BS_OK);
}

/* Options that a row names by the option's own name. */
static void copy_options(struct bs_recipe *recipe, const json_t *row)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)row, name, value)
    {
        char text[32];
        const struct bs_choice *stage = &recipe->stages[0];
        if (!bs_option_find(stage->plugin->options, name))
            continue;
        if (json_is_boolean(value))
            snprintf(text, sizeof text, "%s", json_is_true(value) ? "true" : "false");
        else
            snprintf(text, sizeof text, "%.17g", json_number_value(value));
        set_option(recipe, name, text);
    }
}

static void set_weights(struct bs_recipe *recipe, const json_t *row)
{
    recipe->weights.bits = (int)json_integer_value(json_object_get(row, "bits"));
    recipe->weights.group_size =
        (int)json_integer_value(json_object_get(row, "group")); /* null reads as 0, channel */
    recipe->weights.symmetric = flag(row, "sym", false) ? BS_SYMMETRIC : BS_SYMMETRIC_AUTO;
    recipe->weights.range = flag(row, "mse", false) ? BS_RANGE_MSE : BS_RANGE_MINMAX;
}

static void set_smoothquant(struct bs_recipe *recipe, const json_t *row)
{
    const char *weight = json_string_value(json_object_get(row, "weight"));
    const char *act = json_string_value(json_object_get(row, "act"));
    recipe->weights.bits = recipe->activations.bits = 8;
    recipe->weights.grid = BS_GRID_SMOOTHQUANT;
    recipe->weights.group_size =
        weight && !strcmp(weight, "per_tensor") ? BS_GROUP_TENSOR : BS_GROUP_CHANNEL;
    recipe->activations.granularity =
        act && !strcmp(act, "per_tensor") ? BS_ACT_TENSOR : BS_ACT_TOKEN;
    recipe->activations.bmm_input = flag(row, "quantize_bmm_input", false);
}

void golden_recipe(const json_t *row, struct bs_recipe *recipe)
{
    struct bs_error err;
    const char *algorithm = json_string_value(json_object_get(row, "algorithm"));
    bs_recipe_init(recipe);
    if (!strcmp(algorithm, "unquantized"))
        return;
    bool smoothquant = !strcmp(algorithm, "smoothquant");
    const char *name = smoothquant && !flag(row, "smooth", true) ? "rtn" : algorithm;
    assert_non_null(bs_algorithm_find(name));
    assert_int_equal(bs_recipe_add(recipe, bs_algorithm_find(name), &err), BS_OK);
    copy_options(recipe, row);
    if (smoothquant)
        set_smoothquant(recipe, row);
    else
        set_weights(recipe, row);
    assert_int_equal(bs_recipe_resolve(recipe, &err), BS_OK);
}

static enum bs_status open_windows(const struct bs_tokenizer *tokenizer, const char *path,
                                   int windows, struct bs_windows *out, struct bs_error *err)
{
    int vocab = bs_model_architecture(model)->vocab_size;
    struct bs_evaluation_choice choice = {
        .text = {.text = path}, .tokens = 256, .windows = windows};
    return bs_windows_evaluate(tokenizer, &choice, vocab, out, err);
}

int golden_open(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_tokenizer *tokenizer = NULL;
    bs_set_threads(0);
    bs_blas_init();
    enum bs_status status = bs_model_open("datasets/tiny", NULL, &model, &err);
    if (!status)
        status = bs_tokenizer_open("datasets/tiny", &tokenizer, &err);
    if (!status)
        status =
            open_windows(tokenizer, "datasets/commons/calibration.txt", 64, &calibration, &err);
    if (!status)
        status =
            open_windows(tokenizer, "datasets/commons/evaluation.txt", 0, &golden_evaluation, &err);
    bs_tokenizer_free(tokenizer);
    if (status)
        print_error("%s\n", err.message);
    return status;
}

int golden_close(void **state)
{
    (void)state;
    bs_windows_release(&calibration);
    bs_windows_release(&golden_evaluation);
    bs_model_free(model);
    return 0;
}

struct bs_walk golden_walk(void)
{
    return (struct bs_walk){
        .model = model, .calibration = &calibration, .num_texts = 1, .texts = &golden_evaluation};
}

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
    struct bs_choice *step = &recipe->steps[0];
    const struct bs_option *option = bs_option_find(step->plugin->options, name);
    assert_non_null(option);
    assert_int_equal(bs_option_parse(option, value, step->options, &err), BS_OK);
}

/* Options that a row names by the option's own name. */
static void copy_options(struct bs_recipe *recipe, const json_t *row)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)row, name, value)
    {
        char text[32];
        const struct bs_choice *step = &recipe->steps[0];
        if (!bs_option_find(step->plugin->options, name))
            continue;
        if (json_is_boolean(value))
            snprintf(text, sizeof text, "%s", json_is_true(value) ? "true" : "false");
        else
            snprintf(text, sizeof text, "%.17g", json_number_value(value));
        set_option(recipe, name, text);
    }
}

static void set(struct bs_setting *setting, enum bs_use use, const char *key, const char *text)
{
    struct bs_error err;
    assert_int_equal(bs_setting_set(setting, use, key, text, &err), BS_OK);
}

static void set_number(struct bs_setting *setting, const char *key, json_int_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    set(setting, BS_FOR_WEIGHTS, key, text);
}

static void set_weights(struct bs_recipe *recipe, const json_t *row)
{
    set_number(&recipe->weights, "bits", json_integer_value(json_object_get(row, "bits")));
    if (json_is_integer(json_object_get(row, "group")))
        set_number(&recipe->weights, "group_size",
                   json_integer_value(json_object_get(row, "group")));
    set(&recipe->weights, BS_FOR_WEIGHTS, "symmetric", flag(row, "sym", false) ? "true" : "auto");
    set(&recipe->weights, BS_FOR_WEIGHTS, "range", flag(row, "mse", false) ? "mse" : "minmax");
}

static void set_smoothquant(struct bs_recipe *recipe, const json_t *row)
{
    const char *weight = json_string_value(json_object_get(row, "weight"));
    const char *act = json_string_value(json_object_get(row, "act"));
    set(&recipe->weights, BS_FOR_WEIGHTS, "bits", "8");
    set(&recipe->weights, BS_FOR_WEIGHTS, "grid", "smoothquant");
    set(&recipe->weights, BS_FOR_WEIGHTS, "group_size",
        weight && !strcmp(weight, "per_tensor") ? "tensor" : "channel");
    set(&recipe->activations, BS_FOR_ACTIVATIONS, "bits", "8");
    set(&recipe->activations, BS_FOR_ACTIVATIONS, "sharing",
        act && !strcmp(act, "per_tensor") ? "window" : "token");
    struct bs_error err;
    bool outputs = flag(row, "quantize_bmm_input", false);
    assert_int_equal(bs_recipe_set_where(recipe, outputs ? "inputs qkv" : "inputs", &err), BS_OK);
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

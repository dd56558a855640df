#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/recipe/recipe.h"
#include "eval/base/mem.h"
#include "tests/support/recipes.h"

enum { LABEL_TEXT = 256 };

/* The printed recipe in memory of bs_alloc. */
static char *printed(const struct bs_recipe *recipe)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    bs_recipe_print(recipe, out);
    assert_int_equal(fclose(out), 0);
    char *copy = bs_strdup(text);
    assert_non_null(copy);
    free(text);
    return copy;
}

static void test_labels(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"", "", "unquantized"},
        {"rtn", "bits=4", "rtn w4 channel"},
        {"rtn", "bits=4 group_size=128 symmetric=true", "rtn w4 g128 sym"},
        {"rtn", "bits=4 symmetric=false grid=gptq", "rtn w4 channel"},
        {"rtn", "bits=3 grid=awq", "rtn w3 channel grid=awq"},
        {"rtn", "bits=3 grid=smoothquant", "rtn w3 channel grid=smoothquant"},
        {"rtn", "group_size=128 range=mse", "rtn w16"},
        {"rtn", "bits=3 range=mse", "rtn w3 channel mse"},
        {"rtn", "bits=3 range=mse range_norm=2 range_grid=50",
         "rtn w3 channel mse range_norm=2 range_grid=50"},
        {"rtn", "bits=3 range_norm=2", "rtn w3 channel"},
        {"gptq", "bits=3 group_size=128 act_order=true", "gptq w3 g128 act_order"},
        {"gptq", "bits=3 percdamp=0.1", "gptq w3 channel percdamp=0.1"},
        {"gptq", "bits=3 calibrate_on=unquantized", "gptq w3 channel calibrate_on=unquantized"},
        {"gptq", "bits=3 calibrate_on=quantized", "gptq w3 channel"},
        {"awq", "bits=4 group_size=128 clip=false", "awq w4 g128 no_clip"},
        {"awq", "bits=4 grid=awq", "awq w4 channel"},
        {"smoothquant", "bits=8 a.bits=8 alpha=0.7", "smoothquant w8 channel a8 token alpha=0.7"},
        {"smoothquant", "bits=8 symmetric=false grid=gptq", "smoothquant w8 channel grid=gptq"},
        {"outliers smoothquant", "bits=8 group_size=tensor a.bits=8 a.sharing=window",
         "outliers+smoothquant w8 tensor a8 window"},
        {"rtn", "bits=8 a.bits=8 a.symmetric=false a.grid=gptq",
         "rtn w8 channel a8 token grid=gptq"},
        {"rtn", "bits=8 a.bits=8 a.symmetric=true a.grid=gptq a.where=inputs,qkv",
         "rtn w8 channel a8 token sym grid=gptq at inputs+qkv"},
        {"rtn", "a.bits=8 a.sharing=static calibrate_on=quantized", "rtn w16 a8 static"},
        {"gptq", "bits=3 percdamp=0.1 compute=bfloat16", "gptq w3 channel percdamp=0.1 bfloat16"},
        {"rtn", "bits=8 compute=float32", "rtn w8 channel"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_recipe recipe;
        struct bs_error err;
        char label[LABEL_TEXT];
        recipe_build_unresolved(&recipe, cases[i][0], cases[i][1]);
        recipe_label(&recipe, label, sizeof label); /* the same before and after */
        assert_string_equal(label, cases[i][2]);
        assert_int_equal(bs_recipe_resolve(&recipe, &err), BS_OK);
        recipe_label(&recipe, label, sizeof label);
        assert_string_equal(label, cases[i][2]);
        bs_recipe_release(&recipe);
    }
}

static void test_print(void **state)
{
    (void)state;
    struct bs_recipe recipe;
    struct bs_error err;
    recipe_build_unresolved(&recipe, "smoothquant gptq",
                            "bits=4 group_size=128 a.bits=8 percdamp=0.1");
    assert_int_equal(bs_recipe_resolve(&recipe, &err), BS_OK);
    char *text = printed(&recipe);
    assert_string_equal(text, "algorithm: smoothquant+gptq\n"
                              "compute: float32\n"
                              "weights.format: int\n"
                              "weights.bits: 4\n"
                              "weights.group_size: 128\n"
                              "weights.symmetric: false\n"
                              "weights.grid: gptq\n"
                              "weights.zero_point: integer\n"
                              "weights.scales: float32\n"
                              "weights.range: minmax\n"
                              "weights.rounding: nearest\n"
                              "activations.format: int\n"
                              "activations.bits: 8\n"
                              "activations.group_size: channel\n"
                              "activations.symmetric: true\n"
                              "activations.grid: smoothquant\n"
                              "activations.zero_point: integer\n"
                              "activations.scales: float32\n"
                              "activations.range: minmax\n"
                              "activations.sharing: token\n"
                              "activations.rounding: nearest\n"
                              "smoothquant.calibrate_on: unquantized\n"
                              "smoothquant.alpha: 0.5\n"
                              "gptq.calibrate_on: quantized\n"
                              "gptq.percdamp: 0.1\n"
                              "gptq.block_size: 128\n"
                              "gptq.act_order: false\n"
                              "gptq.static_groups: false\n"
                              "gptq.true_sequential: false\n");
    bs_free(text);
    bs_recipe_release(&recipe);
    recipe_build_unresolved(&recipe, "rtn", "bits=4 range=mse");
    text = printed(&recipe);
    assert_non_null(strstr(text, "weights.range: mse\nweights.range_norm: 2.4\n"));
    assert_non_null(strstr(text, "activations.format: none\n"));
    bs_free(text);
    bs_recipe_release(&recipe);
}

static void test_options_text(void **state)
{
    (void)state;
    struct bs_recipe recipe;
    char text[LABEL_TEXT];
    recipe_build_unresolved(&recipe, "smoothquant gptq", "bits=4");
    recipe_text(&recipe, bs_recipe_print_options, text, sizeof text);
    assert_string_equal(text, "");
    bs_recipe_release(&recipe);
    recipe_build_unresolved(&recipe, "smoothquant gptq",
                            "bits=4 act_order=true percdamp=0.1 alpha=0.75");
    recipe_text(&recipe, bs_recipe_print_options, text, sizeof text);
    assert_string_equal(text, "alpha=0.75 percdamp=0.1 act_order");
    recipe_text(&recipe, bs_recipe_print_algorithm, text, sizeof text);
    assert_string_equal(text, "smoothquant+gptq");
    bs_recipe_release(&recipe);
}

static void test_refused_chains(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"gptq", "smoothquant", "smoothquant follows gptq, which has rounded"},
        {"rtn", "gptq", "gptq follows rtn, which has rounded"},
        {"smoothquant", "smoothquant", "smoothquant stands twice"},
        {"smoothquant gptq", "smoothquant", "smoothquant stands twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_recipe recipe;
        struct bs_error err;
        recipe_build_unresolved(&recipe, cases[i][0], "");
        int steps = recipe.num_steps;
        const struct bs_algorithm *next = bs_algorithm_find(cases[i][1]);
        assert_int_equal(bs_recipe_add(&recipe, next, &err), BS_ECONFIG);
        assert_non_null(strstr(err.message, cases[i][2]));
        assert_int_equal(recipe.num_steps, steps);
        bs_recipe_release(&recipe);
    }
    /* Algorithms of our own: there may be fewer in the registry than a chain can hold. */
    static const struct bs_algorithm many[BS_MAX_STEPS + 1] = {{.plugin = {.name = "a"}},
                                                               {.plugin = {.name = "b"}},
                                                               {.plugin = {.name = "c"}},
                                                               {.plugin = {.name = "d"}},
                                                               {.plugin = {.name = "e"}}};
    struct bs_recipe recipe;
    struct bs_error err;
    bs_recipe_init(&recipe);
    for (int s = 0; s < BS_MAX_STEPS; s++)
        assert_int_equal(bs_recipe_add(&recipe, &many[s], &err), BS_OK);
    assert_int_equal(bs_recipe_add(&recipe, &many[BS_MAX_STEPS], &err), BS_ECONFIG);
    assert_int_equal(recipe.num_steps, BS_MAX_STEPS);
    bs_recipe_release(&recipe);
}

static void assert_text(const struct bs_setting *setting, const char *key, const char *want)
{
    char text[32];
    assert_string_equal(bs_setting_text(setting, key, text, sizeof text), want);
}

static void test_resolve(void **state)
{
    (void)state;
    static const struct {
        const char *chain, *settings;
        const char *grid, *symmetric;
    } cases[] = {
        {"rtn", "bits=4 a.bits=8", "gptq", "false"},
        {"gptq", "bits=4 a.bits=8", "gptq", "false"},
        {"awq", "bits=4 a.bits=8", "awq", "false"},
        {"smoothquant", "bits=4 a.bits=8", "smoothquant", "true"},
        {"smoothquant gptq", "bits=4 a.bits=8", "gptq", "false"},
        {"smoothquant rtn", "bits=4 a.bits=8", "smoothquant", "true"},
        {"outliers smoothquant", "bits=4 a.bits=8", "smoothquant", "true"},
        {"smoothquant", "bits=4 grid=awq a.bits=8", "awq", "false"},
    };
    struct bs_recipe recipe;
    struct bs_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        recipe_build_unresolved(&recipe, cases[i].chain, cases[i].settings);
        assert_int_equal(bs_recipe_resolve(&recipe, &err), BS_OK);
        assert_int_equal(bs_recipe_resolve(&recipe, &err), BS_OK); /* a second time: no change */
        assert_text(&recipe.weights, "grid", cases[i].grid);
        assert_text(&recipe.weights, "symmetric", cases[i].symmetric);
        assert_text(&recipe.activations, "grid", "smoothquant");
        assert_text(&recipe.activations, "symmetric", "true");
        bs_recipe_release(&recipe);
    }
    static const char *const refused[][3] = {
        {"smoothquant", "bits=8 symmetric=false", "weights: grid smoothquant is symmetric only"},
        {"rtn", "bits=8 a.bits=8 a.symmetric=false", "activations: grid smoothquant"},
        {"gptq", "bits=4 static_groups=true", "static_groups needs a group_size"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        recipe_build_unresolved(&recipe, refused[i][0], refused[i][1]);
        assert_int_equal(bs_recipe_resolve(&recipe, &err), BS_ECONFIG);
        if (strncmp(err.message, refused[i][2], strlen(refused[i][2])))
            fail_msg("message is '%s'", err.message);
        bs_recipe_release(&recipe);
    }
}

static void test_calibration(void **state)
{
    (void)state;
    static const struct {
        const char *chain, *settings;
        bool needs;
        int first;
    } cases[] = {
        {"rtn", "bits=4", false, BS_ON_UNQUANTIZED},
        {"outliers", "bits=4", false, BS_ON_UNQUANTIZED},
        {"gptq", "bits=4", true, BS_ON_QUANTIZED},
        {"gptq", "bits=4 calibrate_on=unquantized", true, BS_ON_UNQUANTIZED},
        {"smoothquant", "bits=4", true, BS_ON_UNQUANTIZED},
        {"smoothquant", "bits=4 calibrate_on=quantized", true, BS_ON_QUANTIZED},
        {"awq", "bits=4", true, BS_ON_UNQUANTIZED},
        {"rtn", "a.bits=8 a.sharing=window", false, BS_ON_UNQUANTIZED},
        {"rtn", "a.bits=8 a.sharing=static", true, BS_ON_UNQUANTIZED},
        {"rtn", "a.sharing=static", false, BS_ON_UNQUANTIZED},
        {"rtn", "a.bits=8 a.sharing=static a.where=layer[0].attn_probs,probabilities", false,
         BS_ON_UNQUANTIZED},
        {"rtn", "a.bits=8 a.sharing=static a.where=attn_probs,value", true, BS_ON_UNQUANTIZED},
        {"rtn", "a.bits=8 a.sharing=static a.range=entropy a.where=attn_probs", true,
         BS_ON_UNQUANTIZED},
        {"rtn", "a.bits=8 a.range=entropy a.where=attn_probs", false, BS_ON_UNQUANTIZED},
    };
    struct bs_recipe recipe;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        recipe_build_unresolved(&recipe, cases[i].chain, cases[i].settings);
        assert_int_equal(bs_recipe_needs_calibration(&recipe), cases[i].needs);
        assert_int_equal(bs_recipe_calibrates_on(&recipe, 0), cases[i].first);
        bs_recipe_release(&recipe);
    }
    recipe_build_unresolved(&recipe, "smoothquant gptq", "");
    assert_int_equal(bs_recipe_calibrates_on(&recipe, 1), BS_ON_QUANTIZED);
    bs_recipe_release(&recipe);
    recipe_build_unresolved(&recipe, "", "");
    assert_false(bs_recipe_needs_calibration(&recipe));
    bs_recipe_release(&recipe);
}

/* A recipe's two texts, to be compared with those of every other. */
struct texts {
    char *print, *label;
};

static int by_print(const void *a, const void *b)
{
    const struct texts *x = a, *y = b;
    int order = strcmp(x->print, y->print);
    return order ? order : strcmp(x->label, y->label);
}

static int by_label(const void *a, const void *b)
{
    const struct texts *x = a, *y = b;
    int order = strcmp(x->label, y->label);
    return order ? order : strcmp(x->print, y->print);
}

/* Those that print the same have one label, and those of one label print the same. */
static void check_pairs(struct texts *texts, size_t count)
{
    qsort(texts, count, sizeof *texts, by_print);
    for (size_t i = 1; i < count; i++)
        if (!strcmp(texts[i - 1].print, texts[i].print))
            assert_string_equal(texts[i - 1].label, texts[i].label);
    qsort(texts, count, sizeof *texts, by_label);
    for (size_t i = 1; i < count; i++)
        if (!strcmp(texts[i - 1].label, texts[i].label))
            assert_string_equal(texts[i - 1].print, texts[i].print);
}

/* Two recipes have the same label exactly when they do the same. */
static void test_label_is_unique(void **state)
{
    (void)state;
    static const char *const chains[][2] = {
        {"", ""},
        {"rtn", ""},
        {"gptq", ""},
        {"gptq", "act_order=true"},
        {"gptq", "percdamp=0.1"},
        {"awq", "clip=false"},
        {"awq", "scale=false"},
        {"smoothquant", ""},
        {"smoothquant", "alpha=0.75"},
        {"smoothquant gptq", ""},
        {"outliers smoothquant", "seed=1"},
    };
    static const char *const bits[] = {"bits=4", "bits=8", "bits=16"};
    static const char *const weights[] = {
        "",
        "group_size=32",
        "group_size=tensor",
        "symmetric=true",
        "symmetric=false",
        "grid=gptq",
        "grid=awq",
        "grid=smoothquant",
        "grid=awq symmetric=true",
        "grid=gptq symmetric=true",
        "grid=gptq symmetric=false",
        "range=mse",
        "range=mse range_norm=2",
        "range=mse range_maxshrink=0.5",
        "range_norm=2",
    };
    static const char *const activations[] = {
        "",
        "a.sharing=static",
        "a.bits=8",
        "a.bits=8 a.sharing=window",
        "a.bits=8 a.sharing=static",
        "a.bits=8 a.where=inputs,qkv",
        "a.bits=8 a.symmetric=true",
        "a.bits=8 a.grid=awq",
        "a.bits=8 a.grid=awq a.symmetric=true",
    };
    static const char *const sources[] = {"", "calibrate_on=quantized", "calibrate_on=unquantized",
                                          "compute=bfloat16"};
    enum { C = 11, B = 3, W = 15, A = 9, S = 4, ALL = C * B * W * A * S };
    struct texts *texts = bs_calloc(ALL, sizeof *texts);
    assert_non_null(texts);
    size_t count = 0;
    for (int i = 0; i < ALL; i++) {
        struct bs_recipe recipe;
        struct bs_error err;
        char settings[256], label[LABEL_TEXT];
        const char *const *chain = chains[i / (B * W * A * S)];
        if (!*chain[0] && i % (B * W * A * S)) /* one unquantized model */
            continue;
        snprintf(settings, sizeof settings, "%s %s %s %s %s", chain[1],
                 *chain[0] ? bits[i / (W * A * S) % B] : "", weights[i / (A * S) % W],
                 activations[i / S % A], sources[i % S]);
        recipe_build_unresolved(&recipe, chain[0], settings);
        if (!bs_recipe_resolve(&recipe, &err)) {
            recipe_label(&recipe, label, sizeof label);
            texts[count].print = printed(&recipe);
            texts[count].label = bs_strdup(label);
            assert_non_null(texts[count].label);
            count++;
        }
        bs_recipe_release(&recipe);
    }
    assert_true(count > ALL / 2);
    check_pairs(texts, count);
    for (size_t i = 0; i < count; i++) {
        bs_free(texts[i].print);
        bs_free(texts[i].label);
    }
    bs_free(texts);
}

static void test_copy(void **state)
{
    (void)state;
    struct bs_recipe from, to;
    struct bs_error err;
    recipe_build_unresolved(&from, "smoothquant gptq", "bits=4 alpha=0.75 act_order=true");
    assert_int_equal(bs_recipe_copy(&to, &from, &err), BS_OK);
    assert_true(to.steps[0].options != from.steps[0].options);
    char *first = printed(&from), *second = printed(&to);
    assert_string_equal(first, second);
    bs_free(first);
    bs_free(second);
    bs_recipe_release(&to);
    bs_recipe_release(&from);
    bs_recipe_release(&from); /* released twice: nothing left to free */
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    struct bs_recipe from, to;
    struct bs_error err;
    recipe_build_unresolved(&from, "smoothquant gptq", "bits=4");
    for (long n = 1;; n++) {
        bs_alloc_fail_at(n);
        enum bs_status status = bs_recipe_copy(&to, &from, &err);
        long made = bs_alloc_fail_at(0);
        if (!status) {
            assert_true(made < n);
            break;
        }
        assert_int_equal(status, BS_ENOMEM);
        assert_int_equal(to.num_steps, 0);
    }
    bs_recipe_release(&to);
    bs_recipe_release(&from);
    bs_recipe_init(&from);
    bs_alloc_fail_at(1);
    assert_int_equal(bs_recipe_add(&from, bs_algorithm_find("gptq"), &err), BS_ENOMEM);
    bs_alloc_fail_at(0);
    assert_int_equal(from.num_steps, 0);
    bs_recipe_release(&from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),          cmocka_unit_test(test_print),
        cmocka_unit_test(test_options_text),    cmocka_unit_test(test_refused_chains),
        cmocka_unit_test(test_resolve),         cmocka_unit_test(test_calibration),
        cmocka_unit_test(test_label_is_unique), cmocka_unit_test(test_copy),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

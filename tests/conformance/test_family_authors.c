/* The weights and losses of other families than Llama against the authors' own code, row by row of
 * tests/golden/family_quant.json (family_quant.py made it; PROVENANCE.md says with what): the mean
 * squared error of every linear in the checkpoint's basis, and the mean loss.
 *
 * A value that lies on the border between two codes may fall either way with the last bit of a sum,
 * and in models this small one code shows. So a row may be off by more, where its algorithm rounds
 * what sums have made; but not more than half of the algorithm's rows of a model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/linalg/blas.h"
#include "eval/run/walk.h"
#include "tests/support/families.h"
#include "tests/support/golden.h"
#include "tests/support/recipes.h"
#include "tests/support/values.h"

enum { MOST_ROWS = 32 };

static json_t *golden, *families;

/* What a row's errors and loss may be off by, relatively. */
struct bars {
    double mse, nll;
};

/* By algorithm, without and with codes that fell the other way. AWQ meets most of them: a group
 * that is clipped on both sides has its zero point half-way between two codes. */
static const struct rule {
    const char *algorithm;
    struct bars same, flipped;
} rules[] = {
    {"unquantized", {0, 1e-6}, {0, 1e-6}},       {"rtn", {1e-9, 1e-6}, {1e-9, 1e-6}},
    {"smoothquant", {2e-5, 5e-6}, {2e-5, 1e-3}}, /* its activations are rounded */
    {"gptq", {1e-5, 1e-3}, {0.2, 1e-2}},         {"awq", {1e-5, 1e-3}, {0.2, 1e-2}},
};

enum { NUM_RULES = sizeof rules / sizeof *rules };

static int rule_of(const json_t *row)
{
    const char *algorithm = json_string_value(json_object_get(row, "algorithm"));
    for (int i = 0; i < NUM_RULES; i++)
        if (!strcmp(rules[i].algorithm, algorithm))
            return i;
    fail_msg("no bars for '%s'", algorithm);
    return -1;
}

static const json_t *family_named(const char *name)
{
    const json_t *row;
    size_t i;
    json_array_foreach(families, i, row)
    {
        if (!strcmp(name, json_string_value(json_object_get(row, "name"))))
            return row;
    }
    fail_msg("no family '%s'", name);
    return NULL;
}

static double mean_nll(const struct bs_variant *variant, const struct bs_windows *text)
{
    size_t count = (size_t)text->windows * (size_t)(text->tokens - 1);
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)bs_figure_floats(&variant->figures[0], BS_NLL)[i];
    return sum / (double)count;
}

/* The figure of the linear called `name` in this block. */
static double mse_of(const struct bs_variant *variant, int block, const char *name)
{
    for (int l = 0; l < variant->num_layers; l++)
        if (variant->layers[l].block == block && !strcmp(variant->layers[l].name, name))
            return layer_value(&variant->layers[l], "weight_mse");
    fail_msg("no linear '%s' in block %d", name, block);
    return NAN;
}

/* The largest relative difference of a linear's error, and which it is; NaN where there is one. */
static double mse_off(const json_t *row, const json_t *names, const struct bs_variant *variant,
                      size_t *worst)
{
    const json_t *mse = json_object_get(row, "mse");
    size_t count = json_array_size(names);
    double most = 0;
    assert_int_equal(json_array_size(mse), variant->num_layers); /* both 0 if unquantized */
    for (size_t i = 0; i < json_array_size(mse); i++) {
        const char *name = json_string_value(json_array_get(names, i % count));
        double want = json_number_value(json_array_get(mse, i));
        double off = fabs(mse_of(variant, (int)(i / count), name) / want - 1);
        if (off <= most)
            continue;
        most = off;
        *worst = i;
        if (isnan(off))
            break;
    }
    return most;
}

static bool within(struct bars bars, double mse, double nll)
{
    return mse <= bars.mse && fabs(nll) <= bars.nll;
}

/* How the rows of one algorithm and model came out. */
struct tally {
    int rows, flipped, outside;
};

static void judge(const json_t *model, const json_t *row, const struct bs_variant *variant,
                  const struct bs_windows *text, struct tally *tallies)
{
    const json_t *names = json_object_get(model, "linears");
    const struct rule *rule = &rules[rule_of(row)];
    struct tally *tally = &tallies[rule_of(row)];
    char label[128];
    size_t worst = 0, count = json_array_size(names);
    double want = json_number_value(json_object_get(row, "mean_nll"));
    double mse = mse_off(row, names, variant, &worst), nll = mean_nll(variant, text) / want - 1;
    bool same = within(rule->same, mse, nll), inside = within(rule->flipped, mse, nll);
    tally->rows++;
    tally->flipped += !same;
    tally->outside += !inside;
    recipe_label(variant->recipe, label, sizeof label);
    printf("%-15s %-42s mse off %.1e (%d %s), nll off %+.1e%s\n",
           json_string_value(json_object_get(model, "name")), label, mse, (int)(worst / count),
           json_string_value(json_array_get(names, worst % count)), nll,
           same     ? ""
           : inside ? "  other codes"
                    : "  OUTSIDE");
}

/* The number of algorithms that do not agree on this model. */
static int compare_model(const json_t *model)
{
    struct bs_error err;
    struct bs_recipe recipes[MOST_ROWS];
    struct bs_variant variants[MOST_ROWS];
    const json_t *family = family_named(json_string_value(json_object_get(model, "name")));
    const json_t *rows = json_object_get(model, "rows"), *row;
    struct bs_model *opened = family_open(family);
    struct bs_windows text = family_windows(family), calibration = family_windows(model);
    size_t i;
    struct tally tallies[NUM_RULES] = {{0, 0, 0}};
    int count = 0, bad = 0;
    memset(variants, 0, sizeof variants);
    json_array_foreach(rows, i, row)
    {
        assert_in_range(count, 0, MOST_ROWS - 1);
        golden_recipe(row, &recipes[count]);
        variants[count].recipe = &recipes[count];
        variants[count++].wanted[0] = true;
    }
    struct bs_walk walk = {
        .model = opened, .calibration = &calibration, .num_texts = 1, .texts = &text};
    if (bs_walk_run(&walk, variants, count, &err))
        fail_msg("%s", err.message);
    for (int k = 0; k < count; k++) {
        if (variants[k].status)
            fail_msg("%s", variants[k].message);
        judge(model, json_array_get(rows, (size_t)k), &variants[k], &text, tallies);
        bs_variant_release(&variants[k]);
        bs_recipe_release(&recipes[k]);
    }
    bs_windows_release(&text);
    bs_windows_release(&calibration);
    bs_model_free(opened);
    for (int r = 0; r < NUM_RULES; r++)
        bad += tallies[r].outside > 0 || 2 * tallies[r].flipped > tallies[r].rows;
    return bad;
}

static void other_families_agree_with_the_authors_code(void **state)
{
    (void)state;
    const json_t *model, *models = json_object_get(golden, "models");
    size_t i;
    int bad = 0;
    assert_true(json_array_size(models) > 0);
    json_array_foreach(models, i, model) bad += compare_model(model);
    assert_int_equal(bad, 0);
}

static int open_golden(void **state)
{
    (void)state;
    bs_blas_init();
    golden = json_load_file("tests/golden/family_quant.json", 0, NULL);
    families = families_load();
    return golden && families ? 0 : -1;
}

static int close_golden(void **state)
{
    (void)state;
    json_decref(golden);
    json_decref(families);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_families_agree_with_the_authors_code),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}

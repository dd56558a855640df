#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/config/config.h"
#include "tests/support/configs.h"
#include "tests/support/recipes.h"

enum { LABEL_TEXT = 256 };

/* The labels of one model's recipes, a comma after each. */
static void expect_recipes(const struct bs_config *config, int model, const char *labels)
{
    char got[1024] = "", label[LABEL_TEXT];
    for (int i = 0; i < config->num_recipes; i++) {
        recipe_label(&config->recipes[i], label, sizeof label);
        size_t used = strlen(got);
        if (bs_config_wants(config, i, model))
            snprintf(got + used, sizeof got - used, "%s,", label);
    }
    assert_string_equal(got, labels);
}

static void test_models(void **state)
{
    (void)state;
    struct bs_config config;
    struct bs_error err;
    assert_int_equal(config_load("model: [a/b, c, d]\n"
                                 "evaluation: {perplexity: [{text: e.txt}]}\n"
                                 "sweep:\n"
                                 "  - {algorithm: rtn, model: c, weights: {bits: [3, 4]}}\n"
                                 "  - {algorithm: rtn, model: [d, a/b], weights: {bits: [4, 8]}}\n"
                                 "  - {algorithm: rtn, weights: {bits: 5}}\n",
                                 &config, &err),
                     BS_OK);
    assert_int_equal(config.num_models, 3);
    assert_string_equal(config.models[0], "a/b");
    assert_string_equal(config.models[2], "d");
    assert_int_equal(config.num_recipes, 5); /* w4, in two grids, once */
    expect_recipes(&config, 0, "unquantized,rtn w4 channel,rtn w8 channel,rtn w5 channel,");
    expect_recipes(&config, 1, "unquantized,rtn w3 channel,rtn w4 channel,rtn w5 channel,");
    expect_recipes(&config, 2, "unquantized,rtn w4 channel,rtn w8 channel,rtn w5 channel,");

    uint64_t wanted;
    assert_int_equal(bs_config_select(&config, NULL, 0, &wanted, &err), BS_OK);
    assert_int_equal(wanted, 7);
    assert_int_equal(
        bs_config_select(&config, (const char *const[]){"d", "a/b", "d"}, 3, &wanted, &err), BS_OK);
    assert_int_equal(wanted, 5);
    assert_int_equal(bs_config_select(&config, (const char *const[]){"a/bb"}, 1, &wanted, &err),
                     BS_ECONFIG);
    assert_non_null(strstr(err.message, "sweep.yaml has no model 'a/bb', expected a/b, c or d "
                                        "(did you mean 'a/b'?)"));
    bs_config_release(&config);
}

static void test_errors_of_models(void **state)
{
    (void)state;
    config_expect_errors(
        "model: [a, b, a, ~, [c], '']\n"
        "evaluation: {perplexity: [{text: e.txt}]}\n"
        "sweep:\n"
        "  - {algorithm: rtn, model: B, weights: {bits: 4}}\n"
        "  - {algorithm: rtn, model: [a, ~], weights: {bits: 4}}\n"
        "  - {algorithm: rtn, model: [], weights: {bits: 4}}\n",
        "1:15: error: model 'a' a second time, expected it once\n"
        "1:18: error: model is nothing, expected a folder or a hub name, or a mapping "
        "with path and name\n"
        "1:21: error: model is a list, expected a folder or a hub name, or a mapping "
        "with path and name\n"
        "1:26: error: model is '', expected a folder or a hub name, or a mapping with "
        "path and name\n"
        "4:29: error: model is 'B', expected a or b (did you mean 'b'?)\n"
        "5:33: error: model is nothing, expected a or b\n"
        "6:29: error: model is an empty list, expected at least one name, or no such "
        "key\n");
    config_expect_errors(
        "model: []\n"
        "evaluation: {perplexity: [{text: e.txt}]}\n"
        "sweep: [{algorithm: rtn, model: a}]\n",
        "1:8: error: model is an empty list, expected a folder or a hub name, a mapping "
        "with path and "
        "name, or a list of them\n");
}

static const char *const expected_frame =
    "model: [a/b, c]\n"
    "evaluation: {perplexity: [{text: x/e.txt}, {text: f.txt}]}\n"
    "sweep:\n"
    "  - {algorithm: rtn, weights: {bits: [3, 4]}}\n"
    "  - {algorithm: rtn, model: c, weights: {bits: 8}}\n"
    "expected:\n";

static void test_expected(void **state)
{
    (void)state;
    struct bs_config config;
    struct bs_error err;
    char *text = bs_printf("%s"
                           "  - source: \"A paper, table 3\"\n"
                           "    text: f\n"
                           "    values:\n"
                           "      a/b: {unquantized: 27.650, rtn w3 channel: 1.3e3}\n"
                           "      c: {rtn w8 channel: 12}\n"
                           "  - source: its README\n"
                           "    text: e\n"
                           "    values: {c: {rtn w8 channel: 12.5}}\n",
                           expected_frame);
    if (config_load(text, &config, &err))
        fail_msg("%s", err.message);
    static const struct {
        int source, model, text, recipe;
        double value;
        const char *label, *printed;
    } wanted[] = {{0, 0, 1, 0, 27.65, "unquantized", "27.650"},
                  {0, 0, 1, 1, 1300, "rtn w3 channel", "1.3e3"},
                  {0, 1, 1, 3, 12, "rtn w8 channel", "12"},
                  {1, 1, 0, 3, 12.5, "rtn w8 channel", "12.5"}};
    assert_int_equal(config.num_expected, 4);
    for (int i = 0; i < 4; i++) {
        const struct bs_expected_config *got = &config.expected[i];
        assert_int_equal(got->source, wanted[i].source);
        assert_int_equal(got->model, wanted[i].model);
        assert_int_equal(got->text, wanted[i].text);
        assert_int_equal(got->recipe, wanted[i].recipe);
        assert_true(got->value == wanted[i].value);
        assert_string_equal(got->label, wanted[i].label);
        assert_string_equal(got->printed, wanted[i].printed);
    }
    assert_string_equal(config.sources[0], "A paper, table 3");
    assert_string_equal(config.sources[1], "its README");
    bs_config_release(&config);
    bs_free(text);
}

static void test_errors_of_expected(void **state)
{
    (void)state;
    char *text = bs_printf("%s"
                           "  - {text: e, values: {c: {unquantized: 5}}}\n"
                           "  - source: s\n"
                           "    text: evaluation\n"
                           "    valeus: 1\n"
                           "    values:\n"
                           "      a/b: {unquantized: 5}\n"
                           "  - source:\n"
                           "    text: e\n"
                           "    values: []\n"
                           "  - source: s\n"
                           "    text: e\n"
                           "    values:\n"
                           "      a/c: {unquantized: 5}\n"
                           "      c: 5\n"
                           "      a/b:\n"
                           "        rtn w8 channel: 5\n"
                           "        rtn w3 chanel: 5\n"
                           "        unquantized: 0.5\n"
                           "        rtn w3 channel: five\n"
                           "        rtn w4 channel: [5]\n"
                           "  - {source: s, text: e, values: {c: {unquantized: 5}}}\n"
                           "  - {source: t, text: e, values: {c: {unquantized: 6}}}\n"
                           "  - 7\n",
                           expected_frame);
    config_expect_errors(
        text,
        "7:5: error: source is missing, expected where the figures were published\n"
        "9:11: error: text is 'evaluation', expected e or f\n"
        "10:5: error: unknown key 'valeus', expected source, text, figure, values or numerics (did "
        "you mean 'values'?)\n"
        "13:5: error: source is nothing, expected where the figures were published\n"
        "15:13: error: values is a list, expected a mapping from models to figures\n"
        "19:7: error: model is 'a/c', expected a/b or c (did you mean 'a/b'?)\n"
        "20:10: error: a model's entry is '5', expected a mapping from labels of recipes to "
        "figures\n"
        "22:9: error: 'rtn w8 channel' is no recipe of 'a/b', expected a label as `bitsweep plan` "
        "prints it (did you mean 'rtn w3 channel'?)\n"
        "23:9: error: 'rtn w3 chanel' is no recipe of 'a/b', expected a label as `bitsweep plan` "
        "prints it (did you mean 'rtn w3 channel'?)\n"
        "24:22: error: a published perplexity is '0.5', expected a number from 1 to 1e+12\n"
        "25:25: error: a published perplexity is 'five', expected a number from 1 to 1e+12\n"
        "26:25: error: a published perplexity is a list, expected a number\n"
        "28:39: error: a second figure for 'unquantized' of 'c' on 'e', expected one\n"
        "29:5: error: an entry of expected is '7', expected a mapping with source, text, "
        "figure, values or numerics\n");
    bs_free(text);
    /* What figures are checked against comes first. */
    config_expect_errors(
        "model: a\n"
        "evaluation: {perplexity: [{text: e.txt}]}\n"
        "sweep: [{algorithm: rnt, weights: {bits: 4}}]\n"
        "expected: [{source: s, text: e, values: {b: {x: y}}}, {}]\n",
        "3:21: error: algorithm is 'rnt', expected rtn, gptq, gptaq, ldlq, quip, awq, hqq, "
        "smoothquant, "
        "quarot or outliers (did you mean 'rtn'?)\n"
        "4:55: error: source is missing, expected where the figures were published\n"
        "4:55: error: text is missing, expected the name of an evaluation text\n"
        "4:55: error: values is missing, expected a mapping from models to figures\n");
    config_expect_errors(
        "model: a\n"
        "evaluation: {perplexity: [{text: e.txt}]}\n"
        "sweep: [{algorithm: rtn, weights: {bits: 4}}]\n"
        "expected: []\n",
        "4:11: error: expected is an empty list, expected a list of mappings with source, "
        "text and values\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_errors_of_models),
        cmocka_unit_test(test_expected),
        cmocka_unit_test(test_errors_of_expected),
    };
    return cmocka_run_group_tests(tests, config_setup, config_teardown);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/config/config.h"
#include "tests/support/folder.h"
#include "tests/support/recipes.h"

enum { LABEL_TEXT = 256 };

static const char *const charts[] = {"perplexity_vs_bits", "pareto", "layer_error", NULL};

static char path[80];

static int setup(void **state)
{
    folder_setup(state);
    snprintf(path, sizeof path, "%s", folder_file(&folder, "sweep.yaml"));
    return 0;
}

static enum bs_status load(const char *text, struct bs_config *config, struct bs_error *err)
{
    folder_write(&folder, "sweep.yaml", text, strlen(text));
    return bs_config_load(path, charts, config, err);
}

/* What every config needs, so that a case shows only what it is about. */
static const char *const frame = "model: m\n"
                                 "evaluation: {perplexity: [{text: e.txt}]}\n"
                                 "calibration: {text: c.txt}\n";

/* Checks that the sweep expands to these labels, one a line, behind the unquantized model. */
static void expect_labels(const char *sweep, const char *labels)
{
    char *text = bs_printf("%ssweep:\n%s", frame, sweep);
    struct bs_config config;
    struct bs_error err;
    if (load(text, &config, &err))
        fail_msg("%s", err.message);
    bs_free(text);
    char got[8192] = "", label[LABEL_TEXT];
    for (int i = 0; i < config.num_recipes; i++) {
        recipe_label(&config.recipes[i], label, sizeof label);
        size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "%s\n", label);
    }
    assert_memory_equal(got, "unquantized\n", 12);
    assert_string_equal(got + 12, labels);
    bs_config_release(&config);
}

/* Checks that a text is refused with exactly these lines, each without "path:" in front. */
static void expect_errors(const char *text, const char *lines)
{
    struct bs_config config;
    struct bs_error err = {0};
    assert_int_equal(load(text, &config, &err), BS_ECONFIG);
    assert_int_equal(err.status, BS_ECONFIG);
    assert_null(config.recipes);
    assert_null(config.source);
    char got[sizeof err.message] = "";
    size_t used = 0;
    for (const char *line = err.message; *line;) {
        size_t length = strcspn(line, "\n");
        size_t skipped = !strncmp(line, path, strlen(path)) ? strlen(path) + 1 : 0;
        used += (size_t)snprintf(got + used, sizeof got - used, "%.*s\n", (int)(length - skipped),
                                 line + skipped);
        line += length + (line[length] == '\n');
    }
    assert_string_equal(got, lines);
}

/* Checks a sweep behind the frame, its first line being line 5: one error for each fragment, which
 * stands in it. Fragments leave out what other tables contribute. NULL ends them. */
static void expect_sweep_errors(const char *sweep, const char *const *fragments)
{
    char *text = bs_printf("%ssweep:\n%s", frame, sweep);
    struct bs_config config;
    struct bs_error err = {0};
    assert_int_equal(load(text, &config, &err), BS_ECONFIG);
    bs_free(text);
    char *line = err.message;
    for (; *fragments; fragments++) {
        size_t length = strcspn(line, "\n");
        bool last = line[length] == '\0';
        line[length] = '\0';
        if (!strstr(line, *fragments))
            fail_msg("'%s' is not in '%s'", *fragments, line);
        line += length + !last;
    }
    assert_string_equal(line, "");
}

static void test_whole_config(void **state)
{
    (void)state;
    struct bs_config config;
    struct bs_error err;
    const char *text =
        "model: datasets/tiny\n"
        "calibration: {text: c.txt, windows: 64, tokens: 256, seed: 7, sampling: gptq}\n"
        "evaluation:\n"
        "  perplexity:\n"
        "    - {text: datasets/commons/evaluation.txt, tokens: 256, windows: 5}\n"
        "    - {text: datasets/commons/evaluation.txt}\n"
        "    - {text: a/layers.txt}\n"
        "    - {text: .hidden}\n"
        "    - {text: a.b/c.d.e}\n"
        "    - {text: ..}\n"
        "  layer_error: {windows: 0}\n"
        "sweep:\n"
        "  - algorithm: rtn\n"
        "    weights: {bits: 4}\n"
        "charts: [pareto, layer_error]\n";
    assert_int_equal(load(text, &config, &err), BS_OK);
    assert_string_equal(config.path, path);
    assert_string_equal(config.source, text);
    assert_int_equal(config.num_models, 1);
    assert_string_equal(config.models[0], "datasets/tiny");
    assert_string_equal(config.calibrations[0].text, "c.txt");
    assert_int_equal(config.calibrations[0].windows, 64);
    assert_int_equal(config.calibrations[0].tokens, 256);
    assert_int_equal(config.calibrations[0].seed, 7);
    assert_int_equal(config.calibrations[0].sampling, BS_SAMPLING_GPTQ);
    assert_int_equal(config.num_evaluations, 6);
    assert_string_equal(config.evaluations[0].text, "datasets/commons/evaluation.txt");
    assert_int_equal(config.evaluations[0].tokens, 256);
    assert_int_equal(config.evaluations[0].windows, 5);
    assert_int_equal(config.evaluations[1].tokens, 2048);
    assert_int_equal(config.evaluations[1].windows, 0);
    static const char *const names[] = {"evaluation", "evaluation_2", "layers_2",
                                        ".hidden",    "c.d",          "text"};
    for (int i = 0; i < config.num_evaluations; i++)
        assert_string_equal(config.evaluations[i].name, names[i]);
    assert_int_equal(config.layer_error.windows, 0);
    assert_int_equal(config.num_recipes, 2);
    assert_int_equal(config.recipes[0].num_stages, 0);
    char bits[8];
    bs_setting_text(&config.recipes[1].weights, "bits", bits, sizeof bits);
    assert_string_equal(bits, "4");
    assert_int_equal(config.num_charts, 2);
    assert_string_equal(config.charts[1], "layer_error");
    bs_config_release(&config);
    bs_config_release(&config); /* nothing left to free */
}

static void test_defaults(void **state)
{
    (void)state;
    struct bs_config config;
    struct bs_error err;
    const char *text = "model: m\n"
                       "evaluation: {perplexity: [{text: e.txt}]}\n"
                       "sweep: [{algorithm: rtn, weights: {bits: 4}}]\n";
    assert_int_equal(load(text, &config, &err), BS_OK);
    assert_int_equal(config.num_calibrations, 0);
    assert_int_equal(config.layer_error.windows, 8);
    assert_int_equal(config.num_charts, 0);
    assert_int_equal(config.accept_unknown.count, 0);
    bs_config_release(&config);
}

static void test_order_of_the_product(void **state)
{
    (void)state;
    expect_labels("  - algorithm: [rtn, gptq]\n"
                  "    act_order: [false, true]\n"
                  "    weights: {bits: [3, 4], group_size: [channel, 128]}\n",
                  "rtn w3 channel\n"
                  "rtn w3 g128\n"
                  "rtn w4 channel\n"
                  "rtn w4 g128\n"
                  "gptq w3 channel\n"
                  "gptq w3 channel act_order\n"
                  "gptq w3 g128\n"
                  "gptq w3 g128 act_order\n"
                  "gptq w4 channel\n"
                  "gptq w4 channel act_order\n"
                  "gptq w4 g128\n"
                  "gptq w4 g128 act_order\n");
    /* The first key of weights varies slowest; activations come after weights in any order. */
    expect_labels("  - activations: {bits: [16, 8]}\n"
                  "    weights: {group_size: [channel, 128], bits: [3, 4]}\n"
                  "    algorithm: rtn\n",
                  "rtn w3 channel\n"
                  "rtn w3 channel a8 token\n"
                  "rtn w4 channel\n"
                  "rtn w4 channel a8 token\n"
                  "rtn w3 g128\n"
                  "rtn w3 g128 a8 token\n"
                  "rtn w4 g128\n"
                  "rtn w4 g128 a8 token\n");
}

static void test_chains(void **state)
{
    (void)state;
    expect_labels("  - algorithm: [rtn, [smoothquant, gptq], [outliers, smoothquant]]\n"
                  "    alpha: [0.5, 0.7]\n"
                  "    percdamp: 0.1\n"
                  "    weights: {bits: 4}\n",
                  "rtn w4 channel\n"
                  "smoothquant+gptq w4 channel percdamp=0.1\n"
                  "smoothquant+gptq w4 channel alpha=0.7 percdamp=0.1\n"
                  "outliers+smoothquant w4 channel\n"
                  "outliers+smoothquant w4 channel alpha=0.7\n");
    expect_labels("  - {algorithm: gptq, weights: {bits: 4}, calibrate_on: [auto, unquantized]}\n",
                  "gptq w4 channel\n"
                  "gptq w4 channel calibrate_on=unquantized\n");
    expect_labels("  - {algorithm: rtn, weights: {bits: 4}, compute: [bfloat16, float32]}\n",
                  "rtn w4 channel bfloat16\n"
                  "rtn w4 channel\n");
}

/* The labels of one model's recipes, a comma behind each. */
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
    assert_int_equal(load("model: [a/b, c, d]\n"
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
    expect_errors("model: [a, b, a, ~, [c], '']\n"
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
    expect_errors("model: []\n"
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
    if (load(text, &config, &err))
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
    expect_errors(
        text,
        "7:5: error: source is missing, expected where the figures were published\n"
        "9:11: error: text is 'evaluation', expected e or f\n"
        "10:5: error: unknown key 'valeus', expected source, text or values (did you mean "
        "'values'?)\n"
        "13:5: error: source is nothing, expected where the figures were published\n"
        "15:13: error: values is a list, expected a mapping from models to figures\n"
        "19:7: error: model is 'a/c', expected a/b or c (did you mean 'a/b'?)\n"
        "20:10: error: a model's entry is '5', expected a mapping from labels of recipes to "
        "perplexities\n"
        "22:9: error: 'rtn w8 channel' is no recipe of 'a/b', expected a label as `bitsweep plan` "
        "prints it (did you mean 'rtn w3 channel'?)\n"
        "23:9: error: 'rtn w3 chanel' is no recipe of 'a/b', expected a label as `bitsweep plan` "
        "prints it (did you mean 'rtn w3 channel'?)\n"
        "24:22: error: a published perplexity is '0.5', expected a number from 1 to 1e+12\n"
        "25:25: error: a published perplexity is 'five', expected a number from 1 to 1e+12\n"
        "26:25: error: a published perplexity is a list, expected a number\n"
        "28:39: error: a second figure for 'unquantized' of 'c' on 'e', expected one\n"
        "29:5: error: an entry of expected is '7', expected a mapping with source, text or "
        "values\n");
    bs_free(text);
    /* What figures are checked against comes first. */
    expect_errors("model: a\n"
                  "evaluation: {perplexity: [{text: e.txt}]}\n"
                  "sweep: [{algorithm: rnt, weights: {bits: 4}}]\n"
                  "expected: [{source: s, text: e, values: {b: {x: y}}}, {}]\n",
                  "3:21: error: algorithm is 'rnt', expected rtn, gptq, awq, smoothquant or "
                  "outliers (did you mean 'rtn'?)\n"
                  "4:55: error: source is missing, expected where the figures were published\n"
                  "4:55: error: text is missing, expected the name of an evaluation text\n"
                  "4:55: error: values is missing, expected a mapping from models to figures\n");
    expect_errors(
        "model: a\n"
        "evaluation: {perplexity: [{text: e.txt}]}\n"
        "sweep: [{algorithm: rtn, weights: {bits: 4}}]\n"
        "expected: []\n",
        "4:11: error: expected is an empty list, expected a list of mappings with source, "
        "text and values\n");
}

static void test_parse(void **state)
{
    (void)state;
    struct bs_config config;
    struct bs_error err;
    const char *text = "model: m\nevaluation: {perplexity: [{text: e.txt}]}\n"
                       "sweep: [{algorithm: rtn, weights: {bits: 4}}]\ncharts: [pie]\n";
    /* Charts of another version do no harm to a stored config. */
    assert_int_equal(bs_config_parse("r.h5", text, strlen(text), NULL, &config, &err), BS_OK);
    assert_string_equal(config.path, "r.h5");
    assert_string_equal(config.source, text);
    assert_string_equal(config.charts[0], "pie");
    bs_config_release(&config);
    assert_int_equal(bs_config_parse("r.h5", text, strlen(text), charts, &config, &err),
                     BS_ECONFIG);
    assert_non_null(strstr(err.message, "r.h5:4:10: error: chart is 'pie'"));
}

static void test_repeats_are_kept_once(void **state)
{
    (void)state;
    expect_labels("  - {algorithm: [rtn, rtn], weights: {bits: [4, 16, 4]}}\n"
                  "  - {algorithm: rtn, weights: {bits: 4, symmetric: [auto, false, true]}}\n"
                  "  - {algorithm: rtn, weights: {bits: 16, group_size: [channel, 64]}}\n"
                  "  - {algorithm: rtn, weights: {bits: 4, range_norm: [2, 3]}}\n"
                  "  - {algorithm: gptq, weights: {bits: 4}, calibrate_on: [quantized, auto]}\n"
                  "  - {algorithm: gptq, weights: {bits: 4}, percdamp: [0.01, 1e-2, .01]}\n",
                  "rtn w4 channel\n"
                  "rtn w16\n"
                  "rtn w4 channel sym\n"
                  "gptq w4 channel\n");
}

/* Lists within `calibration:` are axes, and a list of them adds up; what cuts the same windows is one. */
static void test_calibrations(void **state)
{
    (void)state;
    static const char tail[] =
        "evaluation: {perplexity: [{text: e}]}\nsweep: [{algorithm: gptq, weights: {bits: 3}}]\n";
    static const struct {
        const char *calibration;
        int count;
        struct {
            const char *text;
            int windows, sampling, seed;
        } want[6];
    } cases[] = {
        {"{text: c}", 1, {{"c", 128, BS_SAMPLING_SEQUENTIAL, -1}}},
        {"{text: c, seed: 3}", 1, {{"c", 128, BS_SAMPLING_GPTQ, 3}}},
        {"{text: c, windows: 8, seed: [0, 1, 2]}",
         3,
         {{"c", 8, BS_SAMPLING_GPTQ, 0},
          {"c", 8, BS_SAMPLING_GPTQ, 1},
          {"c", 8, BS_SAMPLING_GPTQ, 2}}},
        {"{text: [c, d], windows: [8, 16], seed: [5]}",
         4,
         {{"c", 8, BS_SAMPLING_GPTQ, 5},
          {"c", 16, BS_SAMPLING_GPTQ, 5},
          {"d", 8, BS_SAMPLING_GPTQ, 5},
          {"d", 16, BS_SAMPLING_GPTQ, 5}}},
        {"{text: c, sampling: [sequential, gptq], windows: 8, seed: [0, 1]}",
         3,
         {{"c", 8, BS_SAMPLING_SEQUENTIAL, -1},
          {"c", 8, BS_SAMPLING_GPTQ, 0},
          {"c", 8, BS_SAMPLING_GPTQ, 1}}},
        {"[{text: c, windows: 8}, {text: d, seed: [1, 2]}, {text: c, windows: 8}]",
         3,
         {{"c", 8, BS_SAMPLING_SEQUENTIAL, -1},
          {"d", 128, BS_SAMPLING_GPTQ, 1},
          {"d", 128, BS_SAMPLING_GPTQ, 2}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        struct bs_config config;
        struct bs_error err;
        snprintf(text, sizeof text, "model: m\ncalibration: %s\n%s", cases[i].calibration, tail);
        if (bs_config_parse("c.yaml", text, strlen(text), NULL, &config, &err))
            fail_msg("%s: %s", cases[i].calibration, err.message);
        assert_int_equal(config.num_calibrations, cases[i].count);
        for (int c = 0; c < cases[i].count; c++) {
            const struct bs_calibration_config *got = &config.calibrations[c];
            assert_string_equal(got->text, cases[i].want[c].text);
            assert_int_equal(got->windows, cases[i].want[c].windows);
            assert_int_equal(got->sampling, cases[i].want[c].sampling);
            assert_int_equal(bs_calibration_seed(got), cases[i].want[c].seed);
        }
        bs_config_release(&config);
    }
}

static void test_yaml_forms(void **state)
{
    (void)state;
    expect_labels("  - algorithm:\n"
                  "      - \"rtn\"  # a comment\n"
                  "      - - smoothquant\n"
                  "        - gptq\n"
                  "    weights: &four\n"
                  "      bits: '4'\n"
                  "      symmetric: True\n"
                  "  - algorithm: awq\n"
                  "    weights: *four\n",
                  "rtn w4 channel sym\n"
                  "smoothquant+gptq w4 channel sym\n"
                  "awq w4 channel sym\n");
    /* A byte order mark, and line ends as other systems write them. */
    struct bs_config config;
    struct bs_error err;
    assert_int_equal(load("\xef\xbb\xbfmodel: m\r\nevaluation: {perplexity: [{text: e}]}\r\n"
                          "sweep:\r\n- algorithm: rtn\r\n  weights:\r\n    bits: 4\r\n",
                          &config, &err),
                     BS_OK);
    assert_string_equal(config.models[0], "m");
    assert_int_equal(config.num_recipes, 2);
    bs_config_release(&config);
}

static void test_errors_of_the_file(void **state)
{
    (void)state;
    expect_errors(
        "modle: m\n"
        "calibration: {windows: 0, tokens: many, seeds: 1, sampling: x, windows: 3}\n"
        "evaluation:\n"
        "  perplexity:\n"
        "    - {text: e.txt, tokens: 1, window: 4}\n"
        "    - 3\n"
        "    - text:\n"
        "    - {text: e.txt, tokens: 3}\n"
        "    - {text: e.txt, tokens: 3}\n"
        "  layer_error: 8\n"
        "sweep: []\n"
        "charts: [pareto, paretto, pareto, [], ~]\n",
        "1:1: error: model is missing, expected a folder or a hub name, a mapping with path and "
        "name, or a list of them\n"
        "1:1: error: unknown key 'modle', expected model, calibration, evaluation, "
        "sweep, expected, charts or accept_unknown (did you mean 'model'?)\n"
        "2:14: error: text is missing, expected a file or a known text, see texts\n"
        "2:24: error: windows is '0', expected a whole number from 1 to 1048576\n"
        "2:35: error: tokens is 'many', expected a whole number from 1 to 1048576\n"
        "2:41: error: unknown key 'seeds', expected text, field, join, windows, tokens, "
        "seed, sampling, documents or lines (did you mean 'seed'?)\n"
        "2:61: error: sampling is 'x', expected sequential, gptq, gptq_documents, "
        "awq or auto\n"
        "2:64: error: the key 'windows' a second time, expected it once (first at 2:15)\n"
        "5:29: error: tokens is '1', expected a whole number from 2 to 1048576\n"
        "5:32: error: unknown key 'window', expected text, name, field, join, tokens, windows, "
        "pick, lines, protocol or stride (did you mean 'windows'?)\n"
        "6:7: error: an entry of perplexity is '3', expected a mapping with text, name, field, "
        "join, tokens, windows, pick, lines, protocol or stride\n"
        "7:7: error: text is nothing, expected a file or a known text, see texts\n"
        "9:7: error: the same text and settings a second time, expected them once\n"
        "10:16: error: layer_error is '8', expected a mapping with windows\n"
        "11:8: error: sweep is an empty list, expected a list of grids\n"
        "12:18: error: chart is 'paretto', expected perplexity_vs_bits, pareto or "
        "layer_error (did you mean 'pareto'?)\n"
        "12:27: error: chart 'pareto' a second time, expected it once\n"
        "12:35: error: chart is a list, expected perplexity_vs_bits, pareto or "
        "layer_error\n"
        "12:39: error: chart is nothing, expected perplexity_vs_bits, pareto or "
        "layer_error\n");
    expect_errors(
        "a: 1\n",
        "1:1: error: model is missing, expected a folder or a hub name, a mapping with path and "
        "name, or a list of them\n"
        "1:1: error: evaluation is missing, expected a mapping, see evaluation\n"
        "1:1: error: sweep is missing, expected a list of grids\n"
        "1:1: error: unknown key 'a', expected model, calibration, evaluation, "
        "sweep, expected, charts or accept_unknown\n");
    expect_errors("model: {a: b}\nevaluation: {perplexity: {text: e}}\nsweep: {algorithm: rtn}\n"
                  "charts: []\n",
                  "1:8: error: path is missing, expected a folder or a hub name\n"
                  "1:9: error: unknown key 'a', expected path or name\n"
                  "2:26: error: perplexity is a mapping, expected a list of mappings with text\n"
                  "3:8: error: sweep is a mapping, expected a list of grids\n"
                  "4:9: error: charts is an empty list, expected a list of chart names, or no such "
                  "key\n");
}

static void test_texts(void **state)
{
    (void)state;
    struct bs_config config;
    struct bs_error err;
    const char *text =
        "model: m\n"
        "calibration: {text: pile-val, sampling: awq, documents: 64, tokens: 512, seed: 42}\n"
        "evaluation:\n"
        "  perplexity:\n"
        "    - {text: wikitext2, protocol: llama.cpp, tokens: 512}\n"
        "    - {text: wikitext2, tokens: 512}\n"
        "    - {text: a/val.jsonl.zst, field: body, join: \"\", protocol: sliding, stride: 100}\n"
        "    - {text: a/val.jsonl.zst, field: body, join: \"\\n\", protocol: sliding, stride: "
        "100}\n"
        "    - {text: b.txt.gz, lines: true, protocol: sliding, tokens: 7}\n"
        "    - {text: .gz}\n"
        "sweep: [{algorithm: rtn, weights: {bits: 4}}]\n";
    if (load(text, &config, &err))
        fail_msg("%s", err.message);
    assert_int_equal(config.calibrations[0].sampling, BS_SAMPLING_AWQ);
    assert_int_equal(config.calibrations[0].documents, 64);
    assert_null(config.calibrations[0].join);
    static const char *const names[] = {"wikitext2", "wikitext2_2", "val", "val_2", "b", ".gz"};
    static const int protocols[] = {BS_PROTOCOL_LLAMA_CPP, BS_PROTOCOL_GPTQ,    BS_PROTOCOL_SLIDING,
                                    BS_PROTOCOL_SLIDING,   BS_PROTOCOL_SLIDING, BS_PROTOCOL_GPTQ};
    static const int strides[] = {512, 512, 100, 100, 3, 2048};
    assert_int_equal(config.num_evaluations, 6);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(config.evaluations[i].name, names[i]);
        struct bs_protocol_used protocol =
            bs_evaluation_protocol(&config.evaluations[i].how, config.evaluations[i].tokens);
        assert_string_equal(protocol.name, bs_protocol_names[protocols[i]]);
        assert_int_equal(protocol.stride, strides[i]);
    }
    assert_string_equal(config.evaluations[2].field, "body");
    assert_string_equal(config.evaluations[2].join, "");
    assert_string_equal(config.evaluations[3].join, "\n");
    assert_true(config.evaluations[4].lines);
    bs_config_release(&config);
    expect_errors(
        "model: m\n"
        "calibration: {text: t, sampling: awq, windows: 3, field: \"\", join: []}\n"
        "evaluation:\n"
        "  perplexity:\n"
        "    - {text: t, stride: 3}\n"
        "    - {text: t, protocol: sliding, tokens: 8, stride: 9}\n"
        "    - {text: t, protocol: llamacpp}\n"
        "sweep: [{algorithm: rtn, weights: {bits: 4}}]\n",
        "2:48: error: windows is not for sampling awq, which cuts what its documents give, "
        "expected documents\n"
        "2:58: error: field is '', expected a text\n"
        "2:68: error: join is a list, expected a text\n"
        "5:25: error: stride is for protocol sliding only, expected protocol: sliding or "
        "no stride\n"
        "6:55: error: stride is 9, expected at most tokens, which is 8\n"
        "7:27: error: protocol is 'llamacpp', expected gptq, llama.cpp or sliding (did you mean "
        "'llama.cpp'?)\n");
    expect_errors("model: m\n"
                  "calibration: {text: t, documents: 3}\n"
                  "evaluation: {perplexity: [{text: t}]}\n"
                  "sweep: [{algorithm: rtn, weights: {bits: 4}}]\n",
                  "2:35: error: documents is for sampling awq only, expected windows\n");
}

static void test_errors_of_grids(void **state)
{
    (void)state;
    expect_sweep_errors(
        "  - algorithm: [rtn, gtpq, [gptq, smoothquant], [], [awq, awq], {a: b}]\n"
        "    percdamp: [0.01, 2, x, [1]]\n",
        (const char *const[]){
            ":5:22: error: algorithm is 'gtpq', expected rtn, gptq, awq, ",
            ":5:35: error: smoothquant follows gptq, which has rounded the weights, expected it",
            ":5:49: error: an empty chain, expected names of algorithms",
            ":5:59: error: awq stands twice in a chain, expected once",
            ":5:65: error: algorithm is a mapping, expected rtn, gptq, awq, ",
            ":6:22: error: percdamp is '2', expected a number from 0 to 1",
            ":6:25: error: percdamp is 'x', expected a number from 0 to 1",
            ":6:28: error: percdamp is a list, expected a number from 0 to 1",
            NULL,
        });
    expect_sweep_errors(
        "  - algorithm: smoothquant\n"
        "    alpha: []\n"
        "    weights: {bits: [1, 4], groupsize: 128, grid: }\n"
        "    bits: 4\n"
        "    sharing: token\n"
        "    percdamp: 0.1\n"
        "    alhpa: 0.5\n"
        "    activations: 8\n"
        "    calibrate_on: [quantised]\n",
        (const char *const[]){
            ":6:12: error: alpha is an empty list, expected at least one value",
            ":7:22: error: bits is '1', expected a whole number from 2 to 8, or 16",
            ":7:29: error: unknown key 'groupsize', expected format, range, bits, group_size, ",
            ":7:45: error: grid is nothing, expected gptq, awq, smoothquant or auto",
            ":8:5: error: unknown key 'bits', expected algorithm, model, weights, activations, "
            "calibrate_on, compute or alpha; it belongs under weights",
            ":9:5: error: unknown key 'sharing', expected algorithm, model, weights, "
            "activations, calibrate_on, compute or alpha; it belongs under activations",
            ":10:5: error: unknown key 'percdamp', expected algorithm, model, weights, "
            "activations, calibrate_on, compute or alpha; it is an option of gptq, which this grid "
            "does not name",
            ":11:5: error: unknown key 'alhpa', expected algorithm, model, weights, activations, "
            "calibrate_on, compute or alpha (did you mean 'alpha'?)",
            ":12:18: error: activations is '8', expected a mapping with format, range, bits, ",
            ":13:20: error: calibrate_on is 'quantised', expected unquantized, quantized or auto",
            NULL,
        });
    expect_sweep_errors(
        "  - {algorithm: rtn, weights: {bits: 8}, activations: {bits: [8, 16]}, compute: "
        "bfloat16}\n"
        "  - {algorithm: rtn, weights: {bits: 8}, compute: float16}\n",
        (const char *const[]){
            ":5:17: error: compute is bfloat16 but activations are quantized, expected "
            "compute: float32, or no format of activations (recipe 'rtn w8 channel a8 token "
            "bfloat16')",
            ":6:51: error: compute is 'float16', expected float32 or bfloat16",
            NULL,
        });
    expect_sweep_errors(
        "  - 7\n"
        "  - {weights: {bits: 4}}\n"
        "  - {algorithm: [], weights: {}}\n",
        (const char *const[]){
            ":5:5: error: '7' in sweep, expected a grid",
            ":6:5: error: algorithm is missing, expected a name or a list",
            ":7:17: error: algorithm is an empty list, expected at least one name",
            ":7:30: error: weights is empty, expected a mapping with format, range, bits, ",
            NULL,
        });
}

static void test_refused_recipes(void **state)
{
    (void)state;
    /* One error for each reason and chain, naming the first recipe that it meets. */
    expect_sweep_errors(
        "  - algorithm: [rtn, gptq]\n"
        "    weights: {bits: [4, 3], group_size: [channel, 64]}\n"
        "    static_groups: true\n",
        (const char *const[]){
            ":5:22: error: static_groups needs a group_size in columns, not channel (recipe 'gptq "
            "w4 channel static_groups')",
            NULL,
        });
}

static void test_missing_calibration(void **state)
{
    (void)state;
    expect_errors("model: m\n"
                  "evaluation: {perplexity: [{text: e}]}\n"
                  "sweep:\n"
                  "  - algorithm: [rtn, [outliers, gptq], awq]\n"
                  "    weights: {bits: [3, 4]}\n"
                  "  - algorithm: rtn\n"
                  "    activations: {bits: 8, sharing: [token, static]}\n",
                  "4:22: error: calibration is missing, expected a section calibration: {text: "
                  "...} (recipe 'outliers+gptq w3 channel')\n"
                  "4:40: error: calibration is missing, expected a section calibration: {text: "
                  "...} (recipe 'awq w3 channel')\n"
                  "6:16: error: calibration is missing, expected a section calibration: {text: "
                  "...} (recipe 'rtn w16 a8 static')\n");
}

static void test_too_many_trials(void **state)
{
    (void)state;
    /* Each axis is fine; their product is not, and is not walked through. */
    char *list = bs_strdup("0");
    for (int i = 1; i < 200; i++) {
        char *longer = bs_printf("%s, 0.%03d", list, i);
        bs_free(list);
        list = longer;
    }
    char *sweep = bs_printf("  - algorithm: [rtn, [smoothquant, gptq]]\n"
                            "    alpha: [%s]\n    percdamp: [%s]\n    weights: {bits: [3, 4]}\n",
                            list, list);
    expect_sweep_errors(
        sweep, (const char *const[]){
                   ":5:22: error: the sweep has more than 10000 trials here, expected fewer",
                   NULL,
               });
    bs_free(sweep);
    bs_free(list);
}

static void test_many_errors(void **state)
{
    (void)state;
    struct bs_config config;
    struct bs_error err = {0};
    char text[16384] = "";
    size_t used = 0;
    for (int i = 0; i < 1000; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "k%d: 1\n", i);
    assert_int_equal(load(text, &config, &err), BS_ECONFIG);
    assert_true(strlen(err.message) < sizeof err.message - 1);
    const char *last = strrchr(err.message, '\n');
    assert_non_null(last);
    int shown = 0, more = 0;
    for (const char *c = err.message; *c; c++)
        shown += *c == '\n';
    assert_int_equal(sscanf(last, "\nand %d more errors", &more), 1);
    assert_int_equal(shown + more, 1000 + 3); /* and the three required keys */
}

static void test_unreadable_files(void **state)
{
    (void)state;
    struct bs_config config;
    struct bs_error err = {0};
    assert_int_equal(bs_config_load("/nowhere/x.yaml", charts, &config, &err), BS_EIO);
    assert_non_null(strstr(err.message, "/nowhere/x.yaml"));
    assert_int_equal(bs_config_load("/tmp", charts, &config, &err), BS_EIO);
    bs_config_release(&config);
}

/* Every n-th allocation fails once: out of memory is reported, and nothing is kept (the address
 * sanitizer watches). */
static void expect_no_memory(const char *text, enum bs_status wanted)
{
    struct bs_config config;
    struct bs_error err;
    folder_write(&folder, "sweep.yaml", text, strlen(text));
    for (long n = 1;; n++) {
        bs_alloc_fail_at(n);
        enum bs_status status = bs_config_load(path, charts, &config, &err);
        long made = bs_alloc_fail_at(0);
        if (made < n) {
            assert_int_equal(status, wanted);
            assert_true(n > 20);
            break;
        }
        assert_int_equal(status, BS_ENOMEM);
        assert_null(config.source);
        assert_null(config.recipes);
    }
    bs_config_release(&config);
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    char *text = bs_printf("%scharts: [pareto]\naccept_unknown: [clip_qkv]\n"
                           "sweep:\n"
                           "  - {algorithm: rtn, model: m, weights: {bits: 4}}\n"
                           "  - algorithm: [&a rtn, [smoothquant, gptq], awq, *a]\n"
                           "    alpha: [0.5, 0.7]\n"
                           "    act_order: [false, true]\n"
                           "    weights: {bits: [2, 3, 4, 5, 6, 7, 8], group_size: [channel, 8]}\n"
                           "expected:\n"
                           "  - source: s\n"
                           "    text: e\n"
                           "    values: {m: {unquantized: 5, rtn w4 channel: 6}}\n",
                           frame);
    expect_no_memory(text, BS_OK);
    bs_free(text);
    text = bs_printf("%scharts: [pareto, pareto, x]\nmodle: 1\n"
                     "sweep:\n"
                     "  - algorithm: [rtn, gtpq, [awq, awq]]\n"
                     "    alpha: []\n"
                     "    weights: {bits: [2, x]}\n",
                     frame);
    expect_no_memory(text, BS_ECONFIG);
    bs_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_config),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_order_of_the_product),
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_repeats_are_kept_once),
        cmocka_unit_test(test_calibrations),
        cmocka_unit_test(test_yaml_forms),
        cmocka_unit_test(test_errors_of_the_file),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_errors_of_grids),
        cmocka_unit_test(test_refused_recipes),
        cmocka_unit_test(test_missing_calibration),
        cmocka_unit_test(test_too_many_trials),
        cmocka_unit_test(test_many_errors),
        cmocka_unit_test(test_expected),
        cmocka_unit_test(test_errors_of_expected),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_errors_of_models),
        cmocka_unit_test(test_unreadable_files),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, setup, folder_teardown);
}

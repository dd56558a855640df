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
#include "eval/config/report.h"
#include "tests/support/configs.h"

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
    assert_int_equal(config_load(text, &config, &err), BS_OK);
    assert_string_equal(config.path, config_path);
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
    assert_int_equal(config.recipes[0].num_steps, 0);
    char bits[8];
    bs_setting_text(&config.recipes[1].weights, "bits", bits, sizeof bits);
    assert_string_equal(bits, "4");
    assert_int_equal(config.num_charts, 2);
    assert_string_equal(config.charts[1].name, "layer_error");
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
    assert_int_equal(config_load(text, &config, &err), BS_OK);
    assert_int_equal(config.num_calibrations, 0);
    assert_int_equal(config.layer_error.windows, 8);
    assert_int_equal(config.num_charts, 0);
    assert_int_equal(config.accept_unknown.count, 0);
    bs_config_release(&config);
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
    assert_string_equal(config.charts[0].name, "pie");
    bs_config_release(&config);
    assert_int_equal(bs_config_parse("r.h5", text, strlen(text), config_charts, &config, &err),
                     BS_ECONFIG);
    assert_non_null(strstr(err.message, "r.h5:4:10: error: chart is 'pie'"));
}

static void test_yaml_forms(void **state)
{
    (void)state;
    config_expect_labels("  - algorithm:\n"
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
    assert_int_equal(config_load("\xef\xbb\xbfmodel: m\r\nevaluation: {perplexity: [{text: e}]}\r\n"
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
    config_expect_errors(
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
        "1:1: error: model is missing, expected a folder or a hub name, a mapping with path "
        "and "
        "name, or a list of them\n"
        "1:1: error: unknown key 'modle', expected model, calibration, evaluation, "
        "sweep, expected, charts, export, accept_unknown, numerics or reference (did you mean "
        "'model'?)\n"
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
    config_expect_errors(
        "a: 1\n", "1:1: error: model is missing, expected a folder or a hub name, a mapping "
                  "with path and "
                  "name, or a list of them\n"
                  "1:1: error: evaluation is missing, expected a mapping, see evaluation\n"
                  "1:1: error: sweep is missing, expected a list of grids\n"
                  "1:1: error: unknown key 'a', expected model, calibration, evaluation, "
                  "sweep, expected, charts, export, accept_unknown, numerics or reference\n");
    config_expect_errors(
        "model: {a: b}\nevaluation: {perplexity: {text: e}}\nsweep: {algorithm: rtn}\n"
        "charts: []\n",
        "1:8: error: path is missing, expected a folder or a hub name\n"
        "1:9: error: unknown key 'a', expected path or name\n"
        "2:26: error: perplexity is a mapping, expected a list of mappings with text, of "
        "tasks with task\n"
        "3:8: error: sweep is a mapping, expected a list of grids\n"
        "4:9: error: charts is an empty list, expected a list of chart names, or no such "
        "key\n");
}

/* A list that is too long is cut; what was perhaps meant stands after it all the same. */
static void test_long_lists(void **state)
{
    (void)state;
    static char words[200][16];
    struct bs_names names = {0};
    char text[256], whole[4096];
    for (int i = 0; i < 200; i++) {
        snprintf(words[i], sizeof words[i], "name%03d", i);
        bs_names_add(&names, words[i]);
    }
    bs_names_print(&names, "nam199", text, sizeof text);
    assert_memory_equal(text, "name000, name001, ", 18);
    assert_non_null(strstr(text, ", ... (did you mean 'name1"));
    bs_names_print(&names, "elephant", whole, sizeof whole);
    assert_non_null(strstr(whole, "name198 or name199"));
    assert_null(strstr(whole, "did you mean"));
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
    assert_int_equal(config_load(text, &config, &err), BS_ECONFIG);
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
    assert_int_equal(bs_config_load("/nowhere/x.yaml", config_charts, &config, &err), BS_EIO);
    assert_non_null(strstr(err.message, "/nowhere/x.yaml"));
    assert_int_equal(bs_config_load("/tmp", config_charts, &config, &err), BS_EIO);
    bs_config_release(&config);
}

/* Every n-th allocation fails once: out of memory is reported, and nothing is kept (the address
 * sanitizer watches). */
static void expect_no_memory(const char *text, enum bs_status wanted)
{
    struct bs_config config;
    struct bs_error err;
    config_write(text);
    for (long n = 1;; n++) {
        bs_alloc_fail_at(n);
        enum bs_status status = bs_config_load(config_path, config_charts, &config, &err);
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
                           config_frame);
    expect_no_memory(text, BS_OK);
    bs_free(text);
    text = bs_printf("%scharts: [pareto, pareto, x]\nmodle: 1\n"
                     "sweep:\n"
                     "  - algorithm: [rtn, gtpq, [awq, awq]]\n"
                     "    alpha: []\n"
                     "    weights: {bits: [2, x]}\n",
                     config_frame);
    expect_no_memory(text, BS_ECONFIG);
    bs_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_config),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_yaml_forms),
        cmocka_unit_test(test_errors_of_the_file),
        cmocka_unit_test(test_many_errors),
        cmocka_unit_test(test_long_lists),
        cmocka_unit_test(test_unreadable_files),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, config_setup, config_teardown);
}

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

/* Lists within `calibration:` are axes, and a list of them adds up; what cuts the same windows is
 * one. */
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
    if (config_load(text, &config, &err))
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
    config_expect_errors(
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
    config_expect_errors("model: m\n"
                         "calibration: {text: t, documents: 3}\n"
                         "evaluation: {perplexity: [{text: t}]}\n"
                         "sweep: [{algorithm: rtn, weights: {bits: 4}}]\n",
                         "2:35: error: documents is for sampling awq only, expected windows\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calibrations),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, config_setup, config_teardown);
}

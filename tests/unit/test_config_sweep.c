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

static void test_order_of_the_product(void **state)
{
    (void)state;
    config_expect_labels("  - algorithm: [rtn, gptq]\n"
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
    config_expect_labels("  - activations: {bits: [16, 8]}\n"
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
    config_expect_labels("  - algorithm: [rtn, [smoothquant, gptq], [outliers, smoothquant]]\n"
                         "    alpha: [0.5, 0.7]\n"
                         "    percdamp: 0.1\n"
                         "    weights: {bits: 4}\n",
                         "rtn w4 channel\n"
                         "smoothquant+gptq w4 channel percdamp=0.1\n"
                         "smoothquant+gptq w4 channel alpha=0.7 percdamp=0.1\n"
                         "outliers+smoothquant w4 channel\n"
                         "outliers+smoothquant w4 channel alpha=0.7\n");
    config_expect_labels(
        "  - {algorithm: gptq, weights: {bits: 4}, calibrate_on: [auto, unquantized]}\n",
        "gptq w4 channel\n"
        "gptq w4 channel calibrate_on=unquantized\n");
    config_expect_labels("  - {algorithm: rtn, weights: {bits: 4}, compute: [bfloat16, float32]}\n",
                         "rtn w4 channel bfloat16\n"
                         "rtn w4 channel\n");
}

static void test_repeats_are_kept_once(void **state)
{
    (void)state;
    config_expect_labels(
        "  - {algorithm: [rtn, rtn], weights: {bits: [4, 16, 4]}}\n"
        "  - {algorithm: rtn, weights: {bits: 4, symmetric: [auto, false, true]}}\n"
        "  - {algorithm: rtn, weights: {bits: 16, group_size: [channel, 64]}}\n"
        "  - {algorithm: rtn, weights: {bits: 4, format: [int, none]}}\n"
        "  - {algorithm: gptq, weights: {bits: 4}, calibrate_on: [quantized, auto]}\n"
        "  - {algorithm: gptq, weights: {bits: 4}, percdamp: [0.01, 1e-2, .01]}\n",
        "rtn w4 channel\n"
        "rtn w16\n"
        "rtn w4 channel sym\n"
        "gptq w4 channel\n");
}

static void test_errors_of_grids(void **state)
{
    (void)state;
    config_expect_sweep_errors(
        "  - algorithm: [rtn, gtpq, [gptq, smoothquant], [], [awq, awq], {a: b}]\n"
        "    percdamp: [0.01, 2, x, [1]]\n",
        (const char *const[]){
            ":5:22: error: algorithm is 'gtpq', expected rtn, gptq, ",
            ":5:35: error: smoothquant follows gptq, which has rounded the weights, expected it",
            ":5:49: error: an empty chain, expected names of algorithms",
            ":5:59: error: awq stands twice in a chain, expected once",
            ":5:65: error: algorithm is a mapping, expected rtn, gptq, ",
            ":6:22: error: percdamp is '2', expected a number from 0 to 1",
            ":6:25: error: percdamp is 'x', expected a number from 0 to 1",
            ":6:28: error: percdamp is a list, expected a number from 0 to 1",
            NULL,
        });
    config_expect_sweep_errors(
        "  - algorithm: smoothquant\n"
        "    alpha: []\n"
        "    weights: {bits: [0, 4], groupsize: 128, grid: }\n"
        "    bits: 4\n"
        "    sharing: token\n"
        "    percdamp: 0.1\n"
        "    alhpa: 0.5\n"
        "    activations: 8\n"
        "    calibrate_on: [quantised]\n",
        (const char *const[]){
            ":6:12: error: alpha is an empty list, expected at least one value",
            ":7:22: error: bits is '0', expected a whole number from 1 to 8, or 16",
            ":7:29: error: unknown key 'groupsize', expected format, range, bits, group_size, ",
            ":7:45: error: grid is nothing, expected gptq, awq, smoothquant, compressed_tensors, "
            "auto_round, torchao, torchao_no_clipping, hqq, bitsandbytes, kivi, kvquant, quip or "
            "auto",
            ":8:5: error: unknown key 'bits', expected algorithm, model, weights, activations, "
            "kv_cache, except, sensitivity, budget, calibrate_on, compute or alpha; it belongs "
            "under weights",
            ":9:5: error: unknown key 'sharing', expected algorithm, model, weights, "
            "activations, kv_cache, except, sensitivity, budget, calibrate_on, compute or alpha; "
            "it belongs under "
            "activations",
            ":10:5: error: unknown key 'percdamp', expected algorithm, model, weights, "
            "activations, kv_cache, except, sensitivity, budget, calibrate_on, compute or alpha; "
            "it is an option of "
            "gptq and "
            "gptaq and ldlq and quip, which this grid "
            "does not name",
            ":11:5: error: unknown key 'alhpa', expected algorithm, model, weights, activations, "
            "kv_cache, except, sensitivity, budget, calibrate_on, compute or alpha (did you mean "
            "'alpha'?)",
            ":12:18: error: activations is '8', expected none, or a mapping with format, range, "
            "bits, ",
            ":13:20: error: calibrate_on is 'quantised', expected unquantized, quantized or auto",
            NULL,
        });
    config_expect_sweep_errors(
        "  - {algorithm: rtn, weights: {bits: 8}, activations: {bits: [8, 16]}, compute: "
        "bfloat16}\n"
        "  - {algorithm: rtn, weights: {bits: 8}, compute: float16}\n",
        (const char *const[]){
            ":5:17: error: compute is bfloat16 but activations are quantized, expected "
            "compute: float32, or no format of activations (recipe 'rtn w8 channel a8 token "
            "bfloat16')",
            ":6:51: error: compute is 'float16', expected float32, bfloat16 or as llama.cpp",
            NULL,
        });
    config_expect_sweep_errors(
        "  - 7\n"
        "  - {weights: {bits: 4}}\n"
        "  - {algorithm: [], weights: {}}\n",
        (const char *const[]){
            ":5:5: error: '7' in sweep, expected a grid",
            ":6:5: error: algorithm is missing, expected a name or a list",
            ":7:17: error: algorithm is an empty list, expected at least one name",
            ":7:30: error: weights is empty, expected none, or a mapping with format, range, "
            "bits, ",
            NULL,
        });
}

/* What a format or a range does not have is not its axis. */
static void test_options_of_plugins(void **state)
{
    (void)state;
    config_expect_labels("  - {algorithm: rtn, weights: {format: [none, int], bits: [3, 4]}}\n"
                         "  - algorithm: gptq\n"
                         "    weights: {bits: 4, range_norm: [2, 3], range: [minmax, mse]}\n"
                         "  - algorithm: rtn\n"
                         "    weights: none\n"
                         "    activations: {format: int, bits: [8, 16], sharing: [token, window]}\n"
                         "  - {algorithm: rtn, weights: {bits: 4, rounding: nearest}}\n",
                         "rtn w16\n"
                         "rtn w3 channel\n"
                         "rtn w4 channel\n"
                         "gptq w4 channel\n"
                         "gptq w4 channel mse range_norm=2\n"
                         "gptq w4 channel mse range_norm=3\n"
                         "rtn w16 a8 token\n"
                         "rtn w16 a8 window\n"
                         "");
    config_expect_sweep_errors(
        "  - algorithm: rtn\n"
        "    weights: {format: [int, itn], range: [mse, 3, [a]], range_grid: 1.5, bits: four}\n"
        "    activations: {range_norm: 2, granularity: tensor, bmm_input: true, sharing: tensor}\n"
        "  - algorithm: rtn\n"
        "    weights: {format: [], bits: 4}\n"
        "    activations: none\n",
        (const char *const[]){
            ":6:29: error: format is 'itn', expected int",
            ":6:48: error: range is '3', expected minmax",
            ":6:51: error: range is a list, expected minmax",
            ":6:69: error: range_grid is '1.5', expected a whole number",
            ":6:80: error: bits is 'four', expected a whole number from 1 to 8, or 16",
            ":7:19: error: unknown key 'range_norm', expected format, range, bits, group_size, ",
            ":7:34: error: unknown key 'granularity', expected format, range, bits, group_size, ",
            ":7:55: error: unknown key 'bmm_input', expected format, range, bits, group_size, ",
            ":7:81: error: sharing is 'tensor', expected token, window, static, head, "
            "channel, static_head or static_channel (did you mean 'window'?)",
            ":9:23: error: format is an empty list, expected at least one value",
            NULL,
        });
}

/* A list is a setting, a list of lists an axis. */
static void test_lists(void **state)
{
    (void)state;
    config_expect_labels(
        "  - {algorithm: rtn, weights: {format: codebook, levels: [-1, 0.5, 1, -0]}}\n"
        "  - algorithm: rtn\n"
        "    weights: {format: [int, codebook], bits: 4, levels: [[-1, 1], [1, 0, -1]]}\n"
        "  - {algorithm: gptq, weights: {format: codebook, group_size: [32, tensor]}}\n"
        "  - {algorithm: rtn, weights: {format: codebook,\n"
        "     levels: [[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 6, 7, 8, 10]]}}\n",
        "rtn codebook [-1, 0, 0.5, 1] channel\n"
        "rtn w4 channel\n"
        "rtn codebook [-1, 1] channel\n"
        "rtn codebook [-1, 0, 1] channel\n"
        "gptq codebook [-1, 0, 1] g32\n"
        "gptq codebook [-1, 0, 1] tensor\n"
        "rtn codebook 9 levels 7383c2af channel\n"
        "rtn codebook 9 levels 09fc63cf channel\n");
    config_expect_sweep_errors(
        "  - algorithm: rtn\n"
        "    weights: {format: codebook, levels: [1]}\n"
        "  - algorithm: rtn\n"
        "    weights: {format: codebook, levels: [[1, 2], 3, [], [1, [2]], [1, x]]}\n"
        "  - algorithm: rtn\n"
        "    weights: {format: codebook, levels: {a: 1}}\n"
        "  - algorithm: rtn\n"
        "    weights: {format: codebook, levels: [1, 2, 1]}\n"
        "  - algorithm: rtn\n"
        "    weights: {bits: [[4, 3]]}\n",
        (const char *const[]){
            ":6:41: error: levels is '[1]', expected a list of 2 to 256 numbers from -1e+06 to",
            ":8:50: error: levels is '3', expected a list of",
            ":8:53: error: levels is '[]', expected a list of",
            ":8:57: error: levels is a list, expected a list of",
            ":8:67: error: levels is '[1, x]', expected a list of",
            ":10:41: error: levels is a mapping, expected a list of",
            ":11:16: error: weights: levels has 1 twice, expected each once (recipe 'rtn codebook",
            ":14:22: error: bits is a list, expected a whole number",
            NULL,
        });
}

/* What no format of a grid looks at is refused; one that some of them look at is no axis of the
 * others. */
static void test_what_nothing_looks_at(void **state)
{
    (void)state;
    config_expect_labels(
        "  - {algorithm: rtn, weights: {format: [int, q4_k, fp16], bits: 4, range: mse}}\n"
        "  - algorithm: rtn\n"
        "    weights: {format: [int, q4_k], bits: 4, importance: [none, imatrix]}\n"
        "  - algorithm: rtn\n"
        "    weights: {bits: 4, range: mse, range_weighted: true, importance: imatrix}\n"
        "  - algorithm: rtn\n"
        "    weights: {bits: 4, range: [percentile]}\n"
        "    except: [{where: '*.down_proj', weights: {format: q6_k}}]\n"
        "  - {algorithm: rtn, weights: {format: q4_k, range: minmax}}\n"
        "  - {algorithm: rtn, weights: {mix: q4_k_m, importance: imatrix}}\n"
        "  - {algorithm: rtn, weights: {bits: 16, range: mse}}\n",
        "rtn w4 channel mse\n"
        "rtn q4_k\n"
        "rtn fp16\n"
        "rtn w4 channel\n"
        "rtn q4_k imatrix\n"
        "rtn w4 channel mse range_weighted imatrix\n"
        "rtn w4 channel percentile (*.down_proj q6_k)\n"
        "rtn mix q4_k_m imatrix\n"
        "rtn w16\n");
    config_expect_sweep_errors(
        "  - {algorithm: rtn, weights: {format: [q4_k, q6_k], range: [minmax, mse]}}\n"
        "  - {algorithm: rtn, weights: {bits: 4, importance: imatrix}}\n"
        "  - {algorithm: rtn, weights: {format: tq2_0, range: mse, importance: imatrix}}\n"
        "  - {algorithm: rtn, weights: {format: fp16, range: percentile}}\n"
        "  - algorithm: rtn\n"
        "    activations: {format: fp16, range: percentile}\n",
        (const char *const[]){
            ":5:61: error: range is mse, but no format of this grid asks for it: expected none, or "
            "a format that does not look for its scales by itself",
            ":6:53: error: importance is imatrix, but nothing in this grid looks at it: expected "
            "none, a format that does (",
            ":7:54: error: range is mse, but no format",
            ":7:71: error: importance is imatrix, but nothing",
            ":8:53: error: range is percentile, but no format",
            ":10:40: error: range is percentile, but no format",
            NULL,
        });
}

/* Values of which something is said, but no format; storing where nothing is stored later. */
static void test_sites_that_nothing_would_show(void **state)
{
    (void)state;
    config_expect_sweep_errors(
        "  - {algorithm: rtn, weights: {group_size: 64}, activations: {threshold: 6}}\n"
        "  - {algorithm: rtn, weights: none, kv_cache: {sharing: token, first: 4}}\n"
        "  - {algorithm: rtn, weights: none, kv_cache: {bits: 4, residual: 32}}\n"
        "  - {algorithm: rtn, weights: none, kv_cache: {bits: 4, leave: together}}\n"
        "  - {algorithm: rtn, weights: none, kv_cache: {format: q4_0, range: mse}}\n",
        (const char *const[]){
            ":5:44: error: weights has group_size, but neither bits nor a format",
            ":5:74: error: activations has threshold, but neither bits nor a format",
            ":6:57: error: kv_cache has sharing, but neither bits nor a format",
            ":7:67: error: residual is 32, but nothing in this grid is stored later",
            ":8:64: error: leave is together, but nothing in this grid is stored later",
            ":9:69: error: range is mse, but no format of this grid asks for it",
            NULL,
        });
    config_expect_labels(
        "  - {algorithm: rtn, weights: {bits: 4}, kv_cache: {bits: 4, range: mse}}\n"
        "  - {algorithm: rtn, weights: {group_size: 64}, "
        "except: [{where: '*.o_proj', weights: {bits: 4}}]}\n",
        "rtn w4 channel kv4 head mse\n"
        "rtn w16 (*.o_proj w4 g64)\n");
}

/* Checks what there is to say of a sweep from line 5 on, a line each without the path. */
static void expect_notices(const char *sweep, const char *const *notices)
{
    char *text = bs_printf("%ssweep:\n%s", config_frame, sweep);
    struct bs_config config;
    struct bs_error err;
    if (config_load(text, &config, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < config.notices.count; i++, notices++) {
        char *want = bs_printf("%s%s", config_path, *notices ? *notices : "");
        assert_string_equal(config.notices.lines[i], want);
        bs_free(want);
    }
    assert_null(*notices);
    bs_config_release(&config);
    bs_free(text);
}

/* What is no axis of a format, or says nothing of it, is told. */
static void test_what_does_not_apply(void **state)
{
    (void)state;
    expect_notices(
        "  - algorithm: [rtn, gptq]\n"
        "    weights: {format: [none, int, nf4, q4_k], bits: 4, group_size: [64, 128]}\n"
        "    percdamp: [0.01, 0.1]\n"
        "  - algorithm: rtn\n"
        "    weights: {format: [int, q4_k, q8_0], range: [minmax, mse], range_norm: [2, 3],\n"
        "              bits: 4, importance: [none, imatrix]}\n"
        "    activations: {bits: 8, range: minmax}\n"
        "    except: [{where: '*.down_proj', weights: {format: [int, nf4], symmetric: true}}]\n",
        (const char *const[]){
            ":6:53: bits does not apply to nf4 and q4_k",
            ":6:68: group_size does not apply to q4_k, which is there once for its 2 values",
            ":9:49: range does not apply to q4_k and q8_0, which are there once for its 2 values",
            ":9:76: range_norm does not apply to minmax, which is there once for its 2 values",
            ":10:21: bits does not apply to q4_k and q8_0",
            ":10:36: importance does not apply to minmax, mse and q8_0, which are there once for "
            "its 2 values",
            ":12:78: symmetric does not apply to nf4",
            NULL,
        });
    expect_notices("  - {algorithm: [rtn, gptq], percdamp: 0.1,\n"
                   "     weights: {format: [int, codebook], group_size: [64, 128], range: mse}}\n"
                   "  - {algorithm: rtn, weights: {format: [int, nf4], range: minmax}}\n",
                   (const char *const[]){NULL});
    expect_notices("  - algorithm: rtn\n"
                   "    kv_cache: {bits: 4, when: [use, store], residual: [0, 32]}\n"
                   "  - algorithm: rtn\n"
                   "    kv_cache: {format: [int, q4_0], range: [minmax, mse], bits: 4}\n"
                   "  - algorithm: rtn\n"
                   "    kv_cache: {bits: 4, residual: 0, leave: one}\n",
                   (const char *const[]){
                       ":6:55: residual does not apply to when: use, which is there once for its 2 "
                       "values",
                       ":8:44: range does not apply to q4_0, which is there once for its 2 values",
                       ":8:65: bits does not apply to q4_0",
                       NULL,
                   });
}

/* Exceptions begin as the grid's own setting, and their values are axes too. */
static void test_exceptions(void **state)
{
    (void)state;
    config_expect_labels(
        "  - algorithm: rtn\n"
        "    weights: {bits: [3, 4], group_size: 64}\n"
        "    except:\n"
        "      - {where: '*.down_proj', weights: {bits: [8, 16]}}\n"
        "      - {where: ['layer[0,-1].*', '*.o_proj'], weights: none, activations: {bits: 8}}\n"
        "  - algorithm: gptq\n"
        "    weights: none\n"
        "    activations: {where: [qkv, inputs], bits: 8, sharing: window}\n"
        "    except: [{where: down_input, activations: {sharing: token}, weights: {bits: 2}}]\n",
        "rtn w3 g64 (*.down_proj w8 g64) (*.o_proj+layer[0,-1].* w16) "
        "(*.o_proj+layer[0,-1].* a8 token)\n"
        "rtn w3 g64 (*.down_proj w16) (*.o_proj+layer[0,-1].* w16) "
        "(*.o_proj+layer[0,-1].* a8 token)\n"
        "rtn w4 g64 (*.down_proj w8 g64) (*.o_proj+layer[0,-1].* w16) "
        "(*.o_proj+layer[0,-1].* a8 token)\n"
        "rtn w4 g64 (*.down_proj w16) (*.o_proj+layer[0,-1].* w16) "
        "(*.o_proj+layer[0,-1].* a8 token)\n"
        "gptq w16 a8 window at inputs+qkv (down_input w2 channel) (down_input a8 token)\n");
    config_expect_sweep_errors(
        "  - algorithm: rtn\n"
        "    weights: {bits: 4}\n"
        "    activations: {bits: 8, where: [inputs, 'layer[a].*']}\n"
        "    except:\n"
        "      - {weights: {bits: 8}}\n"
        "      - {where: '*'}\n"
        "      - {where: '*.down proj', weights: {bits: 8}}\n"
        "      - {where: '*', weights: {bits: 9, where: inputs, sharing: token}, activation: "
        "none}\n"
        "      - 7\n"
        "  - {algorithm: rtn, except: {where: '*'}}\n"
        "  - {algorithm: gptq, weights: {bits: 4, group_size: 64},\n"
        "     except: [{where: '*.o_proj', weights: {group_size: channel}}], static_groups: "
        "true}\n",
        (const char *const[]){
            ":7:44: error: where is 'layer[a].*', expected layers as in layer[0,2-5,-1].*",
            ":9:9: error: where is missing, expected a place, or a list of them",
            ":10:9: error: an entry of except is a mapping, expected weights or activations in it",
            ":11:17: error: where is '*.down proj', expected a place such as *.down_proj",
            ":12:38: error: bits is '9', expected a whole number from 1 to 8, or 16",
            ":12:41: error: unknown key 'where', expected format, range, bits, ",
            ":12:56: error: unknown key 'sharing', expected format, range, bits, ",
            ":12:73: error: unknown key 'activation', expected where, weights or activations (did "
            "you mean 'activations'?)",
            ":13:9: error: an entry of except is '7', expected a mapping with where, weights or",
            ":14:30: error: except is a mapping, expected a list of mappings with where, weights",
            ":15:17: error: except *.o_proj: static_groups needs a group_size in columns: a "
            "row of the format is one group (recipe 'gptq w4 g64 (*.o_proj w4 channel) "
            "static_groups')",
            NULL,
        });
}

static void test_refused_recipes(void **state)
{
    (void)state;
    /* One error for each reason and chain, naming the first recipe that it meets. */
    config_expect_sweep_errors(
        "  - algorithm: [rtn, gptq]\n"
        "    weights: {bits: [4, 3], group_size: [channel, 64]}\n"
        "    static_groups: true\n",
        (const char *const[]){
            ":5:22: error: static_groups needs a group_size in columns: a row of the format is "
            "one group (recipe 'gptq "
            "w4 channel static_groups')",
            NULL,
        });
}

static void test_missing_calibration(void **state)
{
    (void)state;
    config_expect_errors(
        "model: m\n"
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
    config_expect_sweep_errors(
        sweep, (const char *const[]){
                   ":5:22: error: the sweep has more than 10000 trials here, expected fewer",
                   NULL,
               });
    bs_free(sweep);
    bs_free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_the_product),
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_repeats_are_kept_once),
        cmocka_unit_test(test_errors_of_grids),
        cmocka_unit_test(test_options_of_plugins),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_what_nothing_looks_at),
        cmocka_unit_test(test_what_does_not_apply),
        cmocka_unit_test(test_sites_that_nothing_would_show),
        cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_refused_recipes),
        cmocka_unit_test(test_missing_calibration),
        cmocka_unit_test(test_too_many_trials),
    };
    return cmocka_run_group_tests(tests, config_setup, config_teardown);
}

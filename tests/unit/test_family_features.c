/* What a config.json of a family asks for beyond sizes: which row it is, which layers rotate or
 * have a window, scales, norms; by the keys and the defaults of transformers' configuration
 * classes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/model/model.h"
#include "tests/support/folder.h"

#define SIZES                                                                                      \
    "\"hidden_size\": 32, \"intermediate_size\": 20, \"num_hidden_layers\": 8, "                   \
    "\"num_attention_heads\": 4, \"vocab_size\": 50"

#define FALCON                                                                                     \
    "\"hidden_size\": 32, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"vocab_size\": "  \
    "50"

static enum bs_status read_type(const char *model_type, const char *keys, struct bs_architecture *a,
                                struct bs_error *err)
{
    char text[1024];
    snprintf(text, sizeof text, "{\"model_type\": \"%s\", %s}", model_type, keys);
    folder_write_text(&folder, "config.json", text);
    return bs_architecture_read(folder.path, NULL, a, NULL, err);
}

static struct bs_architecture read_sound(const char *model_type, const char *keys)
{
    struct bs_architecture a;
    struct bs_error err;
    if (read_type(model_type, keys, &a, &err))
        fail_msg("%s", err.message);
    return a;
}

/* One letter a layer: r rotates, - does not; upper case where there is a window. */
static void assert_layers(const struct bs_architecture *a, const char *want)
{
    char got[BS_MAX_LAYERS + 1] = "";
    for (int l = 0; l < a->num_layers; l++) {
        bool rotated = bs_is_rotated(a, l), local = bs_is_local(a, l);
        got[l] = rotated ? (local ? 'R' : 'r') : local ? '=' : '-';
    }
    assert_string_equal(got, want);
}

static void layers_rotate_and_have_windows_as_the_keys_say(void **state)
{
    (void)state;
    static const struct {
        const char *model_type, *keys, *layers;
    } cases[] = {
        {"smollm3", SIZES, "rrr-rrr-"},
        {"smollm3", SIZES ", \"no_rope_layer_interval\": 2", "r-r-r-r-"},
        {"smollm3", SIZES ", \"no_rope_layers\": [0, 1, 1, 1, 1, 1, 1, 0]", "-rrrrrr-"},
        {"smollm3", SIZES ", \"no_rope_layers\": [true, true, true, true, true, true, true, false]",
         "rrrrrrr-"},
        {"smollm3", SIZES ", \"use_sliding_window\": true, \"sliding_window\": 5", "rrr=rrr="},
        {"smollm3", SIZES ", \"sliding_window\": 5", "rrr-rrr-"},
        {"cohere2", SIZES, "RRR-RRR-"},
        {"cohere2", SIZES ", \"sliding_window_pattern\": 2", "R-R-R-R-"},
        {"exaone4", SIZES ", \"num_key_value_heads\": 2", "RRR-RRR-"},
        {"exaone4", SIZES ", \"num_key_value_heads\": 2, \"sliding_window\": null", "rrrrrrrr"},
        {"olmo3", SIZES, "RRRrRRRr"},
        {"ministral", SIZES ", \"num_key_value_heads\": 2", "RRRRRRRR"},
        {"ministral", SIZES ", \"num_key_value_heads\": 2, \"sliding_window\": null", "rrrrrrrr"},
        {"phi3", SIZES, "rrrrrrrr"},
        {"phi3", SIZES ", \"sliding_window\": 7", "RRRRRRRR"},
        {"starcoder2", SIZES ", \"sliding_window\": null", "rrrrrrrr"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_architecture a = read_sound(cases[i].model_type, cases[i].keys);
        assert_layers(&a, cases[i].layers);
    }
}

static void rows_of_falcon_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        enum bs_wiring wiring;
        int norms, kv_heads;
        enum bs_position_kind positions;
    } cases[] = {
        {"", BS_PARALLEL, 1, 1, BS_ROTARY},
        {", \"new_decoder_architecture\": null", BS_PARALLEL, 1, 1, BS_ROTARY},
        {", \"parallel_attn\": null", BS_PRE_NORM, 2, 1, BS_ROTARY}, /* a null is false there */
        {", \"parallel_attn\": false, \"multi_query\": false, \"alibi\": true", BS_PRE_NORM, 2, 4,
         BS_ALIBI},
        {", \"parallel_attn\": false, \"num_ln_in_parallel_attn\": 2", BS_PRE_NORM, 2, 1,
         BS_ROTARY},
        {", \"new_decoder_architecture\": true, \"num_kv_heads\": 2", BS_PARALLEL, 2, 2, BS_ROTARY},
        {", \"new_decoder_architecture\": true, \"num_kv_heads\": 2, "
         "\"num_ln_in_parallel_attn\": 1, \"ff_factor\": 4",
         BS_PARALLEL, 1, 2, BS_ROTARY},
        {", \"alibi\": true", BS_PARALLEL, 1, 1, BS_ALIBI},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char keys[512];
        snprintf(keys, sizeof keys, "%s%s", FALCON, cases[i].keys);
        struct bs_architecture a = read_sound("falcon", keys);
        int norms = bs_has_norm(&a, BS_NORM_ATTENTION) + bs_has_norm(&a, BS_NORM_MLP);
        assert_int_equal(a.wiring, cases[i].wiring);
        assert_int_equal(norms, cases[i].norms);
        assert_int_equal(a.num_kv_heads, cases[i].kv_heads);
        assert_int_equal(a.positions, cases[i].positions);
    }
}

static void assert_biased(const struct bs_architecture *a, bool v, bool o, bool up)
{
    const struct bs_program *p = &a->programs[0];
    assert_int_equal(p->slots[bs_program_slot(p, "v")].biased, v);
    assert_int_equal(p->slots[bs_program_slot(p, "o")].biased, o);
    assert_int_equal(p->slots[bs_program_slot(p, "up")].biased, up);
}

static void scales_and_norms_come_from_their_keys(void **state)
{
    (void)state;
    struct bs_architecture a = read_sound("granite", SIZES);
    assert_true(a.attention_scale == 1 && a.residual_scale == 1 && a.logit_scale == 1);
    a = read_sound("granite", SIZES ", \"attention_multiplier\": 0.25, \"logits_scaling\": 8, "
                                    "\"residual_multiplier\": 0.5, \"embedding_multiplier\": 12");
    assert_true(a.attention_scale == 0.25f && a.logit_scale == 0.125f);
    assert_true(a.residual_scale == 0.5f && a.embedding_scale == 12);
    a = read_sound("cohere", SIZES);
    assert_true(a.logit_scale == 0.0625f && !bs_has_norm(&a, BS_NORM_Q));
    a = read_sound("cohere", SIZES ", \"use_qk_norm\": true, \"logit_scale\": 2");
    assert_true(a.logit_scale == 2 && bs_has_norm(&a, BS_NORM_Q));
    assert_int_equal(bs_norm_width(&a, BS_NORM_Q), 32);
    a = read_sound("olmo2", SIZES ", \"num_key_value_heads\": 2");
    assert_int_equal(bs_norm_width(&a, BS_NORM_K), 16);
    assert_false(bs_has_norm(&a, BS_NORM_ATTENTION));
    a = read_sound("stablelm", SIZES ", \"num_key_value_heads\": 2, "
                                     "\"use_parallel_residual\": true, \"qk_layernorm\": true");
    assert_true(a.wiring == BS_PARALLEL && !bs_has_norm(&a, BS_NORM_MLP));
    assert_int_equal(bs_norm_kind_at(&a, BS_NORM_K), BS_LAYER_NORM_UNBIASED);
    assert_int_equal(a.programs[0].num_inputs, 3);
    a = read_sound("gemma", SIZES ", \"num_key_value_heads\": 1, \"hidden_act\": \"gelu\"");
    assert_int_equal(a.activation, BS_GELU_TANH);
    a = read_sound("ministral3", SIZES ", \"num_key_value_heads\": 2");
    assert_int_equal(a.rope.kind, BS_ROPE_YARN);
    assert_true(a.query_scaling.beta == 0.1f && a.query_scaling.positions == 16384);
    a = read_sound("seed_oss", SIZES ", \"num_key_value_heads\": 2");
    assert_biased(&a, true, false, false);
    a = read_sound("seed_oss", SIZES ", \"num_key_value_heads\": 2, \"attention_bias\": false, "
                                     "\"attention_out_bias\": true, \"mlp_bias\": true");
    assert_biased(&a, false, true, true);
}

#define MPT                                                                                        \
    "\"d_model\": 32, \"n_layers\": 2, \"n_heads\": 4, \"vocab_size\": 50, \"attn_config\": "

static void an_object_within_is_read_and_checked(void **state)
{
    (void)state;
    struct bs_architecture a = read_sound(
        "mpt",
        MPT "{\"clip_qkv\": 2.5, \"softmax_scale\": 0.5, \"alibi_bias_max\": 16, "
            "\"attn_impl\": \"flash\", \"model_type\": \"\", \"is_encoder_decoder\": false}");
    assert_true(a.qkv_clip == 2.5f && a.attention_scale == 0.5f && a.alibi_exponent == 16);
    assert_int_equal(a.programs[0].folds[a.programs[0].inputs[1]].op,
                     -1); /* no factor passes the clip */
    a = read_sound("mpt", MPT "null");
    assert_true(a.qkv_clip == 0 && a.alibi_exponent == 8);
    assert_true(bs_folds_into(&a.programs[0], a.programs[0].inputs[1], BS_OP_LINEAR));
}

static void what_no_class_computes_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *model_type, *keys, *said;
    } cases[] = {
        {"mpt", MPT "{\"alibi\": false}", "attn_config.alibi is false, expected true"},
        {"mpt", MPT "{\"qk_ln\": true}", "attn_config.qk_ln is true"},
        {"mpt", MPT "[]", "attn_config is [], expected an object"},
        {"mpt", MPT "{}, \"expansion_ratio\": 2", "expansion_ratio is 2"},
        {"mpt", MPT "{}, \"no_bias\": false", "no_bias is false"},
        {"falcon", FALCON ", \"new_decoder_architecture\": true, \"parallel_attn\": false",
         "parallel_attn is false"},
        {"falcon", FALCON ", \"num_ln_in_parallel_attn\": 2", "num_ln_in_parallel_attn is 2"},
        {"smollm3", SIZES ", \"no_rope_layers\": [1, 0]", "no_rope_layers is [1, 0]"},
        {"smollm3", SIZES ", \"no_rope_layers\": [1, 0, 2, 1, 1, 1, 1, 1]", "1 or 0 for each"},
        {"smollm3", SIZES ", \"no_rope_layer_interval\": 0", "no_rope_layer_interval is 0"},
        {"exaone4", SIZES ", \"num_key_value_heads\": 2, \"sliding_window_pattern\": \"LLLG\"",
         "sliding_window_pattern is \"LLLG\""},
        {"gptj",
         "\"n_embd\": 32, \"n_layer\": 2, \"n_head\": 4, \"vocab_size\": 50, "
         "\"rotary_dim\": 10",
         "rotary_dim is 10"},
        {"ministral3",
         SIZES ", \"num_key_value_heads\": 2, \"rope_parameters\": "
               "{\"rope_type\": \"default\", \"rope_theta\": 100.0}",
         "original_max_position_embeddings is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_architecture a;
        struct bs_error err = {0};
        enum bs_status status = read_type(cases[i].model_type, cases[i].keys, &a, &err);
        if ((status != BS_EDATA && status != BS_EUNSUPPORTED) ||
            !strstr(err.message, cases[i].said) || !strstr(err.message, "config.json"))
            fail_msg("%s, %s: status %d, %s", cases[i].model_type, cases[i].keys, status,
                     err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_rotate_and_have_windows_as_the_keys_say),
        cmocka_unit_test(rows_of_falcon_are_told_apart),
        cmocka_unit_test(scales_and_norms_come_from_their_keys),
        cmocka_unit_test(an_object_within_is_read_and_checked),
        cmocka_unit_test(what_no_class_computes_is_refused),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}

/* config.json: what is read, what is taken as default, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/model/model.h"
#include "tests/support/folder.h"
#include "tests/support/slots.h"

#define SIZES                                                                                      \
    "\"model_type\": \"llama\", \"hidden_size\": 96, \"intermediate_size\": 200, "                 \
    "\"num_hidden_layers\": 3, \"num_attention_heads\": 6, \"vocab_size\": 50"

static enum bs_status read_text(const char *text, struct bs_architecture *a, struct bs_error *err)
{
    folder_write_text(&folder, "config.json", text);
    return bs_architecture_read(folder.path, NULL, a, NULL, err);
}

static void test_tiny(void **state)
{
    (void)state;
    struct bs_architecture a;
    struct bs_error err;
    assert_int_equal(bs_architecture_read("datasets/tiny", NULL, &a, NULL, &err), BS_OK);
    assert_string_equal(a.family->model_type, "llama");
    assert_int_equal(a.hidden_size, 256);
    assert_int_equal(a.intermediate_size, 768);
    assert_int_equal(a.num_layers, 6);
    assert_int_equal(a.num_heads, 4);
    assert_int_equal(a.num_kv_heads, 2);
    assert_int_equal(a.head_dim, 64);
    assert_int_equal(a.vocab_size, 4096);
    assert_int_equal(a.max_positions, 256);
    assert_true(a.norm_eps == 1e-5f && a.rope.theta == 10000 && a.tied_head);
}

static void test_defaults(void **state)
{
    (void)state;
    struct bs_architecture a;
    struct bs_error err;
    assert_int_equal(read_text("{" SIZES "}", &a, &err), BS_OK);
    assert_int_equal(a.num_kv_heads, 6);
    assert_int_equal(a.head_dim, 16);
    assert_int_equal(a.max_positions, 2048);
    assert_true(a.norm_eps == 1e-6f && a.rope.theta == 10000 && !a.tied_head);
    assert_int_equal(read_text("{" SIZES ", \"num_key_value_heads\": null, \"head_dim\": null, "
                               "\"rope_scaling\": null, \"quantization_config\": null}",
                               &a, &err),
                     BS_OK);
    assert_int_equal(a.num_kv_heads, 6);
}

static void test_shapes(void **state)
{
    (void)state;
    struct bs_architecture a;
    struct bs_error err;
    assert_int_equal(
        read_text("{" SIZES ", \"num_key_value_heads\": 2, \"head_dim\": 32}", &a, &err), BS_OK);
    static const int shapes[NUM_SLOTS][2] = {
        [SLOT_Q] = {192, 96},   [SLOT_K] = {64, 96},     [SLOT_V] = {64, 96},
        [SLOT_O] = {96, 192},   [SLOT_GATE] = {200, 96}, [SLOT_UP] = {200, 96},
        [SLOT_DOWN] = {96, 200}};
    assert_int_equal(a.programs[0].num_slots, NUM_SLOTS);
    for (int s = 0; s < NUM_SLOTS; s++) {
        assert_int_equal(a.programs[0].slots[s].out, shapes[s][0]);
        assert_int_equal(a.programs[0].slots[s].in, shapes[s][1]);
    }
}

static void test_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        double theta;
    } cases[] = {
        {"\"rope_theta\": 500000", 5e5},
        {"\"rope_theta\": 1e6, \"dtype\": \"bfloat16\", \"torch_dtype\": \"float16\"", 1e6},
        {"\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 20000.0}", 2e4},
        {"\"rope_theta\": 300.0, \"rope_parameters\": {\"rope_type\": \"default\"}", 300},
        {"\"rope_scaling\": {\"type\": \"default\"}", 1e4},
        {"\"rope_parameters\": {\"partial_rotary_factor\": 1.0}", 1e4},
        {"\"pretraining_tp\": 2, \"hidden_act\": \"silu\", \"partial_rotary_factor\": 1.0", 1e4},
        {"\"attention_dropout\": 0.1, \"initializer_range\": 0.02, \"eos_token_id\": [1, 2]", 1e4},
        {"\"attention_bias\": false, \"mlp_bias\": false, \"sliding_window\": null", 1e4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bs_architecture a;
        struct bs_error err;
        char text[1024];
        snprintf(text, sizeof text, "{" SIZES ", %s}", cases[i].more);
        if (read_text(text, &a, &err))
            fail_msg("%s: %s", cases[i].more, err.message);
        assert_true(a.rope.theta == cases[i].theta);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        enum bs_status status;
        const char *said;
    } cases[] = {
        {"\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0}", BS_EDATA,
         "rope_scaling: low_freq_factor is missing"},
        {"\"rope_scaling\": {\"type\": \"proportional\", \"factor\": 2.0}", BS_EUNSUPPORTED,
         "rope_scaling: rope_type is \"proportional\""},
        {"\"rope_scaling\": {\"type\": \"dynamic\"}", BS_EDATA, "factor is missing"},
        {"\"rope_scaling\": {\"type\": \"linear\", \"factor\": -2.0}", BS_EDATA, "factor is -2"},
        {"\"rope_scaling\": {\"type\": \"linear\", \"rope_type\": \"default\"}", BS_EDATA,
         "one rope_type"},
        {"\"rope_scaling\": {\"factor\": 2.0}", BS_EUNSUPPORTED, "rope_scaling.factor"},
        {"\"rope_scaling\": 2", BS_EDATA, "rope_scaling is 2"},
        {"\"rope_parameters\": {\"rope_type\": \"yarn\"}", BS_EDATA, "factor is missing"},
        {"\"rope_parameters\": {\"partial_rotary_factor\": 0.5}", BS_EUNSUPPORTED,
         "partial_rotary_factor is 0.5"},
        {"\"rope_theta\": 10000, \"rope_parameters\": {\"rope_theta\": 500000}", BS_EDATA,
         "rope_theta is 10000, but rope_parameters has 500000"},
        {"\"attention_bias\": 1", BS_EDATA, "attention_bias is 1, expected true or false"},
        {"\"hidden_act\": \"prelu\"", BS_EUNSUPPORTED, "hidden_act is \"prelu\""},
        {"\"partial_rotary_factor\": 0.25", BS_EUNSUPPORTED, "partial_rotary_factor is 0.25"},
        {"\"sliding_window\": 4096", BS_EUNSUPPORTED, "sliding_window is 4096"},
        {"\"quantization_config\": {\"bits\": 4}", BS_EUNSUPPORTED, "quantization_config"},
        {"\"clip_qkv\": 8", BS_EUNSUPPORTED, "--accept-unknown clip_qkv"},
        {"\"num_key_value_heads\": 4", BS_EDATA, "not a multiple of num_key_value_heads 4"},
        {"\"num_key_value_heads\": 0", BS_EDATA, "num_key_value_heads is 0"},
        {"\"head_dim\": 15", BS_EDATA, "head_dim is 15"},
        {"\"head_dim\": 2000000000", BS_EDATA, "too large"},
        {"\"num_hidden_layers\": 5", BS_EDATA, "duplicate"},
        {"\"rope_theta\": 0", BS_EDATA, "rope_theta is 0"},
        {"\"rope_theta\": \"1e6\"", BS_EDATA, "rope_theta is \"1e6\""},
        {"\"rms_norm_eps\": -1e-5", BS_EDATA, "rms_norm_eps"},
        {"\"rms_norm_eps\": 1e-60", BS_EDATA, "rms_norm_eps"},
        {"\"tie_word_embeddings\": 1", BS_EDATA, "tie_word_embeddings is 1"},
        {"\"max_position_embeddings\": 2.5", BS_EDATA, "max_position_embeddings is 2.5"},
        {"\"hidden_size\": 97", BS_EDATA, "duplicate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bs_architecture a;
        struct bs_error err = {0};
        char text[1024];
        snprintf(text, sizeof text, "{" SIZES ", %s}", cases[i].more);
        enum bs_status status = read_text(text, &a, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].said) ||
            !strstr(err.message, "config.json"))
            fail_msg("%s: status %d, %s", cases[i].more, status, err.message);
    }
}

static void test_damaged(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum bs_status status;
        const char *said;
    } cases[] = {
        {"", BS_EDATA, "not valid JSON"},
        {"{\"model_type\": \"llama\",\n}", BS_EDATA, "line 2"},
        {"[]", BS_EDATA, "no object"},
        {"{}", BS_EDATA, "model_type is missing"},
        {"{\"model_type\": 3}", BS_EDATA, "model_type is 3"},
        {"{\"model_type\": \"mamba\", \"ssm\": 1}", BS_EUNSUPPORTED, "supported: llama"},
        {"{\"model_type\": \"llama\"}", BS_EDATA, "hidden_size is missing"},
        {"{\"model_type\": \"llama\", \"hidden_size\": true}", BS_EDATA, "hidden_size is true"},
        {"{\"model_type\": \"llama\", \"hidden_size\": 3000000000}", BS_EDATA, "hidden_size is 3"},
        {"{\"model_type\": \"llama\", \"hidden_size\": 97, \"intermediate_size\": 8, "
         "\"num_hidden_layers\": 1, \"num_attention_heads\": 6, \"vocab_size\": 9}",
         BS_EDATA, "hidden_size 97 is not a multiple of num_attention_heads 6"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bs_architecture a;
        struct bs_error err = {0};
        enum bs_status status = read_text(cases[i].text, &a, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].said))
            fail_msg("%s: status %d, %s", cases[i].text, status, err.message);
    }
    struct bs_architecture a;
    struct bs_error err;
    assert_int_equal(bs_architecture_read("datasets/none", NULL, &a, NULL, &err), BS_EIO);
    assert_non_null(strstr(err.message, "datasets/none/config.json"));
    bs_alloc_fail_at(1);
    assert_int_equal(bs_architecture_read("datasets/tiny", NULL, &a, NULL, &err), BS_ENOMEM);
    bs_alloc_fail_at(0);
}

static bool names_role(const struct bs_family *family, const char *role)
{
    for (int i = 0; i < BS_MAX_ROLES && family->linears[i].role; i++)
        if (!strcmp(family->linears[i].role, role))
            return true;
    return false;
}

static void test_families(void **state)
{
    (void)state;
    assert_null(bs_family_find("bert"));
    /* In every row each linear reads an input that was computed before it. */
    const struct bs_family *family;
    for (int f = 0; (family = bs_family_at(f)); f++) {
        struct bs_architecture a = {.family = family,
                                    .stored = *family,
                                    .norm = family->norm,
                                    .norms = bs_family_norms(family),
                                    .wiring = family->wiring,
                                    .num_heads = 1,
                                    .num_kv_heads = 1,
                                    .num_layers = family->experts ? 2 : 1,
                                    .dense_layers = {2},
                                    .experts = {.count = family->experts ? 2 : 0}};
        struct bs_error err;
        bool shares = names_role(family, "shared_down"), dense = names_role(family, "down");
        if (!dense) /* all layers have experts */
            a.dense_layers[0] = 0;
        if (names_role(family, "kv_a"))
            a.latent = (struct bs_latent){.query = 4, .key_value = 6};
        a.experts.shared_size = shares ? 3 : 0;
        assert_int_equal(bs_programs_build(&a, &err), BS_OK);
        const struct bs_program *p = bs_program_of(&a, 0);
        int seen = 0, slots[BS_MAX_SLOTS];
        for (int k = 0; k < p->num_inputs; k++) {
            seen += bs_program_readers(p, p->inputs[k], slots);
            assert_true(!k ||
                        p->values[p->inputs[k]].made_by > p->values[p->inputs[k - 1]].made_by);
        }
        assert_int_equal(seen, p->num_slots);
        const struct bs_program *last = bs_program_of(&a, a.num_layers - 1);
        for (int i = 0; i < BS_MAX_ROLES && family->linears[i].role; i++) {
            const char *role = family->linears[i].role;
            bool unused = a.latent.query && !strcmp(role, "q"); /* made of the narrow vector */
            assert_true((bs_program_slot(p, role) >= 0 || bs_program_slot(last, role) >= 0) !=
                        unused);
        }
        int attention = a.latent.query ? 5 : 4;
        int experts = 1 + 2 * 3 + (shares ? 3 + names_role(family, "shared_router") : 0);
        int mlp = family->gated ? 3 : 2;
        assert_int_equal(p->num_slots, attention + (family->experts ? experts : mlp));
        assert_int_equal(last->num_slots, attention + (family->experts && !dense ? experts : mlp));
        assert_int_equal(a.num_kinds, family->experts && dense ? 2 : 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny),     cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_shapes),   cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_families),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}

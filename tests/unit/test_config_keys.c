/* Keys of config.json that a family does not read: notes are passed over, arithmetic is refused, in
 * every family and whatever the key is called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>

#include "eval/base/json.h"
#include "eval/model/config_words.h"
#include "eval/model/model.h"
#include "tests/support/folder.h"

#define FAMILIES "tests/golden/families/"

/* What public checkpoints carry besides the architecture. */
static const char *const notes[] = {
    "\"unsloth_fixed\": true",
    "\"unsloth_version\": \"2025.3.19\"",
    "\"auto_map\": {\"AutoConfig\": \"configuration_x.XConfig\", \"AutoModel\": \"modeling_x.X\"}",
    "\"license\": \"apache-2.0\"",
    "\"pad_token\": \"<pad>\"",
    "\"_model_name_or_path\": \"org/base\"",
    "\"_name_or_path\": \"/scratch/run-7/checkpoint-1200\"",
    "\"max_window_layers\": 28",
    "\"use_flash_attn\": true",
    "\"use_flash_attention_2\": true",
    "\"flash_attn_version\": 2",
    "\"model_name\": \"mine-7b\"",
    "\"model_max_length\": 4096",
    "\"max_sequence_length\": 16384",
    "\"tokenizer_model_max_length\": 4096",
    "\"torch_dtype\": null",
    "\"quantization_config\": null",
    "\"moe\": null",
    "\"rope_interval\": null",
    "\"num_experts\": 0",
    "\"use_mup\": false",
    "\"qk_rope\": false",
    "\"clip_qkv\": null",
    "\"residual_multiplier\": 1.0",
    "\"logit_scale\": 1",
    "\"rotary_scaling_factor\": 1.0",
    "\"attn_implementation\": \"flash_attention_2\"",
    "\"_attn_implementation_autoset\": true",
    "\"_attn_implementation_internal\": \"sdpa\"",
    "\"attention_probs_dropout_prob\": 0.1",
    "\"hidden_dropout_prob\": 0.1",
    "\"attn_dropout\": 0.0",
    "\"mlp_dropout\": 0.05",
    "\"initializer_factor\": 1.0",
    "\"layer_norm_init\": \"ones\"",
    "\"label_smoothing_factor\": 0.1",
    "\"max_grad_norm\": 1.0",
    "\"adam_epsilon\": 1e-08",
    "\"lr_scheduler_type\": \"cosine\"",
    "\"num_train_epochs\": 3",
    "\"train_batch_size\": 8",
    "\"per_device_eval_batch_size\": 16",
    "\"gradient_accumulation_steps\": 4",
    "\"neftune_noise_alpha\": 5.0",
    "\"lora_alpha\": 16",
    "\"lora_rank\": 8",
    "\"peft_config\": {\"r\": 8, \"bias\": \"none\"}",
    "\"wandb_project\": \"x\"",
    "\"training_args\": {\"learning_rate\": 1e-5, \"norm\": 2}",
    "\"merge_method\": \"slerp\"",
    "\"mergekit_version\": \"0.0.4\"",
    "\"load_in_4bit\": true",
    "\"bnb_4bit_quant\": null",
    "\"task_specific_params\": {\"text-generation\": {\"do_sample\": true, \"top_k\": 50}}",
    "\"temperature\": 0.7",
    "\"top_k\": 20",
    "\"repetition_penalty\": 1.1",
    "\"bos_token\": \"<s>\"",
    "\"eos_token_ids\": [1, 2]",
    "\"image_token_index\": 32000",
    "\"tensor_parallel_size\": 8",
    "\"sequence_parallel\": true",
    "\"model_parallel\": false",
    "\"use_fused_rms_norm\": true",
    "\"fused_mlp\": true",
    "\"softmax_in_fp32\": true",
    "\"use_kernels\": true",
    "\"kv_cache_dtype\": \"auto\"",
    "\"cache_implementation\": \"hybrid\"",
    "\"model_size\": \"7B\"",
    "\"n_params\": 7000000000",
    "\"num_samples\": 1000000",
    "\"dataset_size\": 5",
    "\"group_by_length\": true",
    "\"pad_vocab_size_multiple_of\": 64",
    "\"pretraining_tp\": 2",
    "\"router_aux_loss_coef\": 0.001",
    "\"output_router_logits\": false",
    "\"num_labels\": 2",
    "\"id2label\": {\"0\": \"LABEL_0\"}",
    "\"is_causal\": true",
    "\"finetuned_from\": \"base\"",
    "\"base_model\": \"org/base\"",
    "\"created_at\": \"2024-05-01\"",
    "\"_comment\": [1, 2, {\"norm\": 3}]",
    "\"\": 1",
};

/* What changes the numbers. */
static const char *const arithmetic[] = {
    "\"use_qk_norm\": true",
    "\"qk_norm_type\": \"rms\"",
    "\"norm_topk_prob\": true",
    "\"attn_logit_cap\": 30.0",
    "\"router_logit_softcap\": 30.0",
    "\"residual_scale\": 0.5",
    "\"mup_scale\": 0.22",
    "\"hidden_multiplier\": 12",
    "\"attention_multiplier_x\": 1.0",
    "\"softmax_scale\": 1.0",
    "\"rope_dim\": 0",
    "\"num_experts\": 8",
    "\"num_experts_per_tok\": 2",
    "\"n_routed_experts\": 64",
    "\"first_k_dense_replace\": 1",
    "\"moe_intermediate_size\": 1408",
    "\"kv_lora_rank\": 512",
    "\"q_lora_rank\": 1536",
    "\"qk_rope_head_dim\": 64",
    "\"rope_interleaved\": true",
    "\"rope_ratio\": 50",
    "\"mrope_section\": [16, 24, 24]",
    "\"no_rope_every\": 4",
    "\"position_bias_max_distance\": 128",
    "\"alibi_bias_max\": 16",
    "\"use_bidirectional_attention\": true",
    "\"is_causal\": false",
    "\"causal_window\": 128",
    "\"attention_window\": [128, 256]",
    "\"window_size\": 256",
    "\"attention_chunk_size\": 8192",
    "\"attn_temperature_tuning\": true",
    "\"attention_sinks\": 4",
    "\"attn_output_gate\": true",
    "\"embedding_clip\": 6.0",
    "\"clamp_qkv\": 8",
    "\"swiglu_limit\": 7.0",
    "\"activation_sparsity_pattern\": [0.95]",
    "\"mlp_hidden_scale\": 2",
    "\"ffn_dim_multiplier\": 1.3",
    "\"layers_block_type\": [\"mamba\", \"attention\"]",
    "\"layer_types_extra\": [\"linear_attention\"]",
    "\"mamba_d_state\": 128",
    "\"ssm_state_size\": 16",
    "\"conv_kernel\": 4",
    "\"lm_head_bias_x\": true",
    "\"use_scaled_residual\": true",
    "\"parallel_block_x\": true",
    "\"sandwich_norm\": true",
    "\"num_nextn_predict_layers\": 1",
    "\"num_kv_shared_layers\": 20",
    "\"hidden_size_per_layer_input\": 256",
    "\"quantization\": {\"bits\": 4, \"group_size\": 64}",
    "\"softmax_temperature\": 0.7",
    "\"prefix_lm\": true",
    "\"numKvGroups\": 3",
    "\"add_cross_attention\": true",
    "\"is_encoder_decoder\": true",
    "\"pruned_heads\": {\"0\": [1]}",
    "\"per_layer_config\": {\"0\": {\"intermediate_size\": 8}}",
};

static json_t *parse(const char *member)
{
    char text[512];
    snprintf(text, sizeof text, "{%s}", member);
    json_t *object = json_loads(text, 0, NULL);
    assert_non_null(object);
    return object;
}

static enum bs_status read_changed(json_t *config, const json_t *change,
                                   const struct bs_lines *accept, struct bs_remarks *remarks,
                                   struct bs_error *err)
{
    struct bs_architecture a;
    json_t *changed = json_copy(config);
    assert_int_equal(json_object_update(changed, (json_t *)(uintptr_t)change), 0);
    assert_int_equal(json_dump_file(changed, folder_file(&folder, "config.json"), 0), 0);
    json_decref(changed);
    return bs_architecture_read(folder.path, accept, &a, remarks, err);
}

static json_t *load_family(const char *family)
{
    char path[512];
    snprintf(path, sizeof path, FAMILIES "%s/config.json", family);
    json_t *config = json_load_file(path, 0, NULL);
    assert_non_null(config);
    return config;
}

static enum bs_status read_with(const char *family, const json_t *change,
                                const struct bs_lines *accept, struct bs_remarks *remarks,
                                struct bs_error *err)
{
    json_t *config = load_family(family);
    enum bs_status status = read_changed(config, change, accept, remarks, err);
    json_decref(config);
    return status;
}

/* Every config.json there is: of the small models, and of public repositories. */
static json_t *load_all(void)
{
    json_t *all = json_load_file("tests/golden/public_configs.json", 0, NULL);
    DIR *folders = opendir(FAMILIES);
    assert_true(all && folders);
    for (struct dirent *entry; (entry = readdir(folders));)
        if (!strchr(entry->d_name, '.'))
            json_object_set_new(all, entry->d_name, load_family(entry->d_name));
    closedir(folders);
    assert_true(json_object_size(all) > 60);
    return all;
}

/* Whether the config has it, under any name of the number of experts; or its family knows it. */
static bool has_key(const json_t *config, const char *key)
{
    static const char *const experts[] = {"num_experts", "num_local_experts", "n_routed_experts",
                                          NULL};
    const char *type = json_string_value(json_object_get(config, "model_type"));
    bool known = type && ((!strcmp(key, "swiglu_limit") && !strcmp(type, "gpt_oss")) ||
                          (!strcmp(key, "num_nextn_predict_layers") && strstr(type, "deepseek")));
    bool has = known || json_object_get(config, key);
    for (const char *const *name = experts; bs_word_in(key, experts) && *name; name++)
        has = has || json_object_get(config, *name);
    return has;
}

/* Members of `list` that are not judged as they should be, in every config that has no such key. */
static int count_wrong(const char *const *list, size_t count, bool refused)
{
    int wrong = 0;
    const char *name;
    json_t *config, *all = load_all();
    json_object_foreach(all, name, config)
    {
        for (size_t i = 0; i < count && !json_object_get(config, "text_config"); i++) {
            struct bs_error err = {.message = ""};
            json_t *change = parse(list[i]);
            const char *key = json_object_iter_key(json_object_iter(change));
            bool has = has_key(config, key);
            enum bs_status status = has ? BS_OK : read_changed(config, change, NULL, NULL, &err);
            bool right = refused ? status == BS_EUNSUPPORTED && strstr(err.message, key) : !status;
            if (!has && !right && ++wrong)
                print_error("%s: %s: %s\n", name, list[i], err.message);
            json_decref(change);
        }
    }
    json_decref(all);
    return wrong;
}

static void test_notes_are_passed_over(void **state)
{
    (void)state;
    assert_int_equal(count_wrong(notes, sizeof notes / sizeof *notes, false), 0);
}

static void test_arithmetic_is_refused(void **state)
{
    (void)state;
    assert_int_equal(count_wrong(arithmetic, sizeof arithmetic / sizeof *arithmetic, true), 0);
}

/* What was passed over is said in one line; standard keys of transformers are not worth one. */
static void test_notes_are_listed(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_remarks remarks = {0};
    json_t *change = parse("\"license\": \"mit\", \"unsloth_fixed\": true, \"use_cache\": true");
    assert_int_equal(read_with("llama", change, NULL, &remarks, &err), BS_OK);
    assert_int_equal(remarks.notices.count, 1);
    assert_non_null(strstr(remarks.notices.lines[0], "license"));
    assert_non_null(strstr(remarks.notices.lines[0], "unsloth_fixed"));
    assert_null(strstr(remarks.notices.lines[0], "use_cache"));
    assert_int_equal(remarks.accepted.count, 0);
    bs_remarks_release(&remarks);
    json_decref(change);
}

/* A key that is refused can be let pass by name, also one within a rope object; what a family does
 * compute differently cannot. */
static void test_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *member, *accept, *said;
    } cases[] = {
        {"\"clip_qkv\": 8", "clip_qkv", "clip_qkv is 8"},
        {"\"rope_parameters\": {\"alpha\": 2.0, \"rope_theta\": 5.0}", "rope_parameters.alpha",
         "rope_parameters.alpha is 2.0"},
        {"\"rope_parameters\": {\"alpha\": 2.0, \"rope_theta\": 5.0}", "alpha",
         "rope_parameters.alpha is 2.0"},
        {"\"clip_qkv\": 8", "clip", NULL},
        {"\"is_encoder_decoder\": true", "is_encoder_decoder", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_error err;
        struct bs_remarks remarks = {0};
        struct bs_lines accept = {0};
        json_t *change = parse(cases[i].member);
        assert_int_equal(bs_lines_add(&accept, &err, "%s", cases[i].accept), BS_OK);
        enum bs_status status = read_with("mistral", change, &accept, &remarks, &err);
        if (cases[i].said) {
            assert_int_equal(status, BS_OK);
            assert_int_equal(remarks.accepted.count, 1);
            assert_string_equal(remarks.accepted.lines[0], cases[i].said);
            assert_int_equal(remarks.notices.count, 0);
        } else {
            assert_int_equal(status, BS_EUNSUPPORTED);
        }
        bs_lines_release(&accept);
        bs_remarks_release(&remarks);
        json_decref(change);
    }
}

/* A key that nobody had to let pass is said: it may be misspelt. */
static void test_accepted_in_vain(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_remarks remarks = {0};
    struct bs_lines accept = {0};
    json_t *change = json_object();
    assert_int_equal(bs_lines_add(&accept, &err, "clip_qkw"), BS_OK);
    assert_int_equal(read_with("mistral", change, &accept, &remarks, &err), BS_OK);
    assert_int_equal(remarks.notices.count, 1);
    assert_non_null(strstr(remarks.notices.lines[0], "clip_qkw"));
    bs_lines_release(&accept);
    bs_remarks_release(&remarks);
    json_decref(change);
}

/* The same thing by another name is understood where it says the same, and refused where not. */
static void test_facts(void **state)
{
    (void)state;
    static const struct {
        const char *family, *member;
        bool right;
    } cases[] = {
        {"llama4_text", "\"attn_temperature_tuning\": 4", true},
        {"deepseek_v3", "\"moe_layer_freq\": 1", true},
        {"deepseek_v3", "\"moe_layer_freq\": 2", false},
        {"deepseek_v2", "\"output_router_logits\": false", true},
        {"deepseek_v2", "\"n_shared_experts\": null", true},
        {"gpt_oss", "\"hidden_act\": \"silu\"", true},
        {"gpt_oss", "\"hidden_act\": \"gelu\"", false},
        {"llama", "\"n_layer\": 2", true},
        {"llama", "\"n_layer\": 3", false},
        {"llama", "\"layer_norm_eps\": 1e-2", false},
        {"llama", "\"use_rms_norm\": true", true},
        {"llama", "\"use_rms_norm\": false", false},
        {"llama", "\"layer_types\": [\"full_attention\", \"full_attention\"]", true},
        {"llama", "\"layer_types\": [\"full_attention\", \"sliding_attention\"]", false},
        {"llama", "\"sliding_window\": 4096, \"use_sliding_window\": false", true},
        {"llama", "\"sliding_window\": 4096", false},
        {"llama", "\"qkv_bias\": true", false},
        {"llama", "\"position_embedding_type\": \"alibi\"", false},
        {"llama", "\"position_embedding_type\": \"rope\"", true},
        {"llama", "\"alibi\": false", true},
        {"bloom", "\"alibi\": true", true},
        {"bloom", "\"alibi\": false", false},
        {"phi", "\"use_bias\": true", true},
        {"phi", "\"use_bias\": false", false},
        {"gpt_neox", "\"hidden_activation\": \"gelu\"", true},
        {"gpt_neox", "\"activation\": \"relu\"", false},
        {"llama", "\"n_vocab\": 43", true},
        {"llama", "\"padded_vocab_size\": 64", false},
        {"llama", "\"shared_input_output_embedding\": false", true},
        {"llama", "\"share_embeddings_and_output_weights\": true", false},
        {"llama", "\"untie_embeddings_and_output_weights\": true", true},
        {"gpt2", "\"tie_embeddings\": true", true},
        {"phi", "\"rotary_percent\": 0.3", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_error err = {.message = ""};
        json_t *change = parse(cases[i].member);
        enum bs_status status = read_with(cases[i].family, change, NULL, NULL, &err);
        if (cases[i].right ? status : status != BS_EUNSUPPORTED)
            fail_msg("%s: %s: %d %s", cases[i].family, cases[i].member, status, err.message);
        json_decref(change);
    }
}

/* The shapes that config.json has in public repositories, from Llama 1 to today's. */
static void test_public_shapes(void **state)
{
    (void)state;
    const char *name;
    json_t *config, *configs = json_load_file("tests/golden/public_configs.json", 0, NULL);
    assert_true(json_object_size(configs) > 40);
    json_object_foreach(configs, name, config)
    {
        struct bs_error err;
        struct bs_architecture a;
        assert_int_equal(json_dump_file(config, folder_file(&folder, "config.json"), 0), 0);
        if (bs_architecture_read(folder.path, NULL, &a, NULL, &err))
            fail_msg("%s: %s", name, err.message);
    }
    json_decref(configs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notes_are_passed_over), cmocka_unit_test(test_arithmetic_is_refused),
        cmocka_unit_test(test_notes_are_listed),      cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_accepted_in_vain),      cmocka_unit_test(test_facts),
        cmocka_unit_test(test_public_shapes),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}

/* Checkpoints that others have quantized: each layout decodes to what its own library decodes, to
 * the bit, and is counted at the bits of its file. tests/golden/quantized.py wrote them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/checkpoint/checkpoint.h"
#include "eval/model/model.h"
#include "eval/model/gguf_target.h"
#include "tests/support/folder.h"
#include "tests/support/logits.h"
#include "tests/support/settings.h"

#define QUANTIZED "tests/golden/quantized/"
#define EXPERTS "gpt_oss"

/* SHA-256 of floats, in hexadecimal. */
static void digest(const float *values, size_t count, char hex[65])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned size;
    assert_int_equal(EVP_Digest(values, count * sizeof *values, bytes, &size, EVP_sha256(), NULL),
                     1);
    for (unsigned i = 0; i < size && i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

/* Compares each linear of block 0 with the digest of what the library decoded. */
static double check_block(const struct bs_model *model, const char *scheme, const json_t *expected)
{
    struct bs_block block;
    struct bs_error err;
    const struct bs_architecture *a = bs_model_architecture(model);
    double bits = 0;
    assert_int_equal(bs_block_load(model, 0, &block, &err), BS_OK);
    for (int s = 0; s < a->programs[0].num_slots; s++) {
        const struct bs_linear *l = &block.linears[s];
        size_t count = (size_t)l->out_features * (size_t)l->in_features;
        const struct bs_tensor *file = bs_model_slot_tensor(model, 0, s);
        char name[128];
        assert_non_null(file);
        snprintf(name, sizeof name, "%.*s", (int)(strlen(file->name) - strlen(".weight")),
                 file->name);
        const char *wanted = json_string_value(json_object_get(expected, name));
        char got[65];
        digest(l->weight, count, got);
        if (wanted && strcmp(wanted, got))
            fail_msg("%s: %s decodes otherwise", scheme, name);
        assert_true((l->file_bits > 0) == (wanted != NULL));
        assert_true(l->file_bits < 13 * (double)count); /* zero points, scales and all */
        assert_true(bs_linear_bits(l) == (wanted ? l->file_bits : 16 * (double)count));
        bits += l->file_bits;
    }
    bs_block_release(&block);
    return bits;
}

/* What the file of weights holds beside its header, in bits. */
static double data_bits(const char *of)
{
    char path[512], *bytes;
    size_t size;
    uint64_t header;
    struct bs_error err;
    snprintf(path, sizeof path, "%s/model.safetensors", of);
    assert_int_equal(bs_file_read(path, &bytes, &size, &err), BS_OK);
    memcpy(&header, bytes, sizeof header);
    bs_free(bytes);
    return 8 * (double)(size - header - sizeof header);
}

/* Of what a file has of the inputs of a linear. */
static double bits_of_inputs(const char *scheme)
{
    static const struct {
        const char *scheme;
        double bits;
    } fixed[] = {
        {"float_8_static", 16}, {"int_8_static", 24}, {"nvfp4_inputs", 32}, {"fp8_static", 32}};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (!strcmp(fixed[i].scheme, scheme))
            return fixed[i].bits;
    return 0;
}

static void test_schemes(void **state)
{
    (void)state;
    json_t *schemes = json_load_file(QUANTIZED "expected.json", 0, NULL), *expected;
    const char *scheme;
    assert_true(json_object_size(schemes) > 20);
    json_object_foreach(schemes, scheme, expected)
    {
        if (!strcmp(scheme, EXPERTS))
            continue;
        struct bs_model *model;
        struct bs_error err;
        char path[128];
        snprintf(path, sizeof path, QUANTIZED "%s", scheme);
        if (bs_model_open(path, NULL, &model, &err))
            fail_msg("%s: %s", scheme, err.message);
        assert_true(bs_model_is_quantized(model));
        double coded = check_block(model, scheme, expected);
        size_t plain = bs_model_other_parameters(model);
        bool all = json_object_size(expected) == 7;          /* else some linears are plain */
        double others = strcmp(scheme, "bnb_fp4") ? 16 : 32; /* float32 there */
        double inputs = 7 * bits_of_inputs(scheme);
        if (all && coded + others * (double)plain + inputs != data_bits(path))
            fail_msg("%s: %g bits of codes and %zu plain values, the file has %g", scheme, coded,
                     plain, data_bits(path));
        bs_model_free(model);
    }
    json_decref(schemes);
}

/* The experts of gpt-oss: three dimensions, no module's weight. */
static void test_experts(void **state)
{
    (void)state;
    json_t *schemes = json_load_file(QUANTIZED "expected.json", 0, NULL), *wanted;
    json_t *expected = json_object_get(schemes, EXPERTS);
    struct bs_checkpoint *checkpoint;
    struct bs_error err;
    const char *name;
    assert_int_equal(json_object_size(expected), 2);
    assert_int_equal(bs_checkpoint_open(QUANTIZED EXPERTS, &checkpoint, &err), BS_OK);
    json_object_foreach(expected, name, wanted)
    {
        const struct bs_tensor *tensor = bs_checkpoint_find(checkpoint, name);
        char got[65];
        assert_true(tensor && tensor->coded && tensor->rank == 3);
        float *values = bs_alloc(tensor->count, sizeof *values);
        bs_tensor_read(tensor, 0, tensor->count, values);
        digest(values, tensor->count, got);
        assert_string_equal(got, json_string_value(wanted));
        assert_true(tensor->coded->bits == 4.25 * (double)tensor->count);
        bs_free(values);
    }
    bs_checkpoint_free(checkpoint);
    json_decref(schemes);
}

/* The file with `old` as `new`, of the same length, in its header. */
static void write_renamed(const char *from, const char *old, const char *new)
{
    char path[512], *bytes;
    size_t size;
    struct bs_error err;
    snprintf(path, sizeof path, "%s/model.safetensors", from);
    assert_int_equal(bs_file_read(path, &bytes, &size, &err), BS_OK);
    for (size_t i = 0; i + strlen(old) < size; i++)
        if (!memcmp(bytes + i, old, strlen(old)))
            memcpy(bytes + i, new, strlen(new));
    folder_write(&folder, "model.safetensors", bytes, size);
    bs_free(bytes);
    snprintf(path, sizeof path, "%s/config.json", from);
    assert_int_equal(bs_file_read(path, &bytes, &size, &err), BS_OK);
    folder_write(&folder, "config.json", bytes, size);
    bs_free(bytes);
}

/* A part that is missing, or has another name, is never passed over. */
static void test_missing_parts(void **state)
{
    (void)state;
    static const char *const parts[][3] = {
        {"gptq_4", "up_proj.qzeros", "up_proj.qzerox"},
        {"gptq_4", "up_proj.scales", "up_proj.scalex"},
        {"gptq_4", "up_proj.qweight", "up_proj.qweighx"},
        {"gptq_4_order", "up_proj.g_idx", "up_proj.g_idy"},
        {"awq_gemm", "up_proj.qzeros", "up_proj.qzerox"},
        {"awq_gemv", "up_proj.scales", "up_proj.scalex"},
        {"pack_4", "up_proj.weight_scale", "up_proj.weight_scalx"},
        {"pack_4", "up_proj.weight_shape", "up_proj.weight_shapx"},
        {"pack_4", "up_proj.weight_packed", "up_proj.weight_packex"},
        {"pack_5_asymmetric", "up_proj.weight_zero_point", "up_proj.weight_zero_poinx"},
        {"nvfp4", "up_proj.weight_global_scale", "up_proj.weight_global_scalx"},
        {"int_8", "up_proj.weight_scale", "up_proj.weight_scalx"},
        {"bnb_nf4", "up_proj.weight.quant_map", "up_proj.weight.quant_max"},
        {"bnb_nf4", "up_proj.weight.absmax", "up_proj.weight.absmay"},
        {"bnb_nf4_double", "up_proj.weight.nested_absmax", "up_proj.weight.nested_absmay"},
        {"bnb_8", "up_proj.SCB", "up_proj.SCX"},
        {"fp8_block", "up_proj.weight_scale_inv", "up_proj.weight_scale_inx"},
        {"fp8_static", "up_proj.activation_scale", "up_proj.activation_scalx"},
        {"float_8_static", "up_proj.input_scale", "up_proj.input_scalx"},
        {"int_8_static", "up_proj.input_zero_point", "up_proj.input_zero_poinx"},
        {"nvfp4_inputs", "up_proj.input_global_scale", "up_proj.input_global_scalx"},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct bs_model *model;
        struct bs_error err;
        char path[128];
        snprintf(path, sizeof path, QUANTIZED "%s", parts[i][0]);
        write_renamed(path, parts[i][1], parts[i][2]);
        enum bs_status status = bs_model_open(folder.path, NULL, &model, &err);
        if (!status)
            fail_msg("%s opens without %s", parts[i][0], parts[i][1]);
        assert_non_null(strstr(err.message, "up_proj"));
    }
}

/* Codes of all experts in one tensor are of no known layout: the message names them. */
static void test_joint_experts(void **state)
{
    (void)state;
    struct bs_model *model;
    struct bs_error err;
    write_renamed(QUANTIZED "pack_4", "post_attention_layernorm.weight",
                  "mlp.experts.gate_up_proj_packed");
    assert_int_equal(bs_model_open(folder.path, NULL, &model, &err), BS_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "mlp.experts.gate_up_proj_packed' has codes of several"));
}

/* Holds a checkpoint's logits against what is beside it; their range is 3. */
static void check_logits(const char *scheme, bool inputs)
{
    enum { TOKENS = 32, VOCABULARY = 32 };
    static const double LOGITS_BAR = 2e-6;
    int32_t ids[TOKENS];
    for (int t = 0; t < TOKENS; t++)
        ids[t] = t * 7 % VOCABULARY;
    const struct bs_windows text = {.ids = ids, .windows = 1, .tokens = TOKENS};
    struct bs_model *model;
    struct bs_error err;
    char path[128], *bytes;
    size_t size;
    snprintf(path, sizeof path, QUANTIZED "%s/logits.f32", scheme);
    assert_int_equal(bs_file_read(path, &bytes, &size, &err), BS_OK);
    assert_int_equal(size, TOKENS * VOCABULARY * sizeof(float));
    snprintf(path, sizeof path, QUANTIZED "%s", scheme);
    if (bs_model_open(path, NULL, &model, &err))
        fail_msg("%s: %s", scheme, err.message);
    assert_true(bs_model_quantizes_inputs(model) == inputs);
    float *got = logits_of(model, &text);
    double most = 0;
    for (size_t k = 0; k < TOKENS * VOCABULARY; k++) {
        float wanted;
        memcpy(&wanted, bytes + k * sizeof wanted, sizeof wanted);
        double off = fabs((double)got[k] - (double)wanted);
        most = off > most ? off : most;
    }
    if (most > LOGITS_BAR)
        fail_msg("%s: logits off %.1e", scheme, most);
    bs_free(got);
    bs_free(bytes);
    bs_model_free(model);
}

/* The forward pass of those that quantize inputs is their library's own, and another one than that
 * of the weights alone. */
static void test_inputs(void **state)
{
    (void)state;
    static const char *const schemes[] = {
        "int_8",         "int_8_tensor",       "int_8_static", "float_8",      "float_8_static",
        "float_8_group", "nvfp4_inputs",       "mxfp4_inputs", "mxfp8_inputs", "mixed_inputs",
        "fp8_block",     "fp8_block_bfloat16", "fp8_static"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        check_logits(schemes[i], true);
}

/* Each expert's codes are in its own place. */
static void test_logits_of_experts(void **state)
{
    (void)state;
    check_logits("qwen3_moe_gptq_4", false);
    check_logits("mixtral_awq", false);
}

/* A recipe's setting takes the place of the checkpoint's, and leaves it where it has none. */
static void test_inputs_of_recipe(void **state)
{
    (void)state;
    struct bs_model *model;
    struct bs_error err;
    struct bs_block block;
    const struct bs_setting *sites[BS_MAX_VALUES] = {NULL};
    const struct bs_setting *other = activations_setting("bits=4 sharing=token");
    static const struct bs_setting none = {.sharing = BS_BY_TOKEN};
    assert_int_equal(bs_model_open(QUANTIZED "float_8_static", NULL, &model, &err), BS_OK);
    assert_int_equal(bs_block_load(model, 0, &block, &err), BS_OK);
    int input = bs_program_find(block.program, "attn_input");
    int down = bs_program_find(block.program, "down_input");
    for (int v = 0; v < block.program->num_values; v++)
        sites[v] = v == input ? other : &none;
    assert_true(bs_block_fixes_inputs(&block));
    assert_int_equal(bs_block_quantize_sites(&block, sites, &err), BS_OK);
    assert_ptr_equal(block.sites[input].setting, other);
    assert_non_null(block.sites[down].setting);
    assert_int_equal(block.sites[down].setting->sharing, BS_BY_STATIC);
    bs_block_release(&block);
    bs_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_experts),
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_logits_of_experts),
        cmocka_unit_test(test_inputs_of_recipe),
        cmocka_unit_test_setup_teardown(test_missing_parts, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_joint_experts, folder_setup, folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

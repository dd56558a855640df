/* Checkpoints that others have quantized: each layout decodes to what its own library decodes, to
 * the bit, and is counted at the bits of its file. tests/golden/quantized.py wrote them. */
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
#include "tests/support/folder.h"

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
        char name[128];
        snprintf(name, sizeof name, "model.layers.0.%s", l->name);
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
        double inputs = strcmp(scheme, "float_8_static") ? 0 : 7 * 16; /* scales of inputs */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_experts),
        cmocka_unit_test_setup_teardown(test_missing_parts, folder_setup, folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

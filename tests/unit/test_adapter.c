/* LoRA folders: merged as PEFT merges them, or refused. tests/golden/lora.py wrote them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/model/model.h"
#include "tests/support/folder.h"

#define LORA "tests/golden/lora/"

static struct bs_block block_of(const char *directory, struct bs_model **opened)
{
    struct bs_model *model;
    struct bs_error err;
    struct bs_block block;
    if (bs_model_open(directory, NULL, &model, &err))
        fail_msg("%s", err.message);
    assert_false(bs_model_is_quantized(model));
    assert_int_equal(bs_block_load(model, 0, &block, &err), BS_OK);
    *opened = model;
    return block;
}

/* The largest difference of two linears, and the largest value. */
static double difference(const struct bs_linear *a, const struct bs_linear *b, double *most)
{
    double apart = 0;
    *most = 0;
    for (size_t i = 0; i < (size_t)a->out_features * (size_t)a->in_features; i++) {
        apart = fmax(apart, fabs((double)a->weight[i] - (double)b->weight[i]));
        *most = fmax(*most, fabs((double)b->weight[i]));
    }
    return apart;
}

static void test_merged(void **state)
{
    (void)state;
    static const char *const changed[] = {"self_attn.q_proj", "mlp.up_proj", "mlp.down_proj"};
    struct bs_model *models[3];
    struct bs_block got = block_of(LORA "adapter", &models[0]);
    struct bs_block wanted = block_of(LORA "merged", &models[1]);
    struct bs_block base = block_of(LORA "base", &models[2]);
    for (int s = 0; s < got.program->num_slots; s++) {
        bool is_changed = false;
        double most;
        for (int k = 0; k < 3; k++)
            is_changed |= !strcmp(got.linears[s].name, changed[k]);
        assert_true((difference(&got.linears[s], &base.linears[s], &most) > 0.01) == is_changed);
        assert_true(difference(&got.linears[s], &wanted.linears[s], &most) <= 1e-6 * most);
        assert_true(got.linears[s].file_bits == 0);
    }
    bs_block_release(&got);
    bs_block_release(&wanted);
    bs_block_release(&base);
    for (int m = 0; m < 3; m++)
        bs_model_free(models[m]);
}

/* Copies the adapter with `old` as `new`, of the same length, in one of its files. */
static void put_changed(const char *file, const char *old, const char *new)
{
    static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors"};
    for (int f = 0; f < 2; f++) {
        char path[128], *bytes;
        size_t size;
        struct bs_error err;
        snprintf(path, sizeof path, LORA "adapter/%s", files[f]);
        assert_int_equal(bs_file_read(path, &bytes, &size, &err), BS_OK);
        for (size_t i = 0; !strcmp(files[f], file) && i + strlen(old) < size; i++)
            if (!memcmp(bytes + i, old, strlen(old)))
                memcpy(bytes + i, new, strlen(new));
        folder_write(&folder, files[f], bytes, size);
        bs_free(bytes);
    }
}

static bool notes(const struct bs_model *model, const char *part)
{
    const struct bs_lines *notices = &bs_model_remarks(model)->notices;
    bool found = false;
    for (int i = 0; i < notices->count; i++)
        found |= strstr(notices->lines[i], part) != NULL;
    return found;
}

/* Into what codes decode to; only those matrices are quantized that it leaves alone. */
static void test_quantized_base(void **state)
{
    (void)state;
    struct bs_model *model;
    struct bs_error err;
    put_changed("adapter_config.json",
                "\"base_model_name_or_path\": \"tests/golden/lora/base\",\n  \"bias\": \"none\",",
                "\"base_model_name_or_path\": \"tests/golden/quantized/gptq_4\"           ,");
    if (bs_model_open(folder.path, NULL, &model, &err))
        fail_msg("%s", err.message);
    assert_true(bs_model_is_quantized(model));
    assert_true(notes(model, "merged into the weights, 3 of which are quantized"));
    assert_true(notes(model, "groups of 16, 4 matrices)"));
    bs_model_free(model);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const cases[][4] = {
        {"adapter_config.json", "\"use_dora\": false", "\"use_dora\": true ", "use_dora"},
        {"adapter_config.json", "\"peft_type\": \"LORA\"", "\"peft_type\": \"LOHA\"", "peft_type"},
        {"adapter_config.json", "\"lora_alpha\": 7", "\"lora\": null   ", "lora_alpha"},
        {"adapter_config.json", "lora/base", "lora/bass", "lora/bass"},
        {"adapter_config.json",
         "\"base_model_name_or_path\": \"tests/golden/lora/base\",\n  \"bias\": \"none\",",
         "\"base_model_name_or_path\": \"tests/golden/families/gpt2\"              ,",
         "stand transposed (model_type gpt2)"},
        {"adapter_config.json", "\"use_dora\": false", "\"use_dorb\": 0.25 ", "use_dorb is 0.25"},
        {"adapter_model.safetensors", "up_proj.lora_A", "up_proj.lora_C",
         "has no lora_A beside it"},
        {"adapter_model.safetensors", "up_proj.lora_B", "up_proj.lora_C", "lora_"},
        {"adapter_model.safetensors", "layers.0.mlp.up_proj", "layers.7.mlp.up_proj",
         "that the base does not have"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_model *model;
        struct bs_error err;
        put_changed(cases[i][0], cases[i][1], cases[i][2]);
        if (!bs_model_open(folder.path, NULL, &model, &err))
            fail_msg("opens with %s", cases[i][2]);
        if (!strstr(err.message, cases[i][3]))
            fail_msg("%s", err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merged),
        cmocka_unit_test_setup_teardown(test_quantized_base, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_refused, folder_setup, folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Written checkpoints, read back: every writer, every family and every number format. What a writer
 * takes is read as it was measured, to the bit; what it does not take is refused before anything is
 * written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/export/writer.h"
#include "eval/quant/format.h"
#include "eval/recipe/assign.h"
#include "eval/run/apply.h"
#include "eval/run/export_proof.h"
#include "tests/support/families.h"
#include "tests/support/folder.h"
#include "tests/support/recipes.h"
#include "tests/support/tiny_model.h"

static const struct bs_writer *writer_at(int i)
{
    return (const struct bs_writer *)bs_writer_registry.rows[i];
}

/* A layer by the recipe, to nearest, through the writer. */
static void write_layer(const struct bs_writer *writer, void *state, const struct bs_export *export,
                        int layer, struct bs_export_proof *proof)
{
    struct bs_error err;
    struct bs_block original, block = {.architecture = NULL};
    const struct bs_inputs none = {.rope = NULL};
    assert_int_equal(bs_block_load(export->model, layer, &original, &err), BS_OK);
    assert_int_equal(bs_block_copy(&block, &original, &err), BS_OK);
    assert_int_equal(bs_apply_recipe(export->recipe, &block, &none, &err), BS_OK);
    if (writer->block(state, &original, &block, &err))
        fail_msg("%s: %s", writer->plugin.name, err.message);
    assert_int_equal(bs_export_proof_take(proof, &block, &err), BS_OK);
    bs_block_release(&block);
    bs_block_release(&original);
}

/* Writes the model and takes what it is. */
static void write_model(const struct bs_writer *writer, struct bs_export *export, const char *path,
                        struct bs_export_proof *proof)
{
    struct bs_error err;
    void *state = NULL;
    const struct bs_architecture *a = bs_model_architecture(export->model);
    if (!writer->ending)
        assert_int_equal(mkdir(path, 0777), 0);
    export->path = path;
    assert_int_equal(bs_export_proof_init(proof, a, writer, &err), BS_OK);
    assert_int_equal(writer->open(export, &state, &err), BS_OK);
    for (int layer = 0; layer < a->num_layers; layer++)
        write_layer(writer, state, export, layer, proof);
    if (writer->close(state, &err))
        fail_msg("%s: %s", writer->plugin.name, err.message);
    writer->free(state);
}

/* Writes the model to the folder's "out" and reads it back. */
static void write_and_compare(const struct bs_writer *writer, struct bs_export *export)
{
    struct bs_error err;
    struct bs_model *read;
    struct bs_export_proof proof;
    char path[256];
    snprintf(path, sizeof path, "%s/out%s", folder.path, writer->ending ? writer->ending : "");
    write_model(writer, export, path, &proof);
    if (bs_model_open(path, NULL, &read, &err) || bs_export_proof_compare(&proof, read, &err) ||
        bs_export_proof_compare_outer(&proof, export, read, &err))
        fail_msg("%s, %s: %s", writer->plugin.name, export->label, err.message);
    bool plain = !strcmp(writer->plugin.name, "dequantized");
    assert_int_equal(bs_model_is_quantized(read), proof.matrices > 0 && !plain);
    bs_model_free(read);
    bs_export_proof_release(&proof);
    folder_remove_path(path);
    export->path = NULL;
}

/* Whether the writer takes the model by this recipe; then it is written and compared. */
static bool try_one(const struct bs_writer *writer, const struct bs_model *model,
                    const char *settings)
{
    struct bs_error err = {.status = BS_OK};
    struct bs_recipe recipe;
    recipe_build(&recipe, "rtn", settings);
    struct bs_export export = {.model = model, .recipe = &recipe, .label = settings, .id = "an id"};
    bool takes = !writer->check(&export, &err);
    if (takes)
        write_and_compare(writer, &export);
    else if (err.status != BS_EUNSUPPORTED)
        fail_msg("%s: %s", settings, err.message);
    bs_recipe_release(&recipe);
    return takes;
}

/* What each writer takes of the embedded model, and nothing else. */
static const struct {
    const char *settings, *writers;
} taken[] = {
    {"bits=2 group_size=32 symmetric=true", "compressed_tensors gptq gptq_v2 gptq_p dequantized"},
    {"bits=3 group_size=channel symmetric=true",
     "compressed_tensors gptq gptq_v2 gptq_p dequantized"},
    {"bits=4 group_size=128", "compressed_tensors gptq gptq_v2 gptq_p awq dequantized"},
    {"bits=4 group_size=64 symmetric=true grid=auto_round",
     "compressed_tensors gptq gptq_v2 gptq_p awq dequantized"},
    {"bits=4 group_size=64 grid=awq scales=float16",
     "compressed_tensors gptq gptq_v2 gptq_p awq dequantized"},
    {"bits=4 group_size=64 grid=compressed_tensors symmetric=false",
     "compressed_tensors gptq gptq_v2 gptq_p awq dequantized"},
    {"bits=5 group_size=tensor", "compressed_tensors dequantized"},
    {"bits=5 group_size=64", "compressed_tensors gptq_p dequantized"},
    {"bits=6 group_size=64 symmetric=true", "compressed_tensors gptq_p dequantized"},
    {"bits=7 group_size=channel", "compressed_tensors gptq_p dequantized"},
    {"bits=8 group_size=tensor symmetric=true", "compressed_tensors dequantized"},
    {"bits=8 group_size=64", "compressed_tensors gptq gptq_v2 gptq_p dequantized"},
    {"bits=4 group_size=48 @*.down_proj bits=8 group_size=channel", "dequantized"},
    {"bits=4 group_size=64 @*.down_proj bits=8 group_size=channel @layer[0].*.q_proj format=none",
     "compressed_tensors gptq gptq_v2 gptq_p dequantized"},
    {"bits=4 group_size=64 @*.down_proj bits=4 group_size=128",
     "compressed_tensors gptq gptq_v2 gptq_p dequantized"},
    {"bits=4 group_size=64 @*.up_proj format=none",
     "compressed_tensors gptq gptq_v2 gptq_p awq dequantized"},
    {"bits=1 group_size=64", "dequantized"},
    {"bits=4 group_size=64 grid=hqq", "dequantized"},
    {"bits=8 group_size=channel symmetric=true a.bits=8 a.grid=compressed_tensors",
     "compressed_tensors"},
    {"bits=8 group_size=channel a.bits=8 a.grid=compressed_tensors", "compressed_tensors"},
    {"bits=4 group_size=64 a.bits=8 a.grid=compressed_tensors", ""},
    {"bits=8 a.bits=8 a.grid=smoothquant", ""},
    {"bits=8 a.bits=8 a.grid=compressed_tensors a.symmetric=false", ""},
    {"bits=8 a.bits=8 a.grid=compressed_tensors a.sharing=window", ""},
    {"bits=8 a.bits=8 a.grid=compressed_tensors a.scales=float16", ""},
    {"bits=8 a.bits=8 a.grid=compressed_tensors a.rounding=floor", ""},
    {"bits=8 a.bits=8 a.grid=compressed_tensors a.range=mse", ""},
    {"format=fp8_e4m3", "compressed_tensors dequantized"},
    {"format=fp8_e4m3 group_size=block", "compressed_tensors dequantized"},
    {"format=fp8_e4m3 group_size=tensor scales=bfloat16", "compressed_tensors dequantized"},
    {"format=fp8_e4m3 group_size=64 a.format=fp8_e4m3", "compressed_tensors"},
    {"format=fp8_e4m3 a.format=fp8_e4m3 a.scales=bfloat16", ""},
    {"format=fp8_e4m3 a.format=fp8_e4m3 a.range=mse", ""},
    {"format=fp8_e4m3 a.bits=8 a.grid=compressed_tensors", ""},
    {"format=fp8_e4m3 group_size=cast", "dequantized"},
    {"format=fp8_e5m2", "dequantized"},
    {"format=mxfp4", "compressed_tensors dequantized"},
    {"format=mxfp8_e4m3", "compressed_tensors dequantized"},
    {"format=mxfp6_e2m3", "dequantized"},
    {"format=nvfp4 scale_rule=compressed_tensors", "compressed_tensors dequantized"},
    {"format=nvfp4", "dequantized"},
    {"format=nf4", "bitsandbytes dequantized"},
    {"format=nf4 double_quant=true group_size=128", "bitsandbytes dequantized"},
    {"format=fp4", "bitsandbytes dequantized"},
    {"format=fp4 double_quant=true @*.down_proj format=none", "bitsandbytes dequantized"},
    {"format=nf4 @*.down_proj format=fp4", "dequantized"},
    {"bits=8 grid=bitsandbytes a.bits=8 a.grid=bitsandbytes a.threshold=6", "bitsandbytes"},
    {"bits=8 grid=bitsandbytes a.bits=8 a.grid=bitsandbytes @*.up_proj format=none", ""},
    {"bits=8 grid=bitsandbytes", "compressed_tensors gptq gptq_v2 gptq_p dequantized"},
    {"bits=8 grid=bitsandbytes a.bits=8 a.grid=smoothquant", ""},
    {"bits=8 a.bits=8 a.grid=bitsandbytes a.threshold=6", ""},
    {"bits=8 a.bits=8 a.grid=compressed_tensors a.threshold=6", ""},
    {"bits=8 a.bits=8 a.grid=compressed_tensors a.keep=0.01", ""},
    {"format=q4_k", "dequantized"},
    {"bits=4 @embedding bits=4", "dequantized"},
    {"bits=4 @head bits=8", "dequantized"}, /* which is the embedding */
    {"format=none @embedding format=q4_k", "dequantized"},
    {"bits=4 a.bits=8 a.where=key", ""},
};

static bool in_list(const char *word, const char *list)
{
    const char *at = strstr(list, word);
    size_t length = strlen(word);
    return at && (at == list || at[-1] == ' ') && (!at[length] || at[length] == ' ');
}

static void each_writer_takes_what_it_can_hold(void **state)
{
    (void)state;
    char place[256];
    snprintf(place, sizeof place, "%s/in", folder.path);
    assert_int_equal(mkdir(place, 0777), 0);
    struct bs_model *model = tiny_model_cut(place, 1, NULL);
    for (int w = 0; writer_at(w); w++)
        for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
            const char *name = writer_at(w)->plugin.name;
            bool expected = in_list(name, taken[i].writers);
            if (!writer_at(w)->ending && /* files of their own have a table of their own */
                try_one(writer_at(w), model, taken[i].settings) != expected)
                fail_msg("%s: '%s' is %s", name, taken[i].settings, expected ? "refused" : "taken");
        }
    bs_model_free(model);
}

/* Models of every family: tensors of several linears, in any order of rows, or turned. Their widths
 * are too odd for the other layouts. A head of its own is a matrix like others to some. */
static void every_family_is_read_back(void **state)
{
    (void)state;
    static const struct {
        const char *writer, *settings;
        size_t least; /* of them are taken */
    } by[] = {
        {"compressed_tensors", "bits=4 group_size=channel", 75},
        {"dequantized", "bits=4 group_size=channel", 78},
        {"compressed_tensors", "bits=4 group_size=channel @head bits=8 group_size=channel", 48},
        {"dequantized",
         "bits=4 group_size=channel @embedding bits=8 group_size=tensor @head bits=8 "
         "group_size=tensor",
         78},
    };
    json_t *rows = families_load(), *row;
    for (size_t w = 0; w < sizeof by / sizeof *by; w++) {
        const struct bs_writer *writer =
            (const struct bs_writer *)bs_registry_find(&bs_writer_registry, by[w].writer);
        size_t at, takes = 0;
        json_array_foreach(rows, at, row)
        {
            struct bs_model *model = family_open(row);
            takes += try_one(writer, model, by[w].settings);
            bs_model_free(model);
        }
        if (takes < by[w].least)
            fail_msg("%s takes %zu models by %s", by[w].writer, takes, by[w].settings);
    }
    json_decref(rows);
}

/* Changes the first byte of a tensor of the folder's model. */
static void damage(const char *path, const char *tensor)
{
    json_t *header;
    uint64_t size;
    char name[300], *text;
    snprintf(name, sizeof name, "%s/model.safetensors", path);
    FILE *file = fopen(name, "r+b");
    assert_non_null(file);
    assert_int_equal(fread(&size, sizeof size, 1, file), 1);
    text = bs_alloc((size_t)size, 1);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    header = json_loadb(text, (size_t)size, 0, NULL);
    json_t *offsets = json_object_get(json_object_get(header, tensor), "data_offsets");
    assert_non_null(offsets);
    long at = (long)(sizeof size + size) + (long)json_integer_value(json_array_get(offsets, 0));
    fseek(file, at, SEEK_SET);
    int byte = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(byte ^ 1, file);
    fclose(file);
    json_decref(header);
    bs_free(text);
}

/* The comparison finds one bit that is other, wherever it is. */
static void one_bit_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *tensor, *told;
    } bits[] = {{"model.norm.weight", "the final norm"},
                {"model.embed_tokens.weight", "embedding"},
                {"model.layers.0.input_layernorm.weight", "layer 0, the norms"},
                {"model.layers.0.mlp.up_proj.weight", "layer 0, mlp.up_proj"}};
    const struct bs_writer *writer =
        (const struct bs_writer *)bs_registry_find(&bs_writer_registry, "dequantized");
    struct bs_recipe recipe;
    char place[256], path[256];
    snprintf(place, sizeof place, "%s/whole", folder.path);
    snprintf(path, sizeof path, "%s/out", folder.path);
    assert_int_equal(mkdir(place, 0777), 0);
    struct bs_model *model = tiny_model_cut(place, 1, NULL);
    recipe_build(&recipe, "rtn", "bits=4");
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        struct bs_export export = {
            .model = model, .recipe = &recipe, .label = "rtn w4", .id = "an id"};
        struct bs_export_proof proof;
        struct bs_error err = {.status = BS_OK};
        struct bs_model *read;
        write_model(writer, &export, path, &proof);
        damage(path, bits[i].tensor);
        assert_int_equal(bs_model_open(path, NULL, &read, &err), BS_OK);
        enum bs_status status = bs_export_proof_compare(&proof, read, &err);
        if (!status)
            status = bs_export_proof_compare_outer(&proof, &export, read, &err);
        assert_int_equal(status, BS_EDATA);
        if (!strstr(err.message, bits[i].told))
            fail_msg("'%s' does not name '%s'", err.message, bits[i].told);
        bs_model_free(read);
        bs_export_proof_release(&proof);
        folder_remove_path(path);
    }
    bs_recipe_release(&recipe);
    bs_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_writer_takes_what_it_can_hold),
        cmocka_unit_test(every_family_is_read_back),
        cmocka_unit_test(one_bit_is_found),
    };
    return cmocka_run_group_tests_name("written checkpoints", tests, folder_setup, folder_teardown);
}

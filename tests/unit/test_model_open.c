/* What is said of a checkpoint that holds more, less or something else than config.json describes;
 * and of paths that are no checkpoint. Variants are made of the small models in
 * tests/golden/families. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/model/model.h"
#include "tests/support/folder.h"

#define FAMILIES "tests/golden/families/"

/* --- variants of a model --- */

/* A checkpoint in memory: the header of its safetensors, the data, and config.json. */
struct variant {
    json_t *header, *config;
    unsigned char *data;
    size_t size;
};

static struct variant variant_load(const char *family)
{
    struct variant v;
    struct bs_error err;
    char path[256], *bytes;
    size_t size;
    uint64_t length;
    snprintf(path, sizeof path, FAMILIES "%s/config.json", family);
    v.config = json_load_file(path, 0, NULL);
    snprintf(path, sizeof path, FAMILIES "%s/model.safetensors", family);
    assert_int_equal(bs_file_read(path, &bytes, &size, &err), BS_OK);
    memcpy(&length, bytes, sizeof length);
    v.header = json_loadb(bytes + sizeof length, length, 0, NULL);
    v.size = size - sizeof length - length;
    v.data = bs_alloc(v.size + 65536, 1);
    assert_true(v.config && v.header && v.data);
    memcpy(v.data, bytes + sizeof length + length, v.size);
    json_object_del(v.header, "__metadata__");
    bs_free(bytes);
    return v;
}

static void variant_release(struct variant *v)
{
    json_decref(v->header);
    json_decref(v->config);
    bs_free(v->data);
}

/* Adds a tensor of `bytes` bytes, of its own data or zero. */
static void variant_add(struct variant *v, const char *name, const char *dtype, json_t *shape,
                        const void *data, size_t bytes)
{
    assert_true(bytes <= 65536);
    if (data)
        memcpy(v->data + v->size, data, bytes);
    else
        memset(v->data + v->size, 0, bytes);
    json_object_set_new(v->header, name,
                        json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape", shape,
                                  "data_offsets", (json_int_t)v->size,
                                  (json_int_t)(v->size + bytes)));
    v->size += bytes;
}

static unsigned char *data_of(const struct variant *v, const char *name, size_t *bytes)
{
    const json_t *offsets = json_object_get(json_object_get(v->header, name), "data_offsets");
    json_int_t from = json_integer_value(json_array_get(offsets, 0));
    *bytes = (size_t)(json_integer_value(json_array_get(offsets, 1)) - from);
    return v->data + from;
}

/* A second tensor with the shape and the values of another. */
static void variant_copy(struct variant *v, const char *name, const char *from)
{
    size_t bytes;
    const json_t *entry = json_object_get(v->header, from);
    const unsigned char *data = data_of(v, from, &bytes);
    variant_add(v, name, json_string_value(json_object_get(entry, "dtype")),
                json_deep_copy(json_object_get(entry, "shape")), data, bytes);
}

/* Every tensor whose name begins with `from` gets `to` in its place. */
static void variant_rename(struct variant *v, const char *from, const char *to)
{
    const char *name;
    json_t *entry, *renamed = json_object();
    json_object_foreach(v->header, name, entry)
    {
        char whole[256];
        bool begins = !strncmp(name, from, strlen(from));
        snprintf(whole, sizeof whole, "%s%s", begins ? to : "",
                 begins ? name + strlen(from) : name);
        json_object_set(renamed, whole, entry);
    }
    json_decref(v->header);
    v->header = renamed;
}

/* A bfloat16 tensor as float64, each value a little more, so that it rounds to what it was. */
static void variant_widen(struct variant *v, const char *name)
{
    size_t bytes;
    json_t *entry = json_object_get(v->header, name);
    assert_string_equal(json_string_value(json_object_get(entry, "dtype")), "BF16");
    const unsigned char *data = data_of(v, name, &bytes);
    double wide[4096];
    assert_true(bytes / 2 <= 4096);
    for (size_t i = 0; i < bytes / 2; i++) {
        uint32_t bits = (uint32_t)data[2 * i] << 16 | (uint32_t)data[2 * i + 1] << 24;
        float value;
        memcpy(&value, &bits, sizeof value);
        wide[i] = (double)value * (1 + 1e-12);
    }
    json_t *shape = json_deep_copy(json_object_get(entry, "shape"));
    json_object_del(v->header, name);
    variant_add(v, name, "F64", shape, wide, 4 * bytes);
}

/* Closes the holes that variant_widen and json_object_del leave, since safetensors allows none. */
static void variant_write(const struct variant *v)
{
    const char *name;
    json_t *entry, *header = json_object();
    size_t at = 0;
    unlink(folder_file(&folder, "model.safetensors")); /* a model that is open keeps its own */
    FILE *out = fopen(folder_file(&folder, "model.safetensors"), "wb");
    assert_non_null(out);
    json_object_foreach(v->header, name, entry)
    {
        size_t bytes;
        data_of(v, name, &bytes);
        json_t *moved = json_deep_copy(entry);
        json_object_set_new(moved, "data_offsets",
                            json_pack("[I, I]", (json_int_t)at, (json_int_t)(at + bytes)));
        json_object_set_new(header, name, moved);
        at += bytes;
    }
    char *text = json_dumps(header, 0);
    uint64_t length = strlen(text);
    fwrite(&length, sizeof length, 1, out);
    fwrite(text, 1, length, out);
    json_object_foreach(header, name, entry)
    {
        size_t bytes;
        const unsigned char *data = data_of(v, name, &bytes);
        fwrite(data, 1, bytes, out);
    }
    assert_int_equal(fclose(out), 0);
    free(text);
    json_decref(header);
    assert_int_equal(json_dump_file(v->config, folder_file(&folder, "config.json"), 0), 0);
}

static struct bs_model *open_variant(const struct variant *v)
{
    struct bs_error err;
    struct bs_model *model;
    variant_write(v);
    if (bs_model_open(folder.path, NULL, &model, &err))
        fail_msg("%s", err.message);
    return model;
}

static void expect_refused(const struct variant *v, const char *said)
{
    struct bs_error err;
    struct bs_model *model;
    variant_write(v);
    assert_int_not_equal(bs_model_open(folder.path, NULL, &model, &err), BS_OK);
    if (!strstr(err.message, said))
        fail_msg("expected %s, got %s", said, err.message);
}

/* One notice at least says all of it. */
static void expect_notice(const struct bs_model *model, const char *said)
{
    const struct bs_lines *notices = &bs_model_remarks(model)->notices;
    for (int i = 0; i < notices->count; i++)
        if (strstr(notices->lines[i], said))
            return;
    fail_msg("no notice of '%s', %d others", said, notices->count);
}

/* --- the same numbers --- */

static void same_floats(const float *a, const float *b, size_t count)
{
    assert_int_equal(!a, !b);
    if (a)
        assert_memory_equal(a, b, count * sizeof *a);
}

/* Embedding and every weight of every block are the same. */
static void expect_same_weights(const struct bs_model *one, const struct bs_model *two)
{
    const struct bs_architecture *a = bs_model_architecture(one);
    struct bs_error err;
    static const int32_t ids[] = {1, 5, 2, 7};
    float x[4 * 64], y[4 * 64];
    assert_true(a->hidden_size <= 64);
    assert_int_equal(bs_model_embed(one, NULL, ids, 1, 4, x, &err), BS_OK);
    assert_int_equal(bs_model_embed(two, NULL, ids, 1, 4, y, &err), BS_OK);
    same_floats(x, y, 4 * (size_t)a->hidden_size);
    for (int b = 0; b < a->num_layers; b++) {
        struct bs_block left, right;
        assert_int_equal(bs_block_load(one, b, &left, &err), BS_OK);
        assert_int_equal(bs_block_load(two, b, &right, &err), BS_OK);
        for (int r = 0; r < a->programs[0].num_slots; r++)
            same_floats(left.linears[r].weight, right.linears[r].weight,
                        (size_t)left.linears[r].out_features * (size_t)left.linears[r].in_features);
        bs_block_release(&left);
        bs_block_release(&right);
    }
}

/* --- tests --- */

static void test_nothing_to_say(void **state)
{
    (void)state;
    struct variant v = variant_load("llama");
    struct bs_model *model = open_variant(&v);
    assert_int_equal(bs_model_remarks(model)->notices.count, 0);
    assert_int_equal(bs_model_remarks(model)->accepted.count, 0);
    bs_model_free(model);
    variant_release(&v);
}

/* A tied head in the file: equal, it is simply tied; another counts, and the model is another. */
static void test_tied_head(void **state)
{
    (void)state;
    struct variant v = variant_load("gemma2");
    struct bs_model *plain = open_variant(&v);
    assert_true(bs_model_architecture(plain)->tied_head);
    variant_copy(&v, "lm_head.weight", "model.embed_tokens.weight");
    struct bs_model *equal = open_variant(&v);
    assert_true(bs_model_architecture(equal)->tied_head);
    assert_int_equal(bs_model_remarks(equal)->notices.count, 0);
    assert_string_equal(bs_model_digest(equal).hex, bs_model_digest(plain).hex);
    size_t bytes;
    unsigned char *head = data_of(&v, "lm_head.weight", &bytes);
    head[bytes - 2] ^= 1; /* the last value */
    struct bs_model *other = open_variant(&v);
    const struct bs_architecture *a = bs_model_architecture(other);
    assert_false(a->tied_head);
    expect_notice(other, "tie_word_embeddings");
    assert_string_not_equal(bs_model_digest(other).hex, bs_model_digest(plain).hex);
    assert_int_equal(bs_model_other_parameters(other) - bs_model_other_parameters(plain),
                     (size_t)a->vocab_size * (size_t)a->hidden_size);
    /* The same as if config.json had told the truth. */
    json_object_set_new(v.config, "tie_word_embeddings", json_false());
    struct bs_model *untied = open_variant(&v);
    assert_int_equal(bs_model_remarks(untied)->notices.count, 0);
    assert_string_equal(bs_model_digest(other).hex, bs_model_digest(untied).hex);
    bs_model_free(untied);
    /* Only the head is there: it is the embedding too. */
    variant_release(&v);
    v = variant_load("gemma2");
    variant_rename(&v, "model.embed_tokens.weight", "lm_head.weight");
    struct bs_model *swapped = open_variant(&v);
    expect_notice(swapped, "no embedding");
    expect_same_weights(plain, swapped);
    bs_model_free(swapped);
    bs_model_free(other);
    bs_model_free(equal);
    bs_model_free(plain);
    variant_release(&v);
}

static void test_blocks_too_many(void **state)
{
    (void)state;
    struct variant v = variant_load("llama");
    json_object_set_new(v.config, "num_hidden_layers", json_integer(1));
    struct bs_model *model = open_variant(&v);
    expect_notice(model, "block 1 of the checkpoint (9 tensors) left out: num_hidden_layers is 1");
    bs_model_free(model);
    variant_release(&v);
}

/* Masks and counters of whole numbers are no weights; any other tensor too many is refused. */
static void test_spare_tensors(void **state)
{
    (void)state;
    struct variant v = variant_load("llama");
    variant_add(&v, "model.layers.0.self_attn.rotary_emb.inv_freq", "F32", json_pack("[i]", 1),
                NULL, 4);
    struct bs_model *model = open_variant(&v);
    assert_int_equal(bs_model_remarks(model)->notices.count, 0);
    bs_model_free(model);
    variant_add(&v, "model.layers.0.self_attn.mask", "BOOL", json_pack("[i]", 4), NULL, 4);
    variant_add(&v, "model.position_ids", "I64", json_pack("[i]", 2), NULL, 16);
    variant_add(&v, "model.step", "I8", json_pack("[]"), NULL, 1);
    model = open_variant(&v);
    expect_notice(model, "3 buffers of whole numbers");
    bs_model_free(model);
    variant_add(&v, "model.layers.0.self_attn.q_norm.weight", "F32", json_pack("[i]", 2), NULL, 8);
    expect_refused(&v, "'model.layers.0.self_attn.q_norm.weight' has no place");
    variant_release(&v);
}

/* What a file holds beyond its index is no part of the model. */
static void test_index(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_model *model;
    struct variant v = variant_load("llama");
    const char *name;
    json_t *entry, *map = json_object();
    json_object_foreach(v.header, name, entry)
        json_object_set_new(map, name, json_string("part.safetensors"));
    variant_copy(&v, "spare.weight", "model.norm.weight");
    variant_write(&v);
    char part[512];
    snprintf(part, sizeof part, "%s", folder_file(&folder, "part.safetensors"));
    assert_int_equal(rename(folder_file(&folder, "model.safetensors"), part), 0);
    json_t *index = json_pack("{s:o}", "weight_map", map);
    json_dump_file(index, folder_file(&folder, "model.safetensors.index.json"), 0);
    json_decref(index);
    if (bs_model_open(folder.path, NULL, &model, &err))
        fail_msg("%s", err.message);
    expect_notice(model, "1 tensors in the files are not named");
    bs_model_free(model);
    unlink(part);
    unlink(folder_file(&folder, "model.safetensors.index.json"));
    variant_release(&v);
}

/* Of several files of weights one is read, and the others are named. */
static void test_other_weights(void **state)
{
    (void)state;
    struct variant v = variant_load("llama");
    folder_write_text(&folder, "pytorch_model.bin", "not looked at");
    folder_write_text(&folder, "model.safetensors.index.json", "{}");
    folder_write_text(&folder, "adapter_config.json", "{}");
    struct bs_model *model = open_variant(&v);
    expect_notice(model, "(adapter_config.json) is not applied");
    expect_notice(model, "model.safetensors; model.safetensors.index.json, which is there too");
    expect_notice(model, "model.safetensors; pytorch_model.bin, which is there too");
    bs_model_free(model);
    unlink(folder_file(&folder, "adapter_config.json"));
    unlink(folder_file(&folder, "pytorch_model.bin"));
    unlink(folder_file(&folder, "model.safetensors.index.json"));
    variant_release(&v);
}

static void test_float64(void **state)
{
    (void)state;
    struct variant v = variant_load("llama3");
    struct bs_model *plain = open_variant(&v);
    variant_widen(&v, "model.embed_tokens.weight");
    variant_widen(&v, "model.layers.1.mlp.up_proj.weight");
    struct bs_model *wide = open_variant(&v);
    expect_same_weights(plain, wide);
    /* What no float32 holds is not finite. */
    size_t bytes;
    double large = 1e300;
    memcpy(data_of(&v, "model.embed_tokens.weight", &bytes), &large, sizeof large);
    expect_refused(&v, "model.embed_tokens.weight");
    bs_model_free(wide);
    bs_model_free(plain);
    variant_release(&v);
}

static void test_quantized(void **state)
{
    (void)state;
    struct variant v = variant_load("llama");
    variant_rename(&v, "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.qweight");
    expect_refused(&v, "quantized already (GPTQ or AWQ)");
    variant_release(&v);
    v = variant_load("llama");
    json_object_set_new(v.config, "quantization_config",
                        json_pack("{s:s}", "quant_method", "vptq"));
    expect_refused(&v, "quantization_config: the weights are quantized already (vptq)");
    json_object_del(v.config, "quantization_config");
    json_object_set_new(v.config, "quantization", json_pack("{s:i}", "bits", 4));
    expect_refused(&v, "quantization: the weights are quantized already (MLX)");
    variant_release(&v);
}

/* Gemma 3 of text and images opens by its text part, as transformers 4 and 5 name the tensors; what
 * text_config does not say has the class's defaults. */
static void test_text_part(void **state)
{
    (void)state;
    static const char *const places[][2] = {{"model.language_model.", "lm_head."},
                                            {"language_model.model.", "language_model.lm_head."}};
    for (size_t i = 0; i < 2; i++) {
        struct variant v = variant_load("gemma3_text");
        struct bs_model *plain = open_variant(&v);
        variant_rename(&v, "model.", places[i][0]);
        variant_rename(&v, "lm_head.", places[i][1]);
        variant_add(&v, "vision_tower.vision_model.head.weight", "F32", json_pack("[i]", 2), NULL,
                    8);
        variant_add(&v, "model.multi_modal_projector.weight", "F32", json_pack("[i]", 2), NULL, 8);
        json_t *text = v.config;
        v.config = json_pack("{s:s, s:O, s:{s:i}, s:b}", "model_type", "gemma3", "text_config",
                             text, "vision_config", "hidden_size", 8, "tie_word_embeddings", 1);
        struct bs_model *model = open_variant(&v);
        expect_notice(model, "opened by its text part (gemma3_text) alone");
        expect_notice(model, "2 tensors of the checkpoint are no text and left out");
        expect_notice(model, "vision_tower");
        expect_same_weights(plain, model);
        assert_int_equal(bs_model_other_parameters(plain), bs_model_other_parameters(model));
        bs_model_free(model);
        /* A tensor of the text part that has no place is still refused. */
        char name[128];
        snprintf(name, sizeof name, "%slayers.0.self_attn.q_proj.bias", places[i][0]);
        variant_add(&v, name, "F32", json_pack("[i]", 2), NULL, 8);
        expect_refused(&v, "has no place");
        json_decref(text);
        bs_model_free(plain);
        variant_release(&v);
    }
}

static void test_class_defaults(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_architecture a;
    folder_write_text(&folder, "config.json",
                      "{\"model_type\": \"gemma3\", \"text_config\": {\"hidden_size\": 2560, "
                      "\"intermediate_size\": 10240, \"model_type\": \"gemma3_text\", "
                      "\"num_hidden_layers\": 34, \"rope_scaling\": {\"factor\": 8.0, "
                      "\"rope_type\": \"linear\"}, \"sliding_window\": 1024}, "
                      "\"vision_config\": {\"image_size\": 896}}");
    if (bs_architecture_read(folder.path, NULL, &a, NULL, &err))
        fail_msg("%s", err.message);
    assert_int_equal(a.vocab_size, 262208);
    assert_int_equal(a.num_heads, 8);
    assert_int_equal(a.num_kv_heads, 4);
    assert_int_equal(a.head_dim, 256);
    assert_true(a.tied_head);
    assert_int_equal(a.rope.kind, BS_ROPE_LINEAR);
    assert_int_equal(a.local_rope.kind, BS_ROPE_DEFAULT);
    assert_string_equal(a.wrapper, "gemma3");
}

/* A gemma3 whose config.json has `keys` beside text_config. */
static enum bs_status read_beside(const char *keys, struct bs_error *err)
{
    struct bs_architecture a;
    char text[1024];
    snprintf(text, sizeof text,
             "{\"model_type\": \"gemma3\", \"text_config\": {\"hidden_size\": 2560, "
             "\"intermediate_size\": 10240, \"model_type\": \"gemma3_text\", "
             "\"num_hidden_layers\": 34, \"sliding_window\": 1024}, %s}",
             keys);
    folder_write_text(&folder, "config.json", text);
    return bs_architecture_read(folder.path, NULL, &a, NULL, err);
}

static void test_keys_beside_the_text_part(void **state)
{
    (void)state;
    static const char *const notes[] = {
        "\"mm_tokens_per_image\": 256, \"image_token_index\": 262144, \"boi_token_index\": 255999",
        "\"projector_hidden_act\": \"gelu\", \"multimodal_projector_bias\": true",
        "\"vision_feature_layer\": -2, \"spatial_merge_size\": 2, \"scale_factor\": 4",
        "\"hidden_size\": 2560, \"sliding_window\": 1024, \"rope_scaling\": null",
        "\"initializer_range\": 0.02, \"license\": \"gemma\", \"unsloth_fixed\": true",
    };
    static const struct {
        const char *keys, *said;
    } arithmetic[] = {
        {"\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.0}", "rope_scaling"},
        {"\"final_logit_softcapping\": 30.0", "final_logit_softcapping"},
        {"\"hidden_size\": 2048", "hidden_size"},
        {"\"residual_multiplier\": 0.5", "residual_multiplier"},
    };
    struct bs_error err;
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
        if (read_beside(notes[i], &err))
            fail_msg("%s", err.message);
    for (size_t i = 0; i < sizeof arithmetic / sizeof *arithmetic; i++) {
        if (!read_beside(arithmetic[i].keys, &err))
            fail_msg("read: %s", arithmetic[i].keys);
        assert_non_null(strstr(err.message, arithmetic[i].said));
        assert_null(strstr(err.message, "text_config"));
    }
}

/* Paths that are no checkpoint say what they are and what to do. */
static void test_foreign(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text, *open, *said;
    } cases[] = {
        {"x.gguf", "GGUF\3", "x.gguf", "the file ends within its version"},
        {"odd.bin", "GGUF\3", "odd.bin", "the file ends within its version"},
        {"x.gguf", "guff", "x.gguf", "does not begin with 'GGUF'"},
        {"model.safetensors", "", "model.safetensors", "name the folder"},
        {"notes.txt", "hello", "notes.txt", "a file, expected a folder"},
        {"x.gguf", "GGUF", "", "x.gguf: the file ends within its version"},
        {"adapter_config.json", "{\"base_model_name_or_path\": \"org/base\"}", "", "org/base"},
        {"adapter_config.json", "{\"base_model_name_or_path\": \"org/base\", \"revision\": \"v2\"}",
         "", "bitsweep fetch org/base@v2"},
        {"adapter_config.json", "{\"base_model_name_or_path\": \"org/base\", \"revision\": null}",
         "", "'main'"},
        {"model_index.json", "{}", "", "diffusion"},
        {"params.json", "{}", "", "convert"},
        {"README", "", "", "there is no config.json"},
        {"config.json", "{\"model_type\": \"bert\"}", "", "an encoder"},
        {"config.json", "{\"model_type\": \"t5\"}", "", "an encoder and a decoder"},
        {"config.json", "{\"model_type\": \"glm4_moe\"}", "", "mixture of experts"},
        {"config.json", "{\"model_type\": \"llava\"}", "", "text_config is missing"},
        {"config.json",
         "{\"model_type\": \"llava\", \"text_config\": {\"model_type\": \"glm4_moe\"}}", "",
         "text_config: model_type 'glm4_moe' is not supported (a mixture of experts"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_error err;
        struct bs_model *model;
        struct folder own = folder_create();
        char path[600];
        folder_write_text(&own, cases[i].file, cases[i].text);
        snprintf(path, sizeof path, "%s%s%s", own.path, *cases[i].open ? "/" : "", cases[i].open);
        enum bs_status status = bs_model_open(path, NULL, &model, &err);
        folder_remove_path(own.path);
        assert_int_not_equal(status, BS_OK);
        if (!strstr(err.message, cases[i].said) || !strstr(err.message, own.path))
            fail_msg("%s: expected %s, got %s", cases[i].file, cases[i].said, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_say),
        cmocka_unit_test(test_tied_head),
        cmocka_unit_test(test_blocks_too_many),
        cmocka_unit_test(test_spare_tensors),
        cmocka_unit_test(test_float64),
        cmocka_unit_test(test_quantized),
        cmocka_unit_test(test_text_part),
        cmocka_unit_test(test_class_defaults),
        cmocka_unit_test(test_keys_beside_the_text_part),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_other_weights),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}

/* GGUF files that are written: tensors and metadata as llama.cpp's own converter makes them of the
 * same checkpoints, codes that come back, metadata that are taken over, damaged hopes refused. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/checkpoint/tensor.h"
#include "eval/export/writer.h"
#include "eval/gguf/gguf_write.h"
#include "eval/linalg/blas.h"
#include "eval/model/gguf_target.h"
#include "eval/run/apply.h"
#include "tests/support/folder.h"
#include "tests/support/recipes.h"

static struct bs_error err;
static struct bs_scratch *scratch;

static const struct bs_writer *gguf(void)
{
    return (const struct bs_writer *)bs_registry_find(&bs_writer_registry, "gguf");
}

/* What a recipe that rounds to nearest makes of a block. */
static void make_block(const struct bs_model *model, const struct bs_recipe *recipe, int layer,
                       struct bs_block *original, struct bs_block *block)
{
    const struct bs_inputs inputs = {.scratch = scratch};
    assert_int_equal(bs_block_load(model, layer, original, &err), BS_OK);
    *block = (struct bs_block){.architecture = NULL};
    assert_int_equal(bs_block_copy(block, original, &err), BS_OK);
    if (recipe->num_steps)
        assert_int_equal(bs_apply_recipe(recipe, block, &inputs, &err), BS_OK);
}

/* Writes what a recipe makes of the model in `from` to the file `to`, plain matrices as `plain`. */
static enum bs_status write_model(const char *from, const struct bs_recipe *recipe,
                                  const char *plain, const char *to)
{
    struct bs_model *model;
    void *state = NULL, *options;
    struct bs_choice choice;
    if (bs_model_open(from, NULL, &model, &err))
        fail_msg("%s: %s", from, err.message);
    assert_int_equal(bs_choice_init(&choice, &gguf()->plugin, &err), BS_OK);
    options = choice.options;
    assert_int_equal(
        bs_option_parse(bs_option_find(gguf()->plugin.options, "plain"), plain, options, &err),
        BS_OK);
    struct bs_export export = {
        .model = model, .recipe = recipe, .label = "a recipe", .id = "an id", .options = options};
    enum bs_status status = gguf()->check(&export, &err);
    export.path = to;
    if (!status)
        status = gguf()->open(&export, &state, &err);
    for (int l = 0; !status && l < bs_model_architecture(model)->num_layers; l++) {
        struct bs_block original, block;
        make_block(model, recipe, l, &original, &block);
        status = gguf()->block(state, &original, &block, &err);
        bs_block_release(&original);
        bs_block_release(&block);
    }
    if (!status)
        status = gguf()->close(state, &err);
    gguf()->free(state);
    bs_choice_release(&choice);
    bs_model_free(model);
    return status;
}

/* --- as the converter --- */

/* Of the tensor in the file of the converter. */
static void compare_tensor(const char *name, const struct bs_gguf_tensor *want,
                           const struct bs_gguf_tensor *got)
{
    if (!got)
        fail_msg("%s: no tensor %.*s", name, (int)want->name.length, want->name.bytes);
    bool same = got->rank == want->rank && got->count == want->count &&
                !memcmp(got->dims, want->dims, (size_t)want->rank * sizeof *want->dims);
    double apart = 0;
    if (!same || strcmp(got->type->name, "F32"))
        fail_msg("%s: %.*s has another shape or type", name, (int)want->name.length,
                 want->name.bytes);
    for (size_t i = 0; i < want->count; i++) {
        float a, b;
        memcpy(&a, want->data + 4 * i, sizeof a);
        memcpy(&b, got->data + 4 * i, sizeof b);
        apart = fmax(apart, fabs((double)a - (double)b) / fmax(1, fabs((double)a)));
    }
    if (apart > 1e-6) /* factors of frequencies are computed; the others are the same bits */
        fail_msg("%s: %.*s differs by %g", name, (int)want->name.length, want->name.bytes, apart);
}

/* A value of the converter's that the architecture says is there, and the same but for rounding. */
static void compare_value(const char *name, const struct bs_gguf *want,
                          const struct bs_gguf_value *value, const struct bs_gguf *got)
{
    char key[128];
    snprintf(key, sizeof key, "%.*s", (int)value->key.length, value->key.bytes);
    /* Of texts that llama.cpp does not read, and of numbers that it takes for granted. */
    static const char *const others[] = {
        "general.name",           "general.size_label",
        "general.finetune",       "general.basename",
        "general.type",           "tensor_data_layout",
        "rope.scaling.finetuned", "tokenizer.",
        "general.sampling",       "general.source",
        "general.tags",           "general.languages",
        "general.license",        "general.quantization_version",
        "general.description",    "context_length",
        "feed_forward_length", /* of Bloom and Falcon not those of the model */
        "rope.scaling.type",      "layer_norm_rms_epsilon"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strstr(key, others[i]))
            return;
    const struct bs_gguf_value *own = bs_gguf_find(got, key);
    json_t *a = NULL, *b = NULL;
    assert_int_equal(bs_gguf_json(want, value, &a, &err), BS_OK);
    if (own)
        assert_int_equal(bs_gguf_json(got, own, &b, &err), BS_OK);
    bool same = own && (json_equal(a, b) || (json_is_number(a) && json_is_number(b) &&
                                             fabs(json_number_value(a) - json_number_value(b)) <=
                                                 1e-6 * fabs(json_number_value(a))));
    if (!same) {
        char *one = json_dumps(a, JSON_ENCODE_ANY), *other = json_dumps(b, JSON_ENCODE_ANY);
        fail_msg("%s: %s is %s, expected %s", name, key, other ? other : "missing", one);
        free(one);
        free(other);
    }
    json_decref(a);
    json_decref(b);
}

static void compare_files(const char *name, const char *want_path, const char *got_path)
{
    struct bs_gguf_model want, got;
    assert_int_equal(bs_gguf_open(want_path, &want, &err), BS_OK);
    if (bs_gguf_open(got_path, &got, &err))
        fail_msg("%s: %s", name, err.message);
    for (size_t i = 0; i < want.parts->gguf.num_tensors; i++) {
        const struct bs_gguf_tensor *tensor = &want.parts->gguf.tensors[i];
        char key[96];
        snprintf(key, sizeof key, "%.*s", (int)tensor->name.length, tensor->name.bytes);
        compare_tensor(name, tensor, bs_gguf_tensor(&got, key));
    }
    assert_int_equal(got.parts->gguf.num_tensors, want.parts->gguf.num_tensors);
    for (size_t i = 0; i < want.parts->gguf.num_values; i++)
        compare_value(name, &want.parts->gguf, &want.parts->gguf.values[i], &got.parts->gguf);
    bs_gguf_close(&want);
    bs_gguf_close(&got);
}

/* Families whose golden files were made of the checkpoint as it is. */
static void files_are_as_the_converter_makes_them(void **state)
{
    (void)state;
    static const char *const names[] = {
        "bloom",      "cohere",         "cohere-plus", "cohere2",
        "exaone4",    "falcon-grouped", "gemma",       "glm4",
        "gpt2",       "granite",        "llama",       "llama-bias",
        "llama-head", "llama-linear",   "llama-yarn",  "llama3",
        "nemotron",   "olmo",           "olmo2",       "olmo3",
        "phi3",       "phi3-long",      "qwen2",       "qwen3",
        "seed_oss",   "mixtral",        "granitemoe",  "granitemoeshared"};
    struct bs_recipe recipe;
    bs_recipe_init(&recipe);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *from = bs_printf("tests/golden/families/%s", names[i]);
        char *want = bs_printf("tests/golden/gguf/%s/model.gguf", names[i]);
        char *to = bs_printf("%s/%s.gguf", folder.path, names[i]);
        assert_true(from && want && to);
        if (write_model(from, &recipe, "f32", to))
            fail_msg("%s: %s", names[i], err.message);
        compare_files(names[i], want, to);
        bs_free(from);
        bs_free(want);
        bs_free(to);
    }
    bs_recipe_release(&recipe);
}

/* --- and back --- */

static void compare_blocks(const char *name, const struct bs_model *a, const struct bs_model *b)
{
    struct bs_block one, other;
    for (int l = 0; l < bs_model_architecture(a)->num_layers; l++) {
        assert_int_equal(bs_block_load(a, l, &one, &err), BS_OK);
        assert_int_equal(bs_block_load(b, l, &other, &err), BS_OK);
        const struct bs_program *p = one.program;
        assert_int_equal(p->num_slots, other.program->num_slots);
        for (int s = 0; s < p->num_slots; s++) {
            size_t out = (size_t)p->slots[s].out, in = (size_t)p->slots[s].in;
            if (memcmp(one.linears[s].weight, other.linears[s].weight, out * in * sizeof(float)) ||
                (p->slots[s].biased &&
                 memcmp(one.linears[s].bias, other.linears[s].bias, out * sizeof(float))))
                fail_msg("%s: layer %d, %s", name, l, p->slots[s].name);
        }
        for (int n = 0; n < BS_NUM_NORMS; n++)
            if (one.norms[n].width && memcmp(one.norms[n].weight, other.norms[n].weight,
                                             (size_t)one.norms[n].width * sizeof(float)))
                fail_msg("%s: layer %d, norm %d", name, l, n);
        bs_block_release(&one);
        bs_block_release(&other);
    }
}

/* Every family: what is read back is the model, but for those that are refused. */
static void families_are_read_back(void **state)
{
    (void)state;
    static const char *const refused[] = {
        /* for which llama.cpp has no architecture, or that are not written */
        "glm", "gptj", "ministral", "ministral3", "opt", "opt-350m", "opt-bare", "opt-galactica",
        /* whose metadata do not say it */
        "bloom-post", "falcon-alibi", "falcon-rw", "exaone4-full", "gemma2", "gemma2-plain",
        "gemma3", "gemma3_text", "gpt2-inverse", "gpt2-unscaled", "llama-dynamic",
        "llama-dynamic-short", "llama-longrope", "llama-quick_gelu", "llama-relu2",
        "llama-yarn-mscale", "mistral", "mpt", "olmo3-yarn", "qwen2-window", "smollm3",
        /* of experts: layers without them, weights that are not normed, q and k within limits,
         * positions scaled without whole numbers, windows of other than 8192 tokens, or any */
        "mixtral-merged", "qwen2_moe", "qwen3_moe-dense", "qwen3_moe-window", "olmoe", "gpt_oss",
        "llama4_text", "llama4", NULL};
    DIR *families = opendir("tests/golden/families");
    int written = 0;
    struct bs_recipe recipe;
    bs_recipe_init(&recipe);
    assert_non_null(families);
    for (const struct dirent *e; (e = readdir(families));) {
        struct bs_model *original, *back;
        char *from = bs_printf("tests/golden/families/%s", e->d_name);
        char *to = bs_printf("%s/%s.gguf", folder.path, e->d_name);
        assert_true(from && to);
        if (e->d_name[0] != '.' && !strchr(e->d_name, '.')) {
            if (write_model(from, &recipe, "auto", to)) {
                if (err.status != BS_EUNSUPPORTED || !bs_word_in(e->d_name, refused))
                    fail_msg("%s: %s", e->d_name, err.message);
            } else {
                assert_int_equal(bs_model_open(from, NULL, &original, &err), BS_OK);
                if (bs_model_open(to, NULL, &back, &err))
                    fail_msg("%s", err.message);
                compare_blocks(e->d_name, original, back);
                bs_model_free(original);
                bs_model_free(back);
                written++;
            }
        }
        bs_free(from);
        bs_free(to);
    }
    closedir(families);
    bs_recipe_release(&recipe);
    assert_in_range(written, 49, 1000);
}

/* --- as llama-quantize --- */

static int by_name(const void *a, const void *b)
{
    const struct bs_gguf_text one = ((const struct bs_gguf_tensor *)a)->name;
    const struct bs_gguf_text other = ((const struct bs_gguf_tensor *)b)->name;
    size_t length = one.length < other.length ? one.length : other.length;
    int order = memcmp(one.bytes, other.bytes, length);
    return order ? order : (one.length > other.length) - (one.length < other.length);
}

static uint32_t checksum(const char *path)
{
    struct bs_gguf_model model;
    if (bs_gguf_open(path, &model, &err))
        fail_msg("%s", err.message);
    struct bs_gguf *gguf = &model.parts->gguf;
    uLong crc = 0;
    qsort(gguf->tensors, gguf->num_tensors, sizeof *gguf->tensors, by_name);
    for (size_t i = 0; i < gguf->num_tensors; i++)
        crc = crc32(crc, gguf->tensors[i].data, (uInt)gguf->tensors[i].bytes);
    bs_gguf_close(&model);
    return (uint32_t)crc;
}

/* Types and bytes of every tensor of a mix (golden/gguf_quantize.py). */
static void mixes_are_those_of_llama_quantize(void **state)
{
    (void)state;
    json_t *golden = json_load_file("tests/golden/gguf_quantize.json", 0, NULL);
    const json_t *want;
    const char *mix;
    char settings[64];
    char *path = bs_printf("%s/mix.gguf", folder.path);
    assert_true(golden && path && json_object_size(golden) > 0);
    json_object_foreach(golden, mix, want)
    {
        struct bs_recipe recipe;
        snprintf(settings, sizeof settings, "mix=%s", mix);
        recipe_build(&recipe, "rtn", settings);
        if (write_model("datasets/tiny", &recipe, "f32", path))
            fail_msg("%s: %s", mix, err.message);
        if (checksum(path) != (uint32_t)json_integer_value(want))
            fail_msg("%s: other bytes than llama-quantize's", mix);
        bs_recipe_release(&recipe);
    }
    json_decref(golden);
    bs_free(path);
}

/* general.file_type by llama.cpp's include/llama.h, enum llama_ftype. */
static void files_say_what_most_of_them_is(void **state)
{
    (void)state;
    static const struct {
        const char *settings, *plain;
        uint32_t type;
    } files[] = {{"format=none", "f32", 0},   {"format=none", "f16", 1},
                 {"format=none", "bf16", 32}, {"mix=q4_k_s", "f32", 14},
                 {"mix=q4_k_m", "f32", 15},   {"mix=iq4_xs", "f32", 30},
                 {"format=q8_0", "f32", 7},   {"format=q4_0 @*.down_proj format=q6_k", "f32", 2}};
    char *path = bs_printf("%s/typed.gguf", folder.path);
    assert_non_null(path);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct bs_gguf_model model;
        struct bs_recipe recipe;
        recipe_build(&recipe, "rtn", files[i].settings);
        if (write_model("datasets/tiny", &recipe, files[i].plain, path) ||
            bs_gguf_open(path, &model, &err))
            fail_msg("%s: %s", files[i].settings, err.message);
        const struct bs_gguf_value *value = bs_gguf_find(&model.parts->gguf, "general.file_type");
        json_t *got;
        assert_non_null(value);
        assert_int_equal(bs_gguf_json(&model.parts->gguf, value, &got, &err), BS_OK);
        assert_int_equal(json_integer_value(got), files[i].type);
        json_decref(got);
        bs_gguf_close(&model);
        bs_recipe_release(&recipe);
    }
    bs_free(path);
}

/* --- the container --- */

static void put_json(struct bs_gguf_writer *w, const char *key, enum bs_gguf_kind kind,
                     const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    assert_int_equal(bs_gguf_put(w, key, kind, value, &err), BS_OK);
    json_decref(value);
}

static void expect_json(const struct bs_gguf *gguf, const char *key, enum bs_gguf_kind kind,
                        const char *text)
{
    const struct bs_gguf_value *value = bs_gguf_find(gguf, key);
    json_t *want = json_loads(text, JSON_DECODE_ANY, NULL), *got;
    assert_true(value && want && value->kind == kind);
    assert_int_equal(bs_gguf_json(gguf, value, &got, &err), BS_OK);
    if (!json_equal(got, want))
        fail_msg("%s: not %s", key, text);
    json_decref(got);
    json_decref(want);
}

/* Metadata of every type and lists of them, tensors aligned whatever their sizes. */
static void every_type_comes_back(void **state)
{
    (void)state;
    static const struct {
        enum bs_gguf_kind kind;
        const char *one, *list;
    } values[] = {
        {BS_GGUF_U8, "255", "[0, 1, 255]"},
        {BS_GGUF_I8, "-128", "[-1, 127]"},
        {BS_GGUF_U16, "65535", "[3]"},
        {BS_GGUF_I16, "-32768", "[-1]"},
        {BS_GGUF_U32, "4294967295", "[7, 8]"},
        {BS_GGUF_I32, "-2147483648", "[-9]"},
        {BS_GGUF_F32, "0.5", "[1.5, -2.25]"},
        {BS_GGUF_BOOL, "true", "[true, false]"},
        {BS_GGUF_STRING, "\"a \u00e9\"", "[\"\", \"b\", \"\u2581c\"]"},
        {BS_GGUF_U64, "9007199254740993", "[1]"},
        {BS_GGUF_I64, "-9007199254740993", "[-1]"},
        {BS_GGUF_F64, "0.1", "[0.2]"},
    };
    char *path = bs_printf("%s/all.gguf", folder.path), key[32];
    struct bs_gguf_writer *w = bs_gguf_writer_create();
    const unsigned char bytes[18 * 3] = {1, 2, 3};
    const float floats[5] = {1, 2, 3, 4, 5};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        snprintf(key, sizeof key, "one.%zu", i);
        put_json(w, key, values[i].kind, values[i].one);
        snprintf(key, sizeof key, "list.%zu", i);
        put_json(w, key, values[i].kind, values[i].list);
    }
    assert_int_equal(bs_gguf_add(w, "codes", bs_gguf_type_find(2), 2, (int64_t[]){32, 3}, &err),
                     BS_OK);
    assert_int_equal(bs_gguf_add(w, "floats", bs_gguf_type_find(0), 1, (int64_t[]){5}, &err),
                     BS_OK);
    assert_int_equal(bs_gguf_begin(w, path, &err), BS_OK);
    assert_int_equal(bs_gguf_data(w, bytes, 18, &err), BS_OK);
    assert_int_equal(bs_gguf_data(w, bytes + 18, 36, &err), BS_OK);
    assert_int_equal(bs_gguf_data(w, floats, sizeof floats, &err), BS_OK);
    assert_int_equal(bs_gguf_end(w, &err), BS_OK);
    bs_gguf_writer_free(w);
    struct bs_gguf_model model;
    assert_int_equal(bs_gguf_open(path, &model, &err), BS_OK);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        snprintf(key, sizeof key, "one.%zu", i);
        expect_json(&model.parts->gguf, key, values[i].kind, values[i].one);
        snprintf(key, sizeof key, "list.%zu", i);
        expect_json(&model.parts->gguf, key, values[i].kind, values[i].list);
    }
    const struct bs_gguf_tensor *codes = bs_gguf_tensor(&model, "codes");
    const struct bs_gguf_tensor *last = bs_gguf_tensor(&model, "floats");
    assert_true(codes && last && codes->bytes == sizeof bytes && codes->rank == 2);
    assert_memory_equal(codes->data, bytes, sizeof bytes);
    assert_memory_equal(last->data, floats, sizeof floats);
    bs_gguf_close(&model);
    bs_free(path);
}

int main(void)
{
    bs_blas_init();
    scratch = bs_scratch_create(bs_threads(), 1 << 20);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_type_comes_back, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(files_are_as_the_converter_makes_them, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(mixes_are_those_of_llama_quantize, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(files_say_what_most_of_them_is, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(families_are_read_back, folder_setup, folder_teardown),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    bs_scratch_free(scratch, bs_threads());
    return failed;
}

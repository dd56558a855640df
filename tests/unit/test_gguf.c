/* GGUF files: what every type of blocks decodes to by gguf-py and libggml (tests/golden/
 * gguf_types.py), ids by the libraries that made the tokenizers (gguf_tokens.py), and files that
 * are damaged, cut short or made to harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <zlib.h>

#include "eval/base/mem.h"
#include "eval/checkpoint/checkpoint.h"
#include "eval/gguf/gguf.h"
#include "eval/model/model.h"
#include "eval/tokenizer/tokenizer.h"
#include "tests/support/folder.h"

static struct folder folder;

static void check(enum bs_status status, const struct bs_error *err)
{
    if (status)
        fail_msg("%s", err->message);
}

/* --- types --- */

static void test_types(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_checkpoint *checkpoint;
    json_t *sums = json_load_file("tests/golden/gguf_types.json", 0, NULL), *sum;
    const char *name;
    int types = 0;
    check(bs_checkpoint_open("tests/golden/gguf_types.gguf", &checkpoint, &err), &err);
    json_object_foreach(sums, name, sum)
    {
        const struct bs_tensor *tensor = bs_checkpoint_find(checkpoint, name);
        if (!tensor)
            fail_msg("no tensor %s", name);
        float *values = bs_alloc(tensor->count, sizeof *values);
        assert_non_null(values);
        bs_tensor_read(tensor, 0, tensor->count, values);
        uLong found = crc32(0, (const unsigned char *)values, (uInt)(tensor->count * 4));
        if ((json_int_t)found != json_integer_value(sum))
            fail_msg("%s decodes to other values", name);
        assert_true(tensor->coded->bits > 0 && strstr(tensor->coded->scheme, name));
        bs_free(values);
        types++;
    }
    assert_int_equal(types, 24);
    bs_checkpoint_free(checkpoint);
    json_decref(sums);
}

/* --- tokenizers --- */

static void check_ids(const struct bs_tokenizer *tokenizer, const char *text, const json_t *want)
{
    struct bs_error err;
    int32_t *ids;
    size_t count;
    check(bs_tokenizer_encode(tokenizer, text, strlen(text), true, &ids, &count, &err), &err);
    bool same = count == json_array_size(want);
    for (size_t i = 0; same && i < count; i++)
        same = ids[i] == json_integer_value(json_array_get(want, i));
    if (!same)
        fail_msg("other ids of '%s'", text);
    bs_free(ids);
}

static void check_tokenizer(const char *file, const char *key, bool all)
{
    struct bs_error err;
    struct bs_tokenizer *tokenizer;
    json_t *golden = json_load_file("tests/golden/gguf_tokens.json", 0, NULL), *text;
    const json_t *rows = json_object_get(golden, key);
    size_t i, row = 0;
    check(bs_tokenizer_open(file, &tokenizer, &err), &err);
    json_array_foreach(json_object_get(golden, "texts"), i, text)
    {
        const char *words = json_string_value(text);
        if (all || (*words && !strstr(words, "<|end|>")))
            check_ids(tokenizer, words, json_array_get(rows, row++));
    }
    assert_true(row > 0 && row == json_array_size(rows));
    bs_tokenizer_free(tokenizer);
    json_decref(golden);
}

static void test_tokens(void **state)
{
    (void)state;
    check_tokenizer("tests/golden/gguf_bpe.gguf", "bpe", true);
    check_tokenizer("tests/golden/gguf_spm.gguf", "spm", false);
}

/* --- damage --- */

/* A file being written. */
struct file {
    unsigned char bytes[4096];
    size_t size;
};

static void put(struct file *f, const void *data, size_t size)
{
    assert_true(f->size + size <= sizeof f->bytes);
    memcpy(f->bytes + f->size, data, size);
    f->size += size;
}

static void put_u32(struct file *f, uint32_t number) { put(f, &number, sizeof number); }

static void put_u64(struct file *f, uint64_t number) { put(f, &number, sizeof number); }

static void put_text(struct file *f, const char *text)
{
    put_u64(f, strlen(text));
    put(f, text, strlen(text));
}

static void begin(struct file *f, uint32_t version, uint64_t tensors, uint64_t values)
{
    f->size = 0;
    put(f, "GGUF", 4);
    put_u32(f, version);
    put_u64(f, tensors);
    put_u64(f, values);
}

static void put_string(struct file *f, const char *key, const char *text)
{
    put_text(f, key);
    put_u32(f, BS_GGUF_STRING);
    put_text(f, text);
}

static void put_tensor(struct file *f, const char *name, uint64_t width, uint32_t type,
                       uint64_t offset)
{
    put_text(f, name);
    put_u32(f, 2);
    put_u64(f, width);
    put_u64(f, 1);
    put_u32(f, type);
    put_u64(f, offset);
}

/* The message names the file and says this. */
static void expect(const struct file *f, const char *said)
{
    struct bs_error err;
    struct bs_model *model;
    folder_write(&folder, "x.gguf", f->bytes, f->size);
    assert_int_not_equal(bs_model_open(folder_file(&folder, "x.gguf"), NULL, &model, &err), BS_OK);
    if (!strstr(err.message, "x.gguf") || !strstr(err.message, said))
        fail_msg("expected '%s': %s", said, err.message);
}

static void test_header(void **state)
{
    (void)state;
    struct file f;
    begin(&f, 1, 0, 0);
    expect(&f, "version 1 of GGUF, expected 2 or 3");
    begin(&f, 3u << 24, 0, 0);
    expect(&f, "begin with the high byte");
    begin(&f, 3, 0, UINT64_MAX);
    expect(&f, "metadata values do not fit");
    begin(&f, 3, UINT64_MAX / 2, 0);
    expect(&f, "tensors do not fit");
    begin(&f, 3, 0, 0);
    expect(&f, "'general.architecture' is missing");
    begin(&f, 3, 0, 1);
    put_u64(&f, UINT64_MAX);
    put_u64(&f, 0);
    expect(&f, "the file ends within the metadata's keys");
    begin(&f, 3, 0, 2);
    put_string(&f, "a", "1");
    put_string(&f, "a", "2");
    expect(&f, "metadata 'a' stands twice");
    begin(&f, 3, 0, 1);
    put_text(&f, "list");
    put_u32(&f, BS_GGUF_ARRAY);
    put_u32(&f, BS_GGUF_U64);
    put_u64(&f, UINT64_MAX / 8);
    expect(&f, "the file ends within metadata 'list'");
    begin(&f, 3, 0, 1);
    put_text(&f, "odd");
    put_u32(&f, 77);
    put_u64(&f, 0);
    expect(&f, "metadata 'odd' has type 77, expected 0 to 12");
    begin(&f, 3, 0, 1);
    put_string(&f, "general.architecture", "mamba");
    expect(&f, "general.architecture 'mamba' is not supported; supported: llama");
}

static void begin_list(struct file *f, const char *key, enum bs_gguf_kind kind, uint64_t count)
{
    put_text(f, key);
    put_u32(f, BS_GGUF_ARRAY);
    put_u32(f, kind);
    put_u64(f, count);
}

/* The token before a text is one that is not used, and no UTF-8. */
static void test_token_name(void **state)
{
    (void)state;
    struct file f;
    struct bs_error err;
    struct bs_tokenizer *tokenizer;
    begin(&f, 3, 0, 6);
    put_string(&f, "tokenizer.ggml.model", "gpt2");
    put_string(&f, "tokenizer.ggml.pre", "smollm");
    begin_list(&f, "tokenizer.ggml.merges", BS_GGUF_STRING, 0);
    begin_list(&f, "tokenizer.ggml.tokens", BS_GGUF_STRING, 2);
    put_text(&f, "a");
    put_text(&f, "\xff");
    begin_list(&f, "tokenizer.ggml.token_type", BS_GGUF_I32, 2);
    put_u32(&f, 1);
    put_u32(&f, 5);
    put_text(&f, "tokenizer.ggml.bos_token_id");
    put_u32(&f, BS_GGUF_U32);
    put_u32(&f, 1);
    folder_write(&folder, "x.gguf", f.bytes, f.size);
    assert_int_equal(bs_tokenizer_open(folder_file(&folder, "x.gguf"), &tokenizer, &err), BS_EDATA);
    if (!strstr(err.message, "bos_token_id' is not the id of a token in UTF-8"))
        fail_msg("%s", err.message);
}

/* A file of tests/golden or tests/fuzz with `more` before its own metadata, which are `added`
 * values; opened, it says so, or opens where `said` is NULL. */
static void expect_before(const char *from, const struct file *more, uint64_t added,
                          const char *said)
{
    struct bs_error err;
    struct file f = {.size = 0};
    char *data;
    size_t size;
    uint64_t values;
    check(bs_file_read(from, &data, &size, &err), &err);
    memcpy(&values, data + 16, sizeof values);
    begin(&f, 3, 0, values + added);
    put(&f, more->bytes, more->size);
    unsigned char *whole = bs_calloc(f.size + size, 1);
    assert_non_null(whole);
    memcpy(whole, f.bytes, f.size);
    memcpy(whole + 8, data + 8, 8);                        /* as many tensors */
    memcpy(whole + f.size, data + 24, size - 24);          /* moved: their data follow elsewhere */
    folder_write(&folder, "x.gguf", whole, f.size + size); /* aligned elsewhere, too */
    struct bs_architecture architecture;
    enum bs_status status =
        bs_architecture_read(folder_file(&folder, "x.gguf"), NULL, &architecture, NULL, &err);
    if (!said)
        check(status, &err);
    else if (!status || !strstr(err.message, said))
        fail_msg("expected '%s': %s", said, status ? err.message : "read");
    bs_free(whole);
    bs_free(data);
}

static void put_float(struct file *f, const char *key, float number)
{
    put_text(f, key);
    put_u32(f, BS_GGUF_F32);
    put(f, &number, sizeof number);
}

static const char seed[] = "tests/fuzz/seeds/gguf/model";

/* A model of the seed's sizes, with one value more in the metadata. */
static void expect_more(const char *key, float number, const char *said)
{
    struct file f = {.size = 0};
    put_float(&f, key, number);
    expect_before(seed, &f, 1, said);
}

static void expect_text(const char *key, const char *text, const char *said)
{
    struct file f = {.size = 0};
    put_string(&f, key, text);
    expect_before(seed, &f, 1, said);
}

/* Scales and limits that the family does not compute with must be those that change nothing. */
static void test_scales(void **state)
{
    (void)state;
    static const char *const names[] = {"attention.clamp_kqv",      "attn_logit_softcapping",
                                        "final_logit_softcapping",  "attention.scale",
                                        "attention.max_alibi_bias", "logit_scale",
                                        "residual_scale",           "embedding_scale"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char key[64], said[96];
        snprintf(key, sizeof key, "llama.%s", names[i]);
        snprintf(said, sizeof said, "--accept-unknown %s", names[i]);
        expect_more(key, 0.5f, said);
        expect_more(key, 0, NULL);
    }
    expect_more("llama.residual_scale", 1, NULL);
    expect_more("llama.attention.scale", 0.70710678f, NULL); /* of heads of two channels */
    expect_more("llama.rope.scaling.attn_factor", 1, NULL);
    expect_more("llama.rope.scaling.attn_factor", 1.5f, "attn_factor' is 1.5, expected 1");
}

/* A key of config.json is no key of GGUF files, and replaces nothing. */
static void test_taken(void **state)
{
    (void)state;
    expect_text("llama.model_type", "gemma", "'llama.model_type' has the name of a key");
    expect_text("llama.rope_scaling", "x", "'llama.rope_scaling' has the name of a key");
    expect_text("llama.quantization_config", "x", "has the name of a key");
    expect_more("llama.hidden_size", 8, "'llama.hidden_size' has the name of a key");
}

/* What may change the numbers is refused, a note is not. */
static void test_metadata(void **state)
{
    (void)state;
    expect_more("llama.note", 1, NULL);
    expect_more("llama.attention.temperature_scale", 2,
                "--accept-unknown attention.temperature_scale");
    expect_more("llama.expert_count", 8, "a mixture of experts ('llama.expert_count')");
    expect_more("llama.attention.key_length", 0, "expected at least one in each");
    expect_more("llama.attention.value_length", 1, "keys of 2 channels and values of 1");
    expect_more("llama.rope.dimension_count", 1, "1 of each head's 2 channels are rotated");
}

/* --- rotary positions and windows --- */

static struct bs_architecture read_x(void)
{
    struct bs_error err;
    struct bs_architecture a;
    check(bs_architecture_read(folder_file(&folder, "x.gguf"), NULL, &a, NULL, &err), &err);
    return a;
}

/* llama.cpp: linear where no type is named; a factor of 0 or 1 scales nothing. */
static void test_rope(void **state)
{
    (void)state;
    expect_more("llama.rope.scaling.factor", 4, NULL);
    struct bs_architecture now = read_x();
    expect_more("llama.rope.scale_linear", 4, NULL);
    struct bs_architecture old = read_x();
    expect_more("llama.rope.scaling.factor", 1, NULL);
    struct bs_architecture plain = read_x();
    assert_int_equal(now.rope.kind, old.rope.kind);
    assert_int_not_equal(now.rope.kind, plain.rope.kind);
    assert_true(now.rope.factor == 4 && old.rope.factor == 4);
    expect_more("llama.rope.scaling.type", 1, "'llama.rope.scaling.type' is not a text");
    struct file f = {.size = 0};
    put_float(&f, "llama.rope.scaling.factor", 4);
    expect_before("tests/golden/gguf/llama3/model.gguf", &f, 1,
                  "tensor 'rope_freqs.weight' beside rotary positions scaled as 'linear'");
}

static void put_pattern(struct file *f, const char *key, uint32_t every)
{
    put_text(f, key);
    put_u32(f, BS_GGUF_U32);
    put_u32(f, every);
}

/* Every n-th layer has no window, whatever the family's own n; 0: all have. */
static void test_windows(void **state)
{
    (void)state;
    static const struct {
        uint32_t every;
        uint64_t local; /* bits of four layers */
    } patterns[] = {{0, 15}, {1, 0}, {2, 5}, {3, 11}, {4, 7}};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct file f = {.size = 0};
        put_pattern(&f, "gemma2.attention.sliding_window_pattern", patterns[i].every);
        expect_before("tests/golden/gguf/gemma2/model.gguf", &f, 1, NULL);
        assert_int_equal(read_x().local_layers[0], patterns[i].local);
    }
    struct file f = {.size = 0};
    put_pattern(&f, "phi3.attention.sliding_window_pattern", 0);
    expect_before("tests/golden/gguf/phi3/model.gguf", &f, 1, NULL);
    f.size = 0;
    put_pattern(&f, "phi3.attention.sliding_window_pattern", 2);
    expect_before("tests/golden/gguf/phi3/model.gguf", &f, 1, "is not a window in each layer");
    f.size = 0;
    begin_list(&f, "phi3.attention.sliding_window_pattern", BS_GGUF_U32, 2);
    put_u32(&f, 1);
    put_u32(&f, 0);
    expect_before("tests/golden/gguf/phi3/model.gguf", &f, 1, "is not a window in each layer");
    f.size = 0; /* gemma2's windows have the rotary base of its other layers */
    put_float(&f, "gemma2.rope.freq_base_swa", 500);
    expect_before("tests/golden/gguf/gemma2/model.gguf", &f, 1, "is 500, expected 10000");
}

/* Weights in codes of whatever name are not taken for buffers of whole numbers. */
static void test_no_place(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_gguf_model model;
    struct file f = {.size = 0};
    char *data;
    size_t size, first = SIZE_MAX;
    check(bs_file_read(seed, &data, &size, &err), &err);
    check(bs_gguf_open(seed, &model, &err), &err);
    const struct bs_gguf *gguf = &model.parts->gguf;
    for (size_t i = 0; i < gguf->num_tensors; i++) {
        size_t at = (size_t)(gguf->tensors[i].name.bytes - (const char *)model.parts->map.data);
        first = at - 8 < first ? at - 8 : first;
    }
    const struct bs_gguf_tensor *last = &gguf->tensors[gguf->num_tensors - 1];
    put(&f, data, 8);
    put_u64(&f, gguf->num_tensors + 1);
    unsigned char *whole = bs_calloc(size + 192, 1);
    assert_non_null(whole);
    memcpy(whole, f.bytes, f.size);
    memcpy(whole + f.size, data + f.size, first - f.size);
    f.size = 0; /* 64 bytes, so that what follows is aligned as it was */
    put_tensor(&f, "blk.0.attn_extra.weights", 32, 20, (last->offset + last->bytes + 31) / 32 * 32);
    assert_int_equal(f.size, 64);
    memcpy(whole + first, f.bytes, f.size);
    memcpy(whole + first + f.size, data + first, size - first);
    bs_gguf_close(&model);
    folder_write(&folder, "x.gguf", whole, size + 192);
    struct bs_model *opened;
    assert_int_equal(bs_model_open(folder_file(&folder, "x.gguf"), NULL, &opened, &err),
                     BS_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "'blk.0.attn_extra.weights' has no place"));
    bs_free(whole);
    bs_free(data);
}

static void test_tensors(void **state)
{
    (void)state;
    static const struct {
        uint64_t width;
        uint32_t type;
        uint64_t offset;
        const char *said;
    } cases[] = {
        {UINT64_MAX, 0, 0, "its dimensions are too large"},
        {INT64_MAX, 0, 0, "its dimensions are too large"},
        {33, 2, 0, "rows of 33 values, expected a multiple of 32"},
        {32, 2, 7, "offset 7 is no multiple of the alignment, 32"},
        {32, 2, 1 << 20, "(cut short?)"},
        {32, 0, 96, "(cut short?)"},
        {8, 0, 0, "tensor 'b' overlaps the one before it"},
    };
    struct file f;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(&f, 3, 2, 0);
        put_tensor(&f, "a", 8, 0, 0);
        put_tensor(&f, "b", cases[i].width, cases[i].type, cases[i].offset);
        for (int k = 0; k < 10; k++)
            put_u64(&f, 0);
        expect(&f, cases[i].said);
    }
}

/* Whatever a whole file is cut to, there is one message that names it. */
static void test_cut(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_model *model;
    char *data;
    size_t size;
    check(bs_file_read("tests/fuzz/seeds/gguf/model", &data, &size, &err), &err);
    folder_write(&folder, "x.gguf", data, size);
    const char *path = folder_file(&folder, "x.gguf");
    check(bs_model_open(path, NULL, &model, &err), &err);
    bs_model_free(model);
    for (size_t cut = 0; cut + 32 < size; cut += cut < 64 ? 1 : 97) {
        folder_write(&folder, "x.gguf", data, cut);
        path = folder_file(&folder, "x.gguf");
        assert_int_not_equal(bs_model_open(path, NULL, &model, &err), BS_OK);
        assert_non_null(strstr(err.message, "x.gguf"));
    }
    bs_free(data);
}

/* --- parts --- */

static void test_parts(void **state)
{
    (void)state;
    char name[BS_NAME_BYTES], *file;
    struct bs_error err;
    assert_true(bs_gguf_part_name("a-00001-of-00003.gguf", 3, name));
    assert_string_equal(name, "a-00003-of-00003.gguf");
    assert_false(bs_gguf_part_name("a-00001-of-00003.gguf", 4, name));
    assert_false(bs_gguf_part_name("a-00004-of-00003.gguf", 1, name));
    assert_false(bs_gguf_part_name("a.gguf", 1, name));
    folder_write_text(&folder, "m-00002-of-00002.gguf", "GGUF");
    assert_int_equal(bs_gguf_place(folder_file(&folder, "m-00002-of-00002.gguf"), &file, &err),
                     BS_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "name the first, m-00001-of-00002.gguf"));
}

static int make_folder(void **state)
{
    (void)state;
    folder = folder_create();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    folder_remove_path(folder.path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata), cmocka_unit_test(test_types),
        cmocka_unit_test(test_tokens),   cmocka_unit_test(test_header),
        cmocka_unit_test(test_tensors),  cmocka_unit_test(test_cut),
        cmocka_unit_test(test_parts),    cmocka_unit_test(test_token_name),
        cmocka_unit_test(test_scales),   cmocka_unit_test(test_taken),
        cmocka_unit_test(test_rope),     cmocka_unit_test(test_windows),
        cmocka_unit_test(test_no_place),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

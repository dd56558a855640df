/* Safetensors: the embedded model, every kind of damage, shards and digest. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/checkpoint/checkpoint.h"
#include "tests/support/allocation.h"
#include "tests/support/folder.h"

/* Each test starts with an empty folder. */
static int renew(void **state)
{
    folder_teardown(state);
    return folder_setup(state);
}

/* A file of length, header and data; the data are zero where NULL. */
static void write_tensors(const char *name, const char *header, const void *data, size_t size)
{
    static unsigned char file[1 << 16];
    uint64_t length = strlen(header);
    memset(file, 0, sizeof file);
    memcpy(file, &length, 8);
    memcpy(file + 8, header, length);
    if (data)
        memcpy(file + 8 + length, data, size);
    folder_write(&folder, name, file, 8 + length + size);
}

static enum bs_status open_close(struct bs_error *err)
{
    struct bs_checkpoint *checkpoint;
    enum bs_status status = bs_checkpoint_open(folder.path, &checkpoint, err);
    assert_true(!status == (checkpoint != NULL));
    bs_checkpoint_free(checkpoint);
    return status;
}

/* Requires each tensor that can be read. */
static void require_all(struct bs_checkpoint *checkpoint)
{
    size_t cursor = 0;
    for (const char *name; (name = bs_checkpoint_unused(checkpoint, &cursor, NULL));) {
        struct bs_error err;
        const struct bs_tensor *found = bs_checkpoint_find(checkpoint, name), *tensor;
        if (!found)
            continue;
        assert_int_equal(
            bs_checkpoint_require(checkpoint, name, found->rank, found->shape, &tensor, &err),
            BS_OK);
        assert_ptr_equal(tensor, found);
    }
}

static struct bs_digest digest_of(const char *directory)
{
    struct bs_error err = {0};
    struct bs_checkpoint *checkpoint;
    struct bs_digest_state *digest = bs_digest_create();
    if (bs_checkpoint_open(directory, &checkpoint, &err))
        fail_msg("%s", err.message);
    require_all(checkpoint);
    if (bs_checkpoint_digest(checkpoint, digest, &err))
        fail_msg("%s", err.message);
    bs_checkpoint_free(checkpoint);
    return bs_digest_finish(digest);
}

static void test_tiny(void **state)
{
    (void)state;
    struct bs_checkpoint *checkpoint;
    struct bs_error err;
    const struct bs_tensor *tensor;
    assert_int_equal(bs_checkpoint_open("datasets/tiny", &checkpoint, &err), BS_OK);
    assert_int_equal(bs_checkpoint_require(checkpoint, "model.embed_tokens.weight", 2,
                                           (int64_t[]){4096, 256}, &tensor, &err),
                     BS_OK);
    assert_int_equal(tensor->dtype, BS_BF16);
    assert_int_equal(tensor->count, 4096 * 256);
    assert_string_equal(tensor->file, "datasets/tiny/model.safetensors");
    assert_ptr_equal(bs_checkpoint_find(checkpoint, "model.embed_tokens.weight"), tensor);
    assert_null(bs_checkpoint_find(checkpoint, "model.embed_tokens"));

    /* A reading from the middle equals the same part of a reading of all. */
    float *all = bs_alloc(tensor->count, sizeof *all), part[100];
    bs_tensor_read(tensor, 0, tensor->count, all);
    bs_tensor_read(tensor, 12345, 100, part);
    assert_memory_equal(all + 12345, part, sizeof part);
    bs_free(all);

    assert_int_equal(
        bs_checkpoint_require(checkpoint, "model.norm.weight", 1, (int64_t[]){128}, &tensor, &err),
        BS_EDATA);
    assert_null(tensor);
    assert_string_equal(err.message, "datasets/tiny/model.safetensors: tensor 'model.norm.weight' "
                                     "has shape [256], expected [128]");
    assert_int_equal(bs_checkpoint_require(checkpoint, "model.norm.weight", 2, (int64_t[]){256, 1},
                                           &tensor, &err),
                     BS_EDATA);
    assert_int_equal(bs_checkpoint_require(checkpoint, "nothing", 1, (int64_t[]){7}, &tensor, &err),
                     BS_EDATA);
    assert_string_equal(err.message,
                        "datasets/tiny/model.safetensors: tensor 'nothing' is missing, "
                        "expected with shape [7]");
    bs_checkpoint_free(checkpoint);
}

/* One tensor "a" of two F32, and what is said about a variation of it. */
static void test_damaged_header(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        const char *said;
    } cases[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", 8, "not valid JSON"},
        {"{\"a\":\n{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],}}", 8, "line 2"},
        {"[]", 0, "no object"},
        {"", 0, "not valid JSON"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}",
         0, "duplicate"},
        {"{\"a\":5}", 0, "tensor 'a': its entry"},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor 'a': dtype"},
        {"{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor 'a': dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "tensor 'a': shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8,
         "tensor 'a': shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8,
         "tensor 'a': shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", 8,
         "tensor 'a': the product of the shape overflows"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[0,4]}}", 4,
         "tensor 'a': the product of the shape overflows"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}", 4,
         "tensor 'a': shape holds something that is no size"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "tensor 'a': data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8,
         "tensor 'a': data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8,
         "tensor 'a': data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8,
         "tensor 'a': data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8,
         "tensor 'a': data_offsets [0, 8] span 8 bytes, but 3 elements of F32 take 12"},
        {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
         "2 elements of BF16 take 4"},
        {"{\"a\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
         "2 elements of I64 take 16"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7,
         "tensor 'a': data_offsets [0, 8] reach beyond the 7 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[9223372036854775799,"
         "9223372036854775807]}}",
         8, "reach beyond"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
         12, "tensor 'b': data_offsets [4, 12] overlap those of 'a', [0, 8]"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"I8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
         8, "overlap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12,
         "tensor 'a': data_offsets begin at 4, expected 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9,
         "the last 1 bytes belong to no tensor"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bs_error err = {0};
        write_tensors("model.safetensors", cases[i].header, NULL, cases[i].data);
        enum bs_status status = open_close(&err);
        if (status != BS_EDATA || !strstr(err.message, cases[i].said) ||
            !strstr(err.message, "model.safetensors"))
            fail_msg("%s: status %d, %s", cases[i].header, status, err.message);
    }
}

static void test_damaged_file(void **state)
{
    (void)state;
    struct bs_error err;
    assert_int_equal(bs_checkpoint_open("datasets/none", &(struct bs_checkpoint *){0}, &err),
                     BS_EIO);
    assert_non_null(strstr(err.message, "datasets/none"));
    assert_int_equal(open_close(&err), BS_EIO);
    assert_non_null(strstr(err.message, "model.safetensors"));

    folder_write(&folder, "model.safetensors", "", 0);
    assert_int_equal(open_close(&err), BS_EDATA);
    assert_non_null(strstr(err.message, "too short: 0 bytes"));
    folder_write(&folder, "model.safetensors", "\5\0\0\0\0\0\0", 7);
    assert_int_equal(open_close(&err), BS_EDATA);
    folder_write(&folder, "model.safetensors", "\3\0\0\0\0\0\0\0{}", 10);
    assert_int_equal(open_close(&err), BS_EDATA);
    assert_non_null(strstr(err.message, "length is 3, but only 2 bytes follow"));
    folder_write(&folder, "model.safetensors", "\xf8\xff\xff\xff\xff\xff\xff\xff{}", 10);
    assert_int_equal(open_close(&err), BS_EDATA);
    assert_non_null(strstr(err.message, "18446744073709551608"));
    folder_write(&folder, "model.safetensors", "\2\0\0\0\0\0\0\0{}", 10); /* no tensor at all */
    assert_int_equal(open_close(&err), BS_OK);

    /* Whatever the byte that is damaged or the length that is left: a status, never a crash. */
    const char *header = "{\"__metadata__\":{\"format\":\"pt\"},"
                         "\"a\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,8]}}";
    size_t size = 8 + strlen(header) + 8;
    for (size_t at = 0; at < size; at++) {
        for (int change = 0; change < 3; change++) {
            unsigned char file[256] = {0};
            uint64_t length = strlen(header);
            memcpy(file, &length, 8);
            memcpy(file + 8, header, length);
            file[at] ^= change == 1 ? 0x10 : change == 2 ? 0xff : 0;
            folder_write(&folder, "model.safetensors", file, change ? size : at);
            enum bs_status status = open_close(&err);
            assert_true(status == BS_EDATA || (change && !status));
        }
    }
}

static void test_unreadable(void **state)
{
    (void)state;
    /* A dtype or rank that is not read does no harm until somebody asks for the tensor. */
    struct bs_error err;
    struct bs_checkpoint *checkpoint;
    const struct bs_tensor *tensor;
    write_tensors("model.safetensors",
                  "{\"ids\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},"
                  "\"odd\":{\"dtype\":\"F4_NEW\",\"shape\":[3],\"data_offsets\":[8,10]},"
                  "\"deep\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1],\"data_offsets\":[10,14]},"
                  "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[14,18]},"
                  "\"none\":{\"dtype\":\"BF16\",\"shape\":[3,0],\"data_offsets\":[18,18]}}   ",
                  NULL, 18);
    assert_int_equal(bs_checkpoint_open(folder.path, &checkpoint, &err), BS_OK);
    assert_null(bs_checkpoint_find(checkpoint, "ids"));
    assert_int_equal(bs_checkpoint_require(checkpoint, "ids", 1, (int64_t[]){1}, &tensor, &err),
                     BS_EDATA);
    assert_non_null(strstr(
        err.message, "'ids' has dtype I64, expected F32, F16, BF16, F8_E4M3, F8_E5M2 or F64"));
    assert_int_equal(bs_checkpoint_require(checkpoint, "odd", 1, (int64_t[]){3}, &tensor, &err),
                     BS_EDATA);
    assert_non_null(strstr(err.message, "F4_NEW"));
    assert_int_equal(bs_checkpoint_require(checkpoint, "deep", 1, (int64_t[]){1}, &tensor, &err),
                     BS_EDATA);
    assert_non_null(strstr(err.message, "5 dimensions"));
    assert_int_equal(bs_checkpoint_require(checkpoint, "scalar", 0, NULL, &tensor, &err), BS_OK);
    assert_int_equal(tensor->count, 1);
    assert_int_equal(bs_checkpoint_require(checkpoint, "none", 2, (int64_t[]){3, 0}, &tensor, &err),
                     BS_OK);
    assert_int_equal(tensor->count, 0);
    struct bs_digest_state *digest = bs_digest_create();
    assert_int_equal(bs_checkpoint_digest(checkpoint, digest, &err), BS_OK);
    bs_digest_finish(digest);
    bs_checkpoint_free(checkpoint);
}

/* What was required is used, what was asked for in vain is not; only the used tensors count. */
static void test_unused(void **state)
{
    (void)state;
    static const char header[] =
        "{\"c\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]},"
        "\"mask\":{\"dtype\":\"BOOL\",\"shape\":[4],\"data_offsets\":[12,16]}}";
    struct bs_error err;
    struct bs_digest digests[2];
    for (int i = 0; i < 2; i++) {
        struct bs_checkpoint *checkpoint;
        const struct bs_tensor *tensor;
        write_tensors("model.safetensors", header,
                      (float[]){1, i ? -INFINITY : 2.0f, 3, i ? NAN : 4.0f}, 16);
        assert_int_equal(bs_checkpoint_open(folder.path, &checkpoint, &err), BS_OK);
        assert_int_equal(bs_checkpoint_require(checkpoint, "c", 1, (int64_t[]){1}, &tensor, &err),
                         BS_OK);
        assert_int_equal(bs_checkpoint_require(checkpoint, "a", 1, (int64_t[]){1}, &tensor, &err),
                         BS_OK);
        assert_int_equal(bs_checkpoint_require(checkpoint, "b", 1, (int64_t[]){2}, &tensor, &err),
                         BS_EDATA);
        assert_int_equal(
            bs_checkpoint_require(checkpoint, "mask", 1, (int64_t[]){4}, &tensor, &err), BS_EDATA);
        size_t cursor = 0;
        assert_string_equal(bs_checkpoint_unused(checkpoint, &cursor, NULL), "b");
        assert_string_equal(bs_checkpoint_unused(checkpoint, &cursor, NULL), "mask");
        assert_null(bs_checkpoint_unused(checkpoint, &cursor, NULL));
        assert_null(bs_checkpoint_unused(checkpoint, &cursor, NULL));
        struct bs_digest_state *digest = bs_digest_create();
        assert_int_equal(bs_checkpoint_digest(checkpoint, digest, &err), BS_OK);
        digests[i] = bs_digest_finish(digest);
        bs_checkpoint_free(checkpoint);
    }
    assert_string_equal(digests[0].hex, digests[1].hex);
}

static void test_not_finite(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_checkpoint *checkpoint;
    /* a: 3 float32, b: 2 x 2 bfloat16, c: 2 float16; the largest finite values are fine */
    static const unsigned char fine[] = {0,    0,    0x80, 0x3f, 0xff, 0xff, 0x7f, 0x7f, 0xff, 0xff,
                                         0x7f, 0xff, 0x7f, 0x7f, 0x7f, 0xff, 0,    0,    0x80, 0,
                                         0xff, 0x7b, 0xff, 0xfb, 0x7e, 0xfe, 0x7b, 0xfb};
    static const struct {
        size_t at;
        unsigned char low, high;
        const char *said;
    } cases[] = {
        {6, 0x80, 0x7f, "tensor 'a', shape [3]: element 1 is nan"},
        {18, 0x80, 0xff, "tensor 'b', shape [2, 2]: element 3 is -inf"},
        {12, 0xc0, 0x7f, "tensor 'b', shape [2, 2]: element 0 is nan"},
        {22, 0x00, 0x7c, "tensor 'c', shape [2]: element 1 is inf"},
        {24, 0x7e, 0xff, "tensor 'd', shape [2]: element 1 is -nan"},
        {26, 0xfc, 0x7b, "tensor 'e', shape [2]: element 0 is -inf"},
        {0, 0, 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char data[sizeof fine];
        memcpy(data, fine, sizeof fine);
        if (cases[i].said) {
            data[cases[i].at] = cases[i].low;
            data[cases[i].at + 1] = cases[i].high;
        }
        write_tensors("model.safetensors",
                      "{\"b\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[12,20]},"
                      "\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
                      "\"c\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[20,24]},"
                      "\"d\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[24,26]},"
                      "\"e\":{\"dtype\":\"F8_E5M2\",\"shape\":[2],\"data_offsets\":[26,28]}}",
                      data, sizeof data);
        assert_int_equal(bs_checkpoint_open(folder.path, &checkpoint, &err), BS_OK);
        struct bs_digest_state *digest = bs_digest_create();
        assert_int_equal(bs_checkpoint_digest(checkpoint, digest, &err), BS_OK); /* none required */
        require_all(checkpoint);
        enum bs_status status = bs_checkpoint_digest(checkpoint, digest, &err);
        bs_digest_finish(digest);
        bs_checkpoint_free(checkpoint);
        assert_int_equal(status, cases[i].said ? BS_EDATA : BS_OK);
        if (cases[i].said && !strstr(err.message, cases[i].said))
            fail_msg("expected %s, got %s", cases[i].said, err.message);
    }
}

/* Tensors a = {1, 2} and b = {3}, in one file, in the other order, and in shards. */
#define A_ENTRY "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
static const float values[] = {1, 2, 3};

static void write_shards(const char *index)
{
    write_tensors("one.safetensors", "{" A_ENTRY "}", values, 8);
    static const float two[] = {3, 9};
    write_tensors("two.safetensors",
                  "{\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                  "\"spare\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
                  two, sizeof two);
    folder_write_text(&folder, "model.safetensors.index.json", index);
}

static void test_digest(void **state)
{
    (void)state;
    write_tensors("model.safetensors",
                  "{" A_ENTRY ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
                  values, 12);
    struct bs_digest first = digest_of(folder.path);
    /* The order in the file, and the metadata, do not count; nor do shards. */
    static const float turned[] = {3, 1, 2};
    write_tensors("model.safetensors",
                  "{\"__metadata__\":{\"x\":\"y\"},"
                  "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]},"
                  "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
                  turned, 12);
    assert_string_equal(digest_of(folder.path).hex, first.hex);
    renew(state);
    write_shards("{\"weight_map\":{\"b\":\"two.safetensors\",\"a\":\"one.safetensors\"}}");
    assert_string_equal(digest_of(folder.path).hex, first.hex);
    renew(state);
    /* A value, a name or a shape does. */
    static const float other[] = {1, 2, 3.5f};
    write_tensors("model.safetensors",
                  "{" A_ENTRY ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
                  other, 12);
    assert_string_not_equal(digest_of(folder.path).hex, first.hex);
    write_tensors("model.safetensors",
                  "{" A_ENTRY ",\"c\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
                  values, 12);
    assert_string_not_equal(digest_of(folder.path).hex, first.hex);
    write_tensors("model.safetensors",
                  "{" A_ENTRY ",\"b\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[8,12]}}",
                  values, 12);
    assert_string_not_equal(digest_of(folder.path).hex, first.hex);
}

static void test_digest_threads(void **state)
{
    (void)state;
    int threads = bs_threads();
    bs_set_threads(1);
    struct bs_digest one = digest_of("datasets/tiny");
    bs_set_threads(7);
    assert_string_equal(digest_of("datasets/tiny").hex, one.hex);
    bs_set_threads(threads);
}

static void test_shards(void **state)
{
    (void)state;
    static const struct {
        const char *index;
        enum bs_status status;
        const char *said[2];
    } cases[] = {
        {"{\"metadata\":{},\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}",
         BS_OK,
         {"", ""}},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"three.safetensors\"}}",
         BS_EIO,
         {"three.safetensors", "tensor 'b'"}},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"x\":\"two.safetensors\"}}",
         BS_EDATA,
         {"two.safetensors: holds no tensor 'x'", "index.json"}},
        {"{\"weight_map\":{\"a\":\"two.safetensors\",\"b\":\"two.safetensors\"}}",
         BS_EDATA,
         {"two.safetensors: holds no tensor 'a'", "index.json"}},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"one.safetensors\","
         "\"spare\":\"two.safetensors\"}}",
         BS_EDATA,
         {"two.safetensors: holds tensor 'b'", "places in 'one.safetensors'"}},
        {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}", BS_EDATA, {"tensor 'a'", "file name"}},
        {"{\"weight_map\":{\"a\":1}}", BS_EDATA, {"tensor 'a'", "file name"}},
        {"{\"weight_map\":{\"a\":\"\"}}", BS_EDATA, {"tensor 'a'", "file name"}},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"a\":\"two.safetensors\"}}",
         BS_EDATA,
         {"duplicate", "index.json"}},
        {"{\"weight_map\":{}}", BS_EDATA, {"weight_map", "index.json"}},
        {"{\"weight_map\":[]}", BS_EDATA, {"weight_map", "index.json"}},
        {"{", BS_EDATA, {"not valid JSON", "index.json"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bs_error err = {0};
        write_shards(cases[i].index);
        enum bs_status status = open_close(&err);
        if (status != cases[i].status || !strstr(err.message, cases[i].said[0]) ||
            !strstr(err.message, cases[i].said[1]))
            fail_msg("%s: status %d, %s", cases[i].index, status, err.message);
    }
    struct bs_error err;
    struct bs_checkpoint *checkpoint;
    float value;
    write_shards(cases[0].index);
    assert_int_equal(bs_checkpoint_open(folder.path, &checkpoint, &err), BS_OK);
    const struct bs_tensor *b = bs_checkpoint_find(checkpoint, "b");
    assert_non_null(strstr(b->file, "two.safetensors"));
    bs_tensor_read(b, 0, 1, &value);
    assert_true(value == 3);
    assert_null(bs_checkpoint_find(checkpoint, "spare")); /* the index does not name it */
    bs_checkpoint_free(checkpoint);
    /* A single file comes first. */
    write_tensors("model.safetensors", "{}", NULL, 0);
    assert_int_equal(bs_checkpoint_open(folder.path, &checkpoint, &err), BS_OK);
    assert_null(bs_checkpoint_find(checkpoint, "b"));
    bs_checkpoint_free(checkpoint);
}

static void check_memory(const char *directory)
{
    struct bs_error err;
    enum bs_status status;
    long n = 0;
    do {
        struct bs_checkpoint *checkpoint;
        bs_alloc_fail_at(++n);
        status = bs_checkpoint_open(directory, &checkpoint, &err);
        if (!status)
            require_all(checkpoint);
        struct bs_digest_state *digest = NULL;
        if (!status && !(digest = bs_digest_create()))
            status = BS_ENOMEM;
        if (!status)
            status = bs_checkpoint_digest(checkpoint, digest, &err);
        if (digest)
            bs_digest_finish(digest);
        bs_checkpoint_free(checkpoint);
    } while (allocation_failed(n, status, &err));
    assert_true(n > 6);
}

static void test_memory(void **state)
{
    (void)state;
    check_memory("datasets/tiny");
    write_shards("{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    check_memory(folder.path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_damaged_header),
        cmocka_unit_test_setup(test_damaged_file, renew),
        cmocka_unit_test_setup(test_unreadable, renew),
        cmocka_unit_test_setup(test_unused, renew),
        cmocka_unit_test_setup(test_not_finite, renew),
        cmocka_unit_test_setup(test_digest, renew),
        cmocka_unit_test(test_digest_threads),
        cmocka_unit_test_setup(test_shards, renew),
        cmocka_unit_test_setup(test_memory, renew),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}

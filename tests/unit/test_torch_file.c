/* PyTorch's checkpoints: what torch.save wrote (tests/golden/checkpoints.py), and damage to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/checkpoint/checkpoint.h"
#include "tests/support/allocation.h"
#include "tests/support/folder.h"

#define GOLDEN "tests/golden/checkpoints"

static json_t *golden;

static int open_golden(void **state)
{
    struct bs_error err;
    return bs_json_read(GOLDEN "/expected.json", &golden, &err) || folder_setup(state);
}

static int close_golden(void **state)
{
    json_decref(golden);
    return folder_teardown(state);
}

/* Requires the tensor with its shape and compares its values, read at once and one by one. */
static void check_tensor(struct bs_checkpoint *checkpoint, const char *name, const json_t *expected)
{
    struct bs_error err = {0};
    const json_t *extents = json_object_get(expected, "shape");
    const json_t *numbers = json_object_get(expected, "values");
    int64_t shape[BS_MAX_RANK];
    size_t rank = json_array_size(extents), count = json_array_size(numbers);
    assert_true(rank <= BS_MAX_RANK);
    for (size_t d = 0; d < rank; d++)
        shape[d] = json_integer_value(json_array_get(extents, d));
    const struct bs_tensor *tensor;
    if (bs_checkpoint_require(checkpoint, name, (int)rank, shape, &tensor, &err))
        fail_msg("%s", err.message);
    assert_int_equal(tensor->count, count);
    float all[64], one;
    assert_true(count <= 64);
    bs_tensor_read(tensor, 0, count, all);
    for (size_t i = 0; i < count; i++) {
        float want = (float)json_number_value(json_array_get(numbers, i));
        bs_tensor_read(tensor, i, 1, &one);
        if (memcmp(&all[i], &want, sizeof want) || memcmp(&one, &want, sizeof want))
            fail_msg("%s: element %zu is %g and %g, expected %g", name, i, (double)all[i],
                     (double)one, (double)want);
    }
}

/* Opens a case, compares its tensors, and returns the digest. */
static struct bs_digest check_case(const char *name, json_t *tensors, const json_t *other)
{
    struct bs_error err = {0};
    struct bs_checkpoint *checkpoint;
    char path[256];
    snprintf(path, sizeof path, GOLDEN "/%s", name);
    if (bs_checkpoint_open(path, &checkpoint, &err))
        fail_msg("%s", err.message);
    const char *key;
    json_t *expected;
    json_object_foreach(tensors, key, expected) check_tensor(checkpoint, key, expected);
    /* what is left is what cannot be read */
    size_t cursor = 0;
    for (size_t i = 0; i < json_array_size(other); i++) {
        const char *unused = bs_checkpoint_unused(checkpoint, &cursor, NULL);
        assert_non_null(unused);
        assert_string_equal(unused, json_string_value(json_array_get(other, i)));
        assert_null(bs_checkpoint_find(checkpoint, unused));
    }
    assert_null(bs_checkpoint_unused(checkpoint, &cursor, NULL));
    struct bs_digest_state *digest = bs_digest_create();
    if (bs_checkpoint_digest(checkpoint, digest, &err))
        fail_msg("%s", err.message);
    bs_checkpoint_free(checkpoint);
    return bs_digest_finish(digest);
}

static void test_golden(void **state)
{
    (void)state;
    const char *name;
    json_t *what;
    int same = 0, refused = 0;
    json_object_foreach(golden, name, what)
    {
        const char *error = json_string_value(json_object_get(what, "error"));
        const char *other = json_string_value(json_object_get(what, "same_as"));
        if (error) {
            struct bs_error err = {0};
            struct bs_checkpoint *checkpoint;
            char path[256];
            snprintf(path, sizeof path, GOLDEN "/%s", name);
            enum bs_status status = bs_checkpoint_open(path, &checkpoint, &err);
            if (!status || !strstr(err.message, error) || !strstr(err.message, "pytorch_model.bin"))
                fail_msg("%s: status %d, %s", name, status, err.message);
            assert_null(checkpoint);
            refused++;
            continue;
        }
        json_t *tensors = json_object_get(other ? json_object_get(golden, other) : what, "tensors");
        const json_t *rest = json_object_get(what, "other");
        struct bs_digest digest = check_case(name, tensors, rest);
        if (!other)
            continue;
        rest = json_object_get(json_object_get(golden, other), "other");
        assert_string_equal(check_case(other, tensors, rest).hex, digest.hex);
        same++;
    }
    assert_true(same >= 5 && refused >= 5);
    struct stat info;
    assert_int_not_equal(stat("executed-by-a-pickle", &info), 0);
}

static void test_refused_tensors(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *name, *said;
    } cases[] = {
        {"dtypes", "mask", "has dtype BOOL, expected F32, F16, BF16, F8_E4M3, F8_E5M2 or F64"},
        {"dtypes", "u16", "has dtype U16, expected"},
        {"dtypes", "c64", "has dtype C64, expected"},
        {"dtypes", "deep", "has 5 dimensions"},
        {"dtypes", "f32", "has shape [2, 3], expected [2]"},
        {"dtypes", "f33", "is missing"},
        {"views", "expanded", "repeats the elements of a smaller storage"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bs_error err = {0};
        struct bs_checkpoint *checkpoint;
        const struct bs_tensor *tensor;
        char path[256];
        snprintf(path, sizeof path, GOLDEN "/%s", cases[i].folder);
        assert_int_equal(bs_checkpoint_open(path, &checkpoint, &err), BS_OK);
        assert_int_not_equal(
            bs_checkpoint_require(checkpoint, cases[i].name, 1, (int64_t[]){2}, &tensor, &err),
            BS_OK);
        bs_checkpoint_free(checkpoint);
        if (!strstr(err.message, cases[i].said) || !strstr(err.message, "pytorch_model.bin"))
            fail_msg("expected %s, got %s", cases[i].said, err.message);
    }
}

/* A view is read across the runs in which the reader puts it in order. */
static void test_long_view(void **state)
{
    (void)state;
    enum { ROWS = 700, COLUMNS = 5, COUNT = ROWS * COLUMNS };
    float *data = bs_alloc(COUNT, sizeof *data), *out = bs_alloc(COUNT, sizeof *out);
    for (int i = 0; i < COUNT; i++)
        data[i] = (float)i;
    struct bs_tensor tensor = {.dtype = BS_F32,
                               .rank = 2,
                               .shape = {ROWS, COLUMNS},
                               .count = COUNT,
                               .data = (const unsigned char *)data,
                               .strided = true,
                               .strides = {1, ROWS}};
    for (size_t first = 0; first < COUNT; first += 333) {
        bs_tensor_read(&tensor, first, COUNT - first, out);
        for (size_t i = 0; first + i < COUNT; i++) {
            size_t row = (first + i) / COLUMNS, column = (first + i) % COLUMNS;
            assert_true(out[i] == data[column * ROWS + row]);
        }
    }
    bs_free(data);
    bs_free(out);
}

static enum bs_status open_close(struct bs_error *err)
{
    struct bs_checkpoint *checkpoint;
    enum bs_status status = bs_checkpoint_open(folder.path, &checkpoint, err);
    assert_true(!status == (checkpoint != NULL));
    bs_checkpoint_free(checkpoint);
    return status;
}

/* Some file systems write a file that is overwritten to the disk at once, and a new one later. */
static void write_anew(const char *bytes, size_t size)
{
    unlink(folder_file(&folder, "pytorch_model.bin"));
    folder_write(&folder, "pytorch_model.bin", bytes, size);
}

/* Whatever is wrong with a byte or the length, a status: a crash or a hang is what this test is
 * for, under the sanitizers above all. */
static void test_damage(void **state)
{
    (void)state;
    static const char *const files[] = {"views", "protocol2", "protocol5", "packed"};
    for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
        char path[256], *bytes;
        size_t size;
        struct bs_error err;
        snprintf(path, sizeof path, GOLDEN "/%s/pytorch_model.bin", files[f]);
        assert_int_equal(bs_file_read(path, &bytes, &size, &err), BS_OK);
        for (size_t at = 0; at < size; at++) {
            char change = (char)(at % 9 == 8 ? 0xff : 1 << at % 9);
            bytes[at] ^= change;
            write_anew(bytes, size);
            bytes[at] ^= change;
            enum bs_status status = open_close(&err);
            assert_true(!status || status == BS_EDATA || status == BS_EUNSUPPORTED);
            if (at % 8)
                continue;
            write_anew(bytes, at);
            assert_int_equal(open_close(&err), BS_EDATA);
        }
        bs_free(bytes);
    }
}

/* Two floats in a storage of two: what if the pickle says otherwise? */
static void test_storages(void **state)
{
    (void)state;
    static const struct {
        char from[8], to[8];
        size_t length;
        const char *said; /* NULL where it is sound */
    } cases[] = {
        {"QK\0K\2\x85", "QK\0K\1\x85", 6, NULL},
        {"QK\0K\2\x85", "QK\2K\0\x85", 6, NULL},
        {"QK\0K\2\x85", "QK\0K\3\x85", 6, "tensor 'a': elements 0 to 3 of a storage of 2"},
        {"QK\0K\2\x85", "QK\1K\2\x85", 6, "tensor 'a': elements 1 to 3 of a storage of 2"},
        {"QK\0K\2\x85", "QK\3K\0\x85", 6, "tensor 'a': elements 3 to 3 of a storage of 2"},
        {"K\1\x85", "K\2\x85", 3, "tensor 'a': elements 0 to 3 of a storage of 2"},
        {"cpu", "gpu", 3, NULL},
        {"K\2t", "K\3t", 3, "its storage, data/0, takes 8 bytes, expected 12"},
        {"Float", "Short", 5, "its storage, data/0, takes 8 bytes, expected 4"},
        {"\1\0\0\0\x30", "\1\0\0\0\x31", 5, "tensor 'a': its storage is not in the archive"},
        {"\1\0\0\0\x30", "\1\0\0\0", 5, "tensor 'a': its storage is not in the archive"},
        {"\1\0\0\0a", "\1\0\0\0", 5, "the name of a tensor holds a zero byte"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bs_error err = {0};
        char *bytes;
        size_t size, at = 0;
        assert_int_equal(bs_file_read(GOLDEN "/packed/pytorch_model.bin", &bytes, &size, &err),
                         BS_OK);
        while (at < size && memcmp(bytes + at, cases[i].from, cases[i].length))
            at++;
        assert_true(at < size);
        memcpy(bytes + at, cases[i].to, cases[i].length);
        write_anew(bytes, size);
        bs_free(bytes);
        enum bs_status status = open_close(&err);
        if (cases[i].said ? status != BS_EDATA || !strstr(err.message, cases[i].said) : status)
            fail_msg("case %zu: status %d, %s", i, status, err.message);
    }
}

static void test_places(void **state)
{
    (void)state;
    struct bs_error err;
    char *bytes;
    size_t size;
    assert_int_equal(bs_file_read(GOLDEN "/packed/pytorch_model.bin", &bytes, &size, &err), BS_OK);
    /* One .pt is taken where there is nothing else, two are not. */
    assert_int_equal(open_close(&err), BS_EIO);
    assert_non_null(
        strstr(err.message, "there is neither model.safetensors nor pytorch_model.bin"));
    folder_write(&folder, "one.pt", bytes, size);
    assert_int_equal(open_close(&err), BS_OK);
    folder_write(&folder, "two.pt", bytes, size);
    assert_int_equal(open_close(&err), BS_EIO);
    assert_non_null(strstr(err.message, "more than one file ends in .pt"));
    /* The names transformers knows go first, in its order. */
    static const char *const names[] = {"pytorch_model.bin.index.json", "pytorch_model.bin",
                                        "model.safetensors.index.json", "model.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        folder_write_text(&folder, names[i], "no checkpoint");
        assert_int_equal(open_close(&err), BS_EDATA);
        assert_non_null(strstr(err.message, names[i]));
        assert_true(i % 2 == 0 || !strstr(err.message, "index"));
    }
    folder_write_text(&folder, "model.safetensors",
                      "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    assert_int_equal(open_close(&err), BS_EDATA);
    assert_non_null(strstr(err.message, "Git LFS pointer"));
    bs_free(bytes);
}

static void check_memory(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, GOLDEN "/%s", name);
    struct bs_error err;
    enum bs_status status;
    long n = 0;
    do {
        struct bs_checkpoint *checkpoint;
        const struct bs_tensor *tensor;
        struct bs_digest_state *digest = bs_digest_create();
        bs_alloc_fail_at(++n);
        status = bs_checkpoint_open(path, &checkpoint, &err);
        if (!status)
            status = bs_checkpoint_require(checkpoint, "transposed", 2, (int64_t[]){6, 4}, &tensor,
                                           &err);
        if (!status)
            status = bs_checkpoint_digest(checkpoint, digest, &err);
        bs_digest_finish(digest);
        bs_checkpoint_free(checkpoint);
    } while (allocation_failed(n, status, &err));
    assert_true(n > 10);
}

static void test_memory(void **state)
{
    (void)state;
    check_memory("views");
}

static int renew(void **state)
{
    folder_teardown(state);
    return folder_setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_refused_tensors),
        cmocka_unit_test(test_long_view),
        cmocka_unit_test_setup(test_damage, renew),
        cmocka_unit_test_setup(test_storages, renew),
        cmocka_unit_test_setup(test_places, renew),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}

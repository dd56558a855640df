/* safetensors as they are written: what goes in is read again, in one file or several, data stands
 * where PyTorch can take it from, and a tensor that does not fit in a file begins the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "eval/base/file.h"
#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/checkpoint/checkpoint.h"
#include "eval/checkpoint/safetensors_write.h"
#include "tests/support/folder.h"

enum { ROOMY = 1 << 16, LARGE = 1 << 30 };

static struct bs_safetensors *create(size_t header, size_t most)
{
    struct bs_safetensors *writer;
    struct bs_error err;
    assert_int_equal(bs_safetensors_create(folder.path, header, most, &writer, &err), BS_OK);
    return writer;
}

static void end(struct bs_safetensors *writer)
{
    struct bs_error err;
    if (bs_safetensors_end(writer, &err))
        fail_msg("%s", err.message);
    bs_safetensors_free(writer);
}

static int empty_folder(void **state)
{
    folder_teardown(state);
    return folder_setup(state);
}

/* Floats count, count + 1, ... */
static void add_floats(struct bs_safetensors *writer, const char *name, int64_t count)
{
    float values[64];
    struct bs_error err;
    for (int i = 0; i < 64; i++)
        values[i] = (float)(count + i);
    assert_in_range(count, 1, 64);
    assert_int_equal(bs_safetensors_add(writer, name, "F32", 1, &count, values, &err), BS_OK);
}

static void check_floats(struct bs_checkpoint *checkpoint, const char *name, int64_t count)
{
    const struct bs_tensor *tensor;
    float values[64];
    struct bs_error err;
    if (bs_checkpoint_require(checkpoint, name, 1, &count, &tensor, &err))
        fail_msg("%s", err.message);
    bs_tensor_read(tensor, 0, (size_t)count, values);
    for (int i = 0; i < count; i++)
        assert_true(values[i] == (float)(count + i));
}

static struct bs_checkpoint *open_again(void)
{
    struct bs_checkpoint *checkpoint;
    struct bs_error err;
    if (bs_checkpoint_open(folder.path, &checkpoint, &err))
        fail_msg("%s", err.message);
    return checkpoint;
}

/* The header of the one file. */
static json_t *read_header(size_t *header, size_t *size)
{
    char *data;
    json_t *value;
    struct bs_error err;
    uint64_t length;
    assert_int_equal(bs_file_read(folder_file(&folder, "model.safetensors"), &data, size, &err),
                     BS_OK);
    memcpy(&length, data, sizeof length);
    *header = (size_t)length;
    assert_int_equal(bs_json_parse("header", NULL, data + 8, *header, &value, &err), BS_OK);
    bs_free(data);
    return value;
}

static void data_of_any_size_stands_aligned_and_without_holes(void **state)
{
    (void)state;
    static const struct {
        const char *name, *dtype;
        size_t element;
        int64_t count;
    } tensors[] = {{"bytes", "U8", 1, 5},   {"halves", "F16", 2, 3},
                   {"floats", "F32", 4, 6}, {"one", "F32", 4, 1},
                   {"codes", "I32", 4, 64}, {"text", "U8", 1, 333},
                   {"shape", "I64", 8, 2},  {"more", "F8_E4M3", 1, 7},
                   {"last", "BF16", 2, 8},  {"\"quoted\" name", "F32", 4, 3}};
    const size_t count = sizeof tensors / sizeof *tensors;
    static const unsigned char zeros[512];
    struct bs_error err;
    struct bs_safetensors *writer = create(ROOMY, LARGE);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(bs_safetensors_add(writer, tensors[i].name, tensors[i].dtype, 1,
                                            &tensors[i].count, zeros, &err),
                         BS_OK);
    end(writer);
    size_t header, size, bytes = 0;
    json_t *value = read_header(&header, &size);
    assert_int_equal(header % 8, 0);
    for (size_t i = 0; i < count; i++) {
        json_t *offsets = json_object_get(json_object_get(value, tensors[i].name), "data_offsets");
        size_t begin = (size_t)json_integer_value(json_array_get(offsets, 0));
        size_t after = (size_t)json_integer_value(json_array_get(offsets, 1));
        assert_int_equal(begin % tensors[i].element, 0);
        assert_int_equal(after - begin, (size_t)tensors[i].count * tensors[i].element);
        bytes += after - begin;
    }
    assert_int_equal(size, 8 + header + bytes);
    json_decref(value);
    bs_checkpoint_free(open_again()); /* which looks for holes and overlaps */
}

static void pieces_make_one_tensor(void **state)
{
    (void)state;
    struct bs_error err;
    const int64_t even = 4, odd = 3;
    static const float values[] = {4, 5, 6, 7}, others[] = {3, 4, 5};
    struct bs_safetensors *writer = create(ROOMY, LARGE);
    assert_int_equal(bs_safetensors_begin(writer, "even", "F32", 1, &even, &err), BS_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(bs_safetensors_put(writer, values + i, sizeof *values, &err), BS_OK);
    assert_int_equal(bs_safetensors_begin(writer, "odd", "F32", 1, &odd, &err), BS_OK);
    assert_int_equal(bs_safetensors_put(writer, others, 2 * sizeof *others, &err), BS_OK);
    assert_int_equal(bs_safetensors_put(writer, others + 2, sizeof *others, &err), BS_OK);
    end(writer);
    struct bs_checkpoint *checkpoint = open_again();
    check_floats(checkpoint, "even", 4);
    check_floats(checkpoint, "odd", 3);
    bs_checkpoint_free(checkpoint);
}

/* Writes 20 tensors and reads them from as many files. */
static void check_files(size_t header, size_t most, int files)
{
    char name[32], last[64];
    struct bs_safetensors *writer = create(header, most);
    for (int i = 1; i <= 20; i++) {
        snprintf(name, sizeof name, "tensor.%d", i);
        add_floats(writer, name, i);
    }
    end(writer);
    struct bs_checkpoint *checkpoint = open_again();
    for (int i = 1; i <= 20; i++) {
        snprintf(name, sizeof name, "tensor.%d", i);
        check_floats(checkpoint, name, i);
    }
    bs_checkpoint_free(checkpoint);
    snprintf(last, sizeof last, "model-%05d-of-%05d.safetensors", files, files);
    assert_int_equal(access(folder_file(&folder, last), F_OK), 0);
    assert_int_equal(access(folder_file(&folder, "model.safetensors.index.json"), F_OK), 0);
    assert_int_not_equal(access(folder_file(&folder, "part-00000"), F_OK), 0);
}

static void large_ones_are_shared_out(void **state)
{
    (void)state;
    const size_t header = 4096;
    check_files(header, header + 256 + 400, 3); /* 840 bytes of data */
}

static void many_names_are_shared_out(void **state)
{
    (void)state;
    check_files(1024, LARGE, 3);
}

static void a_folder_that_is_gone_is_named(void **state)
{
    (void)state;
    struct bs_safetensors *writer;
    struct bs_error err;
    float value = 0;
    const int64_t one = 1;
    assert_int_equal(bs_safetensors_create("/nowhere/at/all", ROOMY, LARGE, &writer, &err), BS_OK);
    assert_int_equal(bs_safetensors_add(writer, "x", "F32", 1, &one, &value, &err), BS_EIO);
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
    bs_safetensors_free(writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(data_of_any_size_stands_aligned_and_without_holes, empty_folder),
        cmocka_unit_test_setup(pieces_make_one_tensor, empty_folder),
        cmocka_unit_test_setup(large_ones_are_shared_out, empty_folder),
        cmocka_unit_test_setup(many_names_are_shared_out, empty_folder),
        cmocka_unit_test(a_folder_that_is_gone_is_named),
    };
    return cmocka_run_group_tests_name("safetensors written", tests, folder_setup, folder_teardown);
}

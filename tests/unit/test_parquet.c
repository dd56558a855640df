/* Parquet files that pyarrow wrote (tests/golden/parquet.py): their rows, and none of what is
 * damaged in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/data/items.h"
#include "eval/tasks/item.h"
#include "tests/support/folder.h"

static const char *const files[] = {"snappy", "zstd", "gzip", "none"};
enum { FILES = sizeof files / sizeof *files };

/* What pyarrow reads as a struct that is not there has fields that are not there either. */
static bool same_value(const json_t *got, const json_t *want)
{
    const char *key;
    json_t *value;
    if (json_is_object(got) && json_is_null(want)) {
        json_object_foreach((json_t *)(uintptr_t)got, key,
                            value) if (!json_is_null(value)) return false;
        return true;
    }
    if (json_is_object(got) && json_is_object(want)) {
        json_object_foreach((json_t *)(uintptr_t)want, key,
                            value) if (!same_value(json_object_get(got, key), value)) return false;
        return json_object_size(got) == json_object_size(want);
    }
    return json_equal((json_t *)(uintptr_t)got, (json_t *)(uintptr_t)want);
}

static void test_rows(void **state)
{
    (void)state;
    json_t *want = json_load_file("tests/golden/parquet/rows.json", 0, NULL);
    for (int f = 0; f < FILES; f++) {
        struct bs_items items;
        struct bs_error err;
        char path[128];
        snprintf(path, sizeof path, "tests/golden/parquet/%s.parquet", files[f]);
        if (bs_items_read(path, NULL, &items, &err))
            fail_msg("%s", err.message);
        assert_int_equal(items.count, json_array_size(want));
        for (int i = 0; i < items.count; i++)
            if (!same_value(items.rows[i], json_array_get(want, (size_t)i))) {
                char *got = json_dumps(items.rows[i], 0);
                char *row = json_dumps(json_array_get(want, (size_t)i), 0);
                fail_msg("%s row %d: %s, expected %s", files[f], i, got, row);
            }
        bs_items_release(&items);
    }
    json_decref(want);
}

/* Every byte changed, and the file cut at every byte: rows or a message that names the file. */
static void test_damaged(void **state)
{
    (void)state;
    for (int f = 0; f < FILES; f++) {
        char path[128], *data;
        size_t size;
        struct bs_error err;
        struct bs_items items;
        snprintf(path, sizeof path, "tests/golden/parquet/%s.parquet", files[f]);
        assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
        for (size_t at = 0; at < 2 * size; at += 7) {
            size_t byte = at % size, cut = at < size ? size : byte;
            char kept = data[byte];
            data[byte] = (char)(at < size ? kept ^ (1 << at % 8) : kept);
            folder_write(&folder, "damaged.parquet", data, cut);
            data[byte] = kept;
            if (!bs_items_read(folder_file(&folder, "damaged.parquet"), NULL, &items, &err)) {
                assert_true(at < size); /* a file that is cut is never whole */
                bs_items_release(&items);
            } else {
                assert_non_null(strstr(err.message, "damaged.parquet"));
            }
        }
        bs_free(data);
    }
}

static void expect_row(const struct bs_items *items, int row, const char *want)
{
    char *got = json_dumps(items->rows[row], JSON_SORT_KEYS);
    assert_string_equal(got, want);
    free(got);
}

/* What is no text, number or truth value is left out, and a template that asks for it hears why. */
static void test_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *field, *why;
    } fields[] = {{"image.bytes", "bytes that are no UTF-8 text"},
                  {"when", "no text and no number"},
                  {"hash", "no text and no number"},
                  {"cells", "lists within lists"},
                  {"shots.pixels", "bytes that are no UTF-8 text"}};
    struct bs_items items;
    struct bs_error err;
    if (bs_items_read("tests/golden/parquet/other.parquet", NULL, &items, &err))
        fail_msg("%s", err.message);
    assert_int_equal(items.count, 3);
    expect_row(&items, 2,
               "{\"image\": {\"path\": \"a.jpg\"}, \"nothing\": null, \"shots\": "
               "[{\"label\": 2}], \"text\": \"c\"}");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char template[64];
        struct bs_item item;
        snprintf(template, sizeof template, "{%s}", fields[i].field);
        const struct bs_task task = {
            .kind = BS_TASK_LAST_WORD, .context = template, .continuation = "{text}"};
        assert_int_equal(bs_item_make(&task, &items, 0, &item, &err), BS_EDATA);
        if (!strstr(err.message, fields[i].why) || !strstr(err.message, fields[i].field) ||
            !strstr(err.message, "is left out"))
            fail_msg("%s: %s", fields[i].field, err.message);
    }
    bs_items_release(&items);
}

/* A schema that calls the row itself a list is read as any other; counts that the file does not
 * bear out are refused before memory is taken for them. */
static void test_crafted(void **state)
{
    (void)state;
    static const struct {
        const char *name, *words;
    } refused[] = {{"fewer_rows", ".parquet: 1 rows in its groups, expected 2"},
                   {"many_rows", ".parquet: more than 16777215 items"}};
    struct bs_items items;
    struct bs_error err;
    if (bs_items_read("tests/golden/parquet/list_root.parquet", NULL, &items, &err))
        fail_msg("%s", err.message);
    expect_row(&items, 0, "{\"g\": [{\"a\": \"x\", \"b\": \"x\"}]}");
    bs_items_release(&items);
    if (bs_items_read("tests/golden/parquet/no_values.parquet", NULL, &items, &err))
        fail_msg("%s", err.message);
    expect_row(&items, 0, "{\"g\": []}");
    bs_items_release(&items);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char path[128];
        snprintf(path, sizeof path, "tests/golden/parquet/%s.parquet", refused[i].name);
        assert_int_equal(bs_items_read(path, NULL, &items, &err), BS_EDATA);
        const char *at = strstr(err.message, ".parquet"); /* the file is named once */
        if (!at || strcmp(at, refused[i].words))
            fail_msg("%s", err.message);
    }
    assert_int_equal(bs_items_read("tests/golden/parquet/many_values.parquet", NULL, &items, &err),
                     BS_OK);
    assert_non_null(strstr(json_string_value(json_object_get(items.left_out, "g.a")),
                           "more than 67108864 values"));
    bs_items_release(&items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_crafted),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}

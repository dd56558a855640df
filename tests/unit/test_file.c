/* Reading, mapping, digesting and replacing files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "tests/support/folder.h"

static void test_read_and_map(void **state)
{
    (void)state;
    struct bs_error err;
    char *data;
    size_t size;
    struct bs_map map;
    folder_write(&folder, "a", "x\0y", 3);
    assert_int_equal(bs_file_read(folder_file(&folder, "a"), &data, &size, &err), BS_OK);
    assert_int_equal(size, 3);
    assert_memory_equal(data, "x\0y\0", 4); /* with a zero byte after them */
    bs_free(data);
    assert_int_equal(bs_map_open(folder_file(&folder, "a"), &map, &err), BS_OK);
    assert_int_equal(map.size, 3);
    assert_memory_equal(map.data, "x\0y", 3);
    bs_map_close(&map);
    assert_null(map.data);

    folder_write(&folder, "empty", "", 0);
    assert_int_equal(bs_map_open(folder_file(&folder, "empty"), &map, &err), BS_OK);
    assert_true(!map.data && map.size == 0);
    bs_map_close(&map);
    assert_int_equal(bs_file_read(folder_file(&folder, "empty"), &data, &size, &err), BS_OK);
    assert_int_equal(size, 0);
    assert_string_equal(data, "");
    bs_free(data);
}

/* Pages of this program's memory that are a file's, in KiB. */
static long resident_file_pages(void)
{
    char line[128];
    long size = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "RssFile: %ld", &size) == 1)
            break;
    if (status)
        fclose(status);
    return size;
}

/* What was read and forgotten is no longer resident, and still there. */
static void test_forget(void **state)
{
    (void)state;
    enum { SIZE = (8 << 20) + 5, STEP = 300000 };
    struct bs_error err;
    struct bs_map map;
    unsigned char *bytes = bs_alloc(SIZE, 1);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    folder_write(&folder, "large", bytes, SIZE);
    assert_int_equal(bs_map_open(folder_file(&folder, "large"), &map, &err), BS_OK);
    long before = resident_file_pages();
    for (size_t at = 0; at < SIZE; at += STEP) {
        size_t count = SIZE - at < STEP ? SIZE - at : STEP;
        assert_memory_equal(map.data + at, bytes + at, count);
        bs_map_forget(&map, map.data + at, count);
    }
    if (before >= 0)
        assert_true(resident_file_pages() - before < 1024);
    assert_memory_equal(map.data, bytes, SIZE);
    bs_map_close(&map);
    bs_free(bytes);
}

static void test_read_without_size(void **state)
{
    /* A pipe has no size to ask for, and holds more than the first buffer. */
    (void)state;
    struct bs_error err;
    char *data, sent[20000];
    size_t size;
    int ends[2];
    char path[64];
    memset(sent, 'p', sizeof sent);
    (void)folder;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], sent, sizeof sent), sizeof sent);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_OK);
    assert_int_equal(size, sizeof sent);
    assert_memory_equal(data, sent, sizeof sent);
    bs_free(data);
    close(ends[0]);
}

static void test_missing(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_map map;
    char *data;
    size_t size;
    const char *path = folder_file(&folder, "nothing");
    assert_int_equal(bs_map_open(path, &map, &err), BS_EIO);
    assert_non_null(strstr(err.message, path));
    assert_non_null(strstr(err.message, "No such file"));
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_EIO);
    assert_null(data);
    assert_int_equal(bs_file_read(folder.path, &data, &size, &err), BS_EIO);
    assert_non_null(strstr(err.message, "directory"));
    assert_int_equal(bs_map_open(folder.path, &map, &err), BS_EIO);
}

static void test_folders(void **state)
{
    (void)state;
    struct bs_error err;
    struct stat info;
    assert_int_equal(bs_make_directory(folder_file(&folder, "p/q//r/"), &err), BS_OK);
    assert_int_equal(stat(folder_file(&folder, "p/q/r"), &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    assert_int_equal(bs_make_directory(folder_file(&folder, "p/q"), &err), BS_OK); /* once more */
    assert_int_equal(bs_make_parent(folder_file(&folder, "s/t/file"), &err), BS_OK);
    assert_int_equal(stat(folder_file(&folder, "s/t"), &info), 0);
    assert_int_not_equal(stat(folder_file(&folder, "s/t/file"), &info), 0);
    assert_int_equal(bs_make_parent("bare-name", &err), BS_OK);
    assert_int_equal(bs_make_parent("/bare-name", &err), BS_OK);

    folder_write(&folder, "plain", "", 0);
    assert_int_equal(bs_make_parent(folder_file(&folder, "plain/file"), &err), BS_EIO);
    assert_non_null(strstr(err.message, "plain"));
    assert_non_null(strstr(err.message, "Not a directory"));
}

static void test_commit(void **state)
{
    (void)state;
    struct bs_error err;
    char *data;
    size_t size;
    struct stat info;
    folder_write_text(&folder, "result", "old");
    folder_write_text(&folder, "result.new", "new");
    assert_int_equal(
        bs_file_commit(folder_file(&folder, "result.new"), folder_file(&folder, "result"), &err),
        BS_OK);
    assert_int_equal(bs_file_read(folder_file(&folder, "result"), &data, &size, &err), BS_OK);
    assert_string_equal(data, "new");
    bs_free(data);
    assert_int_not_equal(stat(folder_file(&folder, "result.new"), &info), 0);
    assert_int_equal(
        bs_file_commit(folder_file(&folder, "result.new"), folder_file(&folder, "result"), &err),
        BS_EIO);
    assert_non_null(strstr(err.message, "result.new"));
}

static void test_digest(void **state)
{
    (void)state;
    /* XXH3-128 of nothing, seed 0: the value of the xxHash specification's sanity test. */
    assert_string_equal(bs_digest_of(NULL, 0).hex, "99aa06d3014798d86001c324468d497f");
    /* In parts or at once, the same. */
    unsigned char data[5000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * i >> 3);
    struct bs_digest_state *digest = bs_digest_create();
    bs_digest_add(digest, data, 1);
    bs_digest_add(digest, NULL, 0);
    bs_digest_add(digest, data + 1, 3000);
    bs_digest_add(digest, data + 3001, sizeof data - 3001);
    struct bs_digest parts = bs_digest_finish(digest);
    assert_string_equal(parts.hex, bs_digest_of(data, sizeof data).hex);
    data[4999] ^= 1;
    assert_string_not_equal(parts.hex, bs_digest_of(data, sizeof data).hex);
}

static void test_memory(void **state)
{
    (void)state;
    struct bs_error err;
    char *data;
    size_t size;
    folder_write(&folder, "b", "abc", 3);
    const char *path = folder_file(&folder, "b");
    bs_alloc_fail_at(1);
    assert_int_equal(bs_file_read(path, &data, &size, &err), BS_ENOMEM);
    assert_null(data);
    bs_alloc_fail_at(1);
    assert_int_equal(bs_make_parent(path, &err), BS_ENOMEM);
    bs_alloc_fail_at(1);
    assert_int_equal(bs_make_directory(path, &err), BS_ENOMEM);
    bs_alloc_fail_at(1);
    assert_int_equal(bs_file_commit(path, path, &err), BS_ENOMEM);
    bs_alloc_fail_at(1);
    assert_null(bs_digest_create());
    bs_alloc_fail_at(0);
}

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *file, *path, *joined;
    } cases[] = {
        {"a.yaml", "b/c", "b/c"}, {"x/a.yaml", "b/c", "x/b/c"}, {"x/a.yaml", "../b", "x/../b"},
        {"/a.yaml", "b", "/b"},   {"/x/a.yaml", "/b", "/b"},    {"./a.yaml", "b", "./b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder_part = bs_path_folder(cases[i].file);
        char *joined = bs_path_join(folder_part, cases[i].path);
        assert_string_equal(joined, cases[i].joined);
        bs_free(joined);
        bs_free(folder_part);
    }
    char *joined = bs_path_join(NULL, "b");
    assert_string_equal(joined, "b");
    bs_free(joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),   cmocka_unit_test(test_read_and_map),
        cmocka_unit_test(test_forget),  cmocka_unit_test(test_read_without_size),
        cmocka_unit_test(test_missing), cmocka_unit_test(test_folders),
        cmocka_unit_test(test_commit),  cmocka_unit_test(test_digest),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}

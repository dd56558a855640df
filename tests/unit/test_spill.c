/* Arrays in a scratch directory: what is kept, what is not left over, and what is said where
 * there is no room. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/base/spill.h"
#include "tests/support/folder.h"
#include "tests/support/resident.h"

enum { SIZE = 3 << 20 };

static int entries(const char *path)
{
    int count = 0;
    DIR *directory = opendir(path);
    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2; /* itself and what is above */
}

static void bytes_are_kept_and_leave_memory(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_spill spill;
    assert_int_equal(bs_spill_create(folder.path, SIZE, &spill, &err), BS_OK);
    assert_int_equal(entries(folder.path), 0); /* a file without a name */
    unsigned char *bytes = spill.data;
    for (size_t i = 0; i < SIZE; i++) {
        assert_int_equal(bytes[i], 0);
        bytes[i] = (unsigned char)(i * 7 + (i >> 12));
    }
    assert_true(resident_pages(bytes) >= SIZE / (int)sysconf(_SC_PAGESIZE));
    /* From within a page to within another, and over both ends. */
    bs_spill_forget(&spill, bytes + 1000001, 1000001);
    assert_true(resident_pages(bytes) <= (SIZE - 1000001) / (int)sysconf(_SC_PAGESIZE) + 1);
    bs_spill_forget(&spill, bytes, 1 << 20);
    bs_spill_forget(&spill, bytes + SIZE - 1500000, 1500000);
    assert_int_equal(resident_pages(bytes), 0);
    for (size_t i = 0; i < SIZE; i++)
        assert_int_equal(bytes[i], (unsigned char)(i * 7 + (i >> 12)));
    bs_spill_free(&spill);
    assert_null(spill.data);
    bs_spill_free(&spill);
}

static void a_folder_that_is_none_is_named(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_spill spill;
    double room;
    const char *nowhere = folder_file(&folder, "nowhere");
    folder_write_text(&folder, "plain", "no folder");
    const char *plain = folder_file(&folder, "plain");
    assert_int_equal(bs_spill_create(nowhere, SIZE, &spill, &err), BS_EIO);
    assert_non_null(strstr(err.message, nowhere));
    assert_non_null(strstr(err.message, "scratch folder"));
    assert_non_null(strstr(err.message, strerror(ENOENT)));
    assert_null(spill.data);
    assert_int_equal(bs_spill_room(nowhere, &room, &err), BS_EIO);
    assert_non_null(strstr(err.message, nowhere));
    assert_int_equal(bs_spill_create(plain, SIZE, &spill, &err), BS_EIO);
    assert_non_null(strstr(err.message, strerror(ENOTDIR)));
    unlink(plain);
}

static void a_folder_that_is_read_only_is_named(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_spill spill;
    double room;
    /* Not even root makes files there. */
    const char *closed = "/proc/self";
    assert_int_equal(bs_spill_create(closed, SIZE, &spill, &err), BS_EIO);
    assert_non_null(strstr(err.message, closed));
    assert_int_equal(bs_spill_room(closed, &room, &err), BS_EIO);
    assert_non_null(strstr(err.message, closed));
}

static void room_is_found_before_the_start(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_spill spill;
    double room = 0;
    assert_int_equal(bs_spill_room(folder.path, &room, &err), BS_OK);
    assert_true(room > SIZE);
    /* More than any file may have. */
    assert_int_equal(bs_spill_create(folder.path, (size_t)1 << 62, &spill, &err), BS_EIO);
    assert_non_null(strstr(err.message, folder.path));
    assert_non_null(strstr(err.message, "4611686018427 MB"));
    assert_null(spill.data);
    assert_int_equal(entries(folder.path), 0);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_spill spill;
    bs_alloc_fail_at(1);
    enum bs_status status = bs_spill_create(folder.path, SIZE, &spill, &err);
    bs_alloc_fail_at(0);
    assert_int_equal(status, BS_ENOMEM);
    assert_null(spill.data);
    assert_int_equal(entries(folder.path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_kept_and_leave_memory),
        cmocka_unit_test(a_folder_that_is_none_is_named),
        cmocka_unit_test(a_folder_that_is_read_only_is_named),
        cmocka_unit_test(room_is_found_before_the_start),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}

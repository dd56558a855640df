/* The lock of a result file where locks of the system do not reach: another machine's lock is one
 * of a run as long as it is renewed. */
#include <setjmp.h>
#include <signal.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/store/lock.h"
#include "tests/support/folder.h"

static const char elsewhere[] = "node17 0b0b0b0b-0000-4000-8000-000000000000 4711\n";
static const double renewal = 0.02, watched = 1;

static char path[512], lock_path[520];

static int setup(void **state)
{
    folder_setup(state);
    snprintf(path, sizeof path, "%s", folder_file(&folder, "my.h5"));
    snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    return 0;
}

static void write_lock(const char *text)
{
    FILE *file = fopen(lock_path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void expect_no_lock(void)
{
    struct stat info;
    assert_int_not_equal(stat(lock_path, &info), 0);
}

static void a_lock_that_is_not_renewed_is_taken_over(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_results_lock *lock;
    write_lock(elsewhere);
    assert_int_equal(bs_results_lock_watch(path, renewal, watched, &lock, &err), BS_OK);
    bs_results_unlock(lock);
    expect_no_lock();
}

static void a_lock_that_is_renewed_is_another_run_s(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_results_lock *lock;
    write_lock(elsewhere);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child)
        for (;;) { /* as the run on the other machine */
            const struct timespec some = {.tv_nsec = 5000000};
            nanosleep(&some, NULL);
            utimensat(AT_FDCWD, lock_path, NULL, 0);
        }
    enum bs_status status = bs_results_lock_watch(path, renewal, watched, &lock, &err);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(status, BS_EIO);
    assert_non_null(strstr(err.message, "another run is writing it, on node17"));
    assert_null(lock);
    unlink(lock_path);
}

static void what_a_dead_run_of_this_machine_left_is_taken_at_once(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_results_lock *lock;
    char *text;
    size_t size;
    assert_int_equal(bs_results_lock_watch(path, renewal, watched, &lock, &err), BS_OK);
    assert_int_equal(bs_file_read(lock_path, &text, &size, &err), BS_OK);
    bs_results_unlock(lock);
    expect_no_lock();
    write_lock(text);
    bs_free(text);
    /* Watching it would take for ever. */
    assert_int_equal(bs_results_lock_watch(path, renewal, 1e9, &lock, &err), BS_OK);
    bs_results_unlock(lock);
    write_lock("");
    assert_int_equal(bs_results_lock_watch(path, renewal, 1e9, &lock, &err), BS_OK);
    bs_results_unlock(lock);
}

static void a_lock_is_renewed_and_kept_from_others(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_results_lock *lock, *second;
    struct stat first, last;
    const struct timespec some = {.tv_nsec = 20000000};
    assert_int_equal(bs_results_lock_watch(path, renewal, watched, &lock, &err), BS_OK);
    assert_int_equal(stat(lock_path, &first), 0);
    for (int i = 0; i < 500; i++) {
        nanosleep(&some, NULL);
        assert_int_equal(stat(lock_path, &last), 0);
        if (last.st_mtim.tv_sec != first.st_mtim.tv_sec ||
            last.st_mtim.tv_nsec != first.st_mtim.tv_nsec)
            break;
    }
    assert_true(last.st_mtim.tv_sec != first.st_mtim.tv_sec ||
                last.st_mtim.tv_nsec != first.st_mtim.tv_nsec);
    assert_int_equal(bs_results_lock_watch(path, renewal, 1e9, &second, &err), BS_EIO);
    assert_non_null(strstr(err.message, "another run is writing it"));
    bs_results_unlock(lock);
    expect_no_lock();
}

/* A run that was taken for dead leaves the lock of who took it over alone. */
static void a_lock_that_was_taken_over_stays(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_results_lock *lock;
    struct stat info;
    assert_int_equal(bs_results_lock_watch(path, 1e6, watched, &lock, &err), BS_OK);
    write_lock(elsewhere);
    bs_results_unlock(lock);
    assert_int_equal(stat(lock_path, &info), 0);
    unlink(lock_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_that_is_not_renewed_is_taken_over),
        cmocka_unit_test(a_lock_that_is_renewed_is_another_run_s),
        cmocka_unit_test(what_a_dead_run_of_this_machine_left_is_taken_at_once),
        cmocka_unit_test(a_lock_is_renewed_and_kept_from_others),
        cmocka_unit_test(a_lock_that_was_taken_over_stays),
    };
    return cmocka_run_group_tests(tests, setup, folder_teardown);
}

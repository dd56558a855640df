/* The result file: no failure harms what was there, and no damage goes unseen. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <hdf5.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/store/lock.h"
#include "eval/store/results_internal.h"
#include "eval/store/seal.h"
#include "tests/support/sample_trials.h"

/* HDF5 itself loses memory over failed writes; ours is still watched. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5"; }
const char *__lsan_default_options(void);
const char *__lsan_default_options(void) { return "print_suppressions=0"; }

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1000; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

enum { NOISE = 200 * SAMPLE_VALUES };

/* A commit of a trial of some 50 kB that will not compress, with files limited to `limit` bytes. */
static enum bs_status commit_limited(const char *id, rlim_t limit, struct bs_error *err)
{
    static float noise[NOISE];
    unsigned x = 1;
    for (int i = 0; i < NOISE; i++) {
        x = x * 1664525U + 1013904223U;
        noise[i] = (float)(x >> 8);
    }
    struct sample s;
    sample_make(&s, id, 2);
    s.record.row.windows = 200 * SAMPLE_WINDOWS;
    s.figures = (struct bs_figures){.of = {[BS_NLL] = noise}};
    struct rlimit old;
    getrlimit(RLIMIT_FSIZE, &old);
    struct rlimit small = {limit, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    enum bs_status status = sample_commit(&s, err);
    setrlimit(RLIMIT_FSIZE, &old);
    return status;
}

/* The line of the first thing that is not as it should be, 0 for none. In a process of its own, so
 * that what HDF5 does as it exits is seen too. */
static int run_out_of_room(void)
{
    struct bs_error err;
    struct sample s;
    sample_make(&s, "a", 1);
    char *before, *after;
    size_t size, size_after;
    if (sample_commit(&s, &err) || bs_file_read(sample_file, &before, &size, &err))
        return __LINE__;
    int descriptors = open_descriptors(), failures = 0;
    /* A limit at many places: in the copy, and wherever HDF5 happens to write. */
    for (rlim_t limit = 0;; limit += 1500) {
        enum bs_status status = commit_limited("b", limit, &err);
        if (open_descriptors() != descriptors)
            return __LINE__;
        if (!status)
            break;
        failures += limit > size;
        if (status != BS_EIO || !strstr(err.message, sample_file) ||
            !strstr(err.message, "File too large") || access(sample_partial, F_OK) == 0)
            return __LINE__;
        if (bs_file_read(sample_file, &after, &size_after, &err) || size != size_after ||
            memcmp(before, after, size))
            return __LINE__;
        bs_free(after);
    }
    bs_free(before);
    sample_make(&s, "c", 3); /* the process can go on */
    if (failures < 20 || sample_commit(&s, &err))
        return __LINE__;
    return 0;
}

static void test_no_room(void **state)
{
    (void)state;
    char said[128];
    snprintf(said, sizeof said, "%s/said", sample_folder);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (!freopen(said, "w", stderr) || !freopen("/dev/null", "w", stdout))
            _exit(99);
        signal(SIGXFSZ, SIG_IGN);
        alarm(60);
        int line = run_out_of_room();
        if (line)
            fprintf(stderr, "line %d", line);
        exit(line != 0);
    }
    int exited;
    assert_int_equal(waitpid(child, &exited, 0), child);
    struct bs_error err;
    char *words;
    size_t size;
    sample_must(bs_file_read(said, &words, &size, &err), &err);
    unlink(said);
    assert_string_equal(words, "");
    bs_free(words);
    assert_int_equal(exited, 0);
}

static void test_no_place(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample s;
    struct bs_results_lock *lock;
    struct bs_results results;
    sample_make(&s, "a", 1);
    sample_must(sample_commit(&s, &err), &err);
    char below[128];
    snprintf(below, sizeof below, "%s/x.h5", sample_file);
    assert_int_equal(bs_results_commit(below, &s.record, 1, NULL, 0, &sample_info, &err), BS_EIO);
    assert_int_equal(bs_results_lock_take(below, &lock, &err), BS_EIO);
    assert_null(lock);
    assert_int_equal(bs_results_read(below, &results, &err), BS_EIO);
    unlink(sample_file);
    assert_int_equal(mkdir(sample_file, 0777), 0);
    assert_int_equal(sample_commit(&s, &err), BS_EIO);
    assert_int_equal(bs_results_lock_take(sample_file, &lock, &err), BS_EIO);
    assert_int_equal(bs_results_read(sample_file, &results, &err), BS_EIO);
    rmdir(sample_file);
    /* A folder where the copy should go. */
    assert_int_equal(mkdir(sample_partial, 0777), 0);
    assert_int_equal(sample_commit(&s, &err), BS_EIO);
    assert_int_equal(rmdir(sample_partial), 0);
    assert_int_equal(bs_results_read(sample_file, &results, &err), BS_EIO);
    assert_non_null(strstr(err.message, "No such file"));
}

static void test_damaged(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample s;
    struct bs_results results;
    sample_make(&s, "a", 1);
    sample_must(sample_commit(&s, &err), &err);
    char *good;
    size_t size;
    sample_must(bs_file_read(sample_file, &good, &size, &err), &err);
    for (size_t cut = 0; cut < size; cut += 97) {
        assert_int_equal(truncate(sample_file, (off_t)cut), 0);
        assert_int_equal(bs_results_read(sample_file, &results, &err), BS_EDATA);
        assert_non_null(strstr(err.message, sample_file));
        assert_int_equal(sample_commit(&s, &err), BS_EDATA);
        struct stat found;
        assert_int_equal(stat(sample_file, &found), 0);
        assert_int_equal(found.st_size, cut); /* left as it was, for the user to look at */
        FILE *out = fopen(sample_file, "wb");
        assert_int_equal(fwrite(good, 1, size, out), size);
        fclose(out);
    }
    /* So is a changed byte, wherever it is, before HDF5 sees the file. */
    for (size_t place = 0; place < size; place += place < BS_SEAL_BYTES ? 1 : 7) {
        good[place] ^= 0x55;
        FILE *out = fopen(sample_file, "wb");
        assert_int_equal(fwrite(good, 1, size, out), size);
        fclose(out);
        good[place] ^= 0x55;
        assert_int_equal(bs_results_read(sample_file, &results, &err), BS_EDATA);
        assert_non_null(strstr(err.message, sample_file));
        assert_non_null(strstr(err.message, "damaged"));
    }
    bs_free(good);
}

static void test_foreign(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_results results;
    struct sample s;
    sample_make(&s, "a", 1);
    hid_t h5 = H5Fcreate(sample_file, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(h5);
    assert_int_equal(bs_results_read(sample_file, &results, &err), BS_EDATA);
    assert_int_equal(sample_commit(&s, &err), BS_EDATA);
    unlink(sample_file);
    sample_must(sample_commit(&s, &err), &err);
    h5 = H5Fopen(sample_file, H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t attribute = H5Aopen(h5, "schema_version", H5P_DEFAULT);
    int version = 99;
    H5Awrite(attribute, H5T_NATIVE_INT, &version);
    H5Aclose(attribute);
    H5Fclose(h5);
    /* Another program's change is refused as damage is. */
    assert_int_equal(bs_results_read(sample_file, &results, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "another program"));
    sample_must(bs_seal_write(sample_file, sample_file, &err), &err);
    assert_int_equal(bs_results_read(sample_file, &results, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "99"));
    assert_int_equal(sample_commit(&s, &err), BS_EDATA);
}

/* Sound HDF5 that keeps an array anywhere but in the file is refused, as is one of a size that no
 * file could hold. */
static void test_elsewhere(void **state)
{
    (void)state;
    enum { SOFT_LINK, OTHER_FILE, VIRTUAL, EXTERNAL, ENORMOUS, KINDS };
    static const char *const said[KINDS] = {"is missing", "is missing", "not kept in this file",
                                            "not kept in this file", "more than the file can hold"};
    const char *place = "trial/a/evaluation/nll";
    struct bs_error err;
    struct sample s;
    sample_make(&s, "a", 1);
    for (int kind = 0; kind < KINDS; kind++) {
        sample_must(sample_commit(&s, &err), &err);
        struct bs_row row = s.record.row;
        if (kind == ENORMOUS)
            row.windows = 1 << 30;
        hsize_t dims[2] = {(hsize_t)row.windows, SAMPLE_TOKENS - 1};
        hid_t h5 = H5Fopen(sample_file, H5F_ACC_RDWR, H5P_DEFAULT);
        hid_t space = H5Screate_simple(2, dims, NULL), create = H5Pcreate(H5P_DATASET_CREATE);
        H5Ldelete(h5, place, H5P_DEFAULT);
        if (kind == SOFT_LINK)
            H5Lcreate_soft("/trial/a/evaluation/kld", h5, place, H5P_DEFAULT, H5P_DEFAULT);
        if (kind == OTHER_FILE)
            H5Lcreate_external(sample_file, "/trial/a/evaluation/kld", h5, place, H5P_DEFAULT,
                               H5P_DEFAULT);
        if (kind == VIRTUAL) /* made of itself: HDF5 would go round until the stack ends */
            H5Pset_virtual(create, space, ".", place, space);
        if (kind == EXTERNAL)
            H5Pset_external(create, "/dev/zero", 0, H5F_UNLIMITED);
        if (kind >= VIRTUAL)
            H5Dclose(
                H5Dcreate2(h5, place, H5T_IEEE_F32LE, space, H5P_DEFAULT, create, H5P_DEFAULT));
        H5Pclose(create);
        H5Sclose(space);
        H5Fclose(h5);
        sample_must(bs_seal_write(sample_file, sample_file, &err), &err);
        void *nll;
        assert_int_equal(bs_results_read_figure(sample_file, &row, BS_NLL, &nll, &err), BS_EDATA);
        assert_null(nll);
        assert_non_null(strstr(err.message, said[kind]));
        unlink(sample_file);
    }
}

static void test_lock(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_results_lock *lock, *second;
    sample_must(bs_results_lock_take(sample_file, &lock, &err), &err);
    assert_int_equal(bs_results_lock_take(sample_file, &second, &err), BS_EIO);
    assert_non_null(strstr(err.message, "another run"));
    bs_results_unlock(lock);
    sample_must(bs_results_lock_take(sample_file, &lock, &err), &err);
    bs_results_unlock(lock);
    bs_results_unlock(NULL);
    /* The lock of a process that was killed does not outlive it. */
    pid_t child = fork();
    if (child == 0) {
        if (bs_results_lock_take(sample_file, &lock, &err))
            _exit(1);
        _exit(0);
    }
    int exited;
    waitpid(child, &exited, 0);
    assert_int_equal(exited, 0);
    sample_must(bs_results_lock_take(sample_file, &lock, &err), &err);
    bs_results_unlock(lock);
}

static void test_memory(void **state)
{
    (void)state;
    struct bs_error err;
    struct sample a, b;
    sample_make(&a, "a", 1);
    sample_make(&b, "b", 2);
    sample_must(sample_commit(&a, &err), &err);
    bs_alloc_fail_at(0);
    for (long n = 1;; n++) {
        bs_alloc_fail_at(n);
        enum bs_status status = sample_commit(&b, &err);
        long made = bs_alloc_fail_at(0);
        if (!status && made < n)
            break;
        if (!status) /* an allocation one can do without */
            break;
        assert_int_equal(status, BS_ENOMEM);
        assert_int_equal(access(sample_partial, F_OK), -1);
    }
    for (long n = 1;; n++) {
        struct bs_results results;
        bs_alloc_fail_at(n);
        enum bs_status status = bs_results_read(sample_file, &results, &err);
        bs_alloc_fail_at(0);
        if (!status) {
            bs_results_release(&results);
            break;
        }
        assert_int_equal(status, BS_ENOMEM);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, sample_setup, sample_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_room),   TEST(test_no_place), TEST(test_damaged), TEST(test_foreign),
        TEST(test_elsewhere), TEST(test_lock),     TEST(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

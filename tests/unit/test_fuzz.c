/* The fuzz targets on the inputs they start from and on those that once broke something: none may
 * crash, leak or, by what the targets ask of it, fail without a message. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/store/results.h"
#include "tests/fuzz/target.h"

/* In the place of libFuzzer's: changes, adds or removes a byte. */
static size_t change_byte(unsigned char *data, size_t size, size_t max_size)
{
    static unsigned state = 1;
    unsigned what = fuzz_random(&state) % 3;
    if (what == 0 && size < max_size) {
        data[size] = (unsigned char)fuzz_random(&state);
        return size + 1;
    }
    if (what == 1 && size > 0)
        return size - 1;
    if (size > 0)
        data[fuzz_random(&state) % size] ^= (unsigned char)fuzz_random(&state);
    return size;
}

/* What one file's bytes are for: the target alone, or its mutator for some rounds too. */
static void feed(const struct fuzz_target *target, const char *bytes, size_t size, unsigned rounds)
{
    unsigned char *data = bs_alloc(target->max_bytes, 1);
    assert_non_null(data);
    assert_true(size <= target->max_bytes);
    memcpy(data, bytes, size);
    target->run(data, size);
    for (unsigned seed = 0; target->mutate && seed < rounds; seed++) {
        size = target->mutate(data, size, target->max_bytes, seed, change_byte);
        assert_true(size <= target->max_bytes);
        target->run(data, size);
    }
    bs_free(data);
}

/* Feeds every file of tests/fuzz/`kind`/`name` and counts them. */
static int feed_folder(const struct fuzz_target *target, const char *kind, unsigned rounds)
{
    char folder[256], path[600];
    int count = 0;
    snprintf(folder, sizeof folder, "tests/fuzz/%s/%s", kind, target->name);
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        struct bs_error err;
        char *data;
        size_t size;
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        print_message("%s\n", path);
        if (bs_file_read(path, &data, &size, &err))
            fail_msg("%s", err.message);
        feed(target, data, size, rounds);
        bs_free(data);
        count++;
    }
    if (directory)
        closedir(directory);
    return count;
}

static void test_regressions(void **state)
{
    (void)state;
    for (const struct fuzz_target *const *target = fuzz_targets; *target; target++)
        feed_folder(*target, "regressions", 0);
}

/* With a short run of the mutator, so that one that is broken is noticed here. */
static void test_seeds(void **state)
{
    (void)state;
    enum { ROUNDS = 20 };
    for (const struct fuzz_target *const *target = fuzz_targets; *target; target++)
        if (!feed_folder(*target, "seeds", ROUNDS))
            fail_msg("target %s has no seeds", (*target)->name);
}

/* One of an earlier schema would go no further than the check of it. */
static void test_a_sealed_seed_is_read(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_results results;
    if (bs_results_read("tests/fuzz/seeds/results_bytes/sealed", &results, &err))
        fail_msg("%s", err.message);
    assert_true(results.num_rows > 1);
    bs_results_release(&results);
}

/* A folder that no target reads would look like tests and be none. */
static void test_folders(void **state)
{
    (void)state;
    static const char *const kinds[] = {"tests/fuzz/seeds", "tests/fuzz/regressions"};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        DIR *directory = opendir(kinds[k]);
        for (struct dirent *entry; directory && (entry = readdir(directory));) {
            const struct fuzz_target *const *target = fuzz_targets;
            while (*target && strcmp((*target)->name, entry->d_name))
                target++;
            if (!*target && entry->d_name[0] != '.')
                fail_msg("%s/%s: there is no such target", kinds[k], entry->d_name);
        }
        if (directory)
            closedir(directory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regressions),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_a_sealed_seed_is_read),
        cmocka_unit_test(test_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

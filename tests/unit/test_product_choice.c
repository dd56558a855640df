/* What was measured of the products is kept in a file, and a file that is not it counts for
 * nothing. Each run is a process of its own: a process chooses once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval/base/file.h"
#include "eval/linalg/product_choice.h"
#include "tests/support/folder.h"

enum { TEXT = 256 };

static char path[128];

static int setup(void **state)
{
    folder_setup(state);
    snprintf(path, sizeof path, "%s/bitsweep/products", folder.path);
    return setenv("XDG_CACHE_HOME", folder.path, 1);
}

static void put(const char *text, size_t size)
{
    struct bs_error err;
    assert_int_equal(bs_make_parent(path, &err), BS_OK);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Of the file; false where there is none. */
static bool get(char text[TEXT])
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    text[fread(text, 1, TEXT - 1, file)] = '\0';
    return !fclose(file);
}

/* The levels that a new process multiplies by, which has to have the bits of any other. */
static void levels_of_a_run(enum bs_isa levels[BS_NUM_PRODUCT_KINDS])
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        int status = 0;
        float a[2] = {1, 2}, b[2] = {3, 4}, c = 0;
        bs_product_choose();
        for (int kind = 0; kind < BS_NUM_PRODUCT_KINDS; kind++)
            for (int level = 0; level < BS_NUM_ISA; level++)
                if (bs_product_choice((enum bs_product_kind)kind) == bs_product_loops[level])
                    status |= level << 2 * kind;
        bs_product(false, true, 1, 1, 2, 1, a, 2, b, 2, 0, &c, 1);
        _exit(c == 11 ? status : 255);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 255);
    for (int kind = 0; kind < BS_NUM_PRODUCT_KINDS; kind++)
        levels[kind] = (enum bs_isa)(WEXITSTATUS(status) >> 2 * kind & 3);
}

static void what_is_printed_is_read_again(void **state)
{
    (void)state;
    enum bs_isa want[] = {BS_ISA_V3, BS_ISA_V4}, got[BS_NUM_PRODUCT_KINDS];
    char text[TEXT];
    bs_product_choice_print(want, text, sizeof text);
    assert_true(bs_product_choice_parse(text, got));
    assert_memory_equal(got, want, sizeof want);
    bs_product_choice_print(want, text, 10);
    assert_string_equal(text, "");
    assert_false(bs_product_choice_parse("", got));
}

/* Where there is but one implementation nothing is measured. */
static void a_choice_is_measured_once_and_kept(void **state)
{
    (void)state;
    enum bs_isa first[BS_NUM_PRODUCT_KINDS], in_file[BS_NUM_PRODUCT_KINDS];
    char text[TEXT];
    remove(path);
    levels_of_a_run(first);
    if (bs_isa() < BS_ISA_V4) {
        assert_false(get(text));
        return;
    }
    assert_true(get(text) && bs_product_choice_parse(text, in_file));
    assert_memory_equal(in_file, first, sizeof first);
    static const enum bs_isa kept[][BS_NUM_PRODUCT_KINDS] = {{BS_ISA_V3, BS_ISA_V4},
                                                             {BS_ISA_V4, BS_ISA_V3}};
    for (int k = 0; k < 2; k++) { /* whatever the file says is believed */
        enum bs_isa used[BS_NUM_PRODUCT_KINDS];
        char before[TEXT];
        bs_product_choice_print(kept[k], before, sizeof before);
        put(before, strlen(before));
        levels_of_a_run(used);
        assert_memory_equal(used, kept[k], sizeof used);
        assert_true(get(text));
        assert_string_equal(text, before);
    }
}

static void a_file_that_is_not_it_is_written_anew(void **state)
{
    (void)state;
    enum bs_isa levels[] = {BS_ISA_V3, BS_ISA_V3}, used[BS_NUM_PRODUCT_KINDS];
    char whole[TEXT], text[TEXT];
    bs_product_choice_print(levels, whole, sizeof whole);
    size_t length = strlen(whole);
    if (bs_isa() < BS_ISA_V4)
        return;
    for (int k = 0; k < 5; k++) {
        char other[TEXT + 1] = "";
        memcpy(other, whole, length);
        if (k == 1)
            other[length] = 'x'; /* longer */
        else if (k == 2)
            other[strcspn(other, "\n") + 1] ^= 1; /* of another processor */
        else if (k == 3)
            other[length / 2] = '\0';
        else if (k == 4)
            memset(other, 0xff, TEXT);
        put(other, k == 0 ? length - 1 : k == 1 ? length + 1 : k == 4 ? TEXT : length);
        levels_of_a_run(used);
        assert_true(get(text) && bs_product_choice_parse(text, levels));
        assert_memory_equal(used, levels, sizeof used);
    }
}

static void without_a_place_for_the_file_there_is_a_choice(void **state)
{
    (void)state;
    enum bs_isa used[BS_NUM_PRODUCT_KINDS];
    setenv("XDG_CACHE_HOME", "/dev/null/nowhere", 1);
    levels_of_a_run(used);
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "", 1);
    levels_of_a_run(used);
    setenv("XDG_CACHE_HOME", folder.path, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_is_read_again),
        cmocka_unit_test(a_choice_is_measured_once_and_kept),
        cmocka_unit_test(a_file_that_is_not_it_is_written_anew),
        cmocka_unit_test(without_a_place_for_the_file_there_is_a_choice),
    };
    return cmocka_run_group_tests(tests, setup, folder_teardown);
}

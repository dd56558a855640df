/* What is printed of text that came from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/error.h"
#include "eval/base/mem.h"
#include "eval/base/printable.h"

static const struct {
    const char *text, *printed;
} cases[] = {
    {"", ""},
    {"plain text, 'quoted' \\n {^_@}", "plain text, 'quoted' \\n {^_@}"},
    {"caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80",
     "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80"},
    {"\x1b]0;title\x07\x1b[31mred", "\\x1b]0;title\\x07\\x1b[31mred"},
    {"one\ntwo\r\tthree\x7f", "one\\ntwo\\r\\tthree\\x7f"},
    {"\xc2\x9b"
     "31m \xc2\x85",
     "\\u009b31m \\u0085"},
    {"a\xe2\x80\xae"
     "b\xe2\x81\xa6"
     "c\xd8\x9c",
     "a\\u202eb\\u2066c\\u061c"},
    {"\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf", "\\u2028\\u2029\\ufeff"},
    {"\xf3\xa0\x81\x81", "\\U000e0041"},
    {"\x80\xff \xc3( \xe2\x82", "\\x80\\xff \\xc3( \\xe2\\x82"},
    {"\xed\xa0\x80 \xc0\x80 \xf4\x90\x80\x80", "\\xed\\xa0\\x80 \\xc0\\x80 \\xf4\\x90\\x80\\x80"},
};
enum { NUM_CASES = sizeof cases / sizeof *cases };

static void test_escape(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_CASES; i++) {
        char *printed = bs_escaped(cases[i].text);
        assert_string_equal(printed, cases[i].printed);
        bs_free(printed);
        assert_int_equal(bs_is_plain(cases[i].text), !strcmp(cases[i].text, cases[i].printed));
        assert_true(bs_is_plain(cases[i].printed));
    }
}

/* Whatever the room, what is there is a beginning of the whole that ends with a letter or
 * escape. */
static void test_room(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_CASES; i++)
        for (size_t room = 0; room < 64; room++) {
            char out[65];
            memset(out, '#', sizeof out);
            size_t whole = bs_escape(cases[i].text, out, room);
            assert_int_equal(whole, strlen(cases[i].printed));
            assert_int_equal(out[room], '#');
            if (!room)
                continue;
            size_t length = strlen(out);
            assert_true(length < room);
            assert_memory_equal(out, cases[i].printed, length);
            assert_true(bs_is_plain(out));
            if (room > whole)
                assert_int_equal(length, whole);
        }
    char out[8];
    bs_escape("abcd\x1b", out, sizeof out);
    assert_string_equal(out, "abcd"); /* no half of an escape */
}

static void test_cut(void **state)
{
    (void)state;
    assert_int_equal(bs_cut("abc", 5), 3);
    assert_int_equal(bs_cut("abc", 2), 2);
    assert_int_equal(bs_cut("a\xe6\x97\xa5z", 3), 1);
    assert_int_equal(bs_cut("a\xe6\x97\xa5z", 4), 4);
    assert_int_equal(bs_cut("a\xff\xff", 2), 2);
}

static void test_line(void **state)
{
    (void)state;
    char *text = NULL, *name = bs_calloc(3001, 1);
    size_t size = 0;
    memset(name, 'x', 3000);
    name[2999] = '\n';
    FILE *out = open_memstream(&text, &size);
    bs_print_line(out, "%s: %d", name, 7);
    bs_print_line(out, "\x1b[2J%s", "end");
    fclose(out);
    assert_int_equal(size, 2999 + 2 + 3 + 1 + 3 + 4 + 4);
    assert_string_equal(text + 2999, "\\n: 7\n\\x1b[2Jend\n");
    free(text);
    bs_free(name);
}

static void test_folded(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    bs_print_folded(out, 12, "%s %d", "one two three\nfour", 5);
    bs_print_folded(out, 0, "%s", "one two three four five six seven");
    bs_print_folded(out, 10, "%s", "");
    bs_print_folded(out, 6, "%s", "abcdefghij/klmno");
    fclose(out);
    assert_string_equal(text, "one two\n  three\\nfou\n  r 5\none two three four five six seven\n\n"
                              "abcdef\n  ghij\n  /\n  klmn\n  o\n");
    free(text);
}

static void test_shortened(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int columns;
        const char *shown;
    } shortened[] = {
        {"short", 5, "short"},
        {"longer", 5,
         "lo\xe2\x80\xa6"
         "er"},
        {"abcdefghij", 6, "ab\xe2\x80\xa6hij"},
        {"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 5, "\xe6\x97\xa5\xe2\x80\xa6\xe8\xaa\x9e"},
        {"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 6, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"},
    };
    for (size_t i = 0; i < sizeof shortened / sizeof *shortened; i++) {
        char out[64];
        bs_shorten(shortened[i].text, shortened[i].columns, out, sizeof out);
        assert_string_equal(out, shortened[i].shown);
        assert_true(bs_text_width(out, strlen(out)) <= shortened[i].columns);
    }
}

/* Messages are one line whatever they quote, and their own text again is left as it is. */
static void test_messages(void **state)
{
    (void)state;
    struct bs_error err;
    assert_int_equal(bs_fail(&err, BS_EDATA, "%s: unknown key '%s'", "config.json",
                             "\x1b[31mkey\nbitsweep: done"),
                     BS_EDATA);
    assert_string_equal(err.message, "config.json: unknown key '\\x1b[31mkey\\nbitsweep: done'");
    bs_fail_within(&err, "%s", "a\rb");
    assert_string_equal(err.message,
                        "a\\rb: config.json: unknown key '\\x1b[31mkey\\nbitsweep: done'");
    bs_fail(&err, BS_EDATA, "within %s", err.message);
    assert_int_equal(strncmp(err.message, "within a\\rb: config", 19), 0);
    char *longest = bs_calloc(9000, 1);
    memset(longest, '\n', 8999);
    bs_fail(&err, BS_EDATA, "%s", longest);
    assert_true(strlen(err.message) < sizeof err.message);
    assert_true(bs_is_plain(err.message));
    bs_free(longest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),    cmocka_unit_test(test_room),
        cmocka_unit_test(test_cut),       cmocka_unit_test(test_line),
        cmocka_unit_test(test_messages),  cmocka_unit_test(test_folded),
        cmocka_unit_test(test_shortened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

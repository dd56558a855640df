/* The YAML layer by itself, and what hostile files do to a config. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/config/config.h"
#include "eval/config/yaml.h"
#include "tests/support/folder.h"

static char path[80];

static int setup(void **state)
{
    folder_setup(state);
    snprintf(path, sizeof path, "%s", folder_file(&folder, "sweep.yaml"));
    return 0;
}

static void expect_place(const struct bs_yaml_node *node, int line, int column)
{
    assert_non_null(node);
    assert_int_equal(node->line, line);
    assert_int_equal(node->column, column);
}

static void test_tree_and_places(void **state)
{
    (void)state;
    const char *text = "a:  {b: [1, \"2\"], c: 'q',\n"
                       "  \"d\": }\n"
                       "e:\n"
                       "  - x: &n 1\n"
                       "  - [y, *n]\n"
                       "f: |\n"
                       "  two\n"
                       "  lines\n"
                       "g: ~\n"
                       "h: '~'\n";
    struct bs_yaml *yaml = NULL;
    struct bs_error err;
    assert_int_equal(bs_yaml_parse("p", text, strlen(text), &yaml, &err), BS_OK);
    const struct bs_yaml_node *root = bs_yaml_root(yaml), *a = bs_yaml_get(root, "a");
    expect_place(root, 1, 1);
    assert_int_equal(root->num_items, 10);
    expect_place(a, 1, 5);
    assert_int_equal(a->kind, BS_YAML_MAPPING);
    const struct bs_yaml_node *b = bs_yaml_get(a, "b");
    expect_place(b, 1, 9);
    assert_int_equal(b->kind, BS_YAML_SEQUENCE);
    assert_int_equal(b->num_items, 2);
    expect_place(b->items[1], 1, 13);
    assert_string_equal(b->items[1]->text, "2");
    assert_true(b->items[1]->quoted);
    assert_false(b->items[0]->quoted);
    expect_place(bs_yaml_get(a, "c"), 1, 22);
    expect_place(bs_yaml_get(a, "d"), 2, 3); /* nothing stands where its key does */
    assert_true(bs_yaml_is_null(bs_yaml_get(a, "d")));
    const struct bs_yaml_node *e = bs_yaml_get(root, "e");
    expect_place(e, 4, 3);
    expect_place(e->items[0], 4, 5);
    expect_place(bs_yaml_get(e->items[0], "x"), 4, 11);
    assert_ptr_equal(e->items[1]->items[1], bs_yaml_get(e->items[0], "x"));
    assert_string_equal(bs_yaml_get(root, "f")->text, "two\nlines\n");
    assert_true(bs_yaml_is_null(bs_yaml_get(root, "g")));
    assert_false(bs_yaml_is_null(bs_yaml_get(root, "h")));
    assert_null(bs_yaml_get(root, "i"));
    assert_null(bs_yaml_get(b, "1"));
    bs_yaml_free(yaml);
    bs_yaml_free(NULL);
}

/* A text of `count` times `part`. */
static char *repeated(const char *part, int count)
{
    size_t length = strlen(part);
    char *text = bs_alloc(length * (size_t)count + 1, 1);
    assert_non_null(text);
    for (int i = 0; i < count; i++)
        memcpy(text + length * (size_t)i, part, length);
    text[length * (size_t)count] = '\0';
    return text;
}

static void test_hostile_yaml(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size; /* 0 = to its end */
        const char *error;
    } cases[] = {
        {"", 0, ":1:1: error: the file is empty"},
        {"# nothing\n", 0, ":1:1: error: the file is empty"},
        {"---\n...\n", 0, ": error: the file is nothing, expected a mapping with model"},
        {"just words\n", 0, ":1:1: error: the file is 'just words', expected a mapping with"},
        {"- a\n", 0, ":1:1: error: the file is a list, expected a mapping with model"},
        {"m: 'a''b'\nn: 'a''''b'\n", 0, ":2:4: error: two quotes in a row within single quotes"},
        {"model: m\0x\n", 11, ":1:9: error: byte 0x00 is no text, expected YAML in UTF-8"},
        {"model: m\n\nx: \x1b[31m\n", 0, ":3:4: error: byte 0x1b is no text"},
        {"m: \"\xc3\xa9\" \xff\n", 0, ":1:8: error: byte 0xff is no text"},
        {"m: \xc0\x80\n", 0, ":1:4: error: byte 0xc0"},
        {"m: \xed\xa0\x80\n", 0, ":1:4: error: byte 0xed"},
        {"m: \xf4\x90\x80\x80\n", 0, ":1:4: error: byte 0xf4"},
        {"m: \xe2\x82", 0, ":1:4: error: byte 0xe2"},
        {"\xff\xfem\0:\0", 6, ":1:1: error: byte 0xff"},
        {"\x7f"
         "ELF\x02\x01\x01",
         0, ":1:1: error: byte 0x7f"},
        {"model:\n\tm: 1\n", 0, ":2:1: error: tab character"},
        {"model: [a, b\n", 0, ": error: "},
        {"model: {a: b\n", 0, ": error: "},
        {"model: \"m\n", 0, ": error: "},
        {"model: m\n  x: y\n", 0, ": error: "},
        {"model: m\n---\nmodel: n\n", 0, ":2:1: error: a second document ('---')"},
        {"model: !!str m\n", 0, ": error: a tag ('!...'), expected a value without one"},
        {"model: !x {a: b}\n", 0, ": error: a tag"},
        {"model: \"a\\0b\"\n", 0, ":1:8: error: a zero byte, expected text"},
        {"model: *none\n", 0, ":1:8: error: an alias ('*...') to no anchor"},
        {"model: &a [1, *a]\n", 0, ":1:15: error: an alias ('*...') to the value it is part of"},
        {"a: &a 1\n*a : 2\n1: 3\n", 0, ":3:1: error: the key '1' a second time"},
        {"? [a, b]\n: c\n", 0, ":1:3: error: a list as a key, expected a word"},
        {"{a: b}: c\n", 0, "error: a mapping as a key, expected a word"},
        {"<<: {model: m}\n", 0, ":1:1: error: unknown key '<<'"},
        {"\"a\\nb\\e[1m\": m\n", 0, "unknown key 'a\\nb\\x1b[1m'"},
        {"%YAML 9.9\n---\nmodel: m\n", 0, ": error: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_config config;
        struct bs_error err = {0};
        folder_write(&folder, "sweep.yaml", cases[i].text,
                     cases[i].size ? cases[i].size : strlen(cases[i].text));
        enum bs_status status = bs_config_load(path, NULL, &config, &err);
        if (status != BS_ECONFIG || !strstr(err.message, cases[i].error))
            fail_msg("'%s': status %d, '%s'", cases[i].text, status, err.message);
        assert_memory_equal(err.message, path, strlen(path));
    }
}

static void test_endless_yaml(void **state)
{
    (void)state;
    static const struct {
        const char *head, *part;
        int count;
        const char *error;
    } cases[] = {
        {"model: ", "[", 100000, "nested too deeply (32)"},
        {"", "- ", 100000, "nested too deeply (32)"},
        {"", "{a: ", 100000, "nested too deeply (32)"},
        {"", "? ", 100000, "nested too deeply (32)"},
        {"", "- a\n", 100000, "more values than a config may have (10000)"},
        {"", "a:\n", 100000, "more values than a config may have (10000)"},
        {"", "a: b\n", 4000, "the key 'a' a second time"},
        {"model: ", "xxxxxxxxxx", 100000, "evaluation is missing"},
        {"model: [", "&a ", 1000, ": error: "},
        /* The parser's time grows with their square: an hour for these. */
        {"sweep: >\n", "\n", 1000000, ":103:1: error: more than 100 blank lines in a row"},
        {"sweep: x\n", " \t\r\n", 250000, "more than 100 blank lines in a row"},
        {"sweep: \"x\n", "\r", 1000000, "more than 100 blank lines in a row"},
        {"sweep: [x\n", "\xc2\x85", 500000, "more than 100 blank lines in a row"},
        {"sweep: x", "\n\n\n\n\n\n\n\n y", 1000, "model is missing"},
        {"model: ", "x", 1100000, "1100007 bytes, expected a config of at most 1048576"},
        {"a: &a [1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\n"
         "d: &d [*c,*c,*c,*c,*c,*c]\nsweep: [",
         "*d, *c, *b, ", 1000, "in sweep, expected a grid"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *tail = repeated(cases[i].part, cases[i].count);
        bool list = !strncmp(cases[i].part, "*d", 2);
        char *text = bs_printf("%s%s%s", cases[i].head, tail, list ? "]\n" : "");
        struct bs_config config;
        struct bs_error err = {0};
        folder_write(&folder, "sweep.yaml", text, strlen(text));
        enum bs_status status = bs_config_load(path, NULL, &config, &err);
        if (status != BS_ECONFIG || !strstr(err.message, cases[i].error))
            fail_msg("%s...: status %d, '%s'", cases[i].part, status, err.message);
        bs_free(text);
        bs_free(tail);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_and_places),
        cmocka_unit_test(test_hostile_yaml),
        cmocka_unit_test(test_endless_yaml),
    };
    return cmocka_run_group_tests(tests, setup, folder_teardown);
}

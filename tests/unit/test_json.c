/* The JSON parser: what is valid is read, what is not is refused at its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "tests/support/allocation.h"

static const struct bs_json_rules any = {.any = true};
static const struct bs_json_rules strict = {.any = true, .strict = true};

static json_t *parse(const struct bs_json_rules *rules, const char *text, size_t size)
{
    struct bs_error err;
    json_t *value;
    if (bs_json_parse("x.json", rules, text, size, &value, &err))
        fail_msg("%s: %s", text, err.message);
    return value;
}

static void assert_refused(const struct bs_json_rules *rules, const char *text, size_t size,
                           const char *part)
{
    struct bs_error err = {0};
    json_t *value;
    assert_int_equal(bs_json_parse("x.json", rules, text, size, &value, &err), BS_EDATA);
    assert_null(value);
    if (!strstr(err.message, part) || strncmp(err.message, "x.json", 6))
        fail_msg("'%s' gives '%s', expected '%s'", text, err.message, part);
}

/* What the parser makes of a text, printed by jansson. */
static void assert_prints(const char *text, const char *want)
{
    json_t *value = parse(&any, text, strlen(text));
    char *got = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    assert_non_null(got);
    assert_string_equal(got, want);
    free(got);
    json_decref(value);
}

static void test_values(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {" null ", "null"},
        {"[]", "[]"},
        {"[ ]", "[]"},
        {"{ }", "{}"},
        {"\t[true,\nfalse , null]\r\n", "[true,false,null]"},
        {"-0", "0"},
        {"[0,-1,12,9223372036854775807,-9223372036854775808]",
         "[0,-1,12,9223372036854775807,-9223372036854775808]"},
        {"[1.5,1e2,-2.5E-1,1E+2]", "[1.5,100.0,-0.25,100.0]"},
        {"[9223372036854775808]", "[9.2233720368547758e18]"},
        {"[18446744073709551615,-18446744073709551616]",
         "[1.8446744073709552e19,-1.8446744073709552e19]"},
        {"1000000000000000019884624838656", "1e30"},
        {"\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"",
         "\"a\\\"\\\\/\\b\\f\\n\\r\\t\xc3\xa9\xf0\x9f\x98\x80\""},
        {"{\"a\":1,\"a\":1}", "{\"a\":1}"},
        {"{\"\":{\"b\":[{}]}}", "{\"\":{\"b\":[{}]}}"},
        {"\xef\xbb\xbf[1]", "[1]"},
        {"[NaN,Infinity,-Infinity]",
         "[{\"__float__\":\"NaN\"},{\"__float__\":\"Infinity\"},{\"__float__\":\"-Infinity\"}]"},
        {"[1e999]", "[{\"__float__\":\"Infinity\"}]"},
        {"[1e-999]", "[0.0]"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_prints(pairs[i][0], pairs[i][1]);
}

/* A 400-digit integer, in a key's place and in a value's; NUL in both. */
static void test_extremes(void **state)
{
    (void)state;
    char text[600] = "{\"n\": -";
    size_t used = strlen(text);
    memset(text + used, '7', 400);
    memcpy(text + used + 400, "}", 2);
    json_t *value = parse(NULL, text, strlen(text));
    assert_true(json_is_object(json_object_get(value, "n")));
    json_decref(value);

    static const char nul[] = "{\"\\u0000\": \"a\\u0000b\", \"k\\u0000\": 1, \"k\": 2}";
    value = parse(NULL, nul, sizeof nul - 1);
    const json_t *string = json_object_getn(value, "\0", 1);
    assert_int_equal(json_string_length(string), 3);
    assert_memory_equal(json_string_value(string), "a\0b", 3);
    assert_int_equal(json_integer_value(json_object_getn(value, "k\0", 2)), 1);
    assert_int_equal(json_integer_value(json_object_get(value, "k")), 2);
    json_decref(value);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "line 1, column 1: expected a value, but the text ends"},
        {"{\"a\":1,\n \"b\":}", "line 2, column 6: expected a value"},
        {"{\"\xc3\xa9\": tru}", "line 1, column 7: expected a value"},
        {"{\"a\" 1}", "column 6: expected ':'"},
        {"{a:1}", "column 2: expected a key in quotes"},
        {"{\"a\":1,}", "column 8: expected a key"},
        {"[1,]", "column 4: expected a value"},
        {"[1 2]", "column 4: expected ',' or ']'"},
        {"[1", "column 3: expected ',' or ']', but the text ends"},
        {"{\"a\":1", "column 7: expected ',' or '}', but the text ends"},
        {"[1]]", "column 4: text after the value"},
        {"01", "begins with 0"},
        {"-", "expected a value"},
        {"+1", "expected a value"},
        {".5", "expected a value"},
        {"1.", "expected a digit"},
        {"1e", "expected a digit"},
        {"0x10", "text after the value"},
        {"'a'", "expected a value"},
        {"\"a", "the text ends within a string"},
        {"\"a\nb\"", "column 3: a control character in a string, 0x0a"},
        {"\"\\x\"", "an escape that JSON does not have"},
        {"\"\\u12g4\"", "four hexadecimal digits"},
        {"\"\\u12\"", "four hexadecimal digits"},
        {"\"\\ud800\"", "half of a surrogate pair, \\ud800"},
        {"\"\\udc00\\ud800\"", "half of a surrogate pair"},
        {"\"\xff\"", "not UTF-8, 0xff"},
        {"\"\xc0\x80\"", "not UTF-8"},
        {"\"\xed\xa0\x80\"", "not UTF-8"},
        {"\"\xf4\x90\x80\x80\"", "not UTF-8"},
        {"\"\xe2\x82\"", "not UTF-8"},
        {"{\"a\":1,\n\"a\":2}", "line 2, column 1: duplicate key 'a', with another value"},
        {"\xff\xfe[", "expected a value"},
        {"nul", "expected a value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_refused(&any, cases[i][0], strlen(cases[i][0]), cases[i][1]);
    assert_refused(&any, "[1\0]", 4, "expected ',' or ']'");
    assert_refused(NULL, "[1]", 3, "x.json is valid JSON, but no object");
    assert_refused(&strict, "{\"a\":1,\"a\":1}", 13, "duplicate key 'a'");
    assert_refused(&strict, "\xef\xbb\xbf{}", 5, "expected a value");
    assert_refused(&strict, "NaN", 3, "expected a value");
}

static void test_rules(void **state)
{
    (void)state;
    static const char twice[] =
        "{\"text\": \"a\", \"id\": 1, \"id\": 2, \"m\": {\"x\": 1, \"x\": 2}}";
    const struct bs_json_rules one = {.read_key = "text", .line = 7, .column = 3};
    json_t *value = parse(&one, twice, sizeof twice - 1);
    assert_int_equal(json_integer_value(json_object_get(value, "id")), 2);
    json_decref(value);
    assert_refused(&one, "{\"text\": 1, \"text\": 2}", 22, "line 7, column 15: duplicate key");
    assert_refused(&one, "{\n\"text\": x}", 12, "line 8, column 9: expected a value");

    const struct bs_json_rules halves = {.any = true, .surrogates = true};
    value = parse(&halves, "\"\\ud83d!\"", 9);
    assert_string_equal(json_string_value(value), "\xed\xa0\xbd!");
    json_decref(value);
}

static void test_depth(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    char *text = bs_alloc(2 * DEEP, 1);
    memset(text, '[', DEEP);
    memset(text + DEEP, ']', DEEP);
    assert_refused(&any, text, 2 * DEEP, "nested deeper than 1000");
    json_t *value = parse(&any, text + DEEP - 1000, 2000);
    json_decref(value);
    bs_free(text);
}

/* A document of random values, written by jansson, is read as jansson reads it; cut short anywhere
 * it is refused. */
static json_t *random_value(unsigned *seed, int depth)
{
    *seed = *seed * 1664525u + 1013904223u;
    unsigned kind = *seed >> 29, number = *seed >> 8;
    static const char *const words[] = {"",         "a",        "\xc3\xa9\xe4\xb8\x80",
                                        "x\ny\"\\", "\x01\x1f", "\xf0\x9f\x98\x80"};
    const char *word = words[number % 6];
    if (depth < 5 && kind < 2) {
        json_t *list = json_array();
        for (unsigned i = 0; i < number % 5; i++)
            json_array_append_new(list, random_value(seed, depth + 1));
        return list;
    }
    if (depth < 5 && kind < 5) {
        json_t *object = json_object();
        for (unsigned i = 0; i < number % 5; i++)
            json_object_set_new(object, words[i], random_value(seed, depth + 1));
        return object;
    }
    return kind == 5    ? json_string(word)
           : kind == 6  ? json_real(number / 3.0 * (number % 2 ? 1e-9 : -1e12))
           : number % 3 ? json_integer((json_int_t)number * (json_int_t)number - 7)
                        : json_boolean(number % 2);
}

static void test_against_jansson(void **state)
{
    (void)state;
    unsigned seed = 5;
    for (int trial = 0; trial < 300; trial++) {
        json_t *list = json_array();
        json_array_append_new(list, random_value(&seed, 0));
        size_t flags = trial % 2 ? JSON_INDENT(2) | JSON_ENSURE_ASCII : JSON_COMPACT;
        char *text = json_dumps(list, flags);
        size_t size = strlen(text);
        json_t *want = json_loadb(text, size, 0, NULL), *got = parse(&any, text, size);
        if (!json_equal(got, want))
            fail_msg("read otherwise: %s", text);
        for (size_t cut = trial % 7; cut < size; cut += 7)
            assert_refused(&any, text, cut, "is not valid JSON: line ");
        json_decref(want);
        json_decref(got);
        json_decref(list);
        free(text);
    }
}

static void test_memory(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": [1, \"b\\u00e9\", {\"c\": 2.5}], \"d\": null}";
    struct bs_error err;
    enum bs_status status;
    long n = 0;
    do {
        json_t *value;
        bs_alloc_fail_at(++n);
        status = bs_json_parse("x.json", NULL, text, sizeof text - 1, &value, &err);
        assert_true(!status == (value != NULL));
        json_decref(value);
    } while (allocation_failed(n, status, &err));
    assert_true(n > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),  cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_rules),
        cmocka_unit_test(test_depth),   cmocka_unit_test(test_against_jansson),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

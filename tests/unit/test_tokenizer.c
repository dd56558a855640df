/* The embedded tokenizer against ids of the tokenizers library (tests/golden/tokens.json), and the
 * parts of a tokenizer.json one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/tokenizer/tokenizer.h"
#include "tests/support/allocation.h"
#include "tests/support/folder.h"
#include "tests/support/small_tokenizer.h"

static json_t *golden;

static int setup(void **state)
{
    folder_setup(state);
    golden = json_load_file("tests/golden/tokens.json", 0, NULL);
    return golden ? 0 : 1;
}

static int teardown(void **state)
{
    json_decref(golden);
    return folder_teardown(state);
}

static struct bs_tokenizer *open_tokenizer(const char *directory)
{
    struct bs_error err;
    struct bs_tokenizer *tokenizer;
    if (bs_tokenizer_open(directory, &tokenizer, &err))
        fail_msg("%s", err.message);
    return tokenizer;
}

static void check_ids(const struct bs_tokenizer *tokenizer, const char *name, const char *text,
                      size_t size, const json_t *want)
{
    struct bs_error err;
    int32_t *ids;
    size_t count;
    if (bs_tokenizer_encode(tokenizer, text, size, true, &ids, &count, &err))
        fail_msg("%s: %s", name, err.message);
    if (count != json_array_size(want))
        fail_msg("%s: %zu ids, expected %zu", name, count, json_array_size(want));
    for (size_t i = 0; i < count; i++)
        if (ids[i] != json_integer_value(json_array_get(want, i)))
            fail_msg("%s: id %zu is %d, expected %d", name, i, (int)ids[i],
                     (int)json_integer_value(json_array_get(want, i)));
    bs_free(ids);
}

static void test_golden_cases(void **state)
{
    (void)state;
    struct bs_tokenizer *tokenizer = open_tokenizer("datasets/tiny");
    assert_int_equal(bs_tokenizer_vocab_size(tokenizer), 4096);
    size_t i;
    json_t *one;
    static char joined[1 << 16];
    const json_t *cases = json_object_get(golden, "cases");
    assert_true(json_array_size(cases) > 30);
    json_array_foreach(cases, i, one)
    {
        const char *text = json_string_value(json_object_get(one, "text"));
        check_ids(tokenizer, json_string_value(json_object_get(one, "name")), text, strlen(text),
                  json_object_get(one, "ids"));
        size_t used = strlen(joined);
        snprintf(joined + used, sizeof joined - used, "%s%s", i ? "\n" : "", text);
    }
    check_ids(tokenizer, "joined", joined, strlen(joined), json_object_get(golden, "joined_ids"));
    json_array_foreach(json_object_get(golden, "hex_cases"), i, one)
    {
        const char *hex = json_string_value(json_object_get(one, "utf8_hex"));
        char text[256];
        size_t size = strlen(hex) / 2;
        for (size_t b = 0; b < size; b++) {
            char digits[3] = {hex[2 * b], hex[2 * b + 1], 0};
            text[b] = (char)strtoul(digits, NULL, 16);
        }
        check_ids(tokenizer, json_string_value(json_object_get(one, "name")), text, size,
                  json_object_get(one, "ids"));
    }
    bs_tokenizer_free(tokenizer);
}

static void test_golden_texts(void **state)
{
    (void)state;
    /* XXH3-128 of the ids of tokenizers 0.23.3, little-endian int32, made with Python's xxhash. */
    static const struct {
        const char *name, *digest;
    } texts[] = {{"calibration", "83b3b0732964ff2c0a5f1b31a37b4c13"},
                 {"evaluation", "d03005914cf46af53f0ed85e03c5bdd8"}};
    struct bs_tokenizer *tokenizer = open_tokenizer("datasets/tiny");
    for (size_t t = 0; t < 2; t++) {
        struct bs_error err;
        char path[64], *text;
        int32_t *ids;
        size_t size, count;
        snprintf(path, sizeof path, "datasets/commons/%s.txt", texts[t].name);
        assert_int_equal(bs_file_read(path, &text, &size, &err), BS_OK);
        assert_int_equal(bs_tokenizer_encode(tokenizer, text, size, true, &ids, &count, &err),
                         BS_OK);
        const json_t *want = json_object_get(json_object_get(golden, "texts"), texts[t].name);
        assert_int_equal(count, json_integer_value(json_object_get(want, "count")));
        for (size_t i = 0; i < 64; i++)
            assert_int_equal(ids[i],
                             json_integer_value(json_array_get(json_object_get(want, "first"), i)));
        assert_string_equal(bs_digest_of(ids, count * sizeof *ids).hex, texts[t].digest);
        bs_free(ids);
        bs_free(text);
    }
    bs_tokenizer_free(tokenizer);
}

/* Opens the file and compares the ids of text with `want`, which ends with -1; takes root. */
static void check_small(json_t *root, const char *text, const int *want)
{
    struct bs_error err;
    struct bs_tokenizer *tokenizer;
    int32_t *ids;
    size_t count, expected = 0;
    if (open_root(root, &tokenizer, &err) ||
        bs_tokenizer_encode(tokenizer, text, strlen(text), true, &ids, &count, &err))
        fail_msg("%s", err.message);
    while (want[expected] >= 0)
        expected++;
    assert_int_equal(count, expected);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(ids[i], want[i]);
    bs_free(ids);
    bs_tokenizer_free(tokenizer);
}

static void test_merges(void **state)
{
    (void)state;
    const char *plain = BYTE_LEVEL("false", "true");
    /* "b c" ranks before "a b", and "a bc" follows; "ab" alone still merges. */
    check_small(small_root(plain, small_model()), "abc ab", (int[]){ABC, ' ', AB, -1});
    check_small(small_root(plain, small_model()), "the thth\xc3\xa9",
                (int[]){THE, ' ', TH, TH, 0xc3, 0xa9, -1});
    check_small(small_root(plain, small_model()), "", (int[]){-1});
    /* Merges as pairs. */
    json_t *model = small_model(), *merges = json_object_get(model, "merges");
    json_array_set_new(merges, 0, json_pack("[s,s]", "t", "h"));
    check_small(small_root(plain, model), "the", (int[]){THE, -1});
}

static void test_ignore_merges(void **state)
{
    (void)state;
    /* Of " the", and of "ab" once its merge is gone, only the vocabulary tells. */
    for (int ignore = 0; ignore < 2; ignore++) {
        json_t *model = small_model();
        json_array_remove(json_object_get(model, "merges"), 5);
        json_object_set_new(model, "ignore_merges", json_boolean(ignore));
        check_small(small_root(BYTE_LEVEL("false", "true"), model), "ab ab the",
                    ignore ? (int[]){AB, ' ', 'a', 'b', BLANK_THE, -1}
                           : (int[]){'a', 'b', ' ', 'a', 'b', ' ', THE, -1});
    }
}

static void test_pre_tokenizers(void **state)
{
    (void)state;
    static const struct {
        const char *pre, *text;
        int want[12];
    } cases[] = {
        {BYTE_LEVEL("true", "true"), "the", {' ', THE, -1}},
        {BYTE_LEVEL("true", "true"), " the", {' ', THE, -1}},
        {BYTE_LEVEL("true", "true"), "\nthe", {' ', '\n', THE, -1}},
        {BYTE_LEVEL("false", "true"), "ab'the", {AB, '\'', 't', 'h', 'e', -1}}, /* 't, he */
        {BYTE_LEVEL("false", "false"), "ab'the", {AB, '\'', THE, -1}},
        {SEQUENCE("{\"type\":\"Digits\",\"individual_digits\":true}," BYTE_LEVEL("false", "true")),
         "12",
         {'1', '2', -1}},
        {SEQUENCE("{\"type\":\"Digits\",\"individual_digits\":false}," BYTE_LEVEL("false", "true")),
         "12",
         {TWELVE, -1}},
        {SEQUENCE(SPLIT("String", "h") "," BYTE_LEVEL("false", "false")),
         "the",
         {'t', 'h', 'e', -1}},
        {SEQUENCE(SPLIT("Regex", "\\\\s+|t") "," BYTE_LEVEL("false", "false")),
         "the ab",
         {'t', 'h', 'e', ' ', AB, -1}},
        {SEQUENCE(SPLIT("Regex", "[^\\\\s]") "," BYTE_LEVEL("true", "false")),
         "th",
         {BLANK_T, ' ', 'h', -1}},
        /* U+180E, a blank to PCRE2 but not to the tokenizers library: not cut off the letters. */
        {SEQUENCE(SPLIT("Regex", "\\\\S+") "," BYTE_LEVEL("true", "false")),
         "1\xe1\xa0\x8e"
         "2",
         {' ', '1', 0xe1, 0xa0, 0x8e, '2', -1}},
        {SEQUENCE(SPLIT("Regex", "\\\\p{N}{1,3}|(?i:'RE)") "," BYTE_LEVEL("true", "false")),
         "1212 're",
         {' ', TWELVE, '1', ' ', '2', ' ', ' ', '\'', 'r', 'e', -1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_small(small_root(cases[i].pre, small_model()), cases[i].text, cases[i].want);
}

static json_t *root_with_added(void)
{
    json_t *root = small_root(BYTE_LEVEL("false", "true"), small_model());
    json_t *list = json_object_get(root, "added_tokens");
    json_array_append_new(list, small_added("<a>", 264, false));
    json_array_append_new(list, small_added("<a><b>", 265, false));
    json_array_append_new(list, small_added("b<", 266, true));
    json_array_append_new(list, small_added("the", THE, true));
    json_array_append_new(list, small_added("", 900, true));
    return root;
}

static void test_added_tokens(void **state)
{
    (void)state;
    struct bs_tokenizer *tokenizer;
    struct bs_error err;
    check_small(root_with_added(), "<a>", (int[]){264, -1});
    check_small(root_with_added(), "<a><a><b>th", (int[]){264, 265, TH, -1}); /* the longest */
    check_small(root_with_added(), "<a <a><b", (int[]){'<', 'a', ' ', 264, '<', 'b', -1});
    /* Those not normalized are cut out first, even where one that is begins earlier. */
    check_small(root_with_added(), "ab<a>b<", (int[]){AB, 264, 266, -1});
    check_small(root_with_added(), "abthebc", (int[]){AB, THE, BC, -1});
    assert_int_equal(open_root(root_with_added(), &tokenizer, &err), BS_OK);
    assert_int_equal(bs_tokenizer_vocab_size(tokenizer), 901);
    bs_tokenizer_free(tokenizer);
}

static void test_utf8(void **state)
{
    (void)state;
    struct bs_tokenizer *tokenizer = open_tokenizer("datasets/tiny");
    static const struct {
        const char *text;
        const char *said; /* NULL: fine */
    } cases[] = {
        {"a\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
         NULL},
        {"ab\x80", "byte offset 2"},
        {"\xc3\xa9\xc1\x81", "byte offset 2"},
        {"a\xc3", "byte offset 1"},
        {"a\xc3(", "byte offset 1"},
        {"\xe0\x9f\xbf", "byte offset 0"},
        {"\xed\xa0\x80", "byte offset 0"},
        {"\xf0\x8f\xbf\xbf", "byte offset 0"},
        {"\xf4\x90\x80\x80", "byte offset 0"},
        {"\xf0\x9f\x98", "byte offset 0"},
        {"\xff", "byte offset 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bs_error err;
        int32_t *ids;
        size_t count;
        /* in memory of its exact size, so that reading past it is noticed */
        size_t size = strlen(cases[i].text);
        char *text = malloc(size);
        memcpy(text, cases[i].text, size);
        enum bs_status status =
            bs_tokenizer_encode(tokenizer, text, size, true, &ids, &count, &err);
        free(text);
        assert_int_equal(status, cases[i].said ? BS_EDATA : BS_OK);
        assert_true(!status == (ids != NULL));
        if (cases[i].said && !strstr(err.message, cases[i].said))
            fail_msg("case %zu: %s", i, err.message);
        bs_free(ids);
    }
    bs_tokenizer_free(tokenizer);
}

static void test_long_words(void **state)
{
    (void)state;
    /* Runs of a megabyte in each class: neither quadratic nor out of stack. */
    struct bs_tokenizer *tokenizer = open_tokenizer("datasets/tiny");
    enum { SIZE = 1 << 20 };
    char *text = bs_alloc(SIZE, 1);
    for (const char *c = "a \n1-"; *c; c++) {
        struct bs_error err;
        int32_t *ids;
        size_t count;
        memset(text, *c, SIZE);
        assert_int_equal(bs_tokenizer_encode(tokenizer, text, SIZE, true, &ids, &count, &err),
                         BS_OK);
        assert_true(count > 0 && count <= SIZE);
        bs_free(ids);
    }
    bs_free(text);
    bs_tokenizer_free(tokenizer);
}

static void test_memory(void **state)
{
    (void)state;
    static const char text[] = "the <a> ab 12 is \xc3\xa9";
    json_t *root = root_with_added();
    json_object_set_new(json_object_get(root, "model"), "ignore_merges", json_true());
    json_object_set_new(
        root, "pre_tokenizer",
        json_loads(SEQUENCE(SPLIT("Regex", "\\\\s+") "," BYTE_LEVEL("true", "true")), 0, NULL));
    assert_int_equal(json_dump_file(root, folder_file(&folder, "tokenizer.json"), 0), 0);
    json_decref(root);
    struct bs_error err;
    enum bs_status status;
    long n = 0;
    do {
        struct bs_tokenizer *tokenizer;
        int32_t *ids = NULL;
        size_t count;
        bs_alloc_fail_at(++n);
        status = bs_tokenizer_open(folder.path, &tokenizer, &err);
        assert_true(!status == (tokenizer != NULL));
        if (!status)
            status =
                bs_tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids, &count, &err);
        assert_true(!status == (ids != NULL));
        bs_free(ids);
        bs_tokenizer_free(tokenizer);
    } while (allocation_failed(n, status, &err));
    assert_true(n > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_cases),   cmocka_unit_test(test_golden_texts),
        cmocka_unit_test(test_merges),         cmocka_unit_test(test_ignore_merges),
        cmocka_unit_test(test_pre_tokenizers), cmocka_unit_test(test_added_tokens),
        cmocka_unit_test(test_utf8),           cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* Patterns see windows of a text: the matches are those of the whole, and the work is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "eval/base/mem.h"
#include "eval/tokenizer/pattern.h"

static struct bs_pattern *compile(const char *text, size_t size)
{
    struct bs_error err;
    struct bs_pattern *pattern;
    if (bs_pattern_create("here", text, size, BS_SYNTAX_PCRE2, &pattern, &err))
        fail_msg("%s", err.message);
    return pattern;
}

/* All matches of a pattern one after another, against those that the library finds in the whole. */
static void check_matches(const char *source, const char *text, size_t size)
{
    int code;
    PCRE2_SIZE where;
    pcre2_code *plain = pcre2_compile((PCRE2_SPTR)source, PCRE2_ZERO_TERMINATED,
                                      PCRE2_UTF | PCRE2_UCP, &code, &where, NULL);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    struct bs_pattern *pattern = compile(source, strlen(source));
    struct bs_matcher *matcher = bs_matcher_create(size);
    struct bs_error err;
    for (size_t at = 0, begin, end; at < size; at = end) {
        int found = pcre2_match(plain, (PCRE2_SPTR)text, size, at, PCRE2_NO_UTF_CHECK, data, NULL);
        const PCRE2_SIZE *want = pcre2_get_ovector_pointer(data);
        if (bs_pattern_next(pattern, matcher, text, size, at, &begin, &end, &err))
            fail_msg("%s", err.message);
        if (begin != (found > 0 ? want[0] : size) || end != (found > 0 ? want[1] : size))
            fail_msg("%s from %zu of %zu: %zu to %zu, expected %zu to %zu", source, at, size, begin,
                     end, found > 0 ? want[0] : size, found > 0 ? want[1] : size);
    }
    bs_matcher_free(matcher);
    bs_pattern_free(pattern);
    pcre2_match_data_free(data);
    pcre2_code_free(plain);
}

static const char *const honest[] = {
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    "(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "\\p{N}+",
    " {2,}",
    "(?<=a)b+|(?<!a) +1",
    "\xe4\xb8\xad",
};
enum { NUM_HONEST = sizeof honest / sizeof *honest };

/* Runs of a few characters, of lengths around the windows'. */
static void test_windows(void **state)
{
    (void)state;
    static const char *const letters[] = {"a", "b", " ",        "\n",
                                          "1", ".", "\xc3\xa9", "\xe4\xb8\xad"};
    static const unsigned lengths[] = {1, 2, 3, 40, 254, 255, 256, 257, 511, 512, 513, 1030};
    enum { ROOM = 1 << 16 };
    char *text = bs_alloc(ROOM, 1);
    unsigned seed = 3;
    for (int trial = 0; trial < 60; trial++) {
        size_t size = 0;
        for (int run = 0; run < 12; run++) {
            seed = seed * 1664525u + 1013904223u;
            const char *letter = letters[seed >> 29];
            for (unsigned i = lengths[(seed >> 16) % 12]; i > 0; i--) {
                memcpy(text + size, letter, strlen(letter));
                size += strlen(letter);
            }
        }
        for (int p = 0; p < NUM_HONEST; p++)
            check_matches(honest[p], text, size);
    }
    bs_free(text);
}

/* Runs as long as a large text cost honest patterns a few looks. */
static void test_honest(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    char *text = bs_alloc(SIZE, 1);
    for (const char *c = "a \n1.b"; *c; c++)
        for (int period = 1; period <= 3000; period += 2999) {
            memset(text, *c, SIZE);
            for (size_t i = 0; period > 1 && i < SIZE; i += 3000)
                text[i] = 'x';
            for (int p = 0; p < 4; p++)
                check_matches(honest[p], text, SIZE);
        }
    bs_free(text);
}

/* Patterns that look at the rest of the text, or at much of it, from every place. */
static void test_bounded(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        ".*z|.",      "(?:b|a)*z|.",    "[^z]*z|.",       "(?=[^z]*z)a|.", "(?>[^z]*)z|.",
        "(?:a+)+z|.", "(?:[^z]*z)?a|.", ".{1,9000}z|a?.", "[^yz]*[yz]",    "(?<=a)[^z]*z|.",
    };
    enum { SIZE = 1 << 20 };
    char *text = bs_alloc(SIZE, 1);
    memset(text, 'a', SIZE);
    for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
        struct bs_pattern *pattern = compile(patterns[p], strlen(patterns[p]));
        struct bs_matcher *matcher = bs_matcher_create(SIZE);
        struct bs_error err = {0};
        enum bs_status status = BS_OK;
        for (size_t at = 0, begin, end; at < SIZE && !status; at = end)
            status = bs_pattern_next(pattern, matcher, text, SIZE, at, &begin, &end, &err);
        if (status != BS_EDATA || !strstr(err.message, patterns[p]))
            fail_msg("%s: %d, %s", patterns[p], (int)status, err.message);
        bs_matcher_free(matcher);
        bs_pattern_free(pattern);
    }
    bs_free(text);
}

static void test_nul(void **state)
{
    (void)state;
    static const char text[] = "a\0\0b";
    struct bs_pattern *pattern = compile("\0+", 2);
    struct bs_matcher *matcher = bs_matcher_create(4);
    struct bs_error err;
    size_t begin, end;
    assert_int_equal(bs_pattern_next(pattern, matcher, text, 4, 0, &begin, &end, &err), BS_OK);
    assert_true(begin == 1 && end == 3);
    bs_matcher_free(matcher);
    bs_pattern_free(pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_honest),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

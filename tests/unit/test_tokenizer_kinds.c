/* Every kind of tokenizer against the ids that Hugging Face's libraries give for the hard texts of
 * tests/golden/tokenizers/expected.json (see tests/golden/make_tokenizers.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/tokenizer/tokenizer.h"
#include "tests/support/allocation.h"

static const char golden_folder[] = "tests/golden/tokenizers";
static json_t *golden;

static int setup(void **state)
{
    (void)state;
    golden = json_load_file("tests/golden/tokenizers/expected.json", 0, NULL);
    return golden ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

static enum bs_status open_kind(const char *kind, struct bs_tokenizer **tokenizer,
                                struct bs_error *err)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", golden_folder, kind);
    return bs_tokenizer_open(path, tokenizer, err);
}

/* Compares with want[front .. its end - after). */
static void check_ids(const struct bs_tokenizer *tokenizer, bool specials, const char *kind,
                      const char *name, const json_t *want, size_t front, size_t after)
{
    struct bs_error err;
    const json_t *text = json_object_get(json_object_get(golden, "texts"), name);
    size_t count, expected = json_array_size(want) - front - after;
    int32_t *ids;
    if (bs_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text), specials,
                            &ids, &count, &err))
        fail_msg("%s, %s: %s", kind, name, err.message);
    for (size_t i = 0; i < count && i < expected; i++)
        if (ids[i] != json_integer_value(json_array_get(want, front + i)))
            fail_msg("%s, %s: id %zu is %d, expected %d", kind, name, i, (int)ids[i],
                     (int)json_integer_value(json_array_get(want, front + i)));
    if (count != expected)
        fail_msg("%s, %s: %zu ids, expected %zu", kind, name, count, expected);
    bs_free(ids);
}

static void check_kind(const char *kind, const json_t *expected)
{
    struct bs_error err;
    struct bs_tokenizer *tokenizer;
    if (open_kind(kind, &tokenizer, &err))
        fail_msg("%s: %s", kind, err.message);
    const json_t *around = json_object_get(expected, "around");
    size_t front = (size_t)json_integer_value(json_array_get(around, 0));
    size_t after = (size_t)json_integer_value(json_array_get(around, 1));
    const char *name;
    json_t *want, *all = json_object_get(expected, "ids");
    assert_true(json_object_size(all) > 20);
    json_object_foreach(all, name, want)
    {
        check_ids(tokenizer, true, kind, name, want, 0, 0);
        check_ids(tokenizer, false, kind, name, want, front, after);
    }
    int32_t first = (int32_t)json_integer_value(json_array_get(json_object_get(all, "empty"), 0));
    assert_int_equal(bs_tokenizer_bos(tokenizer), front ? first : -1);
    bs_tokenizer_free(tokenizer);
}

static void test_kinds(void **state)
{
    (void)state;
    const char *kind;
    json_t *expected, *kinds = json_object_get(golden, "kinds");
    assert_true(json_object_size(kinds) >= 18);
    json_object_foreach(kinds, kind, expected) check_kind(kind, expected);
}

static void test_pieces(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_tokenizer *tokenizer;
    size_t size = 0;
    assert_int_equal(open_kind("llama2", &tokenizer, &err), BS_OK);
    assert_memory_equal(bs_tokenizer_piece(tokenizer, 1, &size), "<s>", 3);
    assert_int_equal(size, 3);
    assert_null(bs_tokenizer_piece(tokenizer, bs_tokenizer_vocab_size(tokenizer), &size));
    bs_tokenizer_free(tokenizer);
    /* an added token that the model's vocabulary lacks */
    assert_int_equal(open_kind("llama3", &tokenizer, &err), BS_OK);
    assert_memory_equal(bs_tokenizer_piece(tokenizer, bs_tokenizer_bos(tokenizer), &size),
                        "<|begin_of_text|>", 17);
    assert_int_equal(size, 17);
    bs_tokenizer_free(tokenizer);
}

/* Opens and encodes with the n-th allocation failing; true while there was one to fail. */
static bool fails_cleanly(const char *kind, const char *text, long n)
{
    struct bs_error err;
    struct bs_tokenizer *tokenizer;
    int32_t *ids = NULL;
    size_t count;
    bs_alloc_fail_at(n);
    enum bs_status status = open_kind(kind, &tokenizer, &err);
    assert_true(!status == (tokenizer != NULL));
    if (!status)
        status = bs_tokenizer_encode(tokenizer, text, strlen(text), true, &ids, &count, &err);
    assert_true(!status == (ids != NULL));
    bs_free(ids);
    bs_tokenizer_free(tokenizer);
    return allocation_failed(n, status, &err);
}

static void test_memory(void **state)
{
    (void)state;
    static const char *const kinds[] = {"llama2",        "t5",  "qwen2",         "falcon",
                                        "unigram_bytes", "opt", "llama2_config", "qwen2_config",
                                        "mistral"};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        long n = 1;
        while (fails_cleanly(kinds[k], "ab <word> e\xcc\x81\xcc\xa3 1234  \xe4\xb8\x80", n))
            n++;
        assert_true(n > 20);
    }
}

/* Runs of a megabyte, without and with a blank in them: neither quadratic nor out of stack. */
static void test_long_texts(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    static const char *const parts[] = {"a",     " ", "\n", "a ", "\xcc\x81", "\xcc\x81\xcc\xa3",
                                        "<word>"};
    const char *kind;
    json_t *expected;
    char *text = bs_alloc(SIZE, 1);
    json_object_foreach(json_object_get(golden, "kinds"), kind, expected)
    {
        struct bs_error err;
        struct bs_tokenizer *tokenizer;
        assert_int_equal(open_kind(kind, &tokenizer, &err), BS_OK);
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
            int32_t *ids;
            size_t count, size = strlen(parts[p]), used = 0;
            for (; used + size <= SIZE; used += size)
                memcpy(text + used, parts[p], size);
            if (bs_tokenizer_encode(tokenizer, text, used, true, &ids, &count, &err))
                fail_msg("%s, part %zu: %s", kind, p, err.message);
            bs_free(ids);
        }
        bs_tokenizer_free(tokenizer);
    }
    bs_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_long_texts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

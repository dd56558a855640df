/* Tokenizers as transformers 5.24 and 4.57 save them, against the ids that 5.24 gives (see
 * tests/golden/saved_tokenizers.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <zlib.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/data/text.h"
#include "eval/tokenizer/tokenizer.h"
#include "tests/support/folder.h"

static json_t *golden, *texts;

static int setup(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_text text;
    const struct bs_text_format whole = {.documents = BS_DOCUMENT_FILE, .join = ""};
    folder = folder_create();
    if (bs_text_read("tests/golden/saved_tokenizers.json.gz", &whole, &text, &err) ||
        bs_json_parse("saved_tokenizers.json", NULL, text.bytes, text.size, &golden, &err))
        return 1;
    bs_text_release(&text);
    json_t *kinds;
    if (bs_json_read("tests/golden/tokenizers/expected.json", &kinds, &err))
        return 1;
    texts = json_incref(json_object_get(kinds, "texts"));
    json_decref(kinds);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(golden);
    json_decref(texts);
    folder_remove(&folder);
    return 0;
}

static void write_files(json_t *files)
{
    const char *name;
    json_t *index;
    json_object_foreach(files, name, index)
    {
        const json_t *content =
            json_array_get(json_object_get(golden, "contents"), (size_t)json_integer_value(index));
        folder_write(&folder, name, json_string_value(content), json_string_length(content));
    }
}

static void remove_files(json_t *files)
{
    const char *name;
    json_t *index;
    json_object_foreach(files, name, index) remove(folder_file(&folder, name));
}

static void check_ids(const struct bs_tokenizer *tokenizer, const char *family, const char *name,
                      const json_t *want)
{
    struct bs_error err;
    const json_t *text = json_object_get(texts, name);
    int32_t *ids;
    size_t count;
    if (bs_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text), true,
                            &ids, &count, &err))
        fail_msg("%s, %s: %s", family, name, err.message);
    json_int_t sum = (json_int_t)crc32(0, (const unsigned char *)ids, (unsigned)(4 * count));
    if ((json_int_t)count != json_integer_value(json_array_get(want, 0)) ||
        sum != json_integer_value(json_array_get(want, 1)))
        fail_msg("%s, %s: other ids, %zu of them", family, name, count);
    bs_free(ids);
}

static void check_family(const char *family, const json_t *saved)
{
    struct bs_error err;
    struct bs_tokenizer *tokenizer;
    const char *name;
    json_t *want, *ids = json_object_get(saved, "ids");
    write_files(json_object_get(saved, "files"));
    if (bs_tokenizer_open(folder.path, &tokenizer, &err))
        fail_msg("%s: %s", family, err.message);
    assert_true(json_object_size(ids) > 20);
    json_object_foreach(ids, name, want) check_ids(tokenizer, family, name, want);
    bs_tokenizer_free(tokenizer);
    remove_files(json_object_get(saved, "files"));
}

static void test_saved(void **state)
{
    (void)state;
    const char *version, *family;
    json_t *families, *saved;
    size_t count = 0;
    json_object_foreach(json_object_get(golden, "saved"), version, families)
    {
        json_object_foreach(families, family, saved)
        {
            check_family(family, saved);
            count++;
        }
    }
    assert_true(count > 75);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_saved)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

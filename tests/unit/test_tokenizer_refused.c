/* What of a tokenizer.json is refused: parts that are not known, damage, what repeats without
 * end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/tokenizer/tokenizer.h"
#include "tests/support/folder.h"
#include "tests/support/small_tokenizer.h"

static void expect_refusal(json_t *root, enum bs_status status, const char *said)
{
    struct bs_error err = {0};
    struct bs_tokenizer *tokenizer;
    enum bs_status got = open_root(root, &tokenizer, &err);
    assert_null(tokenizer);
    if (got != status || !strstr(err.message, said) || !strstr(err.message, "tokenizer.json"))
        fail_msg("expected %d with '%s', got %d, %s", status, said, got, err.message);
}

static void test_refused_pre_tokenizers(void **state)
{
    (void)state;
    static const struct {
        const char *pre, *said;
    } cases[] = {
        {"{\"type\":\"BertPreTokenizer\"}", "'BertPreTokenizer'"},
        {"{}", "pre_tokenizer"},
        {"[]", "pre_tokenizer"},
        {SEQUENCE(BYTE_LEVEL("false", "true") "," BYTE_LEVEL("false", "true")), "'ByteLevel'"},
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"new_option\":1}", "'new_option'"},
        /* what PCRE2 and Oniguruma read differently */
        {SEQUENCE(SPLIT("Regex", "\\\\w+") "," BYTE_LEVEL("false", "true")), "'\\w+' at byte 0"},
        {SEQUENCE(SPLIT("Regex", "a\\\\b") "," BYTE_LEVEL("false", "true")), "'\\b' at byte 1"},
        {SEQUENCE(SPLIT("Regex", "\\\\p{Han}") "," BYTE_LEVEL("false", "true")), "\\p{Han}"},
        {SEQUENCE(SPLIT("Regex", "[a[^b]]") "," BYTE_LEVEL("false", "true")), "'[^b]]'"},
        {SEQUENCE(SPLIT("Regex", "[a-[b]]") "," BYTE_LEVEL("false", "true")), "'[b]]'"},
        {SEQUENCE(SPLIT("Regex", "[a[b-]]") "," BYTE_LEVEL("false", "true")), "']]'"},
        {SEQUENCE(SPLIT("Regex", "[[:alpha:]]") "," BYTE_LEVEL("false", "true")),
         "'[:alpha:' at byte 1"},
        {SEQUENCE(SPLIT("Regex", "[a&&b]") "," BYTE_LEVEL("false", "true")), "'&&b]'"},
        {SEQUENCE(SPLIT("Regex", "[\\\\S]") "," BYTE_LEVEL("false", "true")), "'\\S]'"},
        {SEQUENCE(SPLIT("Regex", "a\\\\b") "," BYTE_LEVEL("false", "true")), "'\\b'"},
        {SEQUENCE(SPLIT("Regex", "a{1,3}+") "," BYTE_LEVEL("false", "true")), "'}+'"},
        {SEQUENCE(SPLIT("Regex", "(?i)a") "," BYTE_LEVEL("false", "true")), "'(?i)a'"},
        {SEQUENCE(SPLIT("Regex", "a*") "," BYTE_LEVEL("false", "true")), "empty string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_refusal(small_root(cases[i].pre, small_model()), BS_EUNSUPPORTED, cases[i].said);
    expect_refusal(
        small_root(SEQUENCE(SPLIT("Regex", "(a") "," BYTE_LEVEL("false", "true")), small_model()),
        BS_EDATA, "'(a'");
    expect_refusal(small_root("{\"type\":\"Sequence\"}", small_model()), BS_EDATA, "pretokenizers");
}

static json_t *plain_root(void) { return small_root(BYTE_LEVEL("false", "true"), small_model()); }

static void test_refused_parts(void **state)
{
    (void)state;
    json_t *root = plain_root();
    json_object_set_new(root, "normalizer", json_pack("{s:s}", "type", "StripAccents"));
    expect_refusal(root, BS_EUNSUPPORTED, "normalizer 'StripAccents'");
    root = plain_root();
    json_object_set_new(root, "novelty", json_true());
    expect_refusal(root, BS_EUNSUPPORTED, "'novelty'");
    static const char *const options[] = {"{\"type\": \"WordPiece\"}", "{\"dropout\": 0.1}",
                                          "{\"continuing_subword_prefix\": \"##\"}",
                                          "{\"end_of_word_suffix\": \"</w>\"}",
                                          "{\"novelty\": null}"};
    static const char *const said[] = {"'WordPiece'", "dropout", "continuing_subword_prefix",
                                       "end_of_word_suffix", "'novelty'"};
    for (int i = 0; i < 5; i++) {
        root = plain_root();
        json_t *more = json_loads(options[i], 0, NULL);
        json_object_update(json_object_get(root, "model"), more);
        json_decref(more);
        expect_refusal(root, BS_EUNSUPPORTED, said[i]);
    }
}

/* Replaces one part of a sound file. */
static json_t *root_with(const char *key, const char *part)
{
    json_t *root = plain_root();
    json_t *value = json_loads(part, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    json_object_set_new(root, key, value);
    return root;
}

static void test_refused_further_parts(void **state)
{
    (void)state;
    static const struct {
        const char *key, *part;
        enum bs_status status;
        const char *said;
    } cases[] = {
        {"normalizer", "{}", BS_EUNSUPPORTED, "normalizer ''"},
        {"normalizer", "{\"type\":\"BertNormalizer\"}", BS_EUNSUPPORTED, "'BertNormalizer'"},
        {"normalizer", "{\"type\":\"NFC\",\"novelty\":1}", BS_EUNSUPPORTED, "'novelty'"},
        {"normalizer", "{\"type\":\"Prepend\",\"prepend\":1}", BS_EDATA, "prepend"},
        {"normalizer", "{\"type\":\"Replace\",\"content\":\"a\"}", BS_EDATA, "pattern"},
        {"normalizer", "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(\"},\"content\":\"\"}",
         BS_EDATA, "'('"},
        {"normalizer", "{\"type\":\"Strip\",\"strip_left\":1,\"strip_right\":true}", BS_EDATA,
         "strip_left"},
        {"normalizer", "{\"type\":\"Sequence\"}", BS_EDATA, "normalizers"},
        {"normalizer", "{\"type\":\"Precompiled\"}", BS_EDATA, "precompiled_charsmap"},
        {"normalizer", "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"////////\"}", BS_EDATA,
         "precompiled_charsmap"},
        {"normalizer", "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAAAAAD/\"}",
         BS_EDATA, "UTF-8"},
        {"pre_tokenizer", "{\"type\":\"Metaspace\"}", BS_EDATA, "replacement"},
        {"pre_tokenizer", "{\"type\":\"Metaspace\",\"replacement\":\"ab\"}", BS_EDATA,
         "replacement"},
        {"pre_tokenizer",
         "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}", BS_EDATA,
         "'last'"},
        {"pre_tokenizer",
         "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false}", BS_EDATA,
         "add_prefix_space"},
        {"pre_tokenizer",
         "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Gone\"}", BS_EDATA,
         "'Gone'"},
        {"pre_tokenizer", "{\"type\":\"Digits\",\"individual_digits\":3}", BS_EDATA,
         "individual_digits"},
        {"post_processor", "{\"type\":\"Novelty\"}", BS_EUNSUPPORTED, "'Novelty'"},
        {"post_processor", "{\"type\":\"TemplateProcessing\"}", BS_EDATA, "single"},
        {"post_processor",
         "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}}]}", BS_EDATA,
         "piece 0"},
        {"post_processor",
         "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}}],"
         "\"special_tokens\":{}}",
         BS_EDATA, "'<s>'"},
        {"post_processor",
         "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}}],"
         "\"special_tokens\":{\"<s>\":{\"ids\":[2147483648]}}}",
         BS_EDATA, "'<s>' has no valid id"},
        {"post_processor", "{\"type\":\"BertProcessing\",\"cls\":[\"a\",-1],\"sep\":[\"b\",2]}",
         BS_EDATA, "'cls'"},
        {"post_processor", "{\"type\":\"Sequence\"}", BS_EDATA, "processors"},
        {"model", "{\"type\":\"Unigram\"}", BS_EDATA, "vocab"},
        {"model", "{\"type\":\"Unigram\",\"vocab\":[[\"a\",\"b\"]]}", BS_EDATA, "entry 0"},
        {"model", "{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]],\"unk_id\":1}", BS_EDATA, "unk_id"},
        {"added_tokens", "{}", BS_EDATA, "added_tokens"},
        {"added_tokens", "[{\"id\":264,\"content\":\"x y\",\"lstrip\":1}]", BS_EDATA, "lstrip"},
        {"added_tokens", "[{\"id\":265,\"content\":\"x y\"}]", BS_EDATA, "264"},
        {"added_tokens", "[{\"id\":264,\"content\":\"x y\"},{\"id\":264,\"content\":\"x y\"}]",
         BS_EDATA, "twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_refusal(root_with(cases[i].key, cases[i].part), cases[i].status, cases[i].said);
}

/* Parts that repeat without end: steps, nesting, growth. */
static void test_excess(void **state)
{
    (void)state;
    struct bs_tokenizer *tokenizer;
    struct bs_error err;
    json_t *steps = json_array(), *nested = json_pack("{s:s}", "type", "NFC");
    for (int i = 0; i < 200; i++)
        json_array_append_new(steps, json_pack("{s:s}", "type", "WhitespaceSplit"));
    json_t *root = plain_root();
    json_object_set_new(root, "pre_tokenizer",
                        json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", steps));
    expect_refusal(root, BS_EUNSUPPORTED, "more than 32 steps");
    for (int i = 0; i < 3000; i++)
        nested = json_pack("{s:s, s:[o]}", "type", "Sequence", "normalizers", nested);
    root = plain_root();
    json_object_set_new(root, "normalizer", nested);
    assert_int_not_equal(open_root(root, &tokenizer, &err), BS_OK);

    json_t *growth = json_array();
    for (int i = 0; i < 32; i++)
        json_array_append_new(growth, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern",
                                                "String", "a", "content", "aaaaaaaa"));
    root = plain_root();
    json_object_set_new(root, "normalizer",
                        json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", growth));
    int32_t *ids;
    size_t count;
    assert_int_equal(open_root(root, &tokenizer, &err), BS_OK);
    assert_int_equal(bs_tokenizer_encode(tokenizer, "a", 1, true, &ids, &count, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "normalizer"));
    bs_tokenizer_free(tokenizer);
}

static void test_damaged(void **state)
{
    (void)state;
    json_t *root = plain_root(), *model = json_object_get(root, "model");
    json_object_del(model, "vocab");
    expect_refusal(root, BS_EDATA, "vocab");
    root = plain_root();
    json_object_del(json_object_get(root, "model"), "merges");
    expect_refusal(root, BS_EDATA, "merges");
    root = plain_root();
    json_object_del(root, "model");
    expect_refusal(root, BS_EDATA, "model");
    static const char *const merges[] = {"\"ab\"",     "\"a b c\"", "[\"a\"]", "7",
                                         "[\"a\", 1]", "\"a zz\"",  "\"a a\""};
    static const char *const said[] = {"no pair",
                                       "no pair",
                                       "no pair",
                                       "no pair",
                                       "no pair",
                                       "'zz' is not in vocab",
                                       "'aa' is not in vocab"};
    for (int i = 0; i < 7; i++) {
        root = plain_root();
        json_array_append_new(json_object_get(json_object_get(root, "model"), "merges"),
                              json_loads(merges[i], JSON_DECODE_ANY, NULL));
        expect_refusal(root, BS_EDATA, "merges: entry 7");
        root = plain_root();
        json_array_append_new(json_object_get(json_object_get(root, "model"), "merges"),
                              json_loads(merges[i], JSON_DECODE_ANY, NULL));
        expect_refusal(root, BS_EDATA, said[i]);
    }
    static const char *const ids[] = {"-1", "2147483647", "\"5\"", "1.5"};
    for (int i = 0; i < 4; i++) {
        root = plain_root();
        json_object_set_new(json_object_get(json_object_get(root, "model"), "vocab"), "the",
                            json_loads(ids[i], JSON_DECODE_ANY, NULL));
        expect_refusal(root, BS_EDATA, "'the'");
        root = plain_root();
        json_t *token = small_added("<x>", 300, false);
        json_object_set_new(token, "id", json_loads(ids[i], JSON_DECODE_ANY, NULL));
        json_array_append_new(json_object_get(root, "added_tokens"), token);
        expect_refusal(root, BS_EDATA, "'<x>'");
    }
    root = plain_root();
    json_array_append_new(json_object_get(root, "added_tokens"), small_added("the", 300, false));
    expect_refusal(root, BS_EDATA, "'the' has id 300, but 257 in vocab");

    struct bs_error err;
    struct bs_tokenizer *tokenizer;
    folder_write_text(&folder, "tokenizer.json", "{\"model\": {\n \"type\" \"BPE\"}}");
    assert_int_equal(bs_tokenizer_open(folder.path, &tokenizer, &err), BS_EDATA);
    assert_non_null(strstr(err.message, "line 2"));
    assert_int_equal(bs_tokenizer_open("datasets/none", &tokenizer, &err), BS_EIO);
    assert_non_null(strstr(err.message, "datasets/none/tokenizer.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_pre_tokenizers),
        cmocka_unit_test(test_refused_parts),
        cmocka_unit_test(test_refused_further_parts),
        cmocka_unit_test(test_excess),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}

/* What tokenizer_config.json and its neighbours make of a tokenizer: the class, the options, the
 * tokens added. What transformers 5.24 gives for whole families is in test_tokenizer_saved.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/tokenizer/tokenizer.h"
#include "tests/support/folder.h"

/* A BPE of single letters and "ab", with a blank as byte-level spells it (6), and two added
 * tokens. */
#define VOCAB                                                                                      \
    "{\"a\":0,\"b\":1,\"ab\":2,\"<\":3,\">\":4,\"s\":5,\"\\u0120\":6,\"\\u0120a\":7,\"x\":8,"      \
    "\"\\u0000\":9,\"a\\u0000\":10,\"\\u2581\":11}"
#define MERGES "[[\"a\",\"b\"],[\"\\u0120\",\"a\"],[\"a\",\"\\u0000\"]]"
#define ADDED(id, content, special)                                                                \
    "{\"id\":" #id ",\"content\":\"" content "\",\"single_word\":false,\"lstrip\":false,"          \
    "\"rstrip\":false,\"normalized\":false,\"special\":" #special "}"
#define BYTE_LEVEL(prefix)                                                                         \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":" #prefix                                        \
    ",\"trim_offsets\":true,\"use_regex\":true}"
#define TOKENIZER(pre, post)                                                                       \
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[" ADDED(          \
        12, "<s>",                                                                                 \
        true) "," ADDED(13, "<x>",                                                                 \
                        false) "],\"normalizer\":null,\"pre_tokenizer\":" pre                      \
                               ",\"post_processor\":" post                                         \
                               ",\"decoder\":null,\"model\":{\"type\":\"BPE\",\"dropout\":null,"   \
                               "\"unk_token\":null,\"fuse_unk\":false,\"byte_fallback\":false,"    \
                               "\"vocab\":" VOCAB ",\"merges\":" MERGES "}}"

static void put(const char *name, const char *text)
{
    if (text)
        folder_write_text(&folder, name, text);
    else
        remove(folder_file(&folder, name));
}

/* The ids of a text, with a blank after each. */
static const char *encode(const char *text, size_t size)
{
    static char out[256];
    struct bs_error err;
    struct bs_tokenizer *tokenizer;
    int32_t *ids;
    size_t count, used = 0;
    if (bs_tokenizer_open(folder.path, &tokenizer, &err) ||
        bs_tokenizer_encode(tokenizer, text, size, true, &ids, &count, &err))
        fail_msg("%s", err.message);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(out + used, sizeof out - used, "%d ", (int)ids[i]);
    bs_free(ids);
    bs_tokenizer_free(tokenizer);
    return out;
}

static void assert_ids(const char *config, const char *model_config, const char *text,
                       const char *want)
{
    put("tokenizer_config.json", config);
    put("config.json", model_config);
    const char *got = encode(text, strlen(text));
    if (strcmp(got, want))
        fail_msg("%s: '%s' gives %s, expected %s", config ? config : "no config", text, got, want);
}

static void assert_refused(const char *config, enum bs_status status, const char *part)
{
    struct bs_error err = {0};
    struct bs_tokenizer *tokenizer;
    put("tokenizer_config.json", config);
    if (bs_tokenizer_open(folder.path, &tokenizer, &err) != status || !strstr(err.message, part))
        fail_msg("%s: %s", config, err.message);
    if (!strstr(err.message, folder.path))
        fail_msg("no file named: %s", err.message);
}

/* Where the file's pipeline counts, and where a class has its own. */
static void test_class(void **state)
{
    (void)state;
    put("tokenizer.json", TOKENIZER(BYTE_LEVEL(true), "null"));
    static const char *const whole[] = {
        NULL,
        "{}",
        "{\"tokenizer_class\": null}",
        "{\"tokenizer_class\": \"TokenizersBackend\", \"add_prefix_space\": false}",
        "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"add_prefix_space\": false}",
        "{\"tokenizer_class\": \"LlamaTokenizerFast\"}", /* but byte-level */
        "{\"tokenizer_class\": \"BloomTokenizerFast\"}",
        "{\"tokenizer_class\": \"SomeTokenizer\"}",
    };
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        assert_ids(whole[i], NULL, "ab", "6 2 ");
    /* GPT-2's own pre_tokenizer, whatever the file says */
    assert_ids("{\"tokenizer_class\": \"GPT2Tokenizer\"}", NULL, "ab", "2 ");
    assert_ids("{\"tokenizer_class\": \"GPT2TokenizerFast\", \"add_prefix_space\": true}", NULL,
               "ab", "6 2 ");
    assert_ids("{\"tokenizer_class\": \"GPT2Tokenizer\", \"add_prefix_space\": null}", NULL, "ab",
               "2 ");
    /* by model_type, with or against what is named */
    assert_ids(NULL, "{\"model_type\": \"gpt2\"}", "ab", "2 ");
    assert_ids(NULL, "{\"model_type\": \"llama\"}", "ab", "6 2 ");
    assert_ids(NULL, "{\"model_type\": \"llama\", \"tokenizer_class\": \"GPT2Tokenizer\"}", "ab",
               "2 ");
    assert_ids("{\"tokenizer_class\": \"GPT2Tokenizer\"}", "{\"model_type\": \"granite\"}", "ab",
               "6 2 ");
    assert_ids("{\"tokenizer_class\": \"GPT2Tokenizer\"}", "{\"model_type\": \"phi3\"}", "ab",
               "6 2 ");
    assert_ids("{\"tokenizer_class\": \"PreTrainedTokenizerFast\"}", "{\"model_type\": \"qwen2\"}",
               "ab", "2 ");
    assert_ids("{\"tokenizer_class\": \"PreTrainedTokenizerFast\"}", "{\"model_type\": \"gpt2\"}",
               "ab", "6 2 ");
    assert_refused("{\"tokenizer_class\": \"T5TokenizerFast\"}", BS_EUNSUPPORTED,
                   "tokenizer_class 'T5TokenizerFast'");
    /* as transformers 5.0 saves the byte-level tokenizer of a GGUF file; it, and 5.24, read back
       what is nearly all unknown tokens */
    assert_refused("{\"tokenizer_class\": \"CodeLlamaTokenizer\", \"backend\": \"tokenizers\"}",
                   BS_EUNSUPPORTED, "tokenizer_class 'CodeLlamaTokenizer' knows no bytes");
    assert_refused("{\"tokenizer_class\": \"GemmaTokenizer\"}", BS_EUNSUPPORTED,
                   "tokenizer_class 'GemmaTokenizer' knows no bytes");
    put("config.json", NULL);
    assert_refused("{\"tokenizer_class\": \"OwnTokenizer\", \"auto_map\": {\"AutoTokenizer\": "
                   "[\"own.OwnTokenizer\", null]}}",
                   BS_EUNSUPPORTED, "'own.OwnTokenizer'");
    assert_ids("{\"tokenizer_class\": \"GPT2Tokenizer\", \"auto_map\": {\"AutoTokenizer\": "
               "[\"own.OwnTokenizer\", null]}}",
               NULL, "ab", "2 ");
}

/* As transformers writes the file by default; what has no bearing on ids may be anything. */
static void test_harmless(void **state)
{
    (void)state;
    put("tokenizer.json", TOKENIZER(BYTE_LEVEL(false), "null"));
    assert_ids(
        "\xef\xbb\xbf{\"backend\": \"tokenizers\", \"is_local\": true, \"local_files_only\": "
        "true, \"model_max_length\": 1000000000000000019884624838656, \"eos_token\": "
        "\"<s>\", \"clean_up_tokenization_spaces\": true, \"padding_side\": \"left\", "
        "\"chat_template\": \"{{ messages }}\", \"sp_model_kwargs\": {}, \"legacy\": true, "
        "\"fast_tokenizer_files\": [\"tokenizer.json\"], \"init_inputs\": [], \"name_or_path\": "
        "\"x\", \"max_length\": -170141183460469231731687303715884105728, "
        "\"add_bos_token\": true, \"add_eos_token\": true, \"extra_special_tokens\": {}, "
        "\"tokenizer_class\": \"TokenizersBackend\", \"fix_mistral_regex\": true}",
        NULL, "ab<s>", "2 12 ");
}

/* `wanted`: the options that are said not to come true, in order, or NULL. */
static void assert_notices(const char *config, const char *const wanted[3])
{
    struct bs_error err = {0};
    struct bs_tokenizer *tokenizer;
    int count = 0;
    put("tokenizer_config.json", config);
    if (bs_tokenizer_open(folder.path, &tokenizer, &err))
        fail_msg("%s: %s", config, err.message);
    const struct bs_lines *notices = bs_tokenizer_notices(tokenizer);
    for (; count < 3 && wanted[count]; count++)
        if (count >= notices->count || !strstr(notices->lines[count], wanted[count]))
            fail_msg("%s: no word of '%s'", config, wanted[count]);
    if (notices->count != count)
        fail_msg("%s: %d notices, expected %d", config, notices->count, count);
    bs_tokenizer_free(tokenizer);
}

/* An option that the files do not follow is said; one that comes true is not. */
static void test_notices(void **state)
{
    (void)state;
    static const char *const none[3] = {NULL};
    static const char *const all[3] = {"add_bos_token is true, but no token",
                                       "add_eos_token is true, but no token",
                                       "add_prefix_space is true, but no blank"};
    static const char *const bos[3] = {"add_bos_token is false, but a token", NULL};
    static const char *const blank[3] = {"add_prefix_space is false, but a blank", NULL};
    put("tokenizer.json", TOKENIZER(BYTE_LEVEL(false), "null"));
    assert_notices("{\"add_bos_token\": true, \"add_eos_token\": true, \"add_prefix_space\": true}",
                   all);
    assert_notices("{\"add_bos_token\": false, \"add_eos_token\": null}", none);
    /* a class that follows it */
    assert_notices("{\"tokenizer_class\": \"GPT2Tokenizer\", \"add_prefix_space\": true}", none);
    put("tokenizer.json",
        TOKENIZER("{\"type\":\"Sequence\",\"pretokenizers\":[" BYTE_LEVEL(true) "]}", "null"));
    assert_notices("{\"add_prefix_space\": false}", blank);
    assert_notices("{\"add_prefix_space\": true}", none);
    put("tokenizer.json",
        TOKENIZER(
            "{\"type\":\"Metaspace\",\"replacement\":\"\u2581\",\"prepend_scheme\":"
            "\"first\",\"split\":false}",
            "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\","
            "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],"
            "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[12],\"tokens\":[\"<s>\"]}}}"));
    assert_notices(
        "{\"add_bos_token\": false, \"add_eos_token\": false, \"add_prefix_space\": true}", bos);
    assert_notices("{\"add_prefix_space\": false}", blank);
}

static void test_split_special(void **state)
{
    (void)state;
    put("tokenizer.json", TOKENIZER(BYTE_LEVEL(false), "null"));
    assert_ids("{}", NULL, "<s><x>", "12 13 ");
    assert_ids("{\"split_special_tokens\": false}", NULL, "<s><x>", "12 13 ");
    assert_ids("{\"split_special_tokens\": true}", NULL, "<s><x>", "3 5 4 13 ");
    assert_ids("{\"split_special_tokens\": true, \"extra_special_tokens\": [\"<a>\"]}", NULL, "<a>",
               "3 0 4 ");
    assert_refused("{\"split_special_tokens\": 1}", BS_EDATA, "split_special_tokens is not true");
}

static void test_added(void **state)
{
    (void)state;
    put("tokenizer.json", TOKENIZER(BYTE_LEVEL(false), "null"));
    static const char text[] = "<pad><i><1><a>";
    /* names, then more names, then a list; each gets the next id, or the one it has */
    assert_ids("{\"pad_token\": \"<pad>\", \"image_token\": \"<i>\", \"extra_special_tokens\": "
               "{\"first_token\": \"<1>\"}, \"additional_special_tokens\": [\"<a>\", \"<s>\"]}",
               NULL, text, "14 15 16 17 ");
    assert_ids("{\"pad_token\": {\"__type\": \"AddedToken\", \"content\": \"<pad>\", \"rstrip\": "
               "true, \"normalized\": false}, \"bos_token\": null}",
               NULL, "<pad>  a", "14 0 ");
    assert_ids("{\"additional_special_tokens\": [\"<a>\"], \"extra_special_tokens\": [\"<1>\"]}",
               NULL, "<1>", "14 ");
    /* the flags of one that is there, and an id of the vocabulary */
    assert_ids("{\"added_tokens_decoder\": {\"13\": {\"content\": \"<x>\", \"lstrip\": true, "
               "\"normalized\": false}, \"4\": {\"content\": \"ab\", \"normalized\": false}}}",
               NULL, "a  <x>xab", "0 13 8 2 ");
    put("special_tokens_map.json", "{\"pad_token\": \"<pad>\"}");
    put("added_tokens.json", "{\"<i>\": 14, \"\\u0000\\u0000\": 15}");
    assert_ids("{}", NULL, "<i><pad>", "14 16 ");
    assert_ids("{\"added_tokens_decoder\": {}}", NULL, "<a>", "3 0 4 ");
    put("special_tokens_map.json", NULL);
    put("added_tokens.json", NULL);
    assert_refused("{\"pad_token\": 7}", BS_EDATA, "pad_token is no token");
    assert_refused("{\"pad_token\": {\"content\": \"<p>\", \"lstrip\": 1}}", BS_EDATA, "lstrip");
    assert_refused("{\"added_tokens_decoder\": {\"x\": {\"content\": \"<p>\"}}}", BS_EDATA, "'x'");
    assert_refused("{\"extra_special_tokens\": [null]}", BS_EDATA, "extra_special_tokens");
    assert_refused("{\"fast_tokenizer_files\": [\"tokenizer.4.0.0.json\"]}", BS_EUNSUPPORTED,
                   "fast_tokenizer_files names 'tokenizer.4.0.0.json'");
    assert_refused("{\"init_inputs\": [\"x\"]}", BS_EUNSUPPORTED, "init_inputs");
}

/* NUL is a character like any other: in the vocabulary, in merges, as a token of its own. */
static void test_nul(void **state)
{
    (void)state;
    static const char tokenizer[] = "{\"added_tokens\":[" ADDED(9, "\\u0000", true) "," ADDED(
        12, "s\\u0000\\u0000", false) "],\"normalizer\":{\"type\":\"Replace\",\"pattern\":{"
                                      "\"String\":\"x\\u0000\"},\"content\":"
                                      "\"\\u0000b\"},\"pre_tokenizer\":null,\"post_processor\":{"
                                      "\"type\":\"TemplateProcessing\","
                                      "\"single\":[{\"SpecialToken\":{\"id\":\"\\u0000\",\"type_"
                                      "id\":0}},{\"Sequence\":{\"id\":"
                                      "\"A\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{"
                                      "\"\\u0000\":{\"id\":\"\\u0000\","
                                      "\"ids\":[9],\"tokens\":[\"\\u0000\"]}}},\"model\":{\"type\":"
                                      "\"BPE\",\"vocab\":" VOCAB ",\"merges\":" MERGES "}}";
    put("tokenizer_config.json", NULL);
    put("tokenizer.json", tokenizer);
    assert_string_equal(encode("a\0b", 3), "9 0 9 1 ");
    assert_string_equal(encode("s\0\0s", 4), "9 12 5 ");
    put("tokenizer_config.json", "{\"split_special_tokens\": true}");
    assert_string_equal(encode("a\0\0b", 4), "9 10 9 1 ");
    assert_string_equal(encode("ax\0a", 4), "9 10 1 0 ");
}

/* The normalizer Nmt makes nothing or a space of some characters; at the ends
 * of its ranges this is what the tokenizers library gives. */
static void test_nmt(void **state)
{
    (void)state;
    put("tokenizer.json",
        "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Nmt\"},{\"type\":"
        "\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"x\"}]},\"pre_tokenizer\":null,"
        "\"post_processor\":null,\"model\":{\"type\":\"BPE\",\"vocab\":" VOCAB ",\"merges\":" MERGES
        "}}");
    static const char *const gone[] = {"\x01", "\x08", "\x0b",     "\x0e",
                                       "\x1f", "\x7f", "\xc2\x8f", "\xc2\x9f"};
    static const char *const spaces[] = {"\t",
                                         "\n",
                                         "\f",
                                         "\r",
                                         "\xe1\x9a\x80",
                                         "\xe2\x80\x8b",
                                         "\xe2\x80\x8f",
                                         "\xe2\x80\xa8",
                                         "\xe2\x80\xa9",
                                         "\xe2\x96\x81",
                                         "\xef\xbb\xbf",
                                         "\xef\xbf\xbd",
                                         " "};
    static const char *const kept[] = {"s", "<"};
    char text[16];
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        snprintf(text, sizeof text, "a%sb", gone[i]);
        assert_ids(NULL, NULL, text, "2 ");
    }
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        snprintf(text, sizeof text, "a%sb", spaces[i]);
        assert_ids(NULL, NULL, text, "0 8 1 ");
    }
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        snprintf(text, sizeof text, "a%sb", kept[i]);
        assert_ids(NULL, NULL, text, i ? "0 3 1 " : "0 5 1 ");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_class, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_harmless, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_notices, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_split_special, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_added, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_nul, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_nmt, folder_setup, folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Windows against those that the authors' loaders cut (tests/golden/sampling.py), and what the
 * sampling refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <zlib.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/data/random.h"
#include "eval/data/windows.h"
#include "tests/support/allocation.h"
#include "tests/support/folder.h"

enum { VOCABULARY = 4096 };

static json_t *golden;

/* The embedded tokenizer, and one that puts <|endoftext|> before each text. */
static struct bs_tokenizer *tokenizers[2];

static void add_document(FILE *out, const char *before, const char *text, size_t size,
                         const char *after)
{
    char *document = bs_printf("%s%.*s%s", before, (int)size, text, after);
    json_t *row = json_pack("{s:s}", "text", document);
    char *line = json_dumps(row, JSON_COMPACT);
    fprintf(out, "%s\n", line);
    free(line);
    json_decref(row);
    bs_free(document);
}

static void add_pieces(FILE *out, const char *path)
{
    struct bs_error err;
    char *text;
    size_t size;
    assert_int_equal(bs_file_read(path, &text, &size, &err), BS_OK);
    const char *piece = text;
    for (const char *end; (end = strstr(piece, "\n\n\n")); piece = end + 3)
        add_document(out, "\xc2\xa0 ", piece, (size_t)(end - piece), "\n");
    add_document(out, "\xc2\xa0 ", piece, strlen(piece), "\n");
    bs_free(text);
}

/* The documents of sampling.py as JSON lines. */
static void write_documents(void)
{
    FILE *out = fopen(folder_file(&folder, "documents.jsonl"), "w");
    FILE *endings = fopen("datasets/commons/endings.jsonl", "r");
    char line[4096];
    assert_true(out && endings);
    while (fgets(line, sizeof line, endings)) {
        json_t *row = json_loads(line, 0, NULL);
        const char *context = json_string_value(json_object_get(row, "context"));
        add_document(out, "", context, strlen(context), "");
        json_decref(row);
    }
    fclose(endings);
    add_pieces(out, "datasets/commons/calibration.txt");
    add_pieces(out, "datasets/commons/evaluation.txt");
    fclose(out);
}

static enum bs_status open_special(struct bs_error *err)
{
    json_t *tokenizer = json_load_file("datasets/tiny/tokenizer.json", 0, NULL);
    json_object_set(tokenizer, "post_processor", json_object_get(golden, "post_processor"));
    json_dump_file(tokenizer, folder_file(&folder, "tokenizer.json"), 0);
    json_decref(tokenizer);
    return bs_tokenizer_open(folder.path, &tokenizers[1], err);
}

static int setup(void **state)
{
    struct bs_error err;
    folder_setup(state);
    golden = json_load_file("tests/golden/sampling.json", 0, NULL);
    write_documents();
    return !golden || bs_tokenizer_open("datasets/tiny", &tokenizers[0], &err) ||
           open_special(&err);
}

static int teardown(void **state)
{
    json_decref(golden);
    bs_tokenizer_free(tokenizers[0]);
    bs_tokenizer_free(tokenizers[1]);
    return folder_teardown(state);
}

static int number(const json_t *row, const char *key)
{
    return (int)json_integer_value(json_object_get(row, key));
}

static void assert_windows(const json_t *row, const struct bs_windows *got)
{
    const char *name = json_string_value(json_object_get(row, "case"));
    assert_int_equal(got->windows, number(row, "windows"));
    size_t w, t;
    json_t *start, *id;
    json_array_foreach(json_object_get(row, "starts"), w, start) json_array_foreach(
        start, t, id) if (got->ids[w * (size_t)got->tokens + t] != json_integer_value(id))
        fail_msg("%s, seed %d: window %zu, token %zu is %d, want %d", name, number(row, "seed"), w,
                 t, (int)got->ids[w * (size_t)got->tokens + t], (int)json_integer_value(id));
    assert_string_equal(got->digest.hex, json_string_value(json_object_get(row, "digest")));
    assert_string_equal(got->text_digest.hex,
                        json_string_value(json_object_get(golden, "text_digest")));
}

static void calibrate(const struct bs_tokenizer *tokenizer, const char *text,
                      enum bs_sampling sampling, const json_t *row)
{
    struct bs_calibration_choice choice = {
        .text = {.text = text},
        .sampling = sampling,
        .seed = number(row, "seed"),
        .tokens = number(row, "tokens"),
        .windows = sampling == BS_SAMPLING_AWQ ? 0 : number(row, "windows"),
        .documents = number(row, "documents")};
    struct bs_windows got;
    struct bs_error err;
    if (bs_windows_calibrate(tokenizer, &choice, VOCABULARY, &got, &err))
        fail_msg("%s", err.message);
    assert_windows(row, &got);
    assert_null(got.spans);
    bs_windows_release(&got);
}

/* Known text c4, with our documents in the place of its files. */
static void evaluate_c4(const struct bs_tokenizer *tokenizer, const json_t *row)
{
    struct bs_evaluation_choice choice = {.text = {.text = "c4"}, .tokens = number(row, "tokens")};
    struct bs_windows got;
    struct bs_error err;
    if (bs_windows_evaluate(tokenizer, &choice, VOCABULARY, &got, &err))
        fail_msg("%s", err.message);
    assert_windows(row, &got);
    assert_int_equal(got.num_scored, 256 * (choice.tokens - 1));
    bs_windows_release(&got);
}

static void put_into_cache(const struct bs_remote *remote)
{
    char place[512];
    struct bs_error err;
    static const char commit[] = "0123456789abcdef0123456789abcdef01234567";
    snprintf(place, sizeof place, "%s/datasets--allenai--c4/refs/%s", folder.path,
             remote->revision);
    assert_int_equal(bs_make_parent(place, &err), BS_OK);
    FILE *reference = fopen(place, "w");
    assert_true(reference && fputs(commit, reference) >= 0 && !fclose(reference));
    snprintf(place, sizeof place, "%s/datasets--allenai--c4/snapshots/%s/%s", folder.path, commit,
             remote->path);
    assert_int_equal(bs_make_parent(place, &err), BS_OK);
    char *bytes;
    size_t size;
    assert_int_equal(bs_file_read(folder_file(&folder, "documents.jsonl"), &bytes, &size, &err),
                     BS_OK);
    gzFile file = gzopen(place, "wb");
    assert_int_equal(gzwrite(file, bytes, (unsigned)size), size);
    assert_int_equal(gzclose(file), Z_OK);
    bs_free(bytes);
}

static void compare(bool special)
{
    const struct bs_tokenizer *tokenizer = tokenizers[special];
    char documents[512];
    snprintf(documents, sizeof documents, "%s/documents.jsonl", folder.path);
    size_t i;
    int compared = 0;
    json_t *row;
    json_array_foreach(json_object_get(golden, "cases"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "case"));
        if (json_is_true(json_object_get(row, "special")) != special)
            continue;
        compared++;
        if (!strcmp(name, "gptq"))
            calibrate(tokenizer, documents, BS_SAMPLING_GPTQ, row);
        else if (!strcmp(name, "awq"))
            calibrate(tokenizer, documents, BS_SAMPLING_AWQ, row);
        else if (!strcmp(name, "c4_evaluation"))
            evaluate_c4(tokenizer, row);
        else {
            calibrate(tokenizer, documents, BS_SAMPLING_GPTQ_DOCUMENTS, row);
            calibrate(tokenizer, "c4", BS_SAMPLING_GPTQ, row);
        }
    }
    assert_int_equal(compared, 11);
}

static void test_golden(void **state)
{
    (void)state;
    setenv("HF_HUB_CACHE", folder.path, 1);
    put_into_cache(bs_corpus_find("c4")->calibration.file);
    put_into_cache(bs_corpus_find("c4")->evaluation.file);
    compare(false);
    unsetenv("HF_HUB_CACHE");
}

static void test_golden_special(void **state)
{
    (void)state;
    assert_true(bs_tokenizer_bos(tokenizers[1]) >= 0);
    setenv("HF_HUB_CACHE", folder.path, 1);
    compare(true);
    unsetenv("HF_HUB_CACHE");
}

/* c4-new: the first 1100 documents joined with a blank, cut after 256 windows. */
static void test_c4_new(void **state)
{
    (void)state;
    setenv("HF_HUB_CACHE", folder.path, 1);
    struct bs_evaluation_choice choice = {.text = {.text = "c4-new"}, .tokens = 20};
    struct bs_windows got, again;
    struct bs_error err;
    assert_int_equal(bs_windows_evaluate(tokenizers[0], &choice, VOCABULARY, &got, &err), BS_OK);
    assert_int_equal(got.windows, 256);
    assert_true(got.text.tokens > 256 * 20);
    choice.windows = 257;
    assert_int_equal(bs_windows_evaluate(tokenizers[0], &choice, VOCABULARY, &again, &err),
                     BS_ECONFIG);
    struct bs_text_choice file = {.text = folder_file(&folder, "documents.jsonl"), .join = " "};
    choice = (struct bs_evaluation_choice){.text = file, .tokens = 20, .windows = 256};
    assert_int_equal(bs_windows_evaluate(tokenizers[0], &choice, VOCABULARY, &again, &err), BS_OK);
    assert_string_equal(got.digest.hex, again.digest.hex);
    assert_string_equal(got.text_digest.hex, again.text_digest.hex);
    bs_windows_release(&got);
    bs_windows_release(&again);
    unsetenv("HF_HUB_CACHE");
}

static void test_permutation(void **state)
{
    (void)state;
    /* python3: numpy.random.default_rng(seed).permutation(n) */
    static const struct {
        uint32_t seed, count, want[10];
    } cases[] = {{42, 10, {5, 6, 0, 7, 3, 2, 4, 9, 1, 8}},
                 {0, 10, {4, 6, 2, 7, 3, 5, 9, 0, 8, 1}},
                 {7, 1, {0}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t got[10];
        bs_permutation(cases[i].seed, got, cases[i].count);
        assert_memory_equal(got, cases[i].want, cases[i].count * sizeof *got);
    }
    enum { MANY = 214670 };
    uint32_t *many = malloc(MANY * sizeof *many);
    /* order[[0, 1, 100000, -1]], and (order * arange(MANY)).sum() */
    bs_permutation(4294967295u, many, MANY);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < MANY; i++)
        sum += many[i] * i;
    const uint32_t some[] = {many[0], many[1], many[100000], many[MANY - 1]};
    static const uint32_t want[] = {205772, 117874, 140038, 64927};
    assert_memory_equal(some, want, sizeof want);
    assert_int_equal(sum, 2474757060699696);
    bs_permutation(0, many, 0);
    free(many);
}

static void test_refused(void **state)
{
    (void)state;
    folder_write_text(&folder, "short.jsonl",
                      "{\"text\": \"1\\n2\\n3\"}\n{\"text\": \"1\\n2\"}\n{\"text\": \"  \"}\n");
    folder_write_text(&folder, "none.jsonl", "\n");
    folder_write(&folder, "bad.txt", "ab\n\xff\n", 5);
    static const struct {
        const char *file;
        enum bs_sampling sampling;
        int documents, tokens, vocabulary;
        enum bs_status status;
        const char *said;
    } cases[] = {
        {"short.jsonl", BS_SAMPLING_GPTQ_DOCUMENTS, 0, 4, 4096, BS_OK, ""},
        {"short.jsonl", BS_SAMPLING_GPTQ_DOCUMENTS, 0, 5, 4096, BS_ECONFIG,
         "none of 3 documents has more than 5 tokens"},
        {"none.jsonl", BS_SAMPLING_GPTQ_DOCUMENTS, 0, 1, 4096, BS_ECONFIG, "none of 0 documents"},
        {"short.jsonl", BS_SAMPLING_AWQ, 9, 5, 4096, BS_OK, ""},
        {"short.jsonl", BS_SAMPLING_AWQ, 9, 4, 4096, BS_ECONFIG,
         "of 3 documents 1 have 1 to 4 tokens, together 3: not one block of 4"},
        {"none.jsonl", BS_SAMPLING_AWQ, 9, 4, 4096, BS_ECONFIG, "together 0"},
        {"short.jsonl", BS_SAMPLING_AWQ, 9, 5, 10, BS_EDATA,
         "but the model has a vocabulary of 10"},
        {"bad.txt", BS_SAMPLING_AWQ, 9, 5, 4096, BS_EDATA, "document 2: text is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_calibration_choice choice = {.text = {.text = folder_file(&folder, cases[i].file),
                                                        .lines = !strcmp(cases[i].file, "bad.txt")},
                                               .sampling = cases[i].sampling,
                                               .tokens = cases[i].tokens,
                                               .windows =
                                                   cases[i].sampling == BS_SAMPLING_AWQ ? 0 : 3,
                                               .documents = cases[i].documents};
        struct bs_windows got;
        struct bs_error err = {.message = ""};
        enum bs_status status =
            bs_windows_calibrate(tokenizers[0], &choice, cases[i].vocabulary, &got, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].said) ||
            (status && !strstr(err.message, cases[i].file)))
            fail_msg("case %zu: status %d, %s", i, status, err.message);
        assert_true(!status == (got.ids != NULL));
        bs_windows_release(&got);
    }
}

static void test_memory(void **state)
{
    (void)state;
    folder_write_text(&folder, "m.jsonl",
                      "{\"text\": \"one two three\"}\n{\"text\": \"four five\"}\n");
    for (int awq = 0; awq < 2; awq++) {
        struct bs_error err;
        enum bs_status status;
        long n = 0;
        do {
            struct bs_calibration_choice choice = {
                .text = {.text = folder_file(&folder, "m.jsonl")},
                .sampling = awq ? BS_SAMPLING_AWQ : BS_SAMPLING_GPTQ_DOCUMENTS,
                .tokens = awq ? 5 : 1,
                .windows = awq ? 0 : 2,
                .documents = 2};
            struct bs_windows got;
            bs_alloc_fail_at(++n);
            status = bs_windows_calibrate(tokenizers[0], &choice, VOCABULARY, &got, &err);
            bs_windows_release(&got);
        } while (allocation_failed(n, status, &err));
        assert_true(n > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_permutation),    cmocka_unit_test(test_golden),
        cmocka_unit_test(test_golden_special), cmocka_unit_test(test_c4_new),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

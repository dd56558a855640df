/* The texts that a config chooses, by a file's name or by a known text's, and the table of
 * these. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/data/corpus.h"
#include "eval/data/text.h"
#include "tests/support/folder.h"
#include "tests/support/zip.h"

/* What a config chooses: files by their name, known texts by theirs. */
static void test_choice(void **state)
{
    (void)state;
    folder_write_text(&folder, "c.json",
                      "{\"text\": \"a\", \"body\": \"b\"}\n{\"text\": \"c\", \"body\": \"d\"}\n");
    folder_write_text(&folder, "c.txt", "{\"text\": \"a\"}\nb");
    static const struct {
        struct bs_text_choice choice;
        enum bs_status status;
        const char *want; /* the stream, or what is said */
    } cases[] = {
        {{.text = "c.json"}, BS_OK, "a\n\nc"},
        {{.text = "c.json", .field = "body", .join = ""}, BS_OK, "bd"},
        {{.text = "c.txt"}, BS_OK, "{\"text\": \"a\"}\nb"},
        {{.text = "c.txt", .lines = true}, BS_OK, "{\"text\": \"a\"}\n\nb"},
        {{.text = "c.txt", .lines = true, .join = "+"}, BS_OK, "{\"text\": \"a\"}+b"},
        {{.text = "c.json", .lines = true}, BS_ECONFIG, "lines is for plain text"},
        {{.text = "c.txt", .field = "x"}, BS_ECONFIG, "field is for JSON"},
        {{.text = "c.txt", .join = "x"}, BS_ECONFIG, "join is for several documents"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_text text;
        const struct bs_corpus_part *part;
        struct bs_error err = {.message = ""};
        struct bs_text_choice choice = cases[i].choice;
        choice.text = folder_file(&folder, choice.text);
        enum bs_status status = bs_corpus_read(&choice, BS_FOR_EVALUATION, &text, &part, &err);
        assert_int_equal(status, cases[i].status);
        assert_null(part);
        if (status)
            assert_non_null(strstr(err.message, cases[i].want));
        else
            assert_int_equal(text.size, strlen(cases[i].want));
        if (!status)
            assert_memory_equal(text.bytes, cases[i].want, text.size);
        bs_text_release(&text);
    }
}

/* Files that are no plain text are refused by their names and by what they hold, not measured. */
static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        size_t size; /* 0 = all of it */
        const char *error;
    } cases[] = {
        {"t.csv", "text\nwords\n", 0,
         "t.csv: its name says that it is a table, expected plain text"},
        {"t.CSV", "text\nwords\n", 0, "its name says that it is a table"},
        {"t.parquet", "words", 0, "its name says that it is a file of columns"},
        {"t.arrow", "words", 0, "a file of columns"},
        {"t.xlsx", "words", 0, "a table"},
        {"t.pdf", "words", 0, "a document with its layout"},
        {"t.docx", "words", 0, "a document with its layout"},
        {"t.bin", "words", 0, "no text"},
        {"t.zip", "words", 0, "packed, expected it unpacked"},
        {"t.txt", "PAR1\x15\x04", 0, "begins as what is a file of columns"},
        {"t.txt", "%PDF-1.4 words", 0, "begins as what is a document"},
        {"t", "PK\x03\x04words", 0, "begins as what is packed"},
        {"t.txt", "\x1f\x8b\x08", 0, "begins as what is packed"},
        {"t.txt", "w\0o\0r\0d\0", 8, "a zero byte at offset 1, expected plain text in UTF-8"},
        {"t.txt", "words", 0, NULL},
        {"csv", "a,b\n", 0, NULL},
        {"t.csv.txt", "a,b\n", 0, NULL},
        {"t", "PARTS of a whole", 0, NULL},
        {"t.md", "# words\n", 0, NULL},
        {"t.ndjson", "{\"text\": \"words\"}\n", 0, NULL},
        {"t.JSONL", "{\"text\": \"words\"}\n", 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_text text;
        const struct bs_corpus_part *part;
        struct bs_error err = {.message = ""};
        folder_write(&folder, cases[i].name, cases[i].text,
                     cases[i].size ? cases[i].size : strlen(cases[i].text));
        struct bs_text_choice choice = {.text = cases[i].name, .base = folder.path};
        enum bs_status status = bs_corpus_read(&choice, BS_FOR_EVALUATION, &text, &part, &err);
        if (cases[i].error ? !status || !strstr(err.message, cases[i].error) : status)
            fail_msg("%s: status %d, '%s'", cases[i].name, status, err.message);
        if (!cases[i].error && strchr(cases[i].text, '{'))
            assert_memory_equal(text.bytes, "words", 5);
        bs_text_release(&text);
    }
}

static void assert_known_refused(struct bs_text_choice choice, enum bs_text_use use,
                                 enum bs_status status, const char *said)
{
    struct bs_text text;
    const struct bs_corpus_part *part;
    struct bs_error err = {.message = ""};
    if (bs_corpus_read(&choice, use, &text, &part, &err) != status || !strstr(err.message, said))
        fail_msg("%s", err.message);
    assert_null(text.bytes);
}

/* A cache as the hub's tools lay it out, with a file of three rows in the place of WikiText-2. */
static void test_known(void **state)
{
    (void)state;
    const struct bs_corpus *wikitext = bs_corpus_find("wikitext2");
    assert_null(bs_corpus_find("wikitext"));
    assert_non_null(wikitext);
    setenv("HF_HUB_CACHE", folder.path, 1);
    assert_known_refused((struct bs_text_choice){.text = "wikitext2"}, BS_FOR_EVALUATION, BS_EIO,
                         "`bitsweep fetch wikitext2` brings it");
    assert_known_refused((struct bs_text_choice){.text = "c4-new"}, BS_FOR_CALIBRATION, BS_EIO,
                         "`bitsweep fetch c4-train` brings it");
    assert_known_refused((struct bs_text_choice){.text = "c4", .field = "x"}, BS_FOR_EVALUATION,
                         BS_ECONFIG, "which has its own field");
    assert_known_refused((struct bs_text_choice){.text = "pile-val"}, BS_FOR_EVALUATION, BS_ECONFIG,
                         "for calibration only");
    assert_known_refused((struct bs_text_choice){.text = "wikitxt2"}, BS_FOR_EVALUATION, BS_EIO,
                         "did you mean 'wikitext2'?");
    const struct bs_remote *file = wikitext->evaluation.file;
    char place[400];
    snprintf(place, sizeof place, "%s/datasets--ggml-org--ci/snapshots/%s", folder.path,
             file->revision);
    struct bs_error err;
    assert_int_equal(bs_make_directory(place, &err), BS_OK);
    snprintf(place, sizeof place, "datasets--ggml-org--ci/snapshots/%s/%s", file->revision,
             file->path);
    write_zip(place, "wikitext-2-raw/wiki.test.raw", " \n = A = \n \n text . \n");
    struct bs_text text;
    const struct bs_corpus_part *part;
    struct bs_text_choice choice = {.text = "wikitext2"};
    if (bs_corpus_read(&choice, BS_FOR_EVALUATION, &text, &part, &err))
        fail_msg("%s", err.message);
    assert_ptr_equal(part, &wikitext->evaluation);
    static const char want[] = "\n\n = A = \n\n\n\n\n text . \n";
    assert_int_equal(text.size, sizeof want - 1);
    assert_memory_equal(text.bytes, want, text.size);
    bs_text_release(&text);
    unsetenv("HF_HUB_CACHE");
}

/* Whatever a row needs is there, and a name that a row tells people to fetch brings its file. */
static void test_table(void **state)
{
    (void)state;
    for (const struct bs_corpus *corpus = bs_corpora; corpus->name; corpus++) {
        const struct bs_corpus_part *parts[] = {&corpus->calibration, &corpus->evaluation};
        assert_non_null(corpus->calibration.file);
        for (int p = 0; p < 2; p++) {
            if (!parts[p]->file)
                continue;
            assert_true(parts[p]->source && parts[p]->preparation && parts[p]->format.join);
            assert_true(parts[p]->format.documents != BS_DOCUMENT_JSON || parts[p]->format.field);
            const struct bs_corpus_files *row = bs_corpus_files_find(parts[p]->fetch);
            assert_non_null(row);
            bool brings = false;
            for (int f = 0; row->files[f]; f++)
                brings |= row->files[f] == parts[p]->file;
            assert_true(brings);
        }
    }
    for (const struct bs_corpus_files *row = bs_corpus_files; row->name; row++)
        for (int f = 0; row->files[f]; f++)
            assert_true(!row->files[f]->sha256 || strlen(row->files[f]->sha256) == 64);
    assert_null(bs_corpus_files_find("c4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}

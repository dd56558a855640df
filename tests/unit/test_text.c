/* Texts read from plain, packed and JSON files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <zlib.h>
#include <zstd.h>

#include "eval/base/mem.h"
#include "eval/data/text.h"
#include "tests/support/allocation.h"
#include "tests/support/folder.h"
#include "tests/support/zip.h"

static struct bs_text read_text(const char *name, struct bs_text_format format)
{
    struct bs_text text;
    struct bs_error err;
    if (bs_text_read(folder_file(&folder, name), &format, &text, &err))
        fail_msg("%s", err.message);
    return text;
}

/* Reads, compares the whole stream, and gives the text back. */
static void assert_stream(const char *name, struct bs_text_format format, const char *want,
                          size_t documents)
{
    struct bs_text text = read_text(name, format);
    if (text.size != strlen(want) || (text.size && memcmp(text.bytes, want, text.size)))
        fail_msg("%s: got '%.*s', want '%s'", name, (int)text.size, text.bytes, want);
    assert_int_equal(text.num_documents, documents);
    bs_text_release(&text);
}

static void assert_refused(const char *name, struct bs_text_format format, enum bs_status status,
                           const char *said)
{
    struct bs_text text;
    struct bs_error err = {.message = ""};
    if (bs_text_read(folder_file(&folder, name), &format, &text, &err) != status ||
        !strstr(err.message, said) || !strstr(err.message, name))
        fail_msg("%s: %s", name, err.message);
    assert_null(text.bytes);
    assert_null(text.ends);
}

static void write_gzip(const char *name, const void *bytes, size_t size)
{
    gzFile file = gzopen(folder_file(&folder, name), "wb");
    assert_int_equal(gzwrite(file, bytes, (unsigned)size), size);
    assert_int_equal(gzclose(file), Z_OK);
}

/* Two frames, as programs that append leave them. */
static void write_zstd(const char *name, const char *bytes, size_t size)
{
    size_t room = 2 * ZSTD_compressBound(size), half = size / 2;
    char *packed = malloc(room);
    size_t first = ZSTD_compress(packed, room, bytes, half, 3);
    size_t second = ZSTD_compress(packed + first, room - first, bytes + half, size - half, 3);
    assert_false(ZSTD_isError(first) || ZSTD_isError(second));
    folder_write(&folder, name, packed, first + second);
    free(packed);
}

static char *read_bytes(const char *name, size_t *size)
{
    char *bytes;
    struct bs_error err;
    assert_int_equal(bs_file_read(folder_file(&folder, name), &bytes, size, &err), BS_OK);
    return bytes;
}

static void cut_file(const char *name, const char *shorter, size_t less)
{
    size_t size;
    char *bytes = read_bytes(name, &size);
    folder_write(&folder, shorter, bytes, size - less);
    bs_free(bytes);
}

static const struct bs_text_format whole = {.documents = BS_DOCUMENT_FILE, .join = "|"};
static const struct bs_text_format json = {
    .documents = BS_DOCUMENT_JSON, .field = "text", .join = "|"};

static void test_lines(void **state)
{
    (void)state;
    folder_write_text(&folder, "a.txt", " = Title = \n \n\nbody  one\n\t\xe3\x80\x80\nlast");
    struct bs_text_format format = {.documents = BS_DOCUMENT_FILE, .join = "|"};
    assert_stream("a.txt", format, " = Title = \n \n\nbody  one\n\t\xe3\x80\x80\nlast", 1);
    format.documents = BS_DOCUMENT_LINE;
    assert_stream("a.txt", format, " = Title = | ||body  one|\t\xe3\x80\x80|last", 6);
    format.documents = BS_DOCUMENT_LINE_STRIPPED;
    assert_stream("a.txt", format, "= Title =|||body  one||last", 6);
    /* python3: "|".join(l if l.strip() else "" for l in open("a.txt")) */
    format.documents = BS_DOCUMENT_LINE_WIKITEXT;
    assert_stream("a.txt", format, " = Title = \n|||body  one\n||last", 6);
    format.most_documents = 4;
    assert_stream("a.txt", format, " = Title = \n|||body  one\n", 4);
    folder_write_text(&folder, "empty.txt", "");
    assert_stream("empty.txt", format, "", 0);
    assert_stream("empty.txt", whole, "", 1);
}

static void test_documents(void **state)
{
    (void)state;
    folder_write_text(&folder, "d.txt", "one\n\nthree");
    struct bs_text text =
        read_text("d.txt", (struct bs_text_format){.documents = BS_DOCUMENT_LINE, .join = "--"});
    static const char *const want[] = {"one", "", "three"};
    for (size_t d = 0; d < 3; d++) {
        size_t size;
        const char *document = bs_text_document(&text, d, &size);
        assert_int_equal(size, strlen(want[d]));
        assert_memory_equal(document, want[d], size);
    }
    assert_string_equal(bs_text_digest(&text).hex, bs_digest_of("one----three", 12).hex);
    bs_text_release(&text);
}

static void test_json(void **state)
{
    (void)state;
    folder_write_text(&folder, "j.jsonl",
                      "{\"text\": \"a\\nb\", \"meta\": {\"text\": 1}}\n"
                      "\n  \r\n"
                      "{\"other\": 2, \"text\": \"\\u00e9\\u0000z\"}\r\n"
                      "{\"text\": \"\"}");
    struct bs_text text = read_text("j.jsonl", json);
    static const char want[] = "a\nb|\xc3\xa9\0z|";
    assert_int_equal(text.num_documents, 3);
    assert_int_equal(text.size, sizeof want - 1);
    assert_memory_equal(text.bytes, want, text.size);
    bs_text_release(&text);
    struct bs_text_format other = json;
    other.field = "other";
    assert_refused("j.jsonl", other, BS_EDATA, "line 1 has no field 'other'");
    folder_write_text(&folder, "bad1.jsonl", "{\"text\": \"a\"}\n\n{\"text\": 7}\n");
    assert_refused("bad1.jsonl", json, BS_EDATA, "line 3 has no text at the field 'text'");
    folder_write_text(&folder, "bad2.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"\n");
    assert_refused("bad2.jsonl", json, BS_EDATA,
                   "is not valid JSON: line 2, column 13: expected ',' or '}'");
    folder_write_text(&folder, "bad4.jsonl", "{\"text\": \"\xff\"}\n");
    assert_refused("bad4.jsonl", json, BS_EDATA, "is not valid JSON: line 1, column 11");
}

/* What is not read does not matter, as long as it is JSON; Python's words for infinity are, too. */
static void test_json_unread(void **state)
{
    (void)state;
    folder_write_text(
        &folder, "u.jsonl",
        "\xef\xbb\xbf{\"id\": 18446744073709551615, \"text\": \"a\", \"x\": 1e999}\n"
        "{\"text\": \"b\", \"n\": NaN, \"k\\u0000\": [\"\\ud83d\"], \"id\": 1, \"id\": 2}\n"
        "\"c\"\n");
    assert_stream("u.jsonl", json, "a|b|c", 3);
    folder_write_text(&folder, "bad5.jsonl", "{\"text\": \"a\", \"text\": \"b\"}\n");
    assert_refused("bad5.jsonl", json, BS_EDATA, "line 1, column 15: duplicate key 'text'");
    folder_write_text(&folder, "bad6.jsonl", "{\"text\": NaN}\n");
    assert_refused("bad6.jsonl", json, BS_EDATA, "line 1 has no text at the field 'text'");
    folder_write_text(&folder, "bad7.jsonl", "\n{\"text\": \"\\ud83d\"}\n");
    assert_refused("bad7.jsonl", json, BS_EDATA, "line 2: the text has half of a surrogate pair");
}

/* One list over any number of lines, of objects and of texts. */
static void test_json_list(void **state)
{
    (void)state;
    static const char list[] = "  \n[{\"text\": \"a]},[{\\\"\", \"tags\": [[1], {}]},\n"
                               "  \"b\\\\\", {\"text\":\n\"\xc3\xa9\"}\n]\n";
    folder_write_text(&folder, "l.json", list);
    assert_stream("l.json", json, "a]},[{\"|b\\|\xc3\xa9", 3);
    write_zstd("l.json.zst", list, sizeof list - 1);
    assert_stream("l.json.zst", json, "a]},[{\"|b\\|\xc3\xa9", 3);
    struct bs_text_format two = json;
    two.most_documents = 2;
    assert_stream("l.json", two, "a]},[{\"|b\\", 2);
    folder_write_text(&folder, "l0.json", "\xef\xbb\xbf[ ]");
    assert_stream("l0.json", json, "", 0);
    static const char *const bad[][2] = {
        {"[{\"text\": \"a\"},\n {\"text\": 1}]", "line 2 has no text at the field 'text'"},
        {"[{\"text\": \"a\"},\n {\"text\" 1}]", "line 2, column 10: expected ':'"},
        {"[\"a\", 7]", "line 1 has no field 'text'"},
        {"[\"a\",]", "line 1, column 6: expected a value"},
        {"[\"a\", \"b\"", "line 1, column 10: the list does not end"},
        {"[\"a\"]\n[\"b\"]", "line 2, column 1: text after the list"},
        {"[\"a\"}]", "line 1, column 5: text after the value"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        folder_write_text(&folder, "bad.json", bad[i][0]);
        assert_refused("bad.json", json, BS_EDATA, bad[i][1]);
    }
}

static void test_packed(void **state)
{
    (void)state;
    static const char lines[] = "{\"text\": \"first\"}\n{\"text\": \"second\"}\n";
    write_gzip("p.jsonl.gz", lines, sizeof lines - 1);
    assert_stream("p.jsonl.gz", json, "first|second", 2);
    write_zstd("p.jsonl.zst", lines, sizeof lines - 1);
    assert_stream("p.jsonl.zst", json, "first|second", 2);
    write_zip("p.zip", "folder/p.raw", "first\nsecond\n");
    struct bs_text_format member = {
        .documents = BS_DOCUMENT_LINE, .join = "|", .member = "folder/p.raw"};
    assert_stream("p.zip", member, "first|second", 2);
    member.member = "p.raw";
    assert_refused("p.zip", member, BS_EDATA, "member p.raw: No such file");
}

/* A file of two packed parts, with the second or a later byte changed, cut short, or more after it:
 * never a shorter text. The bytes of a header that say nothing of the text may change. */
static void test_every_member(void **state)
{
    (void)state;
    static const char part[] = "the first part, the second part\n",
                      all[] = "the first part, the second part\nthe first part, the second part\n";
    size_t gzip_size, size;
    write_gzip("one.gz", part, sizeof part - 1);
    char *one = read_bytes("one.gz", &gzip_size), *two = bs_alloc(2 * gzip_size, 1);
    memcpy(two, one, gzip_size);
    memcpy(two + gzip_size, one, gzip_size);
    folder_write(&folder, "two.txt.gz", two, 2 * gzip_size);
    assert_stream("two.txt.gz", whole, all, 1);
    for (size_t cut = gzip_size + 1; cut < 2 * gzip_size; cut++) {
        folder_write(&folder, "cut.txt.gz", two, cut);
        assert_refused("cut.txt.gz", whole, BS_EDATA, "ends early");
    }
    for (size_t at = gzip_size; at < 2 * gzip_size; at++) {
        if (at >= gzip_size + 4 && at < gzip_size + 10)
            continue; /* time, level and system */
        two[at] ^= 4;
        folder_write(&folder, "flip.txt.gz", two, 2 * gzip_size);
        two[at] ^= 4;
        assert_refused("flip.txt.gz", whole, BS_EDATA, "gzip");
    }
    static const char *const after[] = {"\0\0\0\0", "rest", "\0\0\x1f\x8b", "\x1f\x8b\x08\0"};
    for (size_t i = 0; i < 4; i++) {
        char *more = bs_alloc(gzip_size + 4, 1);
        memcpy(more, one, gzip_size);
        memcpy(more + gzip_size, after[i], 4);
        folder_write(&folder, "more.txt.gz", more, gzip_size + 4);
        if (i == 0)
            assert_stream("more.txt.gz", whole, part, 1);
        else
            assert_refused("more.txt.gz", whole, BS_EDATA, i == 3 ? "ends early" : "not gzip");
        bs_free(more);
    }
    write_zstd("two.txt.zst", all, sizeof all - 1);
    char *frames = read_bytes("two.txt.zst", &size);
    char *more = bs_alloc(size + 4, 1);
    memcpy(more, frames, size);
    memcpy(more + size, "rest", 4);
    folder_write(&folder, "more.txt.zst", more, size + 4);
    assert_refused("more.txt.zst", whole, BS_EDATA, "not a zstd file, or damaged");
    folder_write(&folder, "cut.txt.zst", frames, size - 1);
    assert_refused("cut.txt.zst", whole, BS_EDATA, "ends early");
    bs_free(more);
    bs_free(frames);
    bs_free(one);
    bs_free(two);
}

/* A bit of a member's packed bytes changed. */
static void test_damaged_zip(void **state)
{
    (void)state;
    const struct bs_text_format member = {.join = "|", .member = "m.txt"};
    write_zip("z.zip", "m.txt", "one two three four five six one two three four five six");
    size_t size;
    char *bytes = read_bytes("z.zip", &size);
    enum { HEADER = 30 + 5 }; /* of the member, with its name */
    for (size_t at = HEADER; at < HEADER + 20; at++) {
        bytes[at] ^= 16;
        folder_write(&folder, "flip.zip", bytes, size);
        bytes[at] ^= 16;
        assert_refused("flip.zip", member, BS_EDATA, "member m.txt is damaged");
    }
    bs_free(bytes);
}

static void test_damaged(void **state)
{
    (void)state;
    enum { SIZE = 300000 };
    char *noise = malloc(SIZE);
    uint32_t x = 1;
    for (size_t i = 0; i < SIZE; i++)
        noise[i] = (char)('a' + (x = 1664525 * x + 1013904223) % 26);
    write_gzip("n.gz", noise, SIZE);
    write_zstd("n.zst", noise, SIZE);
    cut_file("n.gz", "cut.gz", 100);
    cut_file("n.zst", "cut.zst", 100);
    assert_refused("cut.gz", whole, BS_EDATA, "ends early");
    assert_refused("cut.zst", whole, BS_EDATA, "ends early");
    folder_write(&folder, "plain.gz", noise, 1000);
    folder_write(&folder, "plain.zst", noise, 1000);
    folder_write(&folder, "none.zst", noise, 0);
    assert_refused("plain.gz", whole, BS_EDATA, "not a gzip file");
    assert_refused("plain.zst", whole, BS_EDATA, "not a zstd file");
    assert_refused("none.zst", whole, BS_EDATA, "ends early");
    struct bs_text_format member = {.join = "|", .member = "x"};
    assert_refused("plain.gz", member, BS_EDATA, "cannot open the archive");
    assert_refused("missing.txt", whole, BS_EIO, "No such file");
    assert_refused("missing.gz", whole, BS_EIO, "No such file");
    assert_refused("missing.zst", whole, BS_EIO, "No such file");
    assert_refused("missing.zip", member, BS_EIO, "No such file");
    free(noise);
}

/* Lines and documents that do not fit the pieces a file is read in. */
static void test_long(void **state)
{
    (void)state;
    enum { LINES = 7, LONG = 200003 };
    size_t size = LINES * (LONG + 1);
    char *bytes = malloc(size);
    for (size_t l = 0; l < LINES; l++) {
        memset(bytes + l * (LONG + 1), 'a' + (int)l, LONG);
        bytes[l * (LONG + 1) + LONG] = '\n';
    }
    write_gzip("long.gz", bytes, size);
    struct bs_text_format format = {.documents = BS_DOCUMENT_LINE, .join = "\n"};
    struct bs_text text = read_text("long.gz", format);
    assert_int_equal(text.num_documents, LINES);
    assert_int_equal(text.size, size - 1);
    assert_memory_equal(text.bytes, bytes, size - 1);
    bs_text_release(&text);
    /* A text that is too long is refused while it is read, however small its archive. */
    format.most_bytes = size - 1;
    text = read_text("long.gz", format);
    bs_text_release(&text);
    format.most_bytes = 3 * LONG;
    assert_refused("long.gz", format, BS_EDATA, "line 3: the text has more than 600009 bytes");
    format.documents = BS_DOCUMENT_FILE;
    assert_refused("long.gz", format, BS_EDATA, "more than 600009 bytes");
    free(bytes);
}

static void test_spaces(void **state)
{
    (void)state;
    /* python3: [c for c in map(chr, range(0x110000)) if c.isspace()] */
    static const uint32_t spaces[] = {
        0x9,    0xa,    0xb,    0xc,    0xd,    0x1c,   0x1d,   0x1e,   0x1f,   0x20,
        0x85,   0xa0,   0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006,
        0x2007, 0x2008, 0x2009, 0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000};
    size_t next = 0;
    for (uint32_t c = 0; c < 0x10000; c++) {
        char text[3];
        size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : 3;
        if (size == 1)
            text[0] = (char)c;
        else if (size == 2)
            text[0] = (char)(0xc0 | c >> 6);
        else
            text[0] = (char)(0xe0 | c >> 12);
        if (size == 3)
            text[1] = (char)(0x80 | (c >> 6 & 63));
        if (size > 1)
            text[size - 1] = (char)(0x80 | (c & 63));
        bool space = next < sizeof spaces / sizeof *spaces && spaces[next] == c;
        next += space;
        if (bs_space_length(text, size) != (space ? size : 0))
            fail_msg("U+%04X", (unsigned)c);
    }
    assert_int_equal(next, sizeof spaces / sizeof *spaces);
    size_t size = strlen(" \xc2\xa0\xe3\x80\x80x y\xe2\x80\x83 \n");
    const char *stripped = bs_strip(" \xc2\xa0\xe3\x80\x80x y\xe2\x80\x83 \n", &size);
    assert_int_equal(size, 3);
    assert_memory_equal(stripped, "x y", 3);
    size = 2;
    bs_strip("\n ", &size);
    assert_int_equal(size, 0);
}

static void test_words(void **state)
{
    (void)state;
    /* python3: len(re.split(r"\s+", text)) */
    static const struct {
        const char *text;
        size_t words;
    } cases[] = {{"", 1},
                 {"one", 1},
                 {"one two", 2},
                 {" one two", 3},
                 {"one \n\n two\n", 3},
                 {"a\xc2\xa0"
                  "b",
                  2},
                 {" ", 2},
                 {"x\xe2\x80\x8b"
                  "y",
                  1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(bs_count_words(cases[i].text, strlen(cases[i].text)), cases[i].words);
}

static void test_memory(void **state)
{
    (void)state;
    static const char lines[] = "{\"text\": \"first\"}\n{\"text\": \"second\"}\n";
    static const char *const files[] = {"m.jsonl", "m.jsonl.gz", "m.jsonl.zst"};
    folder_write_text(&folder, "m.jsonl", lines);
    write_gzip("m.jsonl.gz", lines, sizeof lines - 1);
    write_zstd("m.jsonl.zst", lines, sizeof lines - 1);
    for (size_t f = 0; f < 3; f++) {
        struct bs_error err;
        enum bs_status status;
        long n = 0;
        do {
            struct bs_text text;
            bs_alloc_fail_at(++n);
            status = bs_text_read(folder_file(&folder, files[f]), &json, &text, &err);
            bs_text_release(&text);
        } while (allocation_failed(n, status, &err));
        assert_true(n > 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),       cmocka_unit_test(test_documents),
        cmocka_unit_test(test_json),        cmocka_unit_test(test_json_unread),
        cmocka_unit_test(test_json_list),   cmocka_unit_test(test_every_member),
        cmocka_unit_test(test_damaged_zip), cmocka_unit_test(test_packed),
        cmocka_unit_test(test_damaged),     cmocka_unit_test(test_long),
        cmocka_unit_test(test_spaces),      cmocka_unit_test(test_words),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}

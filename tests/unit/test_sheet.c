/* A sheet on terminals of every width, and as spreadsheets and markup read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/base/terminal.h"
#include "eval/report/sheet.h"
#include "eval/report/sheet_terminal.h"

static const char *const headings[] = {"model",      "recipe",         "bits",
                                       "perplexity", "loss\nof it",    "top-1\n%",
                                       "error\n%",   "times\nsmaller", "time\ns"};
enum { COLUMNS_MADE = sizeof headings / sizeof *headings, FIRST_NUMBER = 2, KEPT = 5 };

static const char *const labels[] = {
    "unquantized",
    "gptq w3 g128",
    "outliers+smoothquant w8 tensor a8 tensor alpha=0.5 compute=bfloat16",
    "awq+gptq w3 g128 act_order static_groups damping=0.015 search=both",
    "one_word_that_has_no_place_to_be_folded_at_whatever_one_tries_with_it_and_goes_on",
    "caf\xc3\xa9 w4 \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x81\xae\xe6\xa8\xa1\xe5\x9e\x8b w3",
    "\x1b[31mred\nfake: 1",
    "",
};
enum { LABELS = sizeof labels / sizeof *labels };

static void fill(struct bs_sheet *sheet, int first, int count)
{
    bs_sheet_init(sheet, COLUMNS_MADE);
    sheet->num_names = FIRST_NUMBER;
    for (int j = FIRST_NUMBER; j < KEPT; j++)
        bs_sheet_keep(sheet, j);
    bs_sheet_title(sheet, "%s on a text, by a protocol whose name takes room, and how it was cut.",
                   labels[first]);
    for (int j = 0; j < COLUMNS_MADE; j++)
        bs_sheet_text(sheet, "%s", headings[j]);
    for (int i = 0; i < count; i++) {
        bs_sheet_text(sheet, "%s", i % 2 ? "org/model" : "org/a-model-with-a-long-name");
        bs_sheet_text(sheet, "%s", labels[(first + i) % LABELS]);
        for (int j = FIRST_NUMBER; j < COLUMNS_MADE; j++)
            bs_sheet_estimate(sheet, 10.25 * j, 0.125, j == 4, 0);
    }
    bs_sheet_note(sheet,
                  "failed: %s: why it did, in a line that is longer than any terminal that "
                  "this is printed on is wide, and then some more",
                  labels[first]);
}

static char *print(const struct bs_sheet *sheet, int width)
{
    char *text = NULL;
    size_t size = 0;
    struct bs_error err;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(bs_sheet_print_terminal(sheet, width, out, &err), BS_OK);
    fclose(out);
    return text;
}

/* Places of a line, those of the letters from Asia here counted twice. */
static int line_width(const char *line, size_t length)
{
    int width = 0;
    for (size_t i = 0; i < length; i++)
        width += ((unsigned char)line[i] & 0xc0) == 0x80                            ? 0
                 : (unsigned char)line[i] >= 0xe3 && (unsigned char)line[i] <= 0xe9 ? 2
                                                                                    : 1;
    return width;
}

/* The text without blanks, line ends and what the table is drawn with. */
static char *letters_of(const char *text)
{
    char *out = bs_calloc(strlen(text) + 1, 1);
    size_t used = 0;
    for (; *text; text++)
        if (*text != ' ' && *text != '\n')
            out[used++] = *text;
    return out;
}

static void test_widths(void **state)
{
    (void)state;
    for (int first = 0; first < LABELS; first++)
        for (int width = 80; width <= 300; width += width < 130 ? 1 : 17) {
            struct bs_sheet sheet;
            fill(&sheet, first, 3);
            char *text = print(&sheet, width);
            const char *hidden = strstr(text, "not shown for want of width: ");
            for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
                size_t length = strcspn(line, "\n");
                if (line_width(line, length) > width)
                    fail_msg("wider than %d: '%.*s' in:\n%s", width, (int)length, line, text);
            }
            /* Every column is shown or named, those kept are shown. */
            for (int j = 0; j < COLUMNS_MADE; j++) {
                char word[32];
                snprintf(word, sizeof word, "%.*s", (int)strcspn(headings[j], "\n"), headings[j]);
                const char *at = strstr(text, word);
                assert_non_null(at);
                if (j < KEPT && hidden)
                    assert_true(at < hidden);
            }
            assert_non_null(strstr(text, "+41.00 \xc2\xb1 0.12"));
            free(text);
            bs_sheet_release(&sheet);
        }
}

/* A single row's name is there whole, however it is folded. */
static void test_names_whole(void **state)
{
    (void)state;
    for (int first = 0; first < LABELS; first++)
        for (int width = 80; width <= 140; width += 3) {
            struct bs_sheet sheet;
            bs_sheet_init(&sheet, 2);
            bs_sheet_keep(&sheet, 1);
            bs_sheet_text(&sheet, "recipe");
            bs_sheet_text(&sheet, "%s",
                          "an unfolded heading of a column of some sixty columns width");
            bs_sheet_text(&sheet, "%s", labels[first]);
            bs_sheet_text(&sheet, "#");
            char *text = print(&sheet, width);
            char *row = strchr(strstr(text, "\xe2\x94\x80"), '\n') + 1;
            char *sign = strchr(row, '#');
            assert_non_null(sign);
            *sign = ' ';
            char *found = letters_of(row), *escaped = bs_escaped(labels[first]);
            char *wanted = letters_of(escaped);
            assert_string_equal(found, wanted);
            bs_free(wanted);
            bs_free(escaped);
            bs_free(found);
            free(text);
            bs_sheet_release(&sheet);
        }
}

/* Names are folded before a column goes, and nothing is where there is room. */
static void test_order(void **state)
{
    (void)state;
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, 3);
    for (int j = 0; j < 3; j++)
        bs_sheet_text(&sheet, "%s", j ? "thirty columns of one heading." : "recipe");
    bs_sheet_text(&sheet, "a recipe that folds at every word");
    bs_sheet_text(&sheet, "1"), bs_sheet_text(&sheet, "2");
    char *wide = print(&sheet, 97), *narrow = print(&sheet, 96), *least = print(&sheet, 85);
    assert_null(strstr(wide, "not shown"));
    assert_non_null(strstr(wide, "\na recipe that folds at every word  "));
    assert_null(strstr(narrow, "not shown"));
    assert_null(strstr(narrow, "\na recipe that folds at every word"));
    assert_non_null(strstr(narrow, "\n  word"));
    assert_non_null(strstr(least, "not shown for want of width: thirty columns"));
    assert_non_null(strstr(least, "\na recipe that folds at every word  "));
    free(wide), free(narrow), free(least);
    bs_sheet_release(&sheet);
}

/* Where errors below numbers and folded names do not suffice: names that say again what others do
 * go, and numbers that have no room follow in parts of their own. */
static void test_what_goes_last(void **state)
{
    (void)state;
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, 6);
    sheet.num_names = 3;
    sheet.num_spare = 2;
    static const char *const names[] = {"recipe",     "algorithm",        "format",
                                        "perplexity", "delta perplexity", "divergence"};
    for (int j = 0; j < 6; j++)
        bs_sheet_text(&sheet, "%s", names[j]);
    for (int j = 3; j < 6; j++)
        bs_sheet_keep(&sheet, j);
    bs_sheet_text(&sheet, "gptq w3"), bs_sheet_text(&sheet, "gptq"), bs_sheet_text(&sheet, "int");
    for (int j = 3; j < 6; j++)
        bs_sheet_text(&sheet, "%d \xc2\xb1 1", j);
    char *wide = print(&sheet, 71), *narrow = print(&sheet, 60), *least = print(&sheet, 30);
    assert_null(strstr(wide, "not shown"));
    assert_non_null(strstr(narrow, "\nnot shown for want of width: format\n"));
    assert_non_null(strstr(least, "\ngptq w3          3\n               \xc2\xb1 1\n\n"));
    assert_non_null(
        strstr(least, "\ngptq w3                4\n                     \xc2\xb1 1\n\n"));
    assert_non_null(strstr(least, "\ngptq w3       5 \xc2\xb1 1\nnot shown for want of width:\n"));
    free(wide), free(narrow), free(least);
    bs_sheet_release(&sheet);
}

static void test_width_of_stream(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    static const struct {
        const char *columns;
        int width;
    } cases[] = {
        {"80", 80},  {"300", 300}, {"301", 300},  {"5", 40},    {"0", 120},
        {"-3", 120}, {"", 120},    {"wide", 120}, {"90x", 120}, {"99999999999999999999", 300}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("COLUMNS", cases[i].columns, 1);
        assert_int_equal(bs_terminal_width(file), cases[i].width);
    }
    unsetenv("COLUMNS");
    assert_int_equal(bs_terminal_width(file), BS_PLAIN_WIDTH);
    assert_false(bs_terminal_takes_codes(file));
    fclose(file);
}

static char *print_styled(const struct bs_sheet *sheet, enum bs_table_style style)
{
    char *text = NULL;
    size_t size = 0;
    struct bs_error err;
    FILE *out = open_memstream(&text, &size);
    if (style == BS_TABLE_JSON)
        assert_int_equal(bs_json_print(bs_sheet_json(sheet), out, &err), BS_OK);
    else
        assert_int_equal(bs_sheet_print(sheet, style, out, &err), BS_OK);
    fclose(out);
    return text;
}

/* What a spreadsheet would run is marked as text; numbers are numbers. */
static void test_formulas(void **state)
{
    (void)state;
    static const struct {
        const char *cell, *printed;
    } cases[] = {
        {"=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\""},
        {"=1+1", "\"'=1+1\""},
        {"+1+cmd", "\"'+1+cmd\""},
        {"-2+3", "\"'-2+3\""},
        {"@SUM(A1)", "\"'@SUM(A1)\""},
        {"=a\",\"b", "\"'=a\"\",\"\"b\""},
        {"\xef\xbc\x9d"
         "1",
         "\"'\xef\xbc\x9d"
         "1\""},
        {"-0.5", "-0.5"},
        {"+2", "+2"},
        {"-inf", "-inf"},
        {"a=b", "a=b"},
        {"a;=b", "\"a;=b\""},
        {"\t=1", "\\t=1"},
        {"\r\n=1", "\\r\\n=1"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_sheet sheet;
        bs_sheet_init(&sheet, 2);
        bs_sheet_text(&sheet, "a"), bs_sheet_text(&sheet, "b");
        bs_sheet_text(&sheet, "%s", cases[i].cell);
        bs_sheet_double(&sheet, -1.5);
        char *text = print_styled(&sheet, BS_TABLE_CSV),
             *wanted = bs_printf("a,b\r\n%s,-1.5\r\n", cases[i].printed);
        assert_string_equal(text, wanted);
        bs_free(wanted);
        free(text);
        bs_sheet_release(&sheet);
    }
}

/* No style lets through what would steer a terminal; JSON gives it back as it was. */
static void test_controls(void **state)
{
    (void)state;
    static const char hostile[] = "\x1b]0;x\x07\xc2\x9b"
                                  "31m\xe2\x80\xae\x7f'\n=1";
    for (int style = 0; style < 5; style++) {
        struct bs_sheet sheet;
        bs_sheet_init(&sheet, 1);
        bs_sheet_title(&sheet, "%s", hostile);
        bs_sheet_text(&sheet, "name");
        bs_sheet_text(&sheet, "%s", hostile);
        bs_sheet_note(&sheet, "%s", hostile);
        char *text = print_styled(&sheet, (enum bs_table_style)style);
        for (char *c = text; *c; c++) /* the lines' own ends */
            *c = *c == '\n' || *c == '\r' ? ' ' : *c;
        assert_true(style == BS_TABLE_JSON || bs_is_plain(text));
        assert_null(strchr(text, '\x1b'));
        assert_null(strstr(text, "\xc2\x9b"));
        assert_null(strstr(text, "\xe2\x80\xae"));
        json_t *json = style == BS_TABLE_JSON ? json_loads(text, 0, NULL) : NULL;
        if (style == BS_TABLE_JSON)
            assert_string_equal(json_string_value(json_object_get(json_array_get(json, 0), "name")),
                                hostile);
        json_decref(json);
        free(text);
        bs_sheet_release(&sheet);
    }
}

static void test_memory(void **state)
{
    (void)state;
    struct bs_error err;
    FILE *out = fopen("/dev/null", "w");
    long n = 0;
    enum bs_status status;
    do {
        struct bs_sheet sheet;
        bs_alloc_fail_at(++n);
        fill(&sheet, 6, 4);
        status = bs_sheet_print(&sheet, BS_TABLE_TERMINAL, out, &err);
        bs_alloc_fail_at(0);
        bs_sheet_release(&sheet);
        assert_true(!status || status == BS_ENOMEM);
    } while (status);
    assert_true(n > 40);
    fclose(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widths),          cmocka_unit_test(test_names_whole),
        cmocka_unit_test(test_order),           cmocka_unit_test(test_what_goes_last),
        cmocka_unit_test(test_width_of_stream), cmocka_unit_test(test_formulas),
        cmocka_unit_test(test_controls),        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "eval/report/sheet.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/base/terminal.h"
#include "eval/linalg/elementary.h"
#include "eval/report/expression.h"
#include "eval/report/html.h"
#include "eval/report/sheet_terminal.h"

static const char em_dash[] = "\xe2\x80\x94";
static const char plus_minus[] = "\xc2\xb1";

void bs_sheet_init(struct bs_sheet *sheet, int num_columns)
{
    *sheet = (struct bs_sheet){.num_columns = num_columns, .num_names = 1};
}

void bs_sheet_keep(struct bs_sheet *sheet, int column) { sheet->kept |= UINT64_C(1) << column; }

void bs_sheet_release(struct bs_sheet *sheet)
{
    for (int i = 0; i < sheet->num_cells; i++)
        bs_free(sheet->cells[i].text), bs_free(sheet->cells[i].raw);
    for (int i = 0; i < sheet->num_notes; i++)
        bs_free(sheet->notes[i]);
    bs_free(sheet->cells);
    bs_free(sheet->notes);
    bs_free(sheet->title);
    bs_free(sheet->label);
    bs_free(sheet->rules);
    *sheet = (struct bs_sheet){0};
}

/* Room for one more cell; false when memory runs out. */
static bool reserve_cell(struct bs_sheet *sheet)
{
    if (sheet->num_cells < sheet->capacity)
        return true;
    int capacity = sheet->capacity ? 2 * sheet->capacity : 64;
    struct bs_sheet_cell *cells =
        bs_realloc(sheet->cells, (size_t)sheet->capacity, (size_t)capacity, sizeof *cells);
    if (!cells)
        return false;
    sheet->cells = cells;
    sheet->capacity = capacity;
    return true;
}

/* Takes `text`. What came from outside is escaped; headings are the program's own and part
 * lines. */
static void add_cell(struct bs_sheet *sheet, enum bs_cell_kind kind, char *text, double number)
{
    char *raw = NULL;
    bool heading = sheet->num_cells < sheet->num_columns;
    if (text && !heading && !bs_is_plain(text)) {
        raw = text;
        text = bs_escaped(raw);
    }
    if (text && reserve_cell(sheet)) {
        sheet->cells[sheet->num_cells++] = (struct bs_sheet_cell){kind, text, raw, number, false};
        return;
    }
    bs_free(text);
    bs_free(raw);
    sheet->out_of_memory = true;
}

void bs_sheet_text(struct bs_sheet *sheet, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_cell(sheet, BS_CELL_TEXT, bs_vprintf(format, args), 0);
    va_end(args);
}

void bs_sheet_int(struct bs_sheet *sheet, int value)
{
    add_cell(sheet, BS_CELL_INT, bs_printf("%d", value), value);
}

void bs_sheet_double(struct bs_sheet *sheet, double value)
{
    char text[32] = "";
    /* The fewest digits that read back as the same number. */
    for (int digits = 15; !isnan(value) && digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    add_cell(sheet, BS_CELL_DOUBLE, bs_strdup(text), value);
}

void bs_sheet_figure(struct bs_sheet *sheet, const char *text, double value)
{
    add_cell(sheet, BS_CELL_DOUBLE, bs_strdup(text), value);
}

enum { MOST_DECIMALS = 3 };

/* Digits after the point that show two significant digits of a standard error. */
static int decimals_of(double se)
{
    int decimals = MOST_DECIMALS;
    while (decimals > 0 && rint(se * bs_power_of_ten(decimals)) >= 100)
        decimals--;
    return decimals;
}

/* The number with so many digits after the point, a '+' before it where asked; what rounds to
 * nothing has no sign. */
static void print_number(char *out, size_t size, double value, int decimals, bool sign)
{
    bool nothing = fabs(value) < 0.5 * bs_power_of_ten(-decimals);
    snprintf(out, size, sign && !nothing ? "%+.*f" : "%.*f", decimals, nothing ? 0.0 : value);
}

/* As bs_sheet_estimate, with at least so many digits after the point; spread NaN = none. */
static void add_estimate(struct bs_sheet *sheet, double mean, double se, double spread, bool sign,
                         int least)
{
    char text[400], second[64] = "";
    const char *plus = sign && mean > 0 ? "+" : "";
    if (!isfinite(mean)) {
        bs_sheet_text(sheet, "%s", em_dash);
        return;
    }
    if (!(se > 0) || isinf(se)) {
        if (isfinite(spread))
            snprintf(second, sizeof second, " %s %.2g", plus_minus, spread);
        bs_sheet_text(sheet, "%s%.4g %s %s%s", plus, mean == 0 ? 0.0 : mean, plus_minus,
                      se == 0 ? "0" : "n/a", second);
    } else if (fabs(mean) >= 1e6 || se >= 1e6) {
        if (isfinite(spread))
            snprintf(second, sizeof second, " %s %.2g", plus_minus, spread);
        bs_sheet_text(sheet, "%s%.3g %s %.2g%s", plus, mean, plus_minus, se, second);
    } else {
        int decimals = decimals_of(se) > least ? decimals_of(se) : least;
        if (isfinite(spread) && spread < 1e6)
            snprintf(second, sizeof second, " %s %.*f", plus_minus, decimals, spread);
        print_number(text, sizeof text, mean, decimals, sign);
        bs_sheet_text(sheet, "%s %s %.*f%s", text, plus_minus, decimals, se, second);
    }
}

void bs_sheet_estimate(struct bs_sheet *sheet, double mean, double se, bool sign, int least)
{
    add_estimate(sheet, mean, se, (double)NAN, sign, least);
}

void bs_sheet_spread(struct bs_sheet *sheet, double mean, double se, double spread, bool sign,
                     int least)
{
    /* A spread that is far smaller than the error keeps a digit of its own. */
    int own = spread > 0 && isfinite(spread) ? decimals_of(spread) - 1 : 0;
    add_estimate(sheet, mean, se, spread, sign, own > least ? own : least);
}

void bs_sheet_rounded(struct bs_sheet *sheet, double value)
{
    double size = fabs(value);
    if (!isfinite(value))
        bs_sheet_text(sheet, "%s", em_dash);
    else if (size >= 1e5 || (size > 0 && size < 1e-3))
        bs_sheet_text(sheet, "%.2g", value);
    else
        bs_sheet_text(sheet, "%.*f",
                      size >= 100  ? 0
                      : size >= 10 ? 1
                      : size >= 1  ? 2
                                   : 3,
                      value == 0 ? 0.0 : value);
}

void bs_sheet_header(struct bs_sheet *sheet, const struct bs_record_type *type)
{
    for (const struct bs_field *field = type->fields; field->name; field++)
        bs_sheet_text(sheet, "%s", field->name);
}

void bs_sheet_record(struct bs_sheet *sheet, const struct bs_record_type *type, const void *record)
{
    for (const struct bs_field *field = type->fields; field->name; field++) {
        if (field->kind == BS_FIELD_TEXT || field->kind == BS_FIELD_STRING)
            bs_sheet_text(sheet, "%s", bs_field_text(field, record));
        else if (field->kind == BS_FIELD_INT)
            bs_sheet_int(sheet, bs_field_int(field, record));
        else
            bs_sheet_double(sheet, bs_field_double(field, record));
    }
}

void bs_sheet_title(struct bs_sheet *sheet, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bs_free(sheet->title);
    sheet->title = bs_print_escaped(format, args);
    va_end(args);
    if (!sheet->title)
        sheet->out_of_memory = true;
}

void bs_sheet_note(struct bs_sheet *sheet, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = bs_print_escaped(format, args);
    va_end(args);
    char **notes = text ? bs_realloc(sheet->notes, (size_t)sheet->num_notes,
                                     (size_t)sheet->num_notes + 1, sizeof *notes)
                        : NULL;
    if (!notes) {
        bs_free(text);
        sheet->out_of_memory = true;
        return;
    }
    sheet->notes = notes;
    sheet->notes[sheet->num_notes++] = text;
}

void bs_sheet_label(struct bs_sheet *sheet, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bs_free(sheet->label);
    sheet->label = bs_vprintf(format, args);
    va_end(args);
    for (char *c = sheet->label; c && *c; c++)
        if (!isalnum((unsigned char)*c) && *c != ':')
            *c = '-';
    if (!sheet->label)
        sheet->out_of_memory = true;
}

void bs_sheet_rule(struct bs_sheet *sheet)
{
    int *rules = bs_realloc(sheet->rules, (size_t)sheet->num_rules, (size_t)sheet->num_rules + 1,
                            sizeof *rules);
    if (!rules) {
        sheet->out_of_memory = true;
        return;
    }
    sheet->rules = rules;
    sheet->rules[sheet->num_rules++] = sheet->num_cells;
}

bool bs_sheet_has_rule(const struct bs_sheet *sheet, int row)
{
    for (int i = 0; i < sheet->num_rules; i++)
        if (sheet->rules[i] == row * sheet->num_columns)
            return true;
    return false;
}

/* Takes the columns' cells into a sheet of their own. */
static void move_columns(struct bs_sheet *sheet, const int *columns, int count)
{
    struct bs_sheet narrow;
    bs_sheet_init(&narrow, count);
    for (int i = 0; i < sheet->num_cells; i += sheet->num_columns)
        for (int j = 0; j < count; j++) {
            const struct bs_sheet_cell *cell = &sheet->cells[i + columns[j]];
            add_cell(&narrow, cell->kind, bs_strdup(cell->raw ? cell->raw : cell->text),
                     cell->number);
        }
    narrow.out_of_memory |= sheet->out_of_memory;
    bs_sheet_release(sheet);
    *sheet = narrow;
}

enum bs_status bs_sheet_narrow(struct bs_sheet *sheet, const char *const *always, const char *names,
                               struct bs_error *err)
{
    int count = 0, *columns = bs_alloc((size_t)sheet->num_columns, sizeof *columns);
    if (!columns)
        return bs_fail_memory(err);
    const char *word = names;
    while (*always || *word) {
        char name[64];
        size_t length = *always ? strlen(*always) : strcspn(word, ",");
        snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63),
                 *always ? *always : word);
        int column = bs_sheet_find(sheet, name, "--columns: ", err);
        if (column < 0) {
            bs_free(columns);
            return err->status;
        }
        word += *always ? 0 : length + (word[length] == ',');
        always += *always ? 1 : 0;
        bool twice = false;
        for (int j = 0; j < count; j++)
            twice |= columns[j] == column;
        if (!twice)
            columns[count++] = column;
    }
    move_columns(sheet, columns, count);
    bs_free(columns);
    return BS_OK;
}

const char *bs_sheet_cell(const struct bs_sheet *sheet, int row, int column)
{
    return sheet->cells[(size_t)row * sheet->num_columns + column].text;
}

static void print_markdown_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("|\\`*_<>[]~&", *text))
            fputc('\\', out);
        fputc(*text == '\n' ? ' ' : *text, out);
    }
}

static void print_markdown(const struct bs_sheet *sheet, FILE *out)
{
    int num_rows = sheet->num_cells / sheet->num_columns;
    if (sheet->title) {
        print_markdown_text(out, sheet->title);
        fputs("\n\n", out);
    }
    for (int i = 0; i < num_rows; i++) {
        for (int j = 0; j < sheet->num_columns; j++) {
            fputs("| ", out);
            print_markdown_text(out, bs_sheet_cell(sheet, i, j));
            fputc(' ', out);
        }
        fputs("|\n", out);
        for (int j = 0; i == 0 && j < sheet->num_columns; j++)
            fputs(j < sheet->num_names ? "|:---" : "|---:", out);
        fputs(i == 0 ? "|\n" : "", out);
    }
    for (int i = 0; i < sheet->num_notes; i++) {
        fputs(i == 0 ? "\n- " : "- ", out);
        print_markdown_text(out, sheet->notes[i]);
        fputc('\n', out);
    }
}

/* True for a text that a spreadsheet would take for a formula: it is none of ours, as its numbers
 * are cells of numbers. What is wholly a number is harmless. */
static bool is_formula(const struct bs_sheet_cell *cell)
{
    static const char *const signs[] = {
        "=",           "+", "-", "@", "\xef\xbc\x9d", "\xef\xbc\x8b", "\xef\xbc\x8d",
        "\xef\xbc\xa0"}; /* and their full-width forms */
    char *end;
    strtod(cell->text, &end);
    if (cell->kind != BS_CELL_TEXT || !*end)
        return false;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (!strncmp(cell->text, signs[i], strlen(signs[i])))
            return true;
    return false;
}

/* RFC 4180. An apostrophe in front is how spreadsheets are told that a cell is text; a semicolon is
 * what some of them part cells by. */
static void print_csv(const struct bs_sheet *sheet, FILE *out)
{
    for (int i = 0; i < sheet->num_cells; i++) {
        const char *text = sheet->cells[i].text;
        bool formula = is_formula(&sheet->cells[i]);
        if (i % sheet->num_columns > 0)
            fputc(',', out);
        if (!formula && !text[strcspn(text, ",;\"\r\n")]) {
            fputs(text, out);
        } else {
            fputs(formula ? "\"'" : "\"", out);
            for (; *text; text++)
                fprintf(out, *text == '"' ? "\"\"" : "%c", *text);
            fputc('"', out);
        }
        if ((i + 1) % sheet->num_columns == 0)
            fputs("\r\n", out);
    }
}

/* What LaTeX has other words for. */
static void print_latex_text(FILE *out, const char *text)
{
    static const struct {
        const char *from, *to;
    } words[] = {
        {"\\", "\\textbackslash{}"},
        {"&", "\\&"},
        {"%", "\\%"},
        {"$", "\\$"},
        {"#", "\\#"},
        {"_", "\\_"},
        {"{", "\\{"},
        {"}", "\\}"},
        {"~", "\\textasciitilde{}"},
        {"^", "\\textasciicircum{}"},
        {"<", "$<$"},
        {">", "$>$"},
        {"|", "$|$"},
        {"\n", " "},
        {"\xc2\xb1", "$\\pm$"},              /* plus-minus */
        {"\xce\x94", "$\\Delta$"},           /* Delta */
        {"\xc3\x97", "$\\times$"},           /* times */
        {"\xe2\x80\x94", "---"},             /* em dash */
        {"\xe2\x80\xa0", "$^\\dagger$"},     /* dagger */
        {"\xe2\x81\xbb\xc2\xb3", "$^{-3}$"}, /* superscript -3 */
    };
    enum { WORDS = sizeof words / sizeof *words };
    bool at_start = true;
    while (*text) {
        int found = 0;
        while (found < WORDS && strncmp(text, words[found].from, strlen(words[found].from)))
            found++;
        bool minus = at_start && text[0] == '-' && text[1] >= '0' && text[1] <= '9';
        at_start = *text == ' ';
        if (minus)
            fputs("$-$", out);
        else if (found < WORDS)
            fputs(words[found].to, out);
        else
            fputc(*text, out);
        text += found < WORDS ? strlen(words[found].from) : 1;
    }
}

static void print_latex(const struct bs_sheet *sheet, FILE *out)
{
    int num_rows = sheet->num_cells / sheet->num_columns;
    fputs("\\begin{table}\n\\centering\n", out);
    if (sheet->title) {
        fputs("\\caption{", out);
        print_latex_text(out, sheet->title);
        fputs("}\n", out);
    }
    if (sheet->label)
        fprintf(out, "\\label{%s}\n", sheet->label);
    fputs("\\begin{tabular}{", out);
    for (int j = 0; j < sheet->num_columns; j++)
        fputc(j < sheet->num_names ? 'l' : 'r', out);
    fputs("}\n\\toprule\n", out);
    for (int i = 0; i < num_rows; i++) {
        fputs(i > 1 && bs_sheet_has_rule(sheet, i) ? "\\midrule\n" : "", out);
        for (int j = 0; j < sheet->num_columns; j++) {
            bool best = sheet->cells[(size_t)i * sheet->num_columns + j].is_best;
            fputs(j > 0 ? " & " : "", out);
            fputs(best ? "\\textbf{" : "", out);
            print_latex_text(out, bs_sheet_cell(sheet, i, j));
            fputs(best ? "}" : "", out);
        }
        fputs(i == 0 ? " \\\\\n\\midrule\n" : " \\\\\n", out);
    }
    fputs("\\bottomrule\n\\end{tabular}\n", out);
    for (int i = 0; i < sheet->num_notes; i++) {
        fputs("\\par\\footnotesize ", out);
        print_latex_text(out, sheet->notes[i]);
        fputc('\n', out);
    }
    fputs("\\end{table}\n", out);
}

static json_t *cell_json(const struct bs_sheet_cell *cell)
{
    if (cell->kind == BS_CELL_TEXT)
        return json_string(cell->raw ? cell->raw : cell->text);
    if (cell->kind == BS_CELL_INT)
        return json_integer((json_int_t)cell->number);
    return isfinite(cell->number) ? json_real(cell->number) : json_null();
}

/* A row as an object, NULL when memory runs out. */
static json_t *row_json(const struct bs_sheet *sheet, int row)
{
    json_t *object = json_object();
    int failed = object ? 0 : -1;
    for (int j = 0; failed == 0 && j < sheet->num_columns; j++)
        failed =
            json_object_set_new(object, sheet->cells[j].text,
                                cell_json(&sheet->cells[(size_t)row * sheet->num_columns + j]));
    if (failed == 0)
        return object;
    json_decref(object);
    return NULL;
}

static enum bs_status print_json_lines(const struct bs_sheet *sheet, FILE *out,
                                       struct bs_error *err)
{
    for (int i = 1; i < sheet->num_cells / sheet->num_columns; i++) {
        json_t *row = row_json(sheet, i);
        if (!row)
            return bs_fail_memory(err);
        json_dumpf(row, out, JSON_COMPACT | JSON_ENSURE_ASCII); /* the stream keeps a failure */
        json_decref(row);
        fputc('\n', out);
    }
    return BS_OK;
}

enum bs_status bs_sheet_print(const struct bs_sheet *sheet, enum bs_table_style style, FILE *out,
                              struct bs_error *err)
{
    if (sheet->out_of_memory)
        return bs_fail_memory(err);
    enum bs_status status = BS_OK;
    if (style == BS_TABLE_TERMINAL)
        status = bs_sheet_print_terminal(sheet, bs_terminal_width(out), out, err);
    else if (style == BS_TABLE_MARKDOWN)
        print_markdown(sheet, out);
    else if (style == BS_TABLE_CSV)
        print_csv(sheet, out);
    else if (style == BS_TABLE_JSONL)
        status = print_json_lines(sheet, out, err);
    else if (style == BS_TABLE_HTML)
        bs_html_sheet(sheet, out);
    else
        print_latex(sheet, out);
    if (!status && ferror(out))
        status = bs_fail(err, BS_EIO, "the table cannot be written: %s", strerror(errno));
    return status;
}

json_t *bs_sheet_json(const struct bs_sheet *sheet)
{
    json_t *rows = sheet->out_of_memory ? NULL : json_array();
    for (int i = 1; rows && i < sheet->num_cells / sheet->num_columns; i++) {
        json_t *row = row_json(sheet, i);
        if (!row || json_array_append_new(rows, row) != 0) {
            json_decref(rows);
            rows = NULL;
        }
    }
    return rows;
}

enum bs_status bs_json_print(json_t *json, FILE *out, struct bs_error *err)
{
    if (!json)
        return bs_fail_memory(err);
    int failed = json_dumpf(json, out, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    json_decref(json);
    if (failed != 0 || fputc('\n', out) == EOF)
        return bs_fail(err, BS_EIO, "the table cannot be written: %s", strerror(errno));
    return BS_OK;
}

#include "eval/store/sheet.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"

static const char em_dash[] = "\xe2\x80\x94";
static const char plus_minus[] = "\xc2\xb1";

void bs_sheet_init(struct bs_sheet *sheet, int num_columns)
{
    *sheet = (struct bs_sheet){.num_columns = num_columns, .num_names = 1};
}

void bs_sheet_release(struct bs_sheet *sheet)
{
    for (int i = 0; i < sheet->num_cells; i++)
        bs_free(sheet->cells[i].text);
    for (int i = 0; i < sheet->num_notes; i++)
        bs_free(sheet->notes[i]);
    bs_free(sheet->cells);
    bs_free(sheet->notes);
    bs_free(sheet->title);
    *sheet = (struct bs_sheet){0};
}

/* As bs_printf, from a va_list. */
static __attribute__((format(printf, 1, 0))) char *print_text(const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = length < 0 ? NULL : bs_alloc((size_t)length + 1, 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, args);
    return text;
}

static void add_cell(struct bs_sheet *sheet, enum bs_cell_kind kind, char *text, double number)
{
    if (text && sheet->num_cells == sheet->capacity) {
        int capacity = sheet->capacity ? 2 * sheet->capacity : 64;
        struct bs_cell *cells =
            bs_realloc(sheet->cells, (size_t)sheet->capacity, (size_t)capacity, sizeof *cells);
        if (!cells) {
            bs_free(text);
            text = NULL;
        } else {
            sheet->cells = cells;
            sheet->capacity = capacity;
        }
    }
    if (!text)
        sheet->out_of_memory = true;
    else
        sheet->cells[sheet->num_cells++] = (struct bs_cell){kind, text, number};
}

void bs_sheet_text(struct bs_sheet *sheet, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_cell(sheet, BS_CELL_TEXT, print_text(format, args), 0);
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

/* Digits behind the point that show two significant digits of a standard error. */
static int decimals_of(double se)
{
    int exponent = (int)floor(log10(se));
    /* 0.0996 rounds to 0.10, a digit fewer. */
    if (rint(se / pow(10, exponent - 1)) >= 100)
        exponent++;
    int decimals = 1 - exponent;
    return decimals < 0 ? 0 : decimals > MOST_DECIMALS ? MOST_DECIMALS : decimals;
}

/* As bs_sheet_estimate, with at least so many digits behind the point. */
static void add_estimate(struct bs_sheet *sheet, double mean, double se, bool sign, int least)
{
    const char *plus = sign && mean > 0 ? "+" : "";
    if (!isfinite(mean))
        bs_sheet_text(sheet, "%s", em_dash);
    else if (!(se > 0) || isinf(se))
        bs_sheet_text(sheet, "%s%.4g %s %s", plus, mean, plus_minus, se == 0 ? "0" : "n/a");
    else if (fabs(mean) >= 1e6 || se >= 1e6)
        bs_sheet_text(sheet, "%s%.3g %s %.2g", plus, mean, plus_minus, se);
    else {
        int decimals = decimals_of(se) > least ? decimals_of(se) : least;
        bs_sheet_text(sheet, "%s%.*f %s %.*f", plus, decimals, mean, plus_minus, decimals, se);
    }
}

void bs_sheet_estimate(struct bs_sheet *sheet, double mean, double se, bool sign)
{
    add_estimate(sheet, mean, se, sign, 0);
}

void bs_sheet_perplexity(struct bs_sheet *sheet, double mean, double se)
{
    add_estimate(sheet, mean, se, false, mean < 1000 ? 2 : 0);
}

void bs_sheet_rounded(struct bs_sheet *sheet, double value)
{
    double size = fabs(value);
    if (!isfinite(value))
        bs_sheet_text(sheet, "%s", em_dash);
    else if (size >= 1e5 || (size > 0 && size < 1e-3))
        bs_sheet_text(sheet, "%.2g", value);
    else
        bs_sheet_text(sheet, "%.*f", size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3, value);
}

void bs_sheet_header(struct bs_sheet *sheet, const struct bs_record_type *type)
{
    for (const struct bs_field *field = type->fields; field->name; field++)
        bs_sheet_text(sheet, "%s", field->name);
}

void bs_sheet_record(struct bs_sheet *sheet, const struct bs_record_type *type, const void *record)
{
    for (const struct bs_field *field = type->fields; field->name; field++) {
        if (field->kind == BS_FIELD_TEXT)
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
    sheet->title = print_text(format, args);
    va_end(args);
    if (!sheet->title)
        sheet->out_of_memory = true;
}

void bs_sheet_note(struct bs_sheet *sheet, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = print_text(format, args);
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

static const char *cell(const struct bs_sheet *sheet, int row, int column)
{
    return sheet->cells[(size_t)row * sheet->num_columns + column].text;
}

/* Places that a text takes on a terminal: characters, not bytes. (No wide ones are printed here.)
 */
static int width_of(const char *text, size_t bytes)
{
    int width = 0;
    for (size_t i = 0; i < bytes; i++)
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

/* Line 0 or 1 of a heading; a heading of one line stands in the lower one. */
static const char *heading_line(const char *text, int line, size_t *bytes)
{
    const char *parting = strchr(text, '\n');
    if (line == 0) {
        *bytes = parting ? (size_t)(parting - text) : 0;
        return text;
    }
    const char *start = parting ? parting + 1 : text;
    *bytes = strlen(start);
    return start;
}

static void print_padded(const struct bs_sheet *sheet, FILE *out, const char *text, size_t bytes,
                         int width, int column)
{
    int padding = width - width_of(text, bytes);
    const char *gap = column > 0 ? "  " : "";
    if (column >= sheet->num_names)
        fprintf(out, "%s%*s%.*s", gap, padding > 0 ? padding : 0, "", (int)bytes, text);
    else
        fprintf(out, "%s%.*s%*s", gap, (int)bytes, text, padding > 0 ? padding : 0, "");
}

static int column_width(const struct bs_sheet *sheet, int column, int num_rows)
{
    int widest = 0;
    for (int line = 0; line < 2; line++) {
        size_t bytes;
        const char *text = heading_line(cell(sheet, 0, column), line, &bytes);
        int width = width_of(text, bytes);
        widest = width > widest ? width : widest;
    }
    for (int i = 1; i < num_rows; i++) {
        int width = width_of(cell(sheet, i, column), strlen(cell(sheet, i, column)));
        widest = width > widest ? width : widest;
    }
    return widest;
}

/* The name of a column on one line. */
static void print_heading(FILE *out, const char *text)
{
    for (; *text; text++)
        fputc(*text == '\n' ? ' ' : *text, out);
}

static void print_terminal_headings(const struct bs_sheet *sheet, FILE *out, const int *width,
                                    int shown, int total)
{
    bool two_lines = false;
    for (int j = 0; j < shown; j++)
        two_lines = two_lines || strchr(cell(sheet, 0, j), '\n');
    for (int line = two_lines ? 0 : 1; line < 2; line++) {
        for (int j = 0; j < shown; j++) {
            size_t bytes;
            const char *text = heading_line(cell(sheet, 0, j), line, &bytes);
            print_padded(sheet, out, text, bytes, width[j], j);
        }
        fputc('\n', out);
    }
    for (int i = 0; i < total; i++)
        fputs("\xe2\x94\x80", out);
    fputc('\n', out);
}

static enum bs_status print_terminal(const struct bs_sheet *sheet, FILE *out, struct bs_error *err)
{
    int num_rows = sheet->num_cells / sheet->num_columns;
    int *width = bs_alloc((size_t)sheet->num_columns, sizeof *width);
    if (!width)
        return bs_fail_memory(err);
    int shown = 0, total = 0;
    for (int j = 0; j < sheet->num_columns; j++) {
        width[j] = column_width(sheet, j, num_rows);
        int wider = total + width[j] + (j > 0 ? 2 : 0);
        if (j > 0 && wider > BS_SHEET_WIDTH)
            break;
        total = wider;
        shown++;
    }
    if (sheet->title)
        fprintf(out, "%s\n\n", sheet->title);
    print_terminal_headings(sheet, out, width, shown, total);
    for (int i = 1; i < num_rows; i++) {
        for (int j = 0; j < shown; j++)
            print_padded(sheet, out, cell(sheet, i, j), strlen(cell(sheet, i, j)), width[j], j);
        fputc('\n', out);
    }
    for (int i = 0; i < sheet->num_notes; i++)
        fprintf(out, "%s\n", sheet->notes[i]);
    for (int j = shown; j < sheet->num_columns; j++) {
        fputs(j == shown ? "not shown for want of width: " : ", ", out);
        print_heading(out, cell(sheet, 0, j));
    }
    fputs(shown < sheet->num_columns ? "\n" : "", out);
    bs_free(width);
    return BS_OK;
}

static void print_markdown_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("|\\`*_<", *text))
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
            print_markdown_text(out, cell(sheet, i, j));
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

static void print_csv(const struct bs_sheet *sheet, FILE *out)
{
    for (int i = 0; i < sheet->num_cells; i++) {
        const char *text = sheet->cells[i].text;
        if (i % sheet->num_columns > 0)
            fputc(',', out);
        if (!text[strcspn(text, ",\"\r\n")]) {
            fputs(text, out);
        } else {
            fputc('"', out);
            for (; *text; text++)
                fprintf(out, *text == '"' ? "\"\"" : "%c", *text);
            fputc('"', out);
        }
        if ((i + 1) % sheet->num_columns == 0)
            fputs("\r\n", out); /* RFC 4180 */
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
        while (found < WORDS && strncmp(text, words[found].from, strlen(words[found].from)) != 0)
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
    fputs("\\begin{tabular}{", out);
    for (int j = 0; j < sheet->num_columns; j++)
        fputc(j < sheet->num_names ? 'l' : 'r', out);
    fputs("}\n\\toprule\n", out);
    for (int i = 0; i < num_rows; i++) {
        for (int j = 0; j < sheet->num_columns; j++) {
            fputs(j > 0 ? " & " : "", out);
            print_latex_text(out, cell(sheet, i, j));
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

enum bs_status bs_sheet_print(const struct bs_sheet *sheet, enum bs_table_style style, FILE *out,
                              struct bs_error *err)
{
    if (sheet->out_of_memory)
        return bs_fail_memory(err);
    enum bs_status status = BS_OK;
    if (style == BS_TABLE_TERMINAL)
        status = print_terminal(sheet, out, err);
    else if (style == BS_TABLE_MARKDOWN)
        print_markdown(sheet, out);
    else if (style == BS_TABLE_CSV)
        print_csv(sheet, out);
    else
        print_latex(sheet, out);
    if (status == BS_OK && ferror(out))
        status = bs_fail(err, BS_EIO, "the table cannot be written: %s", strerror(errno));
    return status;
}

static json_t *cell_json(const struct bs_cell *cell)
{
    if (cell->kind == BS_CELL_TEXT)
        return json_string(cell->text);
    if (cell->kind == BS_CELL_INT)
        return json_integer((json_int_t)cell->number);
    return isfinite(cell->number) ? json_real(cell->number) : json_null();
}

json_t *bs_sheet_json(const struct bs_sheet *sheet)
{
    json_t *rows = sheet->out_of_memory ? NULL : json_array();
    for (int i = sheet->num_columns; rows && i < sheet->num_cells; i += sheet->num_columns) {
        json_t *row = json_object();
        int failed = json_array_append_new(rows, row);
        for (int j = 0; failed == 0 && j < sheet->num_columns; j++)
            failed =
                json_object_set_new(row, sheet->cells[j].text, cell_json(&sheet->cells[i + j]));
        if (failed != 0) {
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
    int failed = json_dumpf(json, out, JSON_INDENT(2));
    json_decref(json);
    if (failed != 0 || fputc('\n', out) == EOF)
        return bs_fail(err, BS_EIO, "the table cannot be written: %s", strerror(errno));
    return BS_OK;
}

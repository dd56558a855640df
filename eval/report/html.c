#include "eval/report/html.h"

#include <stdarg.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"

/* Text that is printable: what HTML reads becomes an entity. */
static void print_plain(FILE *out, const char *text)
{
    static const char signs[] = "&<>\"'";
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    while (*text) {
        size_t plain = strcspn(text, signs);
        fwrite(text, 1, plain, out);
        text += plain;
        if (*text)
            fputs(entities[strchr(signs, *text++) - signs], out);
    }
}

/* So many bytes that hold neither an end of line nor a tab. */
static void print_part(FILE *out, const char *text, size_t bytes)
{
    char *part = bs_printf("%.*s", (int)bytes, text);
    char *shown = part ? bs_escaped(part) : NULL;
    if (shown)
        print_plain(out, shown);
    else
        fputs("(out of memory)", out);
    bs_free(shown);
    bs_free(part);
}

void bs_html_text(FILE *out, const char *text)
{
    while (*text) {
        size_t bytes = strcspn(text, "\n\t");
        if (bytes)
            print_part(out, text, bytes);
        text += bytes;
        if (*text)
            fputc(*text++, out);
    }
}

void bs_html_element(FILE *out, const char *element, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = bs_vprintf(format, args);
    va_end(args);
    fprintf(out, "<%s>", element);
    bs_html_text(out, text ? text : "(out of memory)");
    fprintf(out, "</%.*s>\n", (int)strcspn(element, " "), element);
    bs_free(text);
}

/* A heading of two lines has a blank where the second begins. */
static void print_heading(FILE *out, const char *text)
{
    size_t first = strcspn(text, "\n");
    print_part(out, text, first);
    if (text[first]) {
        fputs("<br>", out);
        bs_html_text(out, text + first + 1);
    }
}

static void print_head(const struct bs_sheet *sheet, FILE *out)
{
    fputs("<thead><tr>", out);
    for (int j = 0; j < sheet->num_columns; j++) {
        fputs(j < sheet->num_names ? "<th scope=\"col\" class=\"name\">" : "<th scope=\"col\">",
              out);
        print_heading(out, bs_sheet_cell(sheet, 0, j));
        fputs("</th>", out);
    }
    fputs("</tr></thead>\n<tbody>\n", out);
}

/* The first cell of a row says what the row is of. */
static void print_cell(const struct bs_sheet *sheet, int row, int column, FILE *out)
{
    bool best = sheet->cells[(size_t)row * sheet->num_columns + column].is_best;
    bool name = column < sheet->num_names;
    fputs(column == 0 ? "<th scope=\"row\"" : "<td", out);
    if (name || best)
        fprintf(out, " class=\"%s%s%s\"", name ? "name" : "", name && best ? " " : "",
                best ? "best" : "");
    fputc('>', out);
    print_plain(out, bs_sheet_cell(sheet, row, column));
    fputs(column == 0 ? "</th>" : "</td>", out);
}

void bs_html_sheet(const struct bs_sheet *sheet, FILE *out)
{
    int num_rows = sheet->num_cells / sheet->num_columns;
    fputs("<figure class=\"table\">\n", out);
    if (sheet->title)
        bs_html_element(out, "figcaption", "%s", sheet->title);
    fputs("<div class=\"wide\"><table>\n", out);
    print_head(sheet, out);
    for (int i = 1; i < num_rows; i++) {
        fputs(i > 1 && bs_sheet_has_rule(sheet, i) ? "<tr class=\"rule\">" : "<tr>", out);
        for (int j = 0; j < sheet->num_columns; j++)
            print_cell(sheet, i, j, out);
        fputs("</tr>\n", out);
    }
    fputs("</tbody>\n</table></div>\n", out);
    if (sheet->num_notes)
        fputs("<ul class=\"notes\">\n", out);
    for (int i = 0; i < sheet->num_notes; i++)
        bs_html_element(out, "li", "%s", sheet->notes[i]);
    fputs(sheet->num_notes ? "</ul>\n</figure>\n" : "</figure>\n", out);
}

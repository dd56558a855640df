#include "eval/report/sheet_terminal.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"

/* Columns a name is folded to before other columns are left out, and where there is no other way:
 * as many as the longest word that most tables have. */
enum { NAME_WIDTH = 24, LEAST_NAME = 11, GAP = 2, LEAST_GAP = 1, INDENT = 2 };

/* The line after those that `text` begins with, in `width` columns; lines after the first are
 * indented. */
struct line {
    const char *text; /* ends with "" */
    size_t bytes;
    int indent;
};

static struct line first_line(const char *text, int width)
{
    return (struct line){text, bs_line_bytes(text, width), 0};
}

static struct line next_line(struct line line, int width)
{
    const char *text = line.text + line.bytes;
    text += strspn(text, " ");
    return (struct line){text, bs_line_bytes(text, width - INDENT), INDENT};
}

/* The widest line of `text` folded to `width`. */
static int folded_width(const char *text, int width)
{
    int widest = 0;
    for (struct line line = first_line(text, width); *line.text; line = next_line(line, width)) {
        int own = line.indent + bs_text_width(line.text, line.bytes);
        widest = own > widest ? own : widest;
    }
    return widest;
}

/* Where the numbers of a cell, "62.4 ± 1.2 ± 0.3", go on below it: nowhere, after the first error,
 * or after each number. */
enum fold { WHOLE, AFTER_ERROR, AFTER_NUMBER };

static const char error_sign[] = " \xc2\xb1 ";

/* Bytes of the first line of a cell. */
static size_t number_bytes(const char *text, enum fold fold)
{
    const char *parting = fold == WHOLE ? NULL : strstr(text, error_sign);
    if (parting && fold == AFTER_ERROR)
        parting = strstr(parting + 1, error_sign);
    return parting ? (size_t)(parting - text) : strlen(text);
}

/* The line of a cell that follows one of so many bytes; "" where there is none. */
static const char *next_number(const char *text, size_t bytes)
{
    return text + bytes + strspn(text + bytes, " ");
}

/* Of the lines after the first each is one error, however the first one was folded. */
static int numbers_width(const char *text, enum fold fold)
{
    int widest = 0;
    for (const char *line = text; *line;) {
        size_t bytes = number_bytes(line, line > text ? AFTER_NUMBER : fold);
        int width = bs_text_width(line, bytes);
        widest = width > widest ? width : widest;
        line = next_number(line, bytes);
    }
    return widest;
}

/* How the columns are laid out. */
struct layout {
    const struct bs_sheet *sheet;
    int num_rows;
    int *width;  /* of each column */
    bool *shown; /* whether it is */
    bool *done;  /* whether it was, in a part above */
    enum fold fold;
    int gap; /* between columns */
};

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

/* Of the column with its cells folded to `most`. */
static int column_width(const struct layout *layout, int column, int most)
{
    int widest = 0;
    for (int line = 0; line < 2; line++) {
        size_t bytes;
        const char *text = heading_line(bs_sheet_cell(layout->sheet, 0, column), line, &bytes);
        int width = bs_text_width(text, bytes);
        widest = width > widest ? width : widest;
    }
    for (int i = 1; i < layout->num_rows; i++) {
        const char *text = bs_sheet_cell(layout->sheet, i, column);
        int width = column < layout->sheet->num_names ? folded_width(text, most)
                                                      : numbers_width(text, layout->fold);
        widest = width > widest ? width : widest;
    }
    return widest;
}

static int total_width(const struct layout *layout)
{
    int total = -layout->gap;
    for (int j = 0; j < layout->sheet->num_columns; j++)
        total += layout->shown[j] ? layout->width[j] + layout->gap : 0;
    return total;
}

/* Takes from the widest name, again and again, until all fits or no name is wider than `least`. */
static void fold_names(struct layout *layout, int width, int least)
{
    for (;;) {
        int widest = 0;
        for (int j = 1; j < layout->sheet->num_names; j++)
            if (layout->width[j] > layout->width[widest])
                widest = j;
        int over = total_width(layout) - width, now = layout->width[widest];
        int less = column_width(layout, widest, now - 1);
        if (over <= 0 || now <= least || less >= now)
            return;
        layout->width[widest] = less;
    }
}

static bool is_kept(const struct bs_sheet *sheet, int column)
{
    return column < 64 && (sheet->kept >> column & 1);
}

/* The last column of numbers; where `kept` is true also one that is kept, which a part below shows,
 * but for the first. */
static bool drop_last(struct layout *layout, bool kept)
{
    const struct bs_sheet *sheet = layout->sheet;
    int first = sheet->num_names;
    while (first < sheet->num_columns && !layout->shown[first])
        first++;
    for (int j = sheet->num_columns - 1; j >= first + kept; j--)
        if (layout->shown[j] && (kept || !is_kept(sheet, j))) {
            layout->shown[j] = false;
            return true;
        }
    return false;
}

/* The last name that says again what others do. */
static bool drop_spare(struct layout *layout)
{
    const struct bs_sheet *sheet = layout->sheet;
    for (int j = sheet->num_names - 1; j >= sheet->num_names - sheet->num_spare; j--)
        if (layout->shown[j])
            return !(layout->shown[j] = false);
    return false;
}

/* Where it is too wide still: the errors of numbers go below them. */
static void fold_numbers(struct layout *layout, int width, enum fold fold)
{
    const struct bs_sheet *sheet = layout->sheet;
    if (total_width(layout) <= width)
        return;
    layout->fold = fold;
    for (int j = sheet->num_names; j < sheet->num_columns; j++)
        layout->width[j] = column_width(layout, j, 1 << 20);
}

/* Folding helps only where a name's lines become shorter: a heading or a word may not. A part below
 * the first has of the numbers those that are kept and had no room above. */
static void lay_out(struct layout *layout, bool is_first, int width)
{
    const struct bs_sheet *sheet = layout->sheet;
    layout->fold = WHOLE;
    layout->gap = GAP;
    for (int j = 0; j < sheet->num_columns; j++) {
        layout->width[j] = column_width(layout, j, 1 << 20);
        bool again = j < sheet->num_names ? layout->done[j] : !layout->done[j] && is_kept(sheet, j);
        layout->shown[j] = is_first || again;
    }
    fold_names(layout, width, NAME_WIDTH);
    while (total_width(layout) > width && drop_last(layout, false))
        continue;
    fold_numbers(layout, width, AFTER_ERROR);
    fold_names(layout, width, LEAST_NAME);
    fold_numbers(layout, width, AFTER_NUMBER);
    layout->gap = total_width(layout) > width ? LEAST_GAP : GAP;
    while (total_width(layout) > width && drop_spare(layout))
        continue;
    while (total_width(layout) > width && drop_last(layout, true))
        continue;
    fold_names(layout, width, 1); /* within words, where the terminal would do it otherwise */
    /* What the last column left gives names their room again. */
    for (int j = 0; j < sheet->num_names; j++) {
        int spare = width - total_width(layout);
        layout->width[j] = column_width(layout, j, layout->width[j] + (spare > 0 ? spare : 0));
    }
}

static void print_padded(const struct layout *layout, FILE *out, const char *text, size_t bytes,
                         int column)
{
    int padding = layout->width[column] - bs_text_width(text, bytes);
    int gap = column > 0 ? layout->gap : 0;
    padding = padding > 0 ? padding : 0;
    if (column >= layout->sheet->num_names)
        fprintf(out, "%*s%.*s", gap + padding, "", (int)bytes, text);
    else
        fprintf(out, "%*s%.*s%*s", gap, "", (int)bytes, text, padding, "");
}

static void print_rule(const struct layout *layout, FILE *out)
{
    for (int i = total_width(layout); i > 0; i--)
        fputs("\xe2\x94\x80", out);
    fputc('\n', out);
}

static void print_headings(const struct layout *layout, FILE *out)
{
    const struct bs_sheet *sheet = layout->sheet;
    bool two_lines = false;
    for (int j = 0; j < sheet->num_columns; j++)
        two_lines |= layout->shown[j] && strchr(bs_sheet_cell(sheet, 0, j), '\n');
    for (int line = two_lines ? 0 : 1; line < 2; line++) {
        for (int j = 0; j < sheet->num_columns; j++) {
            size_t bytes;
            const char *text = heading_line(bs_sheet_cell(sheet, 0, j), line, &bytes);
            if (layout->shown[j])
                print_padded(layout, out, text, bytes, j);
        }
        fputc('\n', out);
    }
    print_rule(layout, out);
}

/* Line `number` of a name; its text is "" where the name has no such line. */
static struct line name_line(const struct layout *layout, int row, int column, int number)
{
    int width = layout->width[column];
    struct line line = first_line(bs_sheet_cell(layout->sheet, row, column), width);
    while (number-- > 0)
        line = next_line(line, width);
    return line;
}

/* Line `number` of a cell of numbers. */
static struct line numbers_line(const struct layout *layout, int row, int column, int number)
{
    const char *text = bs_sheet_cell(layout->sheet, row, column);
    size_t bytes = number_bytes(text, layout->fold);
    while (number-- > 0) {
        text = next_number(text, bytes);
        bytes = number_bytes(text, AFTER_NUMBER);
    }
    return (struct line){text, bytes, 0};
}

/* The last column of numbers that has something on a row's line; -1 where none has. */
static int last_number(const struct layout *layout, int row, int number)
{
    int last = -1;
    for (int j = layout->sheet->num_names; j < layout->sheet->num_columns; j++)
        if (layout->shown[j] && (number == 0 || numbers_line(layout, row, j, number).bytes))
            last = j;
    return last;
}

/* The cells of numbers of a row's line; *more where any goes on. */
static void print_numbers(const struct layout *layout, int row, int number, bool *more, FILE *out)
{
    const struct bs_sheet *sheet = layout->sheet;
    int last = last_number(layout, row, number);
    for (int j = sheet->num_names; j <= last; j++) {
        struct line line = numbers_line(layout, row, j, number);
        if (!layout->shown[j])
            continue;
        *more = *more || *next_number(line.text, line.bytes);
        print_padded(layout, out, line.text, line.bytes, j);
    }
}

/* The last name that a row's line has; all of them where numbers follow. */
static int last_name(const struct layout *layout, int row, int number)
{
    int last = layout->sheet->num_names - 1;
    if (last_number(layout, row, number) >= 0)
        return last;
    while (last > 0 && (!layout->shown[last] || !name_line(layout, row, last, number).bytes))
        last--;
    return last;
}

/* A row, and below it what its folded names and numbers go on with. */
static void print_row(const struct layout *layout, int row, FILE *out)
{
    bool more = true;
    for (int number = 0; more; number++) {
        more = false;
        int last_shown = last_name(layout, row, number);
        for (int j = 0; j <= last_shown; j++) {
            if (!layout->shown[j])
                continue;
            struct line line = name_line(layout, row, j, number);
            int used = line.indent + bs_text_width(line.text, line.bytes);
            more |= *next_line(line, layout->width[j]).text;
            bool last = number > 0 && j == last_shown && last_number(layout, row, number) < 0;
            fprintf(out, "%*s%.*s%*s", (j ? layout->gap : 0) + line.indent, "", (int)line.bytes,
                    line.text, last ? 0 : layout->width[j] - used, "");
        }
        print_numbers(layout, row, number, &more, out);
        fputc('\n', out);
    }
}

/* Says which columns are left out, on one line where there is room. */
static enum bs_status print_hidden(const struct layout *layout, int width, FILE *out,
                                   struct bs_error *err)
{
    const struct bs_sheet *sheet = layout->sheet;
    char *list = NULL;
    for (int j = 0; j < sheet->num_columns; j++) {
        if (layout->done[j])
            continue;
        char *longer =
            list ? bs_printf("%s, %s", list, bs_sheet_cell(sheet, 0, j))
                 : bs_printf("not shown for want of width: %s", bs_sheet_cell(sheet, 0, j));
        bs_free(list);
        list = longer;
        if (!list)
            return bs_fail_memory(err);
    }
    for (char *c = list; c && *c; c++)
        *c = *c == '\n' ? ' ' : *c;
    if (list)
        bs_print_folded(out, width, "%s", list);
    bs_free(list);
    return BS_OK;
}

/* Whether a column that is kept has had no room. */
static bool has_more(const struct layout *layout)
{
    for (int j = layout->sheet->num_names; j < layout->sheet->num_columns; j++)
        if (!layout->done[j] && is_kept(layout->sheet, j))
            return true;
    return false;
}

/* Prints all rows with the columns that fit. */
static void print_part(struct layout *layout, bool is_first, int width, FILE *out)
{
    const struct bs_sheet *sheet = layout->sheet;
    lay_out(layout, is_first, width);
    if (!is_first)
        fputc('\n', out);
    print_headings(layout, out);
    for (int i = 1; i < layout->num_rows; i++) {
        if (i > 1 && bs_sheet_has_rule(sheet, i))
            print_rule(layout, out);
        print_row(layout, i, out);
    }
    for (int j = 0; j < sheet->num_columns; j++)
        layout->done[j] = layout->done[j] || layout->shown[j];
}

enum bs_status bs_sheet_print_terminal(const struct bs_sheet *sheet, int width, FILE *out,
                                       struct bs_error *err)
{
    struct layout layout = {.sheet = sheet, .num_rows = sheet->num_cells / sheet->num_columns};
    layout.width = bs_calloc((size_t)sheet->num_columns, sizeof *layout.width);
    layout.shown = bs_calloc((size_t)sheet->num_columns, sizeof *layout.shown);
    layout.done = bs_calloc((size_t)sheet->num_columns, sizeof *layout.done);
    bool has_memory = layout.width && layout.shown && layout.done;
    enum bs_status status = has_memory ? BS_OK : bs_fail_memory(err);
    if (!status) {
        if (sheet->title)
            bs_print_folded(out, width, "%s", sheet->title), fputc('\n', out);
        print_part(&layout, true, width, out);
        while (has_more(&layout))
            print_part(&layout, false, width, out);
        for (int i = 0; i < sheet->num_notes; i++)
            bs_print_folded(out, width, "%s", sheet->notes[i]);
        status = print_hidden(&layout, width, out, err);
    }
    bs_free(layout.done);
    bs_free(layout.shown);
    bs_free(layout.width);
    return status;
}

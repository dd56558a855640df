#include "eval/base/listing.h"

#include <assert.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/base/terminal.h"

enum { LEAST_COLUMN = 16 };

void bs_listing_add(struct bs_listing *listing, const char *const cells[BS_LISTING_COLUMNS])
{
    size_t count = (size_t)listing->num_rows;
    char *(*rows)[BS_LISTING_COLUMNS] =
        bs_realloc(listing->rows, count, count + 1, sizeof *listing->rows);
    if (!rows) {
        listing->out_of_memory = true;
        return;
    }
    listing->rows = rows;
    listing->num_rows++;
    memset(rows[count], 0, sizeof rows[count]);
    for (int c = 0; c < BS_LISTING_COLUMNS && listing->head[c]; c++) {
        rows[count][c] = bs_strdup(cells[c]);
        listing->out_of_memory |= !rows[count][c];
    }
}

void bs_listing_release(struct bs_listing *listing)
{
    for (int i = 0; i < listing->num_rows; i++)
        for (int c = 0; c < BS_LISTING_COLUMNS; c++)
            bs_free(listing->rows[i][c]);
    bs_free(listing->rows);
    listing->rows = NULL;
    listing->num_rows = 0;
}

static int num_columns(const struct bs_listing *listing)
{
    int columns = 0;
    while (columns < BS_LISTING_COLUMNS && listing->head[columns])
        columns++;
    return columns;
}

/* The cell of a row, of the head for -1. */
static const char *cell(const struct bs_listing *listing, int row, int column)
{
    return row < 0 ? listing->head[column] : listing->rows[row][column];
}

/* A Markdown cell: a bar would end it. */
static void print_cell(const char *text, FILE *out)
{
    fputs("| ", out);
    for (; *text; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc(' ', out);
}

static void print_markdown(const struct bs_listing *listing, FILE *out)
{
    int columns = num_columns(listing);
    for (int i = -1; i < listing->num_rows; i++) {
        for (int c = 0; c < columns; c++)
            print_cell(cell(listing, i, c), out);
        fputs("|\n", out);
        for (int c = 0; i < 0 && c < columns; c++)
            fputs("|---", out);
        if (i < 0)
            fputs("|\n", out);
    }
}

/* Gives the last two columns what a terminal leaves of its width. */
static void fit(int *width, int columns, int limit)
{
    int left = limit - 2 * columns;
    for (int c = 0; c < columns - 2; c++)
        left -= width[c];
    if (!limit || columns < 2 || left >= width[columns - 2] + width[columns - 1])
        return;
    int third = 2 * left / 5, *last = &width[columns - 1], *before = last - 1;
    if (*before > third)
        *before = third > LEAST_COLUMN ? third : LEAST_COLUMN;
    *last = left - *before > LEAST_COLUMN ? left - *before : LEAST_COLUMN;
}

/* A row where columns have no room: its name, and below it the other cells, each after its head. */
static void print_stacked(const struct bs_listing *listing, int row, int limit, FILE *out)
{
    enum { INDENT = 4 };
    int columns = num_columns(listing);
    for (int c = 0; c < columns; c++) {
        int indent = c ? INDENT : 2;
        char *text = c ? bs_printf("%s: %s", listing->head[c], cell(listing, row, c))
                       : bs_strdup(cell(listing, row, c));
        const char *rest = *cell(listing, row, c) && text ? text : "";
        for (bool first = true; *rest; first = false) {
            int deeper = first ? indent : indent + 2;
            size_t bytes = bs_line_bytes(rest, limit - deeper);
            fprintf(out, "%*s%.*s\n", deeper, "", (int)bytes, rest);
            rest += bytes;
            rest += strspn(rest, " ");
        }
        bs_free(text);
    }
}

/* A row, its cells folded to their columns. */
static void print_row(const struct bs_listing *listing, int row, const int *width, FILE *out)
{
    const char *rest[BS_LISTING_COLUMNS];
    int columns = num_columns(listing);
    for (int c = 0; c < columns; c++)
        rest[c] = cell(listing, row, c);
    bool more = true;
    while (more) {
        more = false;
        int blanks = 0; /* not printed yet, as nothing may follow them */
        for (int c = 0; c < columns; c++) {
            assert(rest[c]);
            size_t bytes = bs_line_bytes(rest[c], width[c]);
            if (bytes)
                fprintf(out, "%*s  %.*s", blanks, "", (int)bytes, rest[c]);
            blanks = bytes ? 0 : blanks + 2;
            blanks += width[c] - bs_text_width(rest[c], bytes);
            rest[c] += bytes;
            rest[c] += strspn(rest[c], " ");
            more |= *rest[c] != '\0';
        }
        fputc('\n', out);
    }
}

bool bs_listing_print(const struct bs_listing *listing, bool markdown, FILE *out)
{
    if (listing->out_of_memory)
        return false;
    if (markdown) {
        print_markdown(listing, out);
        return true;
    }
    int width[BS_LISTING_COLUMNS] = {0}, columns = num_columns(listing);
    for (int i = -1; i < listing->num_rows; i++)
        for (int c = 0; c < columns; c++) {
            const char *text = cell(listing, i, c);
            int own = bs_text_width(text, strlen(text));
            width[c] = own > width[c] ? own : width[c];
        }
    int limit = bs_terminal_limit(out), total = 0;
    fit(width, columns, limit);
    for (int c = 0; c < columns; c++)
        total += 2 + width[c];
    bool stacked = limit && total > limit;
    for (int i = stacked ? 0 : -1; i < listing->num_rows; i++)
        if (stacked)
            print_stacked(listing, i, limit, out);
        else
            print_row(listing, i, width, out);
    return true;
}

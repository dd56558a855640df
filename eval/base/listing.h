/* Rows of short texts under a head, as a terminal or Markdown shows them. */
#ifndef BS_EVAL_BASE_LISTING_H
#define BS_EVAL_BASE_LISTING_H

#include <stdbool.h>
#include <stdio.h>

enum { BS_LISTING_COLUMNS = 4 };

/* The rows, and what they are of. */
struct bs_listing {
    const char *head[BS_LISTING_COLUMNS]; /* NULL after the last column */
    int num_rows;
    char *(*rows)[BS_LISTING_COLUMNS]; /* owned */
    bool out_of_memory;
};

/* Appends a row: a copy of one text a column, "" where there is nothing to say. */
void bs_listing_add(struct bs_listing *listing, const char *const cells[BS_LISTING_COLUMNS]);

/* Prints head and rows: in Markdown as a table, else in columns, of which the last two are folded
 * to the terminal's width; where that has no room for columns, each row is a list of what its
 * cells are. False where memory has run out. */
bool bs_listing_print(const struct bs_listing *listing, bool markdown, FILE *out);

/* Gives the rows back. */
void bs_listing_release(struct bs_listing *listing);

#endif

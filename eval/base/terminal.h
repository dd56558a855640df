/* What a stream is connected to. */
#ifndef BS_EVAL_BASE_TERMINAL_H
#define BS_EVAL_BASE_TERMINAL_H

#include <stdbool.h>
#include <stdio.h>

/* Columns that a table may take: BS_PLAIN_WIDTH where it goes to no terminal; else the terminal's,
 * kept within the others. COLUMNS, where it is set to a number, goes before both. */
enum { BS_LEAST_WIDTH = 40, BS_MOST_WIDTH = 300, BS_PLAIN_WIDTH = 120 };

/* True for a terminal that takes escape codes: one that TERM does not call "dumb". */
bool bs_terminal_takes_codes(FILE *stream);

/* How many, as said above. */
int bs_terminal_width(FILE *stream);

/* The same, but 0, no limit, for what goes to no terminal while COLUMNS is not set. */
int bs_terminal_limit(FILE *stream);

#endif

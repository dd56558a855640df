/* A sheet on a terminal. */
#ifndef BS_EVAL_REPORT_SHEET_TERMINAL_H
#define BS_EVAL_REPORT_SHEET_TERMINAL_H

#include "eval/report/sheet.h"

/* Prints the sheet within `width` columns. Where it is wider, names are folded at their blanks
 * (down to 24 columns), then columns that are not kept are left out from the right, and a last line
 * says which; where even the kept ones are too many, the errors of numbers stand below them, names
 * are folded further, and of these the spare ones are left out; what of the kept ones has no room
 * then follows in a part of its own below, with the names again. Title and notes are folded too.
 * BS_ENOMEM. */
enum bs_status bs_sheet_print_terminal(const struct bs_sheet *sheet, int width, FILE *out,
                                       struct bs_error *err);

#endif

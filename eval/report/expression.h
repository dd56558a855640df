/* Conditions on the rows of a table, as `--where` and `--fail-if` have them:
 *
 *   bits <= 4 and (algorithm = gptq or label = 'awq w3*') and not perplexity_delta > 0.5
 *
 * Names are the table's columns. `=` and `!=` compare numbers, or texts, in which * stands for any
 * letters, ? for one, [a-c] for one of these and \ takes the next as it is (fnmatch); < <= > >=
 * compare numbers, of texts that are none their letters. Numbers may end with K, M, G, T
 * (thousands) or %. Texts need quotes where they hold blanks, brackets or signs. `not` binds closer
 * than `and`, and that closer than `or`. */
#ifndef BS_EVAL_REPORT_EXPRESSION_H
#define BS_EVAL_REPORT_EXPRESSION_H

#include "eval/report/sheet.h"

struct bs_expression;

/* What a condition is for a row. Where it hangs on a number that the row does not have, nothing is
 * known. */
enum bs_truth { BS_FALSE, BS_TRUE, BS_UNKNOWN };

/* Reads a condition on the rows of the sheet, whose header it is read against; `what` it is called
 * in messages ("--where"). BS_ECONFIG, with the place of the mistake, and of a name that is no
 * column the nearest that is. */
enum bs_status bs_expression_parse(const char *what, const char *text, const struct bs_sheet *sheet,
                                   struct bs_expression **expression, struct bs_error *err);
void bs_expression_free(struct bs_expression *expression);

/* Of a row of the sheet (1 = the first below the header). */
enum bs_truth bs_expression_holds(const struct bs_expression *expression,
                                  const struct bs_sheet *sheet, int row);

/* The sheet's column of this name, -1 where there is none; `err`, where it is not NULL, then says
 * so with the nearest name. `where` begins the message: "--sort: ". */
int bs_sheet_find(const struct bs_sheet *sheet, const char *name, const char *where,
                  struct bs_error *err);

#endif

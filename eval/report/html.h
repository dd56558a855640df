/* HTML of tables and reports: what stands in a file can never become markup. */
#ifndef BS_EVAL_REPORT_HTML_H
#define BS_EVAL_REPORT_HTML_H

#include <stdio.h>

#include "eval/report/sheet.h"

/* Prints text as text of an element or of an attribute in quotes: what HTML would read is an
 * entity, what bs_escape escapes is escaped. Ends of lines and tabs stay. */
void bs_html_text(FILE *out, const char *text);

/* Prints <element>the formatted text</element>; the element is the program's own and may have
 * attributes, "p class=note". */
void bs_html_element(FILE *out, const char *element, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Prints the sheet as a figure: its title as the caption, the table with a head and a body, its
 * notes as a list. A row that a rule stands before has class `rule`, the best of its column class
 * `best`. */
void bs_html_sheet(const struct bs_sheet *sheet, FILE *out);

#endif

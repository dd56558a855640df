/* A growing list of lines of text. */
#ifndef BS_EVAL_BASE_LINES_H
#define BS_EVAL_BASE_LINES_H

#include <stdbool.h>

#include "eval/base/error.h"

/* Starts as {0}. */
struct bs_lines {
    int count;
    char **lines;
};

/* Adds a printed line. BS_ENOMEM, and then nothing is added. */
enum bs_status bs_lines_add(struct bs_lines *lines, struct bs_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* True where one of the lines is `line`; NULL is an empty list. */
bool bs_lines_have(const struct bs_lines *lines, const char *line);
void bs_lines_release(struct bs_lines *lines);

#endif

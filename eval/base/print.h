/* Text of any length, printed into memory. */
#ifndef BS_EVAL_BASE_PRINT_H
#define BS_EVAL_BASE_PRINT_H

#include <stddef.h>
#include <stdio.h>

/* A text that is printed to, in memory that grows. */
struct bs_print {
    FILE *out; /* to print to */
    char *text;
    size_t size;
};

/* Opens print->out and returns it; NULL when memory runs out. */
FILE *bs_print_begin(struct bs_print *print);

/* Closes print->out. What was printed, in new memory (bs_free); NULL when memory ran out. */
char *bs_print_end(struct bs_print *print);

#endif

#include "eval/base/print.h"

#include <stdbool.h>
#include <stdlib.h>

#include "eval/base/mem.h"

FILE *bs_print_begin(struct bs_print *print)
{
    *print = (struct bs_print){.text = NULL};
    print->out = open_memstream(&print->text, &print->size);
    return print->out;
}

char *bs_print_end(struct bs_print *print)
{
    bool whole = !ferror(print->out);
    whole = !fclose(print->out) && whole;
    char *text = whole ? bs_strdup(print->text) : NULL;
    free(print->text); /* open_memstream's own */
    return text;
}

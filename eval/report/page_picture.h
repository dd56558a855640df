/* Pictures as part of a page: gnuplot's SVG, once for light and dark screens. */
#ifndef BS_EVAL_REPORT_PAGE_PICTURE_H
#define BS_EVAL_REPORT_PAGE_PICTURE_H

#include <stdio.h>

#include "eval/base/error.h"

/* The colours of a page's pictures, as variables of its style: --c0, --c1, ... Starts as {0}. */
struct bs_page_colours {
    int count, room;
    struct bs_page_colour {
        unsigned light, dark; /* 0xrrggbb */
    } * pairs;                /* [count] */
};

/* Prints an SVG whose colours are those of `light` or of `dark`, as the reader's screen asks for
 * and light on paper. Both are the same picture but for these; where they differ in more, it is
 * `light` on any screen. Names within it begin with "c<number>-", for pictures of one page have
 * the same ones; what shows nothing is left out. BS_EDATA where `light` is no SVG, BS_ENOMEM. */
enum bs_status bs_page_picture(const char *light, const char *dark, int number,
                               struct bs_page_colours *colours, FILE *out, struct bs_error *err);

/* Frees what was added. */
void bs_page_colours_release(struct bs_page_colours *colours);

#endif

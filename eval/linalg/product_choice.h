/* Which of a level's and the level below's products multiplies: on some processors the shorter
 * vectors are the faster ones. It is measured, once a machine, and changes no bit (product.h). */
#ifndef BS_EVAL_LINALG_PRODUCT_CHOICE_H
#define BS_EVAL_LINALG_PRODUCT_CHOICE_H

#include <stdbool.h>

#include "eval/linalg/product_loops.h"

/* Shapes that may differ in what is faster for them: many columns and steps of k, or few of one. */
enum bs_product_kind { BS_PRODUCT_WIDE, BS_PRODUCT_NARROW, BS_NUM_PRODUCT_KINDS };

/* The products to use for this kind: those of the level in use, or once bs_product_choose was
 * called those that were found to be faster. */
const struct bs_product_loops *bs_product_choice(enum bs_product_kind kind);

/* From now on the faster ones are used. The first product reads what was measured from the file
 * XDG_CACHE_HOME/bitsweep/products, else ~/.cache/bitsweep/products; where that is missing, damaged
 * or of another processor it measures, for some 20 milliseconds, and writes the file. What cannot
 * be read or written is measured in each run. */
void bs_product_choose(void);

/* The file's text for a choice, the level of each kind, "" where that does not fit; and the choice
 * that a text is of. False where it is not exactly what this processor's file holds for some
 * choice. */
void bs_product_choice_print(const enum bs_isa levels[BS_NUM_PRODUCT_KINDS], char *text,
                             size_t size);
bool bs_product_choice_parse(const char *text, enum bs_isa levels[BS_NUM_PRODUCT_KINDS]);

#endif

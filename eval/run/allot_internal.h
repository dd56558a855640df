/* How budgets are shared out; allot.c looks up what was measured. */
#ifndef BS_EVAL_RUN_ALLOT_INTERNAL_H
#define BS_EVAL_RUN_ALLOT_INTERNAL_H

#include "eval/run/allot.h"
#include "eval/run/sweep.h"

/* The row of a recipe's trial on a text; NULL: it has not run. */
const struct bs_row *bs_allot_row(const struct bs_sweep *sweep, const struct bs_results *results,
                                  int recipe, int text);

/* The bits that a budget allows, of so many weights. */
double bs_allot_limit(const struct bs_amount *amount, double weights);

/* Adds the mixes of the last sensitivities, all of whose trials have run: of each amount as many
 * rounds as the results have what they go by, and what the next one waits for; and those that are
 * drawn. BS_ECONFIG where an amount is too small; BS_ENOMEM. */
enum bs_status bs_allot_share(const struct bs_sweep *sweep, const struct bs_results *results,
                              struct bs_allotments *all, struct bs_error *err);

/* How many mixes come once they have, beside none that is there. */
int bs_allot_expected(const struct bs_config *config, const struct bs_sensitivities *s);

#endif

/* Bits shared out among places: exact, by dynamic programming over what they take in a file. */
#ifndef BS_EVAL_RECIPE_BUDGET_H
#define BS_EVAL_RECIPE_BUDGET_H

#include <stdint.h>

#include "eval/base/error.h"

/* One way to quantize one place. */
struct bs_offer {
    int64_t bits; /* that it takes in a file */
    double
        damage; /* what it costs, in any unit that adds up; INFINITY: it is out of the question */
};

/* Takes one of the offers [num_places][num_offers] of each place, so that the damages, added in the
 * order of the places, are least among all choices of at most `limit` bits; of those that do as
 * little, the one of fewest bits. taken [num_places]: indices of offers. BS_ECONFIG that names the
 * least there is where the limit is too low for any choice; BS_ENOMEM. */
enum bs_status bs_budget_choose(int num_places, int num_offers, const struct bs_offer *offers,
                                int64_t limit, int *taken, struct bs_error *err);

#endif

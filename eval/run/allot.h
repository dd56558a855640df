/* Budgets: which candidate each place of a model gets, by what was measured of it alone. */
#ifndef BS_EVAL_RUN_ALLOT_H
#define BS_EVAL_RUN_ALLOT_H

#include "eval/recipe/budget.h"
#include "eval/run/spread.h"
#include "eval/store/results.h"

/* One candidate at one place. */
struct bs_measured_offer {
    double bits; /* in a file: as its trial has it, before that what the format takes at least */
    double damage, se; /* of its trial; NaN: it failed */
};

/* What was measured of the candidates of a grid that have chain and options in common. */
struct bs_sensitivities {
    int model; /* of the config's models */
    int text;  /* of its evaluations, that it was measured on */
    int num_candidates;
    int *spreads;   /* [num_candidates], of the config's spreads */
    char **labels;  /* [num_candidates], of their recipes */
    double weights; /* at all places */
    struct bs_spread_places places;
    struct bs_measured_offer *offers; /* [places][num_candidates] */
    int num_open, num_failed;         /* trials that are still to run; that failed */
};

/* One amount of a budget, shared out. */
struct bs_allotment {
    int sensitivities; /* index */
    struct bs_recipe recipe;
    double bits;      /* that the linears take */
    double predicted; /* the sum of the damages */
    /* Its trial on the text that the sensitivities are of, borrowed of the results; NULL: it has
     * not run, or the config does not have the recipe yet. */
    const struct bs_row *row;
};

/* All of a config. */
struct bs_allotments {
    int num_sensitivities, count;
    struct bs_sensitivities *sensitivities;
    struct bs_allotment *list;
};

/* Looks up in a result file what the sensitivities of each wanted model (bit m is models[m]) came
 * to, and shares out the budgets whose trials all have run; of several calibrations by the first.
 * `config` has the recipes of its spreads. As bs_sweep_open; BS_ECONFIG where a budget is too
 * small, its recipes are called as another's, or candidates have different places; BS_ENOMEM. */
enum bs_status bs_allot(const struct bs_config *config, uint64_t wanted,
                        const struct bs_results *results, struct bs_allotments *allotments,
                        struct bs_error *err);
void bs_allotments_release(struct bs_allotments *allotments);

/* Appends the allotted recipes of the result file `path`, which need not be there, to the config's.
 * *waiting: how many will come once what they are shared out by has run. */
enum bs_status bs_allot_open(struct bs_config *config, uint64_t wanted, const char *path,
                             int *waiting, struct bs_error *err);

/* What tells the recipe that a budget gives from others, "3 bits by kl per block", in new memory;
 * NULL without. */
char *bs_allot_name(const struct bs_spread_config *spread, const struct bs_amount *amount);

/* The recipe that gives place p the candidate taken[p], resolved; the caller's. BS_ENOMEM. */
enum bs_status bs_allot_recipe(const struct bs_config *config, const struct bs_sensitivities *s,
                               const struct bs_amount *amount, const int *taken,
                               struct bs_recipe *recipe, struct bs_error *err);

/* Prints a recipe with exceptions as a grid that stands in a config, its budget left out: for one
 * of the config's models, or all of them (NULL). */
void bs_allot_print_grid(const struct bs_recipe *recipe, const char *model, FILE *out);

#endif

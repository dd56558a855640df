/* Budgets: which candidate each place of a model gets, by what was measured of it alone. */
#ifndef BS_EVAL_RUN_ALLOT_H
#define BS_EVAL_RUN_ALLOT_H

#include "eval/recipe/budget.h"
#include "eval/run/spread.h"
#include "eval/store/results.h"
#include "eval/tasks/uncertainty.h"

/* One candidate at one place. */
struct bs_measured_offer {
    double bits; /* in a file: as its trial has it, before that what the format takes at least */
    double damage, se;        /* of its trial; NaN: it failed */
    const struct bs_row *row; /* its trial, borrowed of the results; NULL: it has not run */
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
    const struct bs_row *unquantized; /* on the text; NULL: it has not run */
    int num_open, num_failed;         /* trials that are still to run; that failed */
};

/* Which candidates places get. */
struct bs_mix {
    enum bs_mix_kind {
        BS_MIX_ALLOTTED, /* what is predicted to cost least of an amount of the budget */
        BS_MIX_DRAWN,    /* any */
        BS_MIX_NEIGHBOUR /* an allotted one but for one place: what the next round goes by */
    } kind;
    int sensitivities; /* index */
    int number;        /* of the amount; from 1 that of the draw */
    int round;         /* in which an amount is shared out, from 1 */
    int *taken;        /* [places], candidates */
    struct bs_recipe recipe;
    bool settled;     /* what was measured around it leads to itself: there is no further round */
    double bits;      /* that the linears take */
    double predicted; /* see bs_mix_predict */
    /* Its trials by text, borrowed of the results; NULL: it has not run, or the config does not
     * have the recipe yet. */
    const struct bs_row *rows[BS_MAX_TEXTS];
};

/* All of a config. */
struct bs_allotments {
    int num_sensitivities, count;
    struct bs_sensitivities *sensitivities;
    struct bs_mix *list;
    int waiting; /* mixes that come once the trials of sensitivities have run, that still are to */
    int later;   /* and those that come once what a round goes by has */
};

/* Looks up in a result file what the sensitivities of each wanted model (bit m is models[m]) came
 * to, and shares out the budgets whose trials all have run; of several calibrations by the first.
 * `config` has the recipes of its spreads. As bs_sweep_open; BS_ECONFIG where a budget is too
 * small, its recipes are called as another's, or candidates have different places; BS_ENOMEM. */
enum bs_status bs_allot(const struct bs_config *config, uint64_t wanted,
                        const struct bs_results *results, struct bs_allotments *allotments,
                        struct bs_error *err);
void bs_allotments_release(struct bs_allotments *allotments);

/* Appends the mixes of the result file `path`, which need not be there, to the config's recipes.
 * *waiting: how many will come once what they are shared out by has run; *later: and how many
 * once further rounds have what they go by. */
enum bs_status bs_allot_open(struct bs_config *config, uint64_t wanted, const char *path,
                             int *waiting, int *later, struct bs_error *err);

/* What is predicted of a mix by what was measured of others, with its standard error where the
 * damage is of tokens: in the first round, and of a drawn one, the sum of the places'; later what
 * was measured of the round before and the sum of what each place changed in it alone. Token by
 * token, so that what places have in common counts. As bs_results_read_figure. */
enum bs_status bs_mix_predict(const struct bs_config *config, const struct bs_allotments *all,
                              const struct bs_mix *mix, struct bs_mean *predicted,
                              struct bs_error *err);

/* The mix of the round before; NULL for the first. */
const struct bs_mix *bs_mix_before(const struct bs_allotments *all, const struct bs_mix *mix);

/* Whether a mix has a finished trial on a text, and what was measured of it there; NULL. */
const struct bs_value_row *bs_mix_measured(const struct bs_config *config,
                                           const struct bs_allotments *all,
                                           const struct bs_mix *mix, int text);

/* What the last round gained on a text: what was measured of the round before less what was of
 * this one, paired by token. NaN where that is not of tokens or either has not run. */
enum bs_status bs_mix_gain(const struct bs_config *config, const struct bs_allotments *all,
                           const struct bs_mix *mix, int text, struct bs_mean *gain,
                           struct bs_error *err);

/* What tells a mix from others, "3 bits by kl per block", in new memory; NULL without. */
char *bs_allot_name(const struct bs_spread_config *spread, const struct bs_mix *mix);

/* The recipe called `name`, which it takes (NULL = BS_ENOMEM), that gives place p the candidate
 * taken[p], resolved; the caller's. BS_ENOMEM. */
enum bs_status bs_allot_recipe(const struct bs_config *config, const struct bs_sensitivities *s,
                               const int *taken, char *name, struct bs_recipe *recipe,
                               struct bs_error *err);

/* Prints a recipe with exceptions as a grid that stands in a config, its budget left out: for one
 * of the config's models, or all of them (NULL). As wide as the terminal that it goes to. */
void bs_allot_print_grid(const struct bs_recipe *recipe, const char *model, FILE *out);

#endif

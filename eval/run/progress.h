/* Progress of a run on stderr, with the time left: one line on a terminal, plain lines elsewhere,
 * or objects for programs. */
#ifndef BS_EVAL_RUN_PROGRESS_H
#define BS_EVAL_RUN_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "eval/run/telling.h"

/* The walk at hand, for words of where it is; layers 0 = there are none. */
struct bs_progress_walk {
    int number, count; /* from 1 */
    int layers;
    int num_recipes;
    const char *const *recipes; /* [num_recipes], in the order of the walk; borrowed */
};

/* What is shown, and how far it was when it was shown last. */
struct bs_progress {
    const struct bs_telling *telling;
    bool terminal;
    double started, shown;
    int before;       /* units done in earlier walks */
    int skipped;      /* units that an earlier run has done */
    int total;        /* units of all walks */
    int tenths_shown; /* plain lines come every tenth */
    int block_shown;  /* or block, where everything is wanted */
    struct bs_progress_walk walk;
};

/* Shows a first line at once, before anything is done. */
void bs_progress_start(struct bs_progress *progress, const struct bs_telling *telling,
                       int total_units);

/* Has the signature of bs_walk.progress; `done` of `total` units of the walk at hand, which has as
 * many for each of its layers and for its head. */
void bs_progress_report(void *progress, int done, int total);

/* "45 s", "2 min 03 s", "1 h 20 min" */
void bs_print_seconds(double seconds, char *out, size_t size);

/* What is told beforehand: "45 s", "12 min", "3.5 h", to two digits. */
void bs_print_about(double seconds, char *out, size_t size);

/* Ends the terminal's line. */
void bs_progress_end(struct bs_progress *progress);

#endif

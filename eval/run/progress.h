/* Progress of a run on stderr: one line with the time left on a terminal, plain lines elsewhere. */
#ifndef BS_EVAL_RUN_PROGRESS_H
#define BS_EVAL_RUN_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

/* What is shown, and how far it was when it was shown last. */
struct bs_progress {
    bool quiet, terminal;
    double started, shown;
    int before;       /* units done in earlier walks */
    int skipped;      /* units that an earlier run has done */
    int total;        /* units of all walks */
    int tenths_shown; /* plain lines come every tenth */
};

/* Shows a first line at once, before anything is done. */
void bs_progress_start(struct bs_progress *progress, bool quiet, int total_units);

/* Has the signature of bs_walk.progress; `done` counts units of the walk at hand. */
void bs_progress_report(void *progress, int done, int total);

/* "45 s", "2 min 03 s", "1 h 20 min" */
void bs_print_seconds(double seconds, char *out, size_t size);

/* What is told beforehand: "45 s", "12 min", "3.5 h", to two digits. */
void bs_print_about(double seconds, char *out, size_t size);

/* Ends the terminal's line. */
void bs_progress_end(struct bs_progress *progress);

#endif

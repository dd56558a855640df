/* Progress of a fetch on stderr: one line on a terminal, plain lines elsewhere. */
#ifndef BS_EVAL_RUN_FETCH_PROGRESS_H
#define BS_EVAL_RUN_FETCH_PROGRESS_H

#include <stdbool.h>

#include "eval/hub/fetch.h"

/* What is shown, and how far it was when it was shown last. */
struct bs_fetch_display {
    bool quiet, terminal;
    double started, shown;
    long long received; /* bytes since then */
    char file[256];     /* the one at hand, with its bytes at the last report */
    long long done;
};

/* Begins the display; quiet shows notices alone. */
void bs_fetch_display_start(struct bs_fetch_display *display, bool quiet);

/* Both have the signatures of struct bs_fetch_watch. Notices come even when quiet is asked for: the
 * program then waits. */
void bs_fetch_display_progress(void *display, const struct bs_fetch_progress *progress);
void bs_fetch_display_notice(void *display, const char *text);

/* Ends the terminal's line. */
void bs_fetch_display_end(struct bs_fetch_display *display);

#endif

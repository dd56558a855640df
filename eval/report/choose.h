/* Which trials of a result file to take: those on the front that keep what is asked for. */
#ifndef BS_EVAL_REPORT_CHOOSE_H
#define BS_EVAL_REPORT_CHOOSE_H

#include "eval/report/table.h"

/* What is asked for; 0 = anything. */
struct bs_choice_limits {
    double memory;    /* bytes of the whole model at most */
    double max_delta; /* what may be lost at most of perplexity, or of the share of right items */
    bool is_relative; /* max_delta is a share of what the unquantized model has */
    int bits;         /* of a weight's code at most */
};

/* Prints for every model and text among the trials those that hold (of several seeds of
 * calibration, where all are shown, their mean: which draw is luckiest is not known before), the
 * smallest first, then the others with the reason of each:
 *
 *  - a trial holds a loss where its own is less by two standard errors; it fails where it is more
 *    by as much, and between the two it is not known. The error is that of the paired difference to
 *    the unquantized model, and with several seeds also what another draw of calibration does;
 *  - it is on the front unless another that is no larger loses less by two standard errors of both,
 *    or one that is smaller does not lose more.
 *
 * Where the error of a loss is not known, as of a text of one window, the trial holds no limit that
 * is asked for, and neither beats another on the front nor is beaten.
 *
 * Recommended is, where a loss is allowed, the smallest of those that hold, else the one that loses
 * least. *held is false where none holds on some text. For programs a row a trial, without title
 * and recommendation but for the column `verdict`. BS_EDATA where there is no trial that can be
 * judged, as where the unquantized model is missing or has no item right. */
enum bs_status bs_choose_print(const struct bs_trials *shown, const struct bs_choice_limits *wish,
                               enum bs_table_style style, FILE *out, bool *held,
                               struct bs_error *err);

#endif

/* A trial's row of the result file, from what a walk measured. */
#ifndef BS_EVAL_RUN_SUMMARY_H
#define BS_EVAL_RUN_SUMMARY_H

#include "eval/run/sweep.h"
#include "eval/run/walk.h"

/* Fills the record of one of the sweep's trials, whose recipe `variant` carried along;
 * `reference` is the walk's unquantized model. The record borrows from all of them, but for its
 * values and what its layers' columns are called: to be released whatever is returned.
 * BS_ENOMEM. */
enum bs_status bs_trial_summarise(const struct bs_sweep *sweep, const struct bs_run_info *info,
                                  const struct bs_trial *trial, const struct bs_variant *variant,
                                  const struct bs_variant *reference,
                                  struct bs_trial_record *record, struct bs_error *err);

/* Gives back what the record owns. */
void bs_trial_record_release(struct bs_trial_record *record);

/* Sets the label of every trial of the sweep to what the result file would call it, had it no
 * others. BS_ENOMEM. */
enum bs_status bs_trials_label(struct bs_sweep *sweep, struct bs_error *err);

#endif

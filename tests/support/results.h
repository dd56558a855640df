/* Result files for tests. */
#ifndef BS_TESTS_SUPPORT_RESULTS_H
#define BS_TESTS_SUPPORT_RESULTS_H

#include "eval/store/results.h"

/* Adds a trial to a result file, made where it is not there, whose root attributes are empty. Fails
 * the test where that fails. */
void results_add(const char *path, const struct bs_trial_record *record);

#endif

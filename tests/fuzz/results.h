/* What the targets of result files share. */
#ifndef BS_TESTS_FUZZ_RESULTS_H
#define BS_TESTS_FUZZ_RESULTS_H

#include "eval/base/error.h"

/* Makes a result file of three trials at `path`: the unquantized model, one that is done, one that
 * failed. Aborts where that fails. */
void fuzz_make_results(const char *path);

/* Does with a result file what the program does: reads rows, arrays, layers and texts, prints it in
 * every style, compares it with itself. Returns the status of opening it. */
enum bs_status fuzz_read_results(const char *path);

/* Adds a trial to it, as a run that continues the file. */
void fuzz_continue_results(const char *path);

#endif

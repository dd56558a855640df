/* What the targets of result files share. */
#ifndef BS_TESTS_FUZZ_RESULTS_H
#define BS_TESTS_FUZZ_RESULTS_H

/* Makes a result file of three trials at `path`: the unquantized model, one that is done, one that
 * failed. Aborts where that fails. */
void fuzz_make_results(const char *path);

/* What the program does with a result file. Each opens it anew, so a run that tries them all is a
 * slow one. */
enum {
    FUZZ_TOKENS = 1,
    FUZZ_LAYERS = 2,
    FUZZ_CANONICAL = 4,
    FUZZ_TABLE = 8,
    FUZZ_DIFF = 16,
    FUZZ_CONTINUE = 32,
    FUZZ_PLOT = 64,
    FUZZ_EVERYTHING = 127,
};

/* Reads the rows and does `what` of those above but FUZZ_CONTINUE, which is the next function. */
void fuzz_read_results(const char *path, unsigned what);

/* Adds a trial to it, as a run that continues the file. */
void fuzz_continue_results(const char *path);

#endif

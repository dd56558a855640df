/* An importance matrix of a model, from a config's calibration. */
#ifndef BS_EVAL_RUN_IMATRIX_RUN_H
#define BS_EVAL_RUN_IMATRIX_RUN_H

#include "eval/config/config.h"
#include "eval/gguf/imatrix.h"
#include "eval/run/sweep.h"

/* Takes the windows of the config's one calibration through a model of it, unquantized, and adds up
 * the squares of what each linear reads, by llama.cpp's names of its tensor; of the head too where
 * `output`. What memory has no room for goes to the scratch folder. The matrix is to be released.
 * BS_ECONFIG where there is no calibration, or several; else as bs_sweep_open,
 * bs_sweep_place_streams and bs_calibrate. */
enum bs_status bs_imatrix_run(const struct bs_config *config, int model,
                              const struct bs_limits *limits, bool output, bool quiet,
                              struct bs_imatrix *imatrix, struct bs_error *err);

#endif

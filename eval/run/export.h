/* Writes what a recipe of a sweep makes of its model, and proves what was written. */
#ifndef BS_EVAL_RUN_EXPORT_H
#define BS_EVAL_RUN_EXPORT_H

#include <stdio.h>

#include "eval/export/writer.h"
#include "eval/run/sweep.h"

/* What is asked for. All borrowed. */
struct bs_export_request {
    const struct bs_choice *how; /* the writer, with its options */
    const char *label;           /* of the recipe, as tables have it; NULL: the sweep's only one */
    const char *path;            /* the folder, or file, that is written */
    bool verify;                 /* reads it back, measures it, and compares */
    bool quiet;
};

/* What is decided before any work: *there where what has the name is this very export already. As
 * bs_export_run. */
enum bs_status bs_export_check(struct bs_sweep *sweep, const struct bs_export_request *request,
                               bool *there, struct bs_error *err);

/* Writes the model under a name of its own and gives it the right one when all of it is there and,
 * where that was asked for, compared; whatever ends it before leaves nothing. What was found goes
 * to `out`. Nothing is done where what has the name is this very export. BS_ECONFIG,
 * BS_EUNSUPPORTED before any work where the recipe is none of the sweep's, the files cannot hold
 * what it makes or anything else has the name; BS_EDATA where the written model
 * is not what was measured; BS_EIO; BS_ENOMEM; BS_ESTOPPED. */
enum bs_status bs_export_run(struct bs_sweep *sweep, const struct bs_export_request *request,
                             const struct bs_limits *limits, FILE *out, struct bs_error *err);

#endif

/* A trial's figures by position in the window (tasks/positions.h), with their uncertainty. */
#ifndef BS_EVAL_REPORT_BY_POSITION_H
#define BS_EVAL_REPORT_BY_POSITION_H

#include <stdbool.h>

#include "eval/store/results.h"
#include "eval/tasks/positions.h"

/* What is taken by position: the mean of a figure, or exp of it. */
struct bs_by_position_what {
    const char *name; /* "perplexity", else the figure's own */
    enum bs_figure figure;
    bool exponential;
};

/* What `name` means: "perplexity", of the mean NLL, or a figure (tasks/figure.h). False where it is
 * neither. */
bool bs_by_position_find(const char *name, struct bs_by_position_what *what);

/* BS_ECONFIG, that `name` is none of these, and which there are. */
enum bs_status bs_by_position_unknown(const char *name, struct bs_error *err);

/* What was scored at one range of positions. NaN = there is none. */
struct bs_at_position {
    struct bs_positions at;
    struct bs_mean value;
    struct bs_mean change; /* of the figure, minus the unquantized model's, paired by token */
};

/* Those of a trial where anything was scored, in their order. */
struct bs_by_position {
    int count;
    struct bs_at_position at[BS_MOST_POSITIONS];
};

/* Takes it from the stored figures of `row`, and of `unquantized` where that is not NULL and the
 * figure does not compare with it anyway. The windows are what there is a sample of: standard
 * errors are those of bs_mean_of. BS_EDATA where the file has no such figure of the trial or a
 * value is missing. */
enum bs_status bs_by_position_read(const struct bs_row *row, const struct bs_row *unquantized,
                                   const struct bs_by_position_what *what,
                                   struct bs_by_position *out, struct bs_error *err);

#endif

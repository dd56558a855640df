/* What may be taken at a predicted token, never of the size of a vocabulary: a table. A further
 * figure is a name and a row; an evaluation asks for those it needs. */
#ifndef BS_EVAL_TASKS_FIGURE_H
#define BS_EVAL_TASKS_FIGURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"
#include "eval/tasks/token_metrics.h"

/* The figures of a prediction. */
enum bs_figure {
    BS_NLL,           /* -log q(target), nats */
    BS_KLD,           /* sum p (log p - log q), nats, p being the unquantized model's */
    BS_SAME_TOP,      /* 1 where both models' likeliest token (first of equals) is the same */
    BS_TARGET_IS_TOP, /* 1 where the likeliest token (first of equals) is the target */
    BS_NUM_FIGURES
};

/* How a figure lies in memory and in the result file. */
enum bs_figure_kind { BS_FIGURE_FLOAT, BS_FIGURE_BYTE };

/* A figure: its name, its kind, how it is computed. */
struct bs_figure_type {
    const char *name; /* of its dataset */
    const char *unit; /* "nats"; "" = none */
    enum bs_figure_kind kind;
    bool compares; /* with the unquantized model, of which itself it says nothing */
    double (*value)(const struct bs_prediction *prediction);
};

/* The type of each. */
extern const struct bs_figure_type bs_figure_types[BS_NUM_FIGURES];

/* Bytes of one value. */
size_t bs_figure_bytes(enum bs_figure figure);

/* Arrays by figure, [windows][tokens - 1] each; NULL for those that were not asked for. Where
 * nothing is scored a float is NaN and a byte 0. */
struct bs_figures {
    void *of[BS_NUM_FIGURES];
};

/* Those of `asked`, bits 1 << enum bs_figure, of `count` positions where nothing is scored yet.
 * BS_ENOMEM, and then there are none. */
enum bs_status bs_figures_init(struct bs_figures *figures, unsigned asked, size_t count,
                               struct bs_error *err);
void bs_figures_release(struct bs_figures *figures);

/* Takes what was asked for of the prediction at position `at`. */
void bs_figures_put(struct bs_figures *figures, size_t at, const struct bs_prediction *prediction);

/* The array of a figure of floats, or of bytes. */
const float *bs_figure_floats(const struct bs_figures *figures, enum bs_figure figure);
const uint8_t *bs_figure_flags(const struct bs_figures *figures, enum bs_figure figure);

/* The first of `count` positions from `first` on where a float is not finite; `count` where none
 * is. */
size_t bs_figures_not_finite(const struct bs_figures *figures, size_t first, size_t count);

#endif

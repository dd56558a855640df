/* Activations of all windows of a text at one place of the model, in memory or in a file of a
 * scratch directory. */
#ifndef BS_EVAL_MODEL_STREAM_H
#define BS_EVAL_MODEL_STREAM_H

#include "eval/base/spill.h"
#include "eval/data/fork.h"
#include "eval/model/basis.h"

/* data NULL: there is none. */
struct bs_stream {
    int windows, tokens, width; /* tokens: of the longest window */
    size_t *begins; /* [windows + 1], tokens before each; NULL = all windows have `tokens` */
    float *data;    /* [windows][tokens][width], each window with its own number of tokens */
    const struct bs_fork *forks;  /* [windows], borrowed; NULL = every window is one row */
    const struct bs_bases *basis; /* that the values are in, borrowed; NULL = the checkpoint's */
    const char *scratch;          /* the directory of the file, borrowed; NULL = it is in memory */
    struct bs_spill spill;        /* what holds the data where it is not in memory */
};

/* Contents undefined, and not touched: the thread that first writes to a window is the one that
 * its memory is near to. BS_ENOMEM. */
enum bs_status bs_stream_init(struct bs_stream *stream, int windows, int tokens, int width,
                              struct bs_error *err);

/* The same in a file of the scratch directory, or in memory where that is NULL. As
 * bs_spill_create. */
enum bs_status bs_stream_init_in(const char *scratch, struct bs_stream *stream, int windows,
                                 int tokens, int width, struct bs_error *err);

/* The same for windows of unequal length, `lengths` [windows] and `tokens` at most; lengths NULL =
 * all have `tokens`. */
enum bs_status bs_stream_init_ragged(const char *scratch, struct bs_stream *stream, int windows,
                                     int tokens, const int *lengths, int width,
                                     struct bs_error *err);

/* Tokens of a window. */
int bs_stream_length(const struct bs_stream *stream, int window);

/* How a window branches. */
struct bs_fork bs_stream_fork(const struct bs_stream *stream, int window);

/* The same for as many windows and tokens as `beside` has, in memory or in a file as that is. */
enum bs_status bs_stream_init_beside(const struct bs_stream *beside, struct bs_stream *stream,
                                     int width, struct bs_error *err);
void bs_stream_release(struct bs_stream *stream);
float *bs_stream_window(const struct bs_stream *stream, int window);

/* To be called when a window has been worked on: where it is in a file it leaves memory. */
void bs_stream_forget(const struct bs_stream *stream, int window);

#endif

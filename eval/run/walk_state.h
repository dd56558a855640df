/* What a walk holds on its way. For the files of the walk alone. */
#ifndef BS_EVAL_RUN_WALK_STATE_H
#define BS_EVAL_RUN_WALK_STATE_H

#include "eval/model/model.h"
#include "eval/run/apply.h"
#include "eval/run/layer_error.h"
#include "eval/run/walk.h"

/* What one version of the model carries from block to block. */
struct bs_carried {
    struct bs_reach reach; /* of its recipe; of another model all layers */
    bool apart; /* its windows are no longer stream 0's; until then its streams hold nothing */
    struct bs_stream calibration; /* data NULL where it is not needed */
    struct bs_stream texts[BS_WALK_TEXTS];
    struct bs_bases residual; /* of its streams; count 0: the checkpoint's */
    struct bs_rope *rope;     /* of a model of its own; NULL: the walk's */
    struct bs_head *head;     /* that the logits are of: the walk's, its own, or an earlier one's */
    struct bs_head
        own_head; /* where its output matrix is quantized and no earlier one's is alike, or
                              * its model is another */
};

/* A walk while it runs. */
struct bs_walk_state {
    const struct bs_walk *walk;
    const struct bs_architecture *architecture;
    struct bs_variant *variants;
    int num_variants;
    struct bs_rope *rope;
    struct bs_scratch *scratch;
    int threads;
    struct bs_carried reference; /* stream 0 */
    struct bs_stream next;       /* stream 0's calibration after the block at hand */
    struct bs_carried *carried;  /* one a variant */
    struct bs_block original, work;
    struct bs_probe probe;
    struct bs_head head;
    struct bs_walk_place at;
    int done, total;
};

/* A stream for these windows, where the walk has its streams; contents undefined. */
enum bs_status bs_walk_stream(const struct bs_walk_state *s, const struct bs_windows *windows,
                              struct bs_stream *stream, struct bs_error *err);

/* The model that a variant is of. */
const struct bs_model *bs_variant_model(const struct bs_walk_state *s,
                                        const struct bs_variant *variant);

/* The basis of a variant's streams; NULL = the checkpoint's. */
const struct bs_bases *bs_walk_basis(const struct bs_walk_state *s, int variant);

/* True for the variant that is stream 0 itself. */
bool bs_walk_is_reference(const struct bs_variant *variant);

/* The windows of a text as they are in a variant. */
const struct bs_stream *bs_walk_text(const struct bs_walk_state *s, int variant, int text);

/* True where a variant that has not failed looks at stream 0's calibration inputs of this layer or
 * a later one. */
bool bs_walk_awaits(const struct bs_walk_state *s, int layer);

/* Streams of a variant, contents undefined: those that it will have as its own. */
enum bs_status bs_walk_own_streams(struct bs_walk_state *s, int variant, struct bs_error *err);

/* A variant that failed keeps its message and gives its memory back. */
void bs_walk_fail_variant(struct bs_walk_state *s, int i, const struct bs_error *err);

/* Calls the walk's `measured`. */
enum bs_status bs_walk_measured(struct bs_walk_state *s, int text, struct bs_error *err);

/* Tells of progress. */
void bs_walk_tick(struct bs_walk_state *s, int units);

/* Takes every variant from its streams to the figures of its texts. */
enum bs_status bs_walk_head(struct bs_walk_state *s, struct bs_error *err);

/* Gives back what bs_walk_head has loaded. */
void bs_walk_head_leave(struct bs_walk_state *s);

#endif

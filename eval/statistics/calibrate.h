/* Statistics of what passes through a block, collected on the way of calibration windows. */
#ifndef BS_EVAL_STATISTICS_CALIBRATE_H
#define BS_EVAL_STATISTICS_CALIBRATE_H

#include "eval/model/stream.h"
#include "eval/statistics/wanted.h"

/* A statistic at a site. */
struct bs_collected {
    struct bs_wish wish;
    struct bs_observed of;
    void *data;              /* the result, as its statistic lays it out */
    struct bs_stream stream; /* that the data is in, of a statistic in_stream. Who has worked on a
                                window of it calls bs_stream_forget */
    struct bs_derived *derived; /* what was made of it */
};

/* All of a pass. */
struct bs_statistics {
    int windows, tokens;
    bool shared; /* by several recipes: nothing that is made of them may take their place */
    int count;
    struct bs_collected *collected; /* [count] */
};

/* What the windows are in the unquantized model: a block that computes what the original does, and
 * their inputs to it. */
struct bs_origin {
    const struct bs_block *block;
    const struct bs_stream *inputs;
};

/* One pass of `inputs` through the block, without activation quantization; without outputs it goes
 * no further than what is collected.
 * origin: where any of it compares, what with; NULL = with what passes itself.
 * wanted: what to collect into `statistics` (released by bs_statistics_release); NULL = nothing.
 * Streams among them are in memory or in files as `inputs` is.
 * outputs: the block's outputs where not NULL; may be `inputs`.
 * scratch: one a thread, bs_block_scratch_floats. BS_ENOMEM; BS_EIO as bs_spill_create;
 * BS_ENUMERIC naming window, token and channel where an output is not finite, or without outputs an
 * input of linears. */
enum bs_status bs_calibrate(const struct bs_block *block, const struct bs_rope *rope,
                            const struct bs_stream *inputs, const struct bs_origin *origin,
                            const struct bs_wanted *wanted, struct bs_statistics *statistics,
                            const struct bs_stream *outputs, struct bs_scratch *scratch,
                            struct bs_error *err);
void bs_statistics_release(struct bs_statistics *statistics);

/* What was collected of this statistic at this site, with this detail; NULL where it was not. */
struct bs_collected *bs_statistics_find(const struct bs_statistics *statistics,
                                        const struct bs_statistic *statistic, int site, int detail);

/* The same, and its result, for a hook that has asked for it: where it is missing `needs` and the
 * hook disagree, a mistake of ours that asserts. */
struct bs_collected *bs_statistics_at(const struct bs_statistics *statistics,
                                      const struct bs_statistic *statistic, int site, int detail);
const void *bs_statistics_of(const struct bs_statistics *statistics,
                             const struct bs_statistic *statistic, int site);

/* True where the statistics hold all that is wanted. */
bool bs_statistics_hold(const struct bs_statistics *statistics, const struct bs_wanted *wanted);

/* What this derivation made of a statistic by this choice, or NULL. */
struct bs_derived *bs_derived_find(const struct bs_collected *collected,
                                   const struct bs_derivation *derivation,
                                   struct bs_derived_choice choice);

/* Leaves with the statistic what a derivation has made of it; it is given back with the
 * statistic. */
void bs_derived_keep(struct bs_collected *collected, struct bs_derived *derived);

/* Gives back what was made of the statistics at one site, in memory. */
void bs_derived_release(struct bs_statistics *statistics, int site);

/* Bytes that statistics of this extent hold at most. */
struct bs_calibrate_bytes {
    double memory;  /* theirs */
    double working; /* buffers of the pass that takes them, until it ends */
    double derived; /* of all that is made of them, in memory, where they are shared */
    double site;    /* of what is made of those at one site, where they are not: the most */
    double streams; /* which are where the inputs' stream is */
};
struct bs_calibrate_bytes bs_calibrate_bytes(const struct bs_wanted *wanted, int windows,
                                             int tokens);

/* Multiply-adds times two of taking them, the pass itself not counted; of what is derived from
 * them, and how many that is. */
double bs_calibrate_flops(const struct bs_wanted *wanted, int windows, int tokens);
double bs_derived_flops(const struct bs_wanted *wanted, int windows, int tokens);
int bs_derived_count(const struct bs_wanted *wanted);

/* y = block(x) for every window of the stream, in place, with the block's activation quantization.
 * BS_ENUMERIC naming window and token where an output is not finite. */
enum bs_status bs_stream_push(const struct bs_block *block, const struct bs_rope *rope,
                              const struct bs_stream *stream, struct bs_scratch *scratch,
                              struct bs_error *err);

/* The same from one stream to another of the same windows. */
enum bs_status bs_stream_pass(const struct bs_block *block, const struct bs_rope *rope,
                              const struct bs_stream *from, const struct bs_stream *to,
                              struct bs_scratch *scratch, struct bs_error *err);

#endif

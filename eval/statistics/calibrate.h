/* Statistics of a block's inputs, collected on the way of calibration windows through it. */
#ifndef BS_EVAL_STATISTICS_CALIBRATE_H
#define BS_EVAL_STATISTICS_CALIBRATE_H

#include "algorithms/algorithm.h"
#include "eval/model/stream.h"

/* The range of each site, for static activation scales; by values of the program. */
struct bs_ranges {
    float low[BS_MAX_VALUES], high[BS_MAX_VALUES];
};

/* One pass of `inputs` through the block, without activation quantization; without outputs it goes
 * no further than what is collected.
 * needs: what to collect into `statistics` (released by bs_statistics_release); NULL = nothing.
 * Streams among them are in memory or in files as `inputs` is.
 * ranges: filled where not NULL. outputs: the block's outputs where not NULL; may be `inputs`.
 * scratch: one a thread, bs_block_scratch_floats. BS_ENOMEM; BS_EIO as bs_spill_create;
 * BS_ENUMERIC naming window, token and channel where an output is not finite, or without outputs an
 * input of linears. */
enum bs_status bs_calibrate(const struct bs_block *block, const struct bs_rope *rope,
                            const struct bs_stream *inputs, const struct bs_needs *needs,
                            struct bs_statistics *statistics, struct bs_ranges *ranges,
                            const struct bs_stream *outputs, struct bs_scratch *scratch,
                            struct bs_error *err);
void bs_statistics_release(struct bs_statistics *statistics);

/* True where `needs` asks for anything; and for nothing that `have` does not. */
bool bs_needs_any(const struct bs_needs *needs);
bool bs_needs_within(const struct bs_needs *needs, const struct bs_needs *have);
void bs_needs_add(struct bs_needs *to, const struct bs_needs *more);

/* Bytes that statistics of this extent hold at most: in memory, working buffers included, and in
 * streams, which are where the inputs' stream is. */
struct bs_calibrate_bytes {
    double memory, streams;
};
struct bs_calibrate_bytes bs_calibrate_bytes(const struct bs_architecture *architecture,
                                             const struct bs_needs *needs, int windows, int tokens);

/* y = block(x) for every window of the stream, in place, with the block's activation quantization.
 * BS_ENUMERIC naming window and token where an output is not finite. */
enum bs_status bs_stream_push(const struct bs_block *block, const struct bs_rope *rope,
                              const struct bs_stream *stream, struct bs_scratch *scratch,
                              struct bs_error *err);

#endif

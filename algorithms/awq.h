/* What the two searches of AWQ share: awq.c for scales, awq_clip.c for clippings. */
#ifndef BS_ALGORITHMS_AWQ_H
#define BS_ALGORITHMS_AWQ_H

#include "algorithms/algorithm.h"

/* Rows that a task works on. */
enum { BS_AWQ_ROWS = 16 };

/* The options. */
struct bs_awq {
    bool scale, clip;
    int scale_grid, clip_grid, clip_tokens;
    double clip_max_shrink;
};

/* How many tasks a linear's rows make. */
static inline int bs_awq_row_tasks(const struct bs_linear *linear)
{
    return (linear->out_features + BS_AWQ_ROWS - 1) / BS_AWQ_ROWS;
}

/* Whether the linear of a slot, whose weights are rounded by `setting`, is clipped. */
bool bs_awq_clips(const struct bs_slot *slot, const struct bs_setting *setting);

/* Clips the linears that read a site, as far as they are clipped at all; scale is what the site was
 * divided by. BS_ENOMEM. */
enum bs_status bs_awq_clip_site(const struct bs_awq *opt, const struct bs_job *job, int site,
                                const float *scale, struct bs_error *err);

/* Adds what the search costs for the linear of a slot that is clipped. */
void bs_awq_clip_cost(const struct bs_awq *opt, const struct bs_extent *extent, int index,
                      struct bs_cost *cost);

#endif

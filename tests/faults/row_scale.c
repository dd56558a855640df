/* Planted: rounds each row by a scale of its own where the whole matrix has one, and so leaves the
 * last row's after for all. */
#include "algorithms/algorithm.h"

extern const struct bs_algorithm bs_alg_row_scale;

static enum bs_status round_row(struct bs_codes *codes, int i, const float *row,
                                struct bs_error *err)
{
    int in = codes->layout.in;
    struct bs_codes alone = *codes; /* shares what all of the matrix shares */
    alone.layout.out = 1;
    if (bs_codes_fit_tensor(&alone, row, NULL, err))
        return err->status;
    for (int s = 0, at = 0; s < codes->spans; at += bs_codes_span_columns(codes, s++)) {
        struct bs_sample span = bs_sample_of(row + at, (size_t)bs_codes_span_columns(codes, s));
        bs_codes_fit(codes, i, s, &span);
    }
    for (int j = 0; j < in; j++) {
        struct bs_cell cell = bs_codes_cell(codes, i, bs_codes_group(codes, j));
        bs_codes_set(codes, i, j,
                     bs_cell_encode(&cell, codes->rounder, bs_codes_index(codes, i, j), row[j]));
    }
    return BS_OK;
}

static enum bs_status row_scale_quantize(const void *options, const struct bs_job *job, int slot,
                                         struct bs_error *err)
{
    (void)options;
    struct bs_linear *linear = &job->block->linears[slot];
    if (bs_block_init_codes(job->block, slot, job->weights[slot], err))
        return err->status;
    for (int i = 0; i < linear->out_features; i++)
        if (round_row(&linear->codes, i, linear->weight + (size_t)i * (size_t)linear->in_features,
                      err))
            return err->status;
    return BS_OK;
}

const struct bs_algorithm bs_alg_row_scale = {
    .plugin = {.name = "row_scale",
               .summary = "round to nearest, the one scale of a tensor row by row",
               .reference = "a planted fault"},
    .calibrate_on = BS_ON_UNQUANTIZED,
    .quantize = row_scale_quantize,
};

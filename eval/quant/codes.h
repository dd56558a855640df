/* A quantized weight matrix, as a file would hold it. */
#ifndef BS_EVAL_QUANT_CODES_H
#define BS_EVAL_QUANT_CODES_H

#include "eval/quant/format.h"

/* What all of a tensor shares. The matrix is that tensor, or some rows of it. */
struct bs_shared {
    struct bs_code_layout layout; /* of the tensor */
    unsigned char *bytes;         /* [layout.tensor_bytes] */
    int first;                    /* the tensor's row that is the matrix's first */
};

/* A quantized matrix: codes, and what decodes them. */
struct bs_codes {
    const struct bs_setting *setting; /* borrowed: it outlives the codes */
    struct bs_code_layout layout;
    struct bs_rounder rounder;
    int groups, spans;     /* of a row */
    void *codes;           /* [out][in], uint8_t where layout.code_bits is up to 8, else uint16_t */
    unsigned char *params; /* [out][spans][layout.param_bytes] */
    struct bs_shared shared; /* its bytes are the codes' own */
    const float *importance; /* borrowed, [in]: what an error in each column counts where
                              * bs_codes_round fits; NULL = 1 each */
    int *group_index; /* [in], group of each column where it is not j / layout.group (GPTQ with
                            * act_order and groups fitted on the way), else NULL */
};

/* Room for a matrix by a setting that quantizes; `place` as of bs_draw_place. BS_ECONFIG where the
 * format cannot take the shape; BS_ENOMEM. */
enum bs_status bs_codes_init(struct bs_codes *codes, const struct bs_setting *setting,
                             uint64_t place, int out, int in, struct bs_error *err);
void bs_codes_release(struct bs_codes *codes);

/* Columns of group g, and of span s, in the order in which they are fitted. */
int bs_codes_group_columns(const struct bs_codes *codes, int g);
int bs_codes_span_columns(const struct bs_codes *codes, int s);

/* Makes what all of the matrix shares: from weight [out][in], or as a copy of `shared`, where the
 * matrix is part of a larger tensor that has it already (else NULL). Where nothing is shared
 * nothing is done. BS_ENOMEM. */
enum bs_status bs_codes_fit_tensor(struct bs_codes *codes, const float *weight,
                                   const struct bs_shared *shared, struct bs_error *err);

/* Makes the parameters of a span of row i from its values; nothing where the format has none. */
void bs_codes_fit(struct bs_codes *codes, int i, int span, const struct bs_sample *sample);

/* Makes this the zero point of a span of row i, of a layout with free_zero. */
void bs_codes_set_zero(struct bs_codes *codes, int i, int span, float zero);

/* The cell of group g of row i. */
struct bs_cell bs_codes_cell(const struct bs_codes *codes, int i, int g);

/* The group that decodes column j. */
static inline int bs_codes_group(const struct bs_codes *codes, int j)
{
    return codes->group_index ? codes->group_index[j] : j / codes->layout.group;
}

/* The code of row i and column j. */
static inline int bs_codes_get(const struct bs_codes *codes, int i, int j)
{
    size_t at = (size_t)i * (size_t)codes->layout.in + (size_t)j;
    return codes->layout.code_bits <= 8 ? ((const uint8_t *)codes->codes)[at]
                                        : ((const uint16_t *)codes->codes)[at];
}

/* Sets the code of row i, column j. */
static inline void bs_codes_set(struct bs_codes *codes, int i, int j, int code)
{
    size_t at = (size_t)i * (size_t)codes->layout.in + (size_t)j;
    if (codes->layout.code_bits <= 8)
        ((uint8_t *)codes->codes)[at] = (uint8_t)code;
    else
        ((uint16_t *)codes->codes)[at] = (uint16_t)code;
}

/* The index of a value for bs_cell_encode. */
static inline uint64_t bs_codes_index(const struct bs_codes *codes, int i, int j)
{
    return (uint64_t)i * (uint64_t)codes->layout.in + (uint64_t)j;
}

/* Makes the code of row i, column j, of x by its cell; returns it. */
static inline int bs_codes_encode(struct bs_codes *codes, int i, int j, const struct bs_cell *cell,
                                  float x)
{
    int code = bs_cell_encode(cell, codes->rounder, bs_codes_index(codes, i, j), x);
    bs_codes_set(codes, i, j, code);
    return code;
}

/* Fits every span of weight [out][in] on its own values and rounds them, `shared` as of
 * bs_codes_fit_tensor. BS_ENOMEM. */
enum bs_status bs_codes_round(struct bs_codes *codes, const float *weight,
                              const struct bs_shared *shared, struct bs_error *err);

/* Decodes everything into weight [out][in]. */
void bs_codes_decode(const struct bs_codes *codes, float *weight);

/* Bits that a file needs: those of the layout, and 32 for each entry of group_index. */
double bs_codes_bits(const struct bs_codes *codes);

/* Puts what a file holds of row i into a stream, without what all of the matrix shares; `room` for
 * the codes of a span, layout.span of them. */
void bs_codes_pack_row(const struct bs_codes *codes, int i, uint16_t *room, struct bs_bits *to);

/* Puts into a stream what a file holds, bs_codes_bits in all, and gets it back into codes made by
 * bs_codes_init for the same setting and shape; what the file rounds stays rounded. group_index,
 * where there is one, comes first; to get it back it is allocated before. BS_ENOMEM. */
enum bs_status bs_codes_pack(const struct bs_codes *codes, struct bs_bits *to,
                             struct bs_error *err);
enum bs_status bs_codes_unpack(struct bs_codes *codes, struct bs_bits *from, struct bs_error *err);

#endif

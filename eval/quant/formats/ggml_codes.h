/* How ggml finds codes by a scale that is known, or that extremes give (ggml-org/ggml
 * src/ggml-quants.c at d99724f2). */
#ifndef BS_EVAL_QUANT_FORMATS_GGML_CODES_H
#define BS_EVAL_QUANT_FORMATS_GGML_CODES_H

#include <stdint.h>

#include "eval/base/float_bits.h"
#include "eval/base/isa.h"

/* The table of iq4_nl: 16 levels, and what is half way between them: exact in float32, and so is
 * the comparison of two distances that it stands for. */
extern const float bs_ggml_table_levels[16], bs_ggml_table_middles[15];

/* The loops of a level. */
struct bs_ggml_code_loops {
    /* The scale of 32 values by which the one of largest size becomes -most, and their codes,
     * rounded half up: 0 to 2 most - 1, which stand for -most to most - 1. */
    float (*plain_signed)(const float *x, int most, uint8_t *codes);

    /* The scale of 32 values by which the least of them, `low`, becomes 0 and the largest `most`,
     * and their codes, rounded half up. */
    float (*plain_affine)(const float *x, int most, float *low, uint8_t *codes);

    /* codes = zero + the whole number nearest to x * inverse, ties away from zero, whose size is
     * `most` or less. */
    void (*away)(const float *x, int n, float inverse, int most, int zero, uint8_t *codes);

    /* codes = zero + and - the number of the seven ascending `middles` that |x| is beyond. */
    void (*steps)(const float *x, int n, const float middles[7], int zero, uint8_t *codes);

    /* The codes of x * inverse by the table, ties to the upper level. */
    void (*table)(const float *x, int n, float inverse, uint8_t *codes);

    /* codes = the whole numbers nearest to (x + shift) / scale, ties to even, from `least` to
     * `most`, less `least`; a scale of 0 leaves the codes as they are. */
    void (*again)(const float *x, int n, float scale, float shift, int least, int most,
                  uint8_t *codes);

    /* The first value of largest |x|, 0 where that is 0. */
    float (*extreme)(const float *x, int n);
};
extern const struct bs_ggml_code_loops *const bs_ggml_code_loops[BS_NUM_ISA];

/* Those of the level in use. */
static inline const struct bs_ggml_code_loops *bs_ggml_code(void)
{
    return bs_ggml_code_loops[bs_isa()];
}

/* The nearest whole number, ties to even; beyond 22 bits what ggml makes of it: by the last places
 * of a sum with 1.5 * 2^23. */
static inline int bs_ggml_nearest(float x)
{
    const float carrier = 12582912;
    return (int)(bs_bits_of_float(x + carrier) & 0x007fffff) - 0x00400000;
}

#endif

/* How the blocks of GGUF's types decode: for the files ggml_decode*.c and the table of types. */
#ifndef BS_EVAL_QUANT_FORMATS_GGML_DECODE_H
#define BS_EVAL_QUANT_FORMATS_GGML_DECODE_H

#include <stdbool.h>

#include "eval/quant/gguf_block.h"

/* Values that the types with a codebook decode by: each index stands for several values, a digit
 * of `bits` bits each, the first lowest. */
enum bs_gguf_grid {
    BS_GRID_IQ2_XXS, /* 256 points of 8 values */
    BS_GRID_IQ2_XS,  /* 512 of 8 */
    BS_GRID_IQ2_S,   /* 1024 of 8 */
    BS_GRID_IQ3_XXS, /* 256 of 4 */
    BS_GRID_IQ3_S,   /* 512 of 4 */
    BS_GRID_IQ1,     /* 2048 of 8 */
    BS_NUM_GRIDS
};
extern const uint16_t *const bs_gguf_grids[BS_NUM_GRIDS];

/* Decoders of the types with a codebook. */
bs_gguf_decode bs_gguf_iq1_s, bs_gguf_iq1_m, bs_gguf_iq2_xxs, bs_gguf_iq2_xs, bs_gguf_iq2_s,
    bs_gguf_iq3_xxs, bs_gguf_iq3_s;

/* Those of super-blocks of 256 values. */
bs_gguf_decode bs_gguf_q2_k, bs_gguf_q3_k, bs_gguf_q4_k, bs_gguf_q5_k, bs_gguf_q6_k, bs_gguf_iq4_xs,
    bs_gguf_tq1_0, bs_gguf_tq2_0;

/* The 16 levels of the IQ4 types. */
extern const signed char bs_gguf_iq4_levels[16];

#endif

/* The types that tensors of GGUF files have: blocks of a fixed number of values in a fixed number
 * of bytes, and how they decode (ggml-org/ggml docs/gguf.md and src/ggml-quants.c; gguf-py
 * gguf/quants.py). */
#ifndef BS_EVAL_GGUF_BLOCK_H
#define BS_EVAL_GGUF_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes one block into values. */
typedef void bs_gguf_decode(const unsigned char *block, float *out);

/* A type of tensors. */
struct bs_gguf_type {
    uint32_t id;                  /* in files */
    const char *name;             /* as ggml spells it: "Q4_K" */
    unsigned short values, bytes; /* of a block */
    bs_gguf_decode *decode;       /* to what ggml decodes it to, to the bit; NULL: plain numbers */
    const char *plain;            /* what safetensors call them then */
};

/* The type of this number, or NULL for one that ggml has given up or that is newer. */
const struct bs_gguf_type *bs_gguf_type_find(uint32_t id);

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

/* Numbers of a file, of any alignment. */
uint16_t bs_gguf_u16(const unsigned char *bytes);
uint32_t bs_gguf_u32(const unsigned char *bytes);
uint64_t bs_gguf_u64(const unsigned char *bytes);

/* A half-precision number as a float. */
float bs_gguf_half(const unsigned char *bytes);

#endif

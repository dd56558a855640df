/* What ggml's CPU kernels multiply by where a tensor is in blocks: the whole numbers of a block and
 * what they are scaled by, and what the inputs beside them are rounded to (ggml-org/ggml
 * src/ggml-cpu/ggml-cpu.c, type_traits_cpu; src/ggml-cpu/quants.c, ggml_vec_dot_*). */
#ifndef BS_EVAL_QUANT_GGUF_PRODUCT_H
#define BS_EVAL_QUANT_GGUF_PRODUCT_H

#include <stdbool.h>

#include "eval/quant/gguf_block.h"

/* What inputs are rounded to. */
enum bs_gguf_input {
    BS_GGUF_FLOAT,     /* they are not */
    BS_GGUF_HALF,      /* half precision */
    BS_GGUF_BFLOAT16,  /* bfloat16 */
    BS_GGUF_SHORT,     /* Q8_0: 8 bits; 32 share a half-precision scale */
    BS_GGUF_SHORT_SUM, /* Q8_1: and the sum of their values, in half precision too */
    BS_GGUF_LONG,      /* Q8_K: 8 bits; 256 share a scale; and the sums of 16 codes each */
};

/* Bounds of a block. */
enum {
    BS_GGUF_MOST_VALUES = 256, /* of a block */
    BS_GGUF_MINIMA = 16,       /* columns that have a minimum of their own */
    BS_GGUF_MOST_SCALES = 4,   /* of a block */
};

/* How a type is multiplied. */
struct bs_gguf_product {
    uint32_t id; /* of the type */
    enum bs_gguf_input input;
    int group;   /* columns that have one scale, of types in blocks: 16, 32 or 256 */
    bool minima; /* with Q8_K: a minimum is taken off */
    bool least;  /* with Q8_1: a least value is added */
};

/* Of a type that has a product, in blocks or plain; NULL for others. */
const struct bs_gguf_product *bs_gguf_product_find(uint32_t type);

/* A block as whole numbers: value = scale[group] * level - least * minimum, or + least. */
struct bs_gguf_numbers {
    int16_t levels[BS_GGUF_MOST_VALUES];
    int16_t minima[BS_GGUF_MOST_VALUES / BS_GGUF_MINIMA]; /* where the product has them */
    float scale[BS_GGUF_MOST_SCALES], least;
};

/* The numbers of a block of a type in blocks. */
void bs_gguf_numbers(const struct bs_gguf_type *type, const struct bs_gguf_product *product,
                     const unsigned char *block, struct bs_gguf_numbers *numbers);

#endif

/* The types that tensors of GGUF files have: blocks of a fixed number of values in a fixed number
 * of bytes, and how they decode (ggml-org/ggml docs/gguf.md and src/ggml-quants.c; gguf-py
 * gguf/quants.py). */
#ifndef BS_EVAL_QUANT_GGUF_BLOCK_H
#define BS_EVAL_QUANT_GGUF_BLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Decodes one block into values. */
typedef void bs_gguf_decode(const unsigned char *block, float *out);

/* A type of tensors. */
struct bs_gguf_type {
    uint32_t id;                  /* in files */
    const char *name;             /* as ggml spells it */
    unsigned short values, bytes; /* of a block */
    bs_gguf_decode *decode;       /* to what ggml decodes it to, to the bit; NULL: plain numbers */
    const char *plain;            /* what safetensors call them then */
    const char *format;           /* the number format whose spans in a file are such blocks, or
                                     NULL */
};

/* The number of a type that most files have some tensors of: 4 bits. */
enum { BS_GGUF_USUAL = 12 };

/* The type of this number, or NULL for one that ggml has given up or that is newer. */
const struct bs_gguf_type *bs_gguf_type_find(uint32_t id);

/* The type in whose blocks a format of this name stands in files, or NULL. */
const struct bs_gguf_type *bs_gguf_type_of_format(const char *format);

/* Numbers of a file, of any alignment. */
uint16_t bs_gguf_u16(const unsigned char *bytes);
uint32_t bs_gguf_u32(const unsigned char *bytes);
uint64_t bs_gguf_u64(const unsigned char *bytes);

/* A half-precision number as a float. */
float bs_gguf_half(const unsigned char *bytes);

#endif

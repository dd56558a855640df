/* What the formats of GGUF files have in common: blocks of a fixed number of values, of a fixed
 * number of bytes. */
#ifndef BS_EVAL_QUANT_FORMATS_GGML_BLOCK_H
#define BS_EVAL_QUANT_FORMATS_GGML_BLOCK_H

#include "eval/quant/format.h"

enum { BS_GGML_SUPER = 256 }; /* values of a super-block */

/* bs_lay_blocks of `bytes` bytes in a file: `own` is what the format has of the layout. */
enum bs_status bs_ggml_lay(size_t bytes, int out, int in, struct bs_code_layout own,
                           struct bs_code_layout *layout, struct bs_error *err);

/* The cell; where its scale is 0 (a block of zeros, or one beside a much larger one) with an
 * inverse by which every value is nearest to level 0. */
struct bs_cell bs_ggml_cell(struct bs_cell cell);

/* The half-precision number nearest to x, as a float. */
float bs_ggml_half(float x);

/* Puts a half-precision number, or bytes, into a stream, and gets them back. */
void bs_ggml_put_half(struct bs_bits *to, float x);
float bs_ggml_get_half(struct bs_bits *from);
void bs_ggml_put_bytes(struct bs_bits *to, const uint8_t *bytes, int count);
void bs_ggml_get_bytes(struct bs_bits *from, uint8_t *bytes, int count);

/* bytes[j] = the `bits` lowest bits of codes[j], codes[j + stride], ..., shifted by `shift`, the
 * first lowest, for j below stride: how a block's codes share bytes. */
void bs_ggml_pack_codes(const uint16_t *codes, int count, int stride, int bits, int shift,
                        uint8_t *bytes);

/* The reverse: adds what the bytes hold, shifted up by `shift`, to the codes. */
void bs_ggml_unpack_codes(const uint8_t *bytes, int count, int stride, int bits, int shift,
                          uint16_t *codes);

/* Levels of so many whole numbers, 2 to 8 bits. */
const struct bs_levels *bs_ggml_whole(int bits);

#endif

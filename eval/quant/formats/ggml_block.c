#include "eval/quant/formats/ggml_block.h"

#include <float.h>
#include <string.h>

#include "eval/quant/formats/ggml_search.h"

BS_LEVELS(bs_ggml_loops);
BS_LEVELS(bs_ggml_code_loops);

const float bs_ggml_table_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};
const float bs_ggml_table_middles[15] = {-115.5f, -93.5f, -74,   -57,   -42, -28.5f, -16, -4.5f,
                                         7,       19,     31.5f, 45.5f, 61,  79,     101};

enum bs_status bs_ggml_lay(size_t bytes, int out, int in, struct bs_code_layout own,
                           struct bs_code_layout *layout, struct bs_error *err)
{
    *layout = own;
    return bs_lay_blocks(out, in, 8.0 * (double)bytes, layout, err);
}

struct bs_cell bs_ggml_cell(struct bs_cell cell)
{
    if (cell.scale == 0)
        cell.inverse = FLT_MIN;
    return cell;
}

float bs_ggml_half(float x) { return bs_half_value(bs_half_of(x)); }

void bs_ggml_put_half(struct bs_bits *to, float x) { bs_bits_put(to, bs_half_of(x), 16); }

float bs_ggml_get_half(struct bs_bits *from)
{
    return bs_half_value((uint16_t)bs_bits_get(from, 16));
}

void bs_ggml_put_bytes(struct bs_bits *to, const uint8_t *bytes, int count)
{
    for (int i = 0; i < count; i++)
        bs_bits_put(to, bytes[i], 8);
}

void bs_ggml_get_bytes(struct bs_bits *from, uint8_t *bytes, int count)
{
    for (int i = 0; i < count; i++)
        bytes[i] = (uint8_t)bs_bits_get(from, 8);
}

void bs_ggml_pack_codes(const uint16_t *codes, int count, int stride, int bits, int shift,
                        uint8_t *bytes)
{
    unsigned mask = (1u << bits) - 1;
    memset(bytes, 0, (size_t)stride);
    for (int at = 0; at < count; at += stride, codes += stride)
        for (int j = 0; j < stride; j++)
            bytes[j] |= (uint8_t)((codes[j] >> shift & mask) << at / stride * bits);
}

void bs_ggml_unpack_codes(const uint8_t *bytes, int count, int stride, int bits, int shift,
                          uint16_t *codes)
{
    unsigned mask = (1u << bits) - 1;
    for (int at = 0; at < count; at += stride, codes += stride)
        for (int j = 0; j < stride; j++)
            codes[j] |= (uint16_t)((bytes[j] >> at / stride * bits & mask) << shift);
}

const struct bs_levels *bs_ggml_whole(int bits)
{
    static const struct bs_levels levels[] = {
        [2] = {.count = 4},  [3] = {.count = 8},   [4] = {.count = 16}, [5] = {.count = 32},
        [6] = {.count = 64}, [7] = {.count = 128}, [8] = {.count = 256}};
    return &levels[bits];
}

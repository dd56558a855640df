/* What most layouts are: values that are a code less a zero point, times the scale of a group, in
 * the arithmetic of one element type. They differ in how codes and zero points are packed. */
#ifndef BS_EVAL_CHECKPOINT_LAYOUTS_GRID_H
#define BS_EVAL_CHECKPOINT_LAYOUTS_GRID_H

#include "eval/checkpoint/layout.h"

/* A table of scales, or of zero points: element (row / rows, group), so many elements apart. */
struct bs_table {
    const unsigned char *data; /* NULL: there is none */
    enum bs_dtype dtype;
    size_t rows; /* of the matrix that share a row of the table; a matrix's all: out */
    size_t row_step, group_step;
};

/* A coded matrix of this kind: w = (q - z) * s, rounded to `rounded`. */
struct bs_grid {
    struct bs_coded coded;
    size_t out, in;
    size_t group;              /* columns of a group */
    const unsigned char *list; /* int32 [in], the group of each column; NULL: j / group */
    struct bs_table scale;
    enum bs_dtype rounded;              /* F32, F16 or BF16: what the product is rounded to */
    float divisor;                      /* that scales are divided by before use; 0 = not */
    bool powers;                        /* scales are bytes E that stand for 2^(E - 127) */
    const unsigned char *codes, *zeros; /* for the functions below */
    int bits, variant;

    /* q [in], the codes of a row. */
    void (*read)(const struct bs_grid *grid, size_t row, float *q);
    /* The zero point of a group; NULL = 0. */
    float (*zero)(const struct bs_grid *grid, size_t row, size_t group);
};

/* struct bs_coded's decode of a grid. */
void bs_grid_decode(const struct bs_coded *coded, size_t first, size_t count, float *out);

/* For `read`: float8 codes of the type `variant`; codes of 4 bits, the first of two low, a sign,
 * two bits of exponent and one of mantissa. */
void bs_grid_read_floats(const struct bs_grid *grid, size_t row, float *q);
void bs_grid_read_e2m1(const struct bs_grid *grid, size_t row, float *q);

/* The planes of a code of so many bits in GPTQModel's planar format: their widths from the lowest
 * on, 0 for none. 32 codes take `bits` words, plane after plane, each with its fields side by side.
 */
extern const unsigned char bs_planes[9][3];

/* The value of type F16 or BF16 that is nearest to x, ties to even; x of any other. */
float bs_grid_rounded(enum bs_dtype to, float x);

/* A zeroed grid of this shape, its decode filled in. NULL when memory runs out. */
struct bs_grid *bs_grid_create(size_t out, size_t in, size_t group);

/* The table that an entry of a readable type is; `rows`, steps as above. */
struct bs_table bs_table_of(const struct bs_entry *entry, size_t rows, size_t row_step,
                            size_t group_step);

/* The packed codes of a linear: .qweight, int32 of two dimensions, narrow enough to count codes.
 * BS_EDATA. */
enum bs_status bs_grid_need_words(const struct bs_assembly *assembly, const char *module,
                                  const struct bs_entry **words, struct bs_error *err);

/* BS_EDATA where an extent of a matrix, which may be one of no rows, is beyond what any file has;
 * what is below can be counted in codes. */
enum bs_status bs_grid_check_extents(const struct bs_entry *matrix, struct bs_error *err);

/* BS_EDATA where a column's group is none of `groups`. */
enum bs_status bs_grid_check_list(const struct bs_grid *grid, const struct bs_entry *list,
                                  size_t groups, struct bs_error *err);

/* The little-endian word of 32 bits that stands at an index, at any byte. */
static inline uint32_t bs_word_at(const unsigned char *data, size_t index)
{
    uint32_t word;
    __builtin_memcpy(&word, data + 4 * index, sizeof word);
    return word;
}

/* Field `index` of `bits` bits (up to 8) of a stream of words, `step` words apart, that follow one
 * another bit by bit. */
static inline uint32_t bs_field_at(const unsigned char *data, size_t step, size_t index, int bits)
{
    size_t bit = index * (size_t)bits, word = bit / 32, shift = bit % 32;
    uint64_t both = bs_word_at(data, word * step);
    if (shift + (size_t)bits > 32)
        both |= (uint64_t)bs_word_at(data, (word + 1) * step) << 32;
    return (uint32_t)(both >> shift) & ((1u << bits) - 1);
}

#endif

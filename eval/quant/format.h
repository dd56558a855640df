/* Number formats and ranges as plug-ins. A format lays itself over a matrix, fits parameters to
 * spans of values and gives the cell of each group; algorithms see its cells, and know no
 * format. */
#ifndef BS_EVAL_QUANT_FORMAT_H
#define BS_EVAL_QUANT_FORMAT_H

#include "eval/quant/bits.h"
#include "eval/quant/cell.h"
#include "eval/quant/setting.h"

/* Values that share parameters, or what is known of them. */
struct bs_sample {
    const float *x;          /* rows of `count` values, `stride` apart; NULL: extremes only */
    const float *importance; /* [count], what an error in each column counts; NULL = 1 each */
    const float *extremes;   /* the lowest and the highest of x where they are known already */
    size_t rows, count, stride;
    uint64_t index; /* of the first value in its matrix, row by row */
};

/* Of count >= 1 values that are side by side. */
static inline struct bs_sample bs_sample_of(const float *x, size_t count)
{
    return (struct bs_sample){.x = x, .rows = 1, .count = count, .stride = count};
}

/* The lowest and the highest value. */
void bs_sample_extremes(const struct bs_sample *sample, float *low, float *high);

/* The largest |x|. */
float bs_sample_magnitude(const struct bs_sample *sample);

/* What a range asks a format: the error of a sample were its parameters made from these extremes.
 * The sum of |error|^power, times importance where `weighted`, as bs_cell_error. */
struct bs_range_trial {
    double (*error)(const void *context, const struct bs_sample *sample, float low, float high,
                    double power, bool weighted);
    const void *context;
};

/* What finds the extremes that a scale is fitted to. It knows no format, no format knows it. */
struct bs_range {
    struct bs_plugin plugin;
    bool needs_values; /* extremes alone will not do */

    /* Whether errors count by importance. NULL = never. */
    bool (*weighs)(const void *options);

    /* Replaces the extremes by those that parameters are made from. NULL: they stay. */
    void (*find)(const void *options, const struct bs_sample *sample,
                 const struct bs_range_trial *trial, float *low, float *high);

    /* Of static activations, which come batch by batch: bytes of what is kept of so many batches,
     * zeros at first; looks at the next one; and replaces the extremes of all values by those that
     * it finds. Then `find` is called without values. NULL: the extremes stay. */
    size_t (*watch_bytes)(int batches);
    void (*watch)(void *state, int batches, const struct bs_sample *batch);
    void (*extremes)(const void *options, const void *state, float *low, float *high);
};

/* For a format's fit: asks the chosen range for the extremes of a sample whose own are given. */
void bs_range_find(const struct bs_choice *range, const struct bs_sample *sample,
                   const struct bs_range_trial *trial, float *low, float *high);

/* For the fit of a format whose levels lie alike on both sides of zero: the largest |x| of the
 * sample that the range keeps. */
float bs_range_magnitude(const struct bs_choice *range, const struct bs_sample *sample,
                         const struct bs_range_trial *trial);

/* For a format's bs_range_trial: the error of a sample that is rounded to the nearest levels of a
 * cell. */
double bs_cell_error(const struct bs_cell *cell, const struct bs_sample *sample, double power,
                     bool weighted);

/* Bounds of what a format asks for. */
enum {
    BS_MOST_PARAM_BYTES = 256,
    BS_FIXED_BYTES = 32,    /* most of what is fixed from a calibration, or activations share */
    BS_MOST_OWN_SPAN = 256, /* columns of a span of a format that has `encode` and no `fit` */
};

/* How codes and parameters lie over a matrix [out][in]. */
struct bs_code_layout {
    int out, in;
    int group;           /* columns that have one cell; in where that is a row */
    int span;            /* columns that are fitted together: groups, or in */
    bool by_columns;     /* a span is so many columns, though a narrow row has but one */
    int code_bits;       /* of a code, up to 16 */
    size_t param_bytes;  /* of a span's parameters in memory, up to BS_MOST_PARAM_BYTES; 0 = none */
    size_t tensor_bytes; /* of what all of the matrix shares, of any size; 0 = nothing */
    double bits;         /* of the whole matrix in a file, parameters included */
    bool joined;         /* what all of the matrix shares, it shares with the matrices that are
                            fused with it where models are run: bs_program_fused */
    bool group_index;    /* a file can say which group a column is in, where it is not its place */
    bool halves;         /* 0 is midway between two levels, which whole numbers in a file are not */
    bool free_zero;      /* a span's zero point may be any number: bs_format.set_zero */
    bool whole_numbers;  /* cells are whole numbers times a scale, by division, and codes have 8
                            bits or less */
};

/* What formats have in common, as results name it and charts colour it. */
enum bs_format_family {
    BS_FAMILY_NONE, /* of what is not quantized */
    BS_FAMILY_INT,  /* whole numbers */
    BS_FAMILY_FLOAT,
    BS_FAMILY_MX,     /* small floats in blocks that have a small scale of their own */
    BS_FAMILY_LOOKUP, /* levels by a table */
    BS_FAMILY_GGUF_LEGACY,
    BS_FAMILY_GGUF_K,
    BS_FAMILY_GGUF_IQ,
    BS_FAMILY_GGUF_TERNARY,
    BS_NUM_FAMILIES
};
extern const char *const bs_format_families[BS_NUM_FAMILIES]; /* the first is "" */

/* A number format. Hooks may be NULL where the comment says what that means. Parameters are bytes
 * that only the format reads, aligned for any type. */
struct bs_format {
    struct bs_plugin plugin;
    enum bs_format_family family;
    bool own_search; /* it looks for its scales by itself, and asks no range */
    bool weighs;     /* and lets errors count by importance, where a setting asks for that */

    /* Whether these options leave values as they are. NULL = never. */
    bool (*idle)(const void *options);

    /* Settles what is still `auto` by the format's own rule, then refuses options that do not fit
     * together. BS_ECONFIG. NULL: nothing to settle. */
    enum bs_status (*resolve)(void *options, enum bs_use use, struct bs_error *err);

    /* The options as short as they can be said, without those that are as in `natural`. `sharing`,
     * the word for who shares a scale, stands after the format's name; NULL for weights. NULL: the
     * name, and "option=value". */
    void (*print_short)(const void *options, const void *natural, const char *sharing, FILE *out);

    /* Lays the format over a matrix. BS_ECONFIG where it cannot take the shape. */
    enum bs_status (*lay)(const void *options, int out, int in, struct bs_code_layout *layout,
                          struct bs_error *err);

    /* Makes what all of the matrix shares from all of its values, row after row: without a gap, but
     * of activations, whose extremes alone may be known. NULL where tensor_bytes is 0. */
    void (*fit_tensor)(const void *options, const struct bs_choice *range,
                       const struct bs_code_layout *layout, const struct bs_sample *all,
                       void *tensor);

    /* Makes the parameters of a span of values. NULL where param_bytes is 0, or `encode` is there
     * and makes them of a row that is one span. */
    void (*fit)(const void *options, const struct bs_choice *range, const void *tensor,
                const struct bs_sample *span, void *params);

    /* The parameters [spans] and the codes [count], uint8_t where code_bits is up to 8, else
     * uint16_t, of some whole spans of a row, as the format's own rule finds them where rounding is
     * to nearest. For authors who choose scales and codes together, or whose nearest code is not
     * the cell's; an algorithm that goes column by column rounds by cells nevertheless. NULL: each
     * span is fitted, and the cells round. */
    void (*encode)(const void *options, const struct bs_choice *range, const void *tensor,
                   const struct bs_sample *row, void *params, void *codes);

    /* The cell of the span's g-th group. */
    struct bs_cell (*cell)(const void *options, const void *tensor, const void *params, int g);

    /* Makes this the zero point (struct bs_cell) of a span, rounded as a file has it. NULL where no
     * options give a layout with free_zero. */
    void (*set_zero)(const void *options, float zero, void *params);

    /* Makes the parameters of a span, or where all of a matrix shares one what that shares, of the
     * scale and the code that stands for 0 as a file has them. NULL: no file has such. */
    void (*set_scale)(const void *options, float scale, float zero, void *params);

    /* Puts into a stream what a file holds of `tensor`, and gets it back: what the file rounds
     * stays rounded. NULL where tensor_bytes is 0. */
    void (*pack_tensor)(const void *options, const struct bs_code_layout *layout,
                        const void *tensor, struct bs_bits *to);
    void (*unpack_tensor)(const void *options, const struct bs_code_layout *layout,
                          struct bs_bits *from, void *tensor);

    /* The same of a span: its parameters and `count` codes. To get it back there is `tensor`, NULL
     * where tensor_bytes is 0, and the index of its first value in the matrix. */
    void (*pack)(const void *options, const void *params, const uint16_t *codes, int count,
                 struct bs_bits *to);
    void (*unpack)(const void *options, const void *tensor, uint64_t index, struct bs_bits *from,
                   void *params, uint16_t *codes, int count);
};

/* For a format's `lay`, of blocks of layout->span columns whatever the matrix is: fills in its
 * shape and its bits, `block_bits` in a file for each. BS_ECONFIG where a row is no whole number of
 * blocks. */
enum bs_status bs_lay_blocks(int out, int in, double block_bits, struct bs_code_layout *layout,
                             struct bs_error *err);

/* The format of a setting that quantizes; its range. */
const struct bs_format *bs_format_of(const struct bs_setting *setting);
const struct bs_range *bs_setting_range(const struct bs_setting *setting);

/* Makes the parameters of a span by the setting's format: bs_format.fit, or what its `encode`
 * finds. Nothing where it has none. */
void bs_setting_fit(const struct bs_setting *setting, const void *tensor,
                    const struct bs_sample *span, void *params);

/* The importance that fits by this setting look at: `known`, or NULL where a search of the
 * format's own was not asked to. */
const float *bs_setting_importance(const struct bs_setting *setting, const float *known);

/* Whether codes are found by the format's own `encode` with this rounding. */
bool bs_setting_encodes(const struct bs_setting *setting, enum bs_rounding mode);

/* Lays the setting's format over a matrix: bs_format.lay. */
enum bs_status bs_setting_lay(const struct bs_setting *setting, int out, int in,
                              struct bs_code_layout *layout, struct bs_error *err);

/* The same over a matrix larger than any group, where the shape is not known yet: what is asked
 * then is which columns share what. */
struct bs_code_layout bs_setting_layout(const struct bs_setting *setting);

#endif

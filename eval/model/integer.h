/* Linears on quantized inputs, in integers. With codes x of a row (scale s, zero point z) and codes
 * w of an output (scale r, zero point q),
 *     sum s (x - z) r (w - q) = s r (sum x (w - 128) + (128 - q) sum x - z sum (w - q)),
 * where the first sum is a product of unsigned and signed bytes and everything in the brackets is
 * an integer: the result has the rounding of the outer factors only. */
#ifndef BS_EVAL_MODEL_INTEGER_H
#define BS_EVAL_MODEL_INTEGER_H

#include "eval/model/model.h"

/* The input of a set of linears as codes; each row has its own scale and zero point. */
struct bs_coded_rows {
    int rows, features;
    uint8_t *codes;             /* [rows, up to a multiple of BS_BYTES_ROWS][features] */
    float *scale;               /* [rows]; NaN where the row holds a value that is not finite */
    uint32_t *zero_point, *sum; /* [rows]; of the row's codes */
};

/* Room for it in scratch, and the floats that this takes. */
struct bs_coded_rows bs_coded_rows_take(struct bs_scratch *scratch, int rows, int features);
size_t bs_coded_rows_floats(int rows, int features);

/* Fills `coded` from x [rows][features]: its codes decode to what bs_values_round makes of x at
 * this site, whose cells are whole numbers and one a row. */
void bs_coded_rows_encode(const struct bs_site_setting *site, const float *x,
                          struct bs_coded_rows *coded);

/* The weights of a linear as integer products want them. */
struct bs_integer_weights;

/* Whether outputs of such codes each share one scale, and the sums stay within int32. */
bool bs_integer_suits(const struct bs_code_layout *layout);

/* Of a linear that suits, in new memory. BS_ENOMEM. */
enum bs_status bs_integer_weights_create(const struct bs_linear *linear,
                                         struct bs_integer_weights **integer, struct bs_error *err);
void bs_integer_weights_free(struct bs_integer_weights *integer);

/* y [rows] rows of out floats, `stride` floats apart = decoded x * decoded weight^T + bias, of a
 * linear with these integer weights. Scratch: bs_integer_forward_floats. Where memory runs out in
 * the library, y is NaN. */
void bs_integer_forward(const struct bs_linear *linear, const struct bs_integer_weights *integer,
                        const struct bs_coded_rows *x, float *y, int stride,
                        struct bs_scratch *scratch);
size_t bs_integer_forward_floats(int out_features);

#endif

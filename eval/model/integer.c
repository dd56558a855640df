#include "eval/model/integer.h"

#include <math.h>

#include "eval/base/mem.h"
#include "eval/linalg/bytes.h"
#include "eval/linalg/vector.h"
#include "eval/model/integer_loops.h"

BS_LEVELS(bs_integer_loops);

enum { MIDDLE = 128 }; /* of the codes of 8 bits: less it, every code is a signed byte */

struct bs_integer_weights {
    struct bs_bytes *packed; /* codes - MIDDLE */
    float *scale;            /* [out] */
    uint32_t *shift;         /* [out], MIDDLE - zero point; negative ones modulo 2^32 */
    uint32_t *sum;           /* [out], of codes - zero point; the same */
};

static int padded(int rows) { return (rows + BS_BYTES_ROWS - 1) / BS_BYTES_ROWS * BS_BYTES_ROWS; }

static size_t code_floats(int rows, int features)
{
    return ((size_t)padded(rows) * (size_t)features + sizeof(float) - 1) / sizeof(float);
}

static uint32_t *take_integers(struct bs_scratch *scratch, size_t count)
{
    return (uint32_t *)(void *)bs_scratch_take(scratch, count);
}

struct bs_coded_rows bs_coded_rows_take(struct bs_scratch *scratch, int rows, int features)
{
    struct bs_coded_rows coded = {.rows = rows, .features = features};
    coded.codes = (uint8_t *)bs_scratch_take(scratch, code_floats(rows, features));
    coded.scale = bs_scratch_take(scratch, (size_t)rows);
    coded.zero_point = take_integers(scratch, (size_t)rows);
    coded.sum = take_integers(scratch, (size_t)rows);
    return coded;
}

size_t bs_coded_rows_floats(int rows, int features)
{
    return bs_scratch_floats(code_floats(rows, features)) + 3 * bs_scratch_floats((size_t)rows);
}

static uint32_t sum_codes(const uint8_t *codes, size_t count)
{
    return bs_integer_loops[bs_isa()]->sum_codes(codes, count);
}

/* The codes of a row in a mode other than to the nearest. */
static struct bs_encoded encode_row(const struct bs_cell *cell, struct bs_rounder rounder,
                                    uint64_t index, const float *row, size_t features,
                                    const float *next, uint8_t *codes)
{
    struct bs_encoded encoded = bs_cell_encode_bytes(cell, row, features, next, codes);
    if (rounder.mode == BS_NEAREST)
        return encoded;
    for (size_t j = 0; j < features; j++)
        codes[j] = (uint8_t)bs_cell_encode(cell, rounder, index + j, row[j]);
    encoded.sum = sum_codes(codes, features);
    return encoded;
}

void bs_coded_rows_encode(const struct bs_site_setting *site, const float *x,
                          struct bs_coded_rows *coded)
{
    const struct bs_setting *setting = site->setting;
    int features = coded->features, rows = coded->rows;
    size_t width = (size_t)features;
    bool each = setting->sharing == BS_BY_TOKEN;
    struct bs_cell cell = {.scale = 1};
    float extremes[2];
    if (!each)
        cell = bs_values_cell(setting, &site->fixed, x, rows, features, features, NULL);
    bs_min_max(x, width, &extremes[0], &extremes[1]);
    for (int t = 0; t < rows; t++) {
        size_t at = (size_t)t * width;
        const float *row = x + at, *next = t + 1 < rows ? row + width : row;
        if (each)
            cell = bs_values_cell(setting, NULL, row, 1, features, features, extremes);
        struct bs_encoded encoded =
            encode_row(&cell, site->rounder, at, row, width, next, coded->codes + at);
        extremes[0] = encoded.next_low;
        extremes[1] = encoded.next_high;
        coded->scale[t] = encoded.finite ? cell.scale : NAN;
        coded->zero_point[t] = 0 - (uint32_t)cell.first;
        coded->sum[t] = encoded.sum;
    }
}

/* True where the integers are exact and decode to the weights. */
bool bs_integer_suits(const struct bs_code_layout *layout)
{
    const int64_t largest = UINT8_MAX * UINT8_MAX; /* of a product of two codes less zero points */
    return layout->whole_numbers && layout->group >= layout->in &&
           layout->in * largest <= INT32_MAX;
}

static enum bs_status pack_codes(const struct bs_codes *codes, struct bs_bytes **packed,
                                 struct bs_error *err)
{
    size_t count = (size_t)codes->layout.out * (size_t)codes->layout.in;
    const uint8_t *bytes = codes->codes;
    int8_t *signed_codes = bs_alloc(count, 1);
    if (!signed_codes)
        return bs_fail_memory(err);
    for (size_t i = 0; i < count; i++)
        signed_codes[i] = (int8_t)(bytes[i] - MIDDLE);
    enum bs_status status =
        bs_bytes_pack(codes->layout.out, codes->layout.in, signed_codes, packed, err);
    bs_free(signed_codes);
    return status;
}

/* What each output's sums are corrected and scaled by. */
static void describe_outputs(const struct bs_codes *codes, struct bs_integer_weights *integer)
{
    size_t in = (size_t)codes->layout.in;
    const uint8_t *bytes = codes->codes;
    for (int i = 0; i < codes->layout.out; i++) {
        struct bs_cell cell = bs_codes_cell(codes, i, 0);
        uint32_t zero_point = 0 - (uint32_t)cell.first;
        integer->scale[i] = cell.scale;
        integer->shift[i] = MIDDLE - zero_point;
        integer->sum[i] = sum_codes(bytes + (size_t)i * in, in) - (uint32_t)in * zero_point;
    }
}

enum bs_status bs_integer_weights_create(const struct bs_linear *linear,
                                         struct bs_integer_weights **created, struct bs_error *err)
{
    const struct bs_codes *codes = &linear->codes;
    struct bs_bytes *packed = NULL;
    if (pack_codes(codes, &packed, err))
        return err->status;
    size_t out = (size_t)codes->layout.out;
    struct bs_integer_weights *integer = bs_calloc(1, sizeof *integer);
    if (!integer) {
        bs_bytes_free(packed);
        return bs_fail_memory(err);
    }
    integer->packed = packed;
    integer->scale = bs_alloc(out, sizeof *integer->scale);
    integer->shift = bs_alloc(out, sizeof *integer->shift);
    integer->sum = bs_alloc(out, sizeof *integer->sum);
    if (!integer->scale || !integer->shift || !integer->sum) {
        bs_integer_weights_free(integer);
        return bs_fail_memory(err);
    }
    describe_outputs(codes, integer);
    *created = integer;
    return BS_OK;
}

void bs_integer_weights_free(struct bs_integer_weights *integer)
{
    if (!integer)
        return;
    bs_bytes_free(integer->packed);
    bs_free(integer->scale);
    bs_free(integer->shift);
    bs_free(integer->sum);
    bs_free(integer);
}

void bs_integer_forward(const struct bs_linear *linear, const struct bs_integer_weights *integer,
                        const struct bs_coded_rows *x, float *y, int stride,
                        struct bs_scratch *scratch)
{
    size_t mark = scratch->used, out = (size_t)linear->out_features;
    const struct bs_integer_outputs outputs = {.count = out,
                                               .scale = integer->scale,
                                               .bias = linear->bias,
                                               .shift = integer->shift,
                                               .sum = integer->sum};
    int32_t *products = (int32_t *)(void *)bs_scratch_take(scratch, BS_BYTES_ROWS * out);
    for (int first = 0; first < x->rows; first += BS_BYTES_ROWS) {
        int left = x->rows - first, rows = left < BS_BYTES_ROWS ? left : BS_BYTES_ROWS;
        uint8_t *codes = x->codes + (size_t)first * (size_t)x->features;
        bool done = bs_bytes_multiply(integer->packed, rows, codes, products, scratch);
        for (int r = 0; r < rows; r++) {
            int t = first + r;
            struct bs_integer_row row = {done ? x->scale[t] : NAN, x->sum[t], x->zero_point[t]};
            bs_integer_loops[bs_isa()]->finish(&outputs, &row, products + (size_t)r * out,
                                               y + (size_t)t * (size_t)stride);
        }
    }
    scratch->used = mark;
}

size_t bs_integer_forward_floats(int out_features)
{
    return bs_scratch_floats(BS_BYTES_ROWS * (size_t)out_features) +
           bs_scratch_floats(BS_BYTES_SCRATCH_FLOATS);
}

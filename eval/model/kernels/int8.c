/* Products of codes of weights by codes of inputs, exact in integers. */
#include "eval/linalg/bytes.h"
#include "eval/model/integer.h"
#include "eval/model/kernel.h"

/* Whether values by this setting are whole numbers times one scale a row, all of them. */
static bool makes_integers(const struct bs_setting *setting, int width)
{
    struct bs_code_layout layout;
    struct bs_error ignored;
    if (!setting || setting->keep > 0 || setting->threshold > 0 ||
        (setting->sharing != BS_BY_TOKEN && setting->sharing != BS_BY_WINDOW &&
         setting->sharing != BS_BY_STATIC))
        return false;
    return !bs_setting_lay(setting, 1, width, &layout, &ignored) && layout.whole_numbers &&
           layout.group == layout.in && !layout.tensor_bytes;
}

static bool int8_suits(const struct bs_multiplication *product)
{
    return product->codes && !product->listed && bs_integer_suits(product->codes) &&
           makes_integers(product->input, product->in);
}

static enum bs_status int8_prepare(const struct bs_linear *linear, void **prepared,
                                   struct bs_error *err)
{
    struct bs_integer_weights *integer = NULL;
    if (bs_integer_weights_create(linear, &integer, err))
        return err->status;
    *prepared = integer;
    return BS_OK;
}

static void int8_release(void *prepared) { bs_integer_weights_free(prepared); }

/* The rows' parts stand in the room one after the other, as they are taken from it. */
static struct bs_coded_rows rows_in(const float *room, int rows, int features)
{
    struct bs_scratch scratch = {.data = (float *)(uintptr_t)room,
                                 .capacity = bs_coded_rows_floats(rows, features)};
    return bs_coded_rows_take(&scratch, rows, features);
}

static void int8_encode(const struct bs_site_setting *site, const float *x, int rows, int features,
                        float *room)
{
    struct bs_coded_rows coded = rows_in(room, rows, features);
    bs_coded_rows_encode(site, x, &coded);
}

static void int8_multiply(const struct bs_linear *linear, const float *x, int rows, float *y,
                          int stride, struct bs_scratch *scratch)
{
    struct bs_coded_rows coded = rows_in(x, rows, linear->in_features);
    bs_integer_forward(linear, linear->prepared, &coded, y, stride, scratch);
}

static size_t int8_extra(int out, int in)
{
    (void)in;
    return bs_integer_forward_floats(out);
}

const struct bs_kernel bs_kernel_int8 = {
    .plugin = {.name = "int8",
               .summary = "codes of weights by codes of inputs, summed in integers",
               .reference = "the identity in eval/model/integer.h; oneDNN"},
    .exact = true,
    .suits = int8_suits,
    .prepare = int8_prepare,
    .release = int8_release,
    .weight_bytes = bs_bytes_of_number,
    .encode = int8_encode,
    .room_floats = bs_coded_rows_floats,
    .multiply = int8_multiply,
    .extra = int8_extra,
};

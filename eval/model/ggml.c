#include "eval/model/ggml.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/model/ggml_loops.h"

BS_LEVELS(bs_ggml_product_loops);

enum { TILE_ROWS = 64 }; /* of inputs that are rounded at a time */

struct bs_ggml_weights {
    enum bs_gguf_input input;
    struct bs_packed *packed; /* plain weights, and nothing of what follows */
    struct bs_ggml_panel first;
    int out;
    int16_t *levels, *minima; /* panel after panel */
    float *scale, *least;
};

static int num_panels(int out) { return (out + BS_GGML_COLUMNS - 1) / BS_GGML_COLUMNS; }

/* Numbers of one panel, of which there is one for so many columns. */
static size_t of_panel(const struct bs_ggml_weights *w, int columns)
{
    return (size_t)(w->first.in / columns) * BS_GGML_COLUMNS;
}

void bs_ggml_weights_free(struct bs_ggml_weights *w)
{
    if (!w)
        return;
    bs_packed_free(w->packed);
    bs_free(w->levels);
    bs_free(w->minima);
    bs_free(w->scale);
    bs_free(w->least);
    bs_free(w);
}

/* --- plain weights --- */

enum bs_status bs_ggml_plain_create(enum bs_gguf_input input, int out, int in, const float *weight,
                                    struct bs_ggml_weights **weights, struct bs_error *err)
{
    enum bs_compute compute = input == BS_GGUF_BFLOAT16 ? BS_BFLOAT16 : BS_FLOAT32;
    struct bs_ggml_weights *w = bs_calloc(1, sizeof *w);
    *weights = w;
    if (!w)
        return bs_fail_memory(err);
    *w = (struct bs_ggml_weights){.input = input, .out = out, .first.in = in};
    if (!bs_packed_create(compute, out, in, weight, &w->packed, err))
        return BS_OK;
    bs_ggml_weights_free(w);
    *weights = NULL;
    return err->status;
}

static void multiply_halves(const struct bs_ggml_weights *w, const float *x, int rows, float *y,
                            int stride, struct bs_scratch *scratch)
{
    size_t in = (size_t)w->first.in, mark = scratch->used;
    float *rounded = bs_scratch_take(scratch, TILE_ROWS * in);
    for (int first = 0; first < rows; first += TILE_ROWS) {
        int count = rows - first < TILE_ROWS ? rows - first : TILE_ROWS;
        for (size_t i = 0; i < (size_t)count * in; i++)
            rounded[i] = bs_half_value(bs_half_of(x[(size_t)first * in + i]));
        bs_gemm_nt_packed(count, rounded, w->packed, y + (size_t)first * (size_t)stride, stride,
                          scratch);
    }
    scratch->used = mark;
}

/* --- weights in blocks --- */

/* Puts the numbers of a block, whose first column this is, into the panel of its output. */
static void put_block(struct bs_ggml_weights *w, const struct bs_gguf_numbers *numbers, int values,
                      int output, int column)
{
    size_t panel = (size_t)(output / BS_GGML_COLUMNS), lane = (size_t)(output % BS_GGML_COLUMNS);
    int16_t *levels = w->levels + panel * of_panel(w, 1);
    for (int j = 0; j < values; j++) {
        size_t pair = (size_t)(column + j) / 2, which = (size_t)(column + j) % 2;
        levels[(pair * BS_GGML_COLUMNS + lane) * 2 + which] = numbers->levels[j];
    }
    float *scale = w->scale + panel * of_panel(w, w->first.group);
    for (int g = 0; g < values / w->first.group; g++)
        scale[(size_t)(column / w->first.group + g) * BS_GGML_COLUMNS + lane] = numbers->scale[g];
    if (w->least) {
        float *least = w->least + panel * of_panel(w, w->first.block);
        least[(size_t)(column / w->first.block) * BS_GGML_COLUMNS + lane] = numbers->least;
    }
    int16_t *minima = w->minima ? w->minima + panel * of_panel(w, BS_GGUF_MINIMA) : NULL;
    for (int j = 0; minima && j < values / BS_GGUF_MINIMA; j++) {
        size_t at = (size_t)(column / BS_GGUF_MINIMA + j);
        minima[(at / 2 * BS_GGML_COLUMNS + lane) * 2 + at % 2] = numbers->minima[j];
    }
}

/* The rows of a panel. */
struct filling {
    const struct bs_ggml_rows *rows;
    const struct bs_gguf_product *product;
    struct bs_ggml_weights *w;
};

static enum bs_status fill_panel(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread;
    const struct filling *f = context;
    const struct bs_gguf_type *type = f->rows->type;
    unsigned char *room = bs_alloc((size_t)(f->rows->in / type->values), type->bytes);
    if (!room)
        return bs_fail_memory(err);
    struct bs_gguf_numbers numbers;
    int end = (index + 1) * BS_GGML_COLUMNS;
    for (int i = index * BS_GGML_COLUMNS; i < end && i < f->rows->out; i++) {
        const unsigned char *block = f->rows->row(f->rows->context, i, room);
        for (int column = 0; column < f->rows->in; column += type->values, block += type->bytes) {
            bs_gguf_numbers(type, f->product, block, &numbers);
            put_block(f->w, &numbers, type->values, i, column);
        }
    }
    bs_free(room);
    return BS_OK;
}

static enum bs_status allocate(struct bs_ggml_weights *w, const struct bs_gguf_product *product,
                               struct bs_error *err)
{
    size_t panels = (size_t)num_panels(w->out);
    bool sums = product->minima || product->least;
    w->levels = bs_calloc(panels, of_panel(w, 1) * sizeof *w->levels);
    w->scale = bs_calloc(panels, of_panel(w, w->first.group) * sizeof *w->scale);
    if (product->minima)
        w->minima = bs_calloc(panels, of_panel(w, BS_GGUF_MINIMA) * sizeof *w->minima);
    if (sums)
        w->least = bs_calloc(panels, of_panel(w, w->first.block) * sizeof *w->least);
    bool whole = w->levels && w->scale && (w->minima || !product->minima) && (w->least || !sums);
    return whole ? BS_OK : bs_fail_memory(err);
}

enum bs_status bs_ggml_blocks_create(const struct bs_ggml_rows *rows,
                                     struct bs_ggml_weights **weights, struct bs_error *err)
{
    const struct bs_gguf_product *product = bs_gguf_product_find(rows->type->id);
    *weights = NULL;
    if (!product || !product->group)
        return bs_fail(err, BS_EUNSUPPORTED, "llama.cpp multiplies by no weights of type %s",
                       rows->type->name);
    struct bs_ggml_weights *w = bs_calloc(1, sizeof *w);
    if (!w)
        return bs_fail_memory(err);
    bool super = product->input == BS_GGUF_LONG;
    *w = (struct bs_ggml_weights){.input = product->input, .out = rows->out};
    w->first = (struct bs_ggml_panel){
        .in = rows->in, .group = product->group, .block = super ? BS_GGML_LONG : BS_GGML_SHORT};
    struct filling filling = {rows, product, w};
    if (allocate(w, product, err) ||
        bs_parallel(num_panels(rows->out), fill_panel, &filling, err)) {
        bs_ggml_weights_free(w);
        return err->status;
    }
    *weights = w;
    return BS_OK;
}

static struct bs_ggml_panel panel_at(const struct bs_ggml_weights *w, int index)
{
    size_t p = (size_t)index;
    struct bs_ggml_panel panel = w->first;
    panel.levels = w->levels + p * of_panel(w, 1);
    panel.scale = w->scale + p * of_panel(w, w->first.group);
    panel.minima = w->minima ? w->minima + p * of_panel(w, BS_GGUF_MINIMA) : NULL;
    panel.least = w->least ? w->least + p * of_panel(w, w->first.block) : NULL;
    return panel;
}

/* Floats of scratch for so many numbers of 16 bits. */
static size_t floats_of(size_t numbers) { return (numbers + 1) / 2; }

static struct bs_ggml_inputs take_inputs(const struct bs_ggml_weights *w,
                                         struct bs_scratch *scratch)
{
    size_t in = (size_t)w->first.in, blocks = in / (size_t)w->first.block;
    struct bs_ggml_inputs x = {.sums = NULL};
    x.codes = (int16_t *)(void *)bs_scratch_take(scratch, floats_of(TILE_ROWS * in));
    x.scale = bs_scratch_take(scratch, TILE_ROWS * blocks);
    if (w->input == BS_GGUF_LONG)
        x.sums =
            (int16_t *)(void *)bs_scratch_take(scratch, floats_of(TILE_ROWS * in / BS_GGML_SUMMED));
    if (w->input == BS_GGUF_SHORT_SUM)
        x.total = bs_scratch_take(scratch, TILE_ROWS * blocks);
    return x;
}

static void round_rows(const struct bs_ggml_weights *w, const float *x, int rows,
                       struct bs_ggml_inputs *to)
{
    const struct bs_ggml_product_loops *loops = bs_ggml_product_loops[bs_isa()];
    size_t block = (size_t)w->first.block;
    size_t blocks = (size_t)rows * ((size_t)w->first.in / block);
    for (size_t b = 0; b < blocks; b++) {
        const float *from = x + b * block;
        int16_t *codes = to->codes + b * block;
        if (to->sums)
            loops->round_super(from, codes, to->scale + b, to->sums + b * (block / BS_GGML_SUMMED));
        else
            loops->round_legacy(from, codes, to->scale + b, to->total ? to->total + b : NULL);
    }
}

static void multiply_tile(const struct bs_ggml_weights *w, const struct bs_ggml_inputs *x, int rows,
                          float *y, int stride)
{
    const struct bs_ggml_product_loops *loops = bs_ggml_product_loops[bs_isa()];
    float tile[TILE_ROWS * BS_GGML_COLUMNS];
    for (int p = 0; p < num_panels(w->out); p++) {
        struct bs_ggml_panel panel = panel_at(w, p);
        int first = p * BS_GGML_COLUMNS, left = w->out - first;
        if (left >= BS_GGML_COLUMNS) {
            loops->multiply(&panel, x, rows, y + first, (size_t)stride);
            continue;
        }
        loops->multiply(&panel, x, rows, tile, BS_GGML_COLUMNS);
        for (int r = 0; r < rows; r++)
            memcpy(y + (size_t)r * (size_t)stride + first, tile + r * BS_GGML_COLUMNS,
                   (size_t)left * sizeof *y);
    }
}

void bs_ggml_multiply(const struct bs_ggml_weights *w, const float *x, int rows, float *y,
                      int stride, struct bs_scratch *scratch)
{
    if (w->packed && w->input == BS_GGUF_HALF) {
        multiply_halves(w, x, rows, y, stride, scratch);
        return;
    }
    if (w->packed) {
        bs_gemm_nt_packed(rows, x, w->packed, y, stride, scratch);
        return;
    }
    size_t mark = scratch->used, in = (size_t)w->first.in;
    struct bs_ggml_inputs inputs = take_inputs(w, scratch);
    for (int first = 0; first < rows; first += TILE_ROWS) {
        int count = rows - first < TILE_ROWS ? rows - first : TILE_ROWS;
        round_rows(w, x + (size_t)first * in, count, &inputs);
        multiply_tile(w, &inputs, count, y + (size_t)first * (size_t)stride, stride);
    }
    scratch->used = mark;
}

size_t bs_ggml_floats(int out, int in)
{
    size_t numbers = TILE_ROWS * (size_t)in;
    size_t blocks = bs_scratch_floats(floats_of(numbers)) +
                    2 * bs_scratch_floats(numbers / BS_GGML_SHORT + TILE_ROWS) +
                    bs_scratch_floats(floats_of(numbers / BS_GGML_SUMMED));
    size_t plain = bs_scratch_floats(numbers) + bs_gemm_nt_packed_floats(out, in);
    return plain > blocks ? plain : blocks;
}

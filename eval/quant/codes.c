#include "eval/quant/codes.h"

#include <assert.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"

enum { INDEX_BITS = 32, ROWS_A_TASK = 16, CELLS = 256 };

enum bs_status bs_codes_init(struct bs_codes *codes, const struct bs_setting *setting,
                             uint64_t place, int out, int in, struct bs_error *err)
{
    *codes = (struct bs_codes){.setting = setting};
    if (bs_setting_lay(setting, out, in, &codes->layout, err))
        return err->status;
    const struct bs_code_layout *layout = &codes->layout;
    assert(layout->param_bytes <= BS_MOST_PARAM_BYTES);
    codes->rounder = bs_rounder_of(setting, place);
    codes->groups = (in + layout->group - 1) / layout->group;
    codes->spans = (in + layout->span - 1) / layout->span;
    size_t spans = (size_t)out * (size_t)codes->spans;
    codes->codes = bs_alloc((size_t)out * (size_t)in, layout->code_bits <= 8 ? 1 : 2);
    codes->params = bs_calloc(spans * layout->param_bytes + 1, 1);
    codes->shared = (struct bs_shared){.layout = *layout};
    codes->shared.bytes = bs_calloc(layout->tensor_bytes + 1, 1);
    if (codes->codes && codes->params && codes->shared.bytes)
        return BS_OK;
    bs_codes_release(codes);
    return bs_fail_memory(err);
}

void bs_codes_release(struct bs_codes *codes)
{
    bs_free(codes->codes);
    bs_free(codes->params);
    bs_free(codes->shared.bytes);
    bs_free(codes->group_index);
    *codes = (struct bs_codes){.codes = NULL};
}

static int columns_from(const struct bs_codes *codes, int columns, int at)
{
    int left = codes->layout.in - at * columns;
    return left < columns ? left : columns;
}

int bs_codes_group_columns(const struct bs_codes *codes, int g)
{
    return columns_from(codes, codes->layout.group, g);
}

int bs_codes_span_columns(const struct bs_codes *codes, int s)
{
    return columns_from(codes, codes->layout.span, s);
}

static unsigned char *params_of(const struct bs_codes *codes, int i, int span)
{
    size_t at = (size_t)i * (size_t)codes->spans + (size_t)span;
    return codes->params + at * codes->layout.param_bytes;
}

/* What all of the matrix shares; NULL where that is nothing. */
static const void *tensor_of(const struct bs_codes *codes)
{
    return codes->layout.tensor_bytes ? codes->shared.bytes : NULL;
}

/* The index in the tensor of the first value of a span. */
static uint64_t index_of(const struct bs_codes *codes, int i, int span)
{
    return bs_codes_index(codes, codes->shared.first + i, span * codes->layout.span);
}

enum bs_status bs_codes_fit_tensor(struct bs_codes *codes, const float *weight,
                                   const struct bs_shared *shared, struct bs_error *err)
{
    const struct bs_code_layout *layout = &codes->layout;
    if (!layout->tensor_bytes)
        return BS_OK;
    if (shared) {
        unsigned char *copy = bs_alloc(shared->layout.tensor_bytes, 1);
        if (!copy)
            return bs_fail_memory(err);
        memcpy(copy, shared->bytes, shared->layout.tensor_bytes);
        bs_free(codes->shared.bytes);
        codes->shared = *shared;
        codes->shared.bytes = copy;
        return BS_OK;
    }
    struct bs_sample all = bs_sample_of(weight, (size_t)layout->out * (size_t)layout->in);
    bs_format_of(codes->setting)
        ->fit_tensor(codes->setting->format.options, &codes->setting->range, layout, &all,
                     codes->shared.bytes);
    return BS_OK;
}

void bs_codes_fit(struct bs_codes *codes, int i, int span, const struct bs_sample *sample)
{
    struct bs_sample own = *sample;
    own.index = index_of(codes, i, span);
    if (codes->layout.param_bytes)
        bs_setting_fit(codes->setting, tensor_of(codes), &own, params_of(codes, i, span));
}

void bs_codes_set_zero(struct bs_codes *codes, int i, int span, float zero)
{
    bs_format_of(codes->setting)
        ->set_zero(codes->setting->format.options, zero, params_of(codes, i, span));
}

struct bs_cell bs_codes_cell(const struct bs_codes *codes, int i, int g)
{
    int span = codes->spans == codes->groups
                   ? g
                   : (int)((int64_t)g * codes->layout.group / codes->layout.span);
    int within = codes->spans == codes->groups
                     ? 0
                     : g - (int)((int64_t)span * codes->layout.span / codes->layout.group);
    return bs_format_of(codes->setting)
        ->cell(codes->setting->format.options, tensor_of(codes), params_of(codes, i, span), within);
}

/* ---- rounding ---- */

struct rows_job {
    struct bs_codes *codes;
    const float *weight;
};

static void round_group(struct bs_codes *codes, const float *x, int i, int g, int n)
{
    struct bs_cell cell = bs_codes_cell(codes, i, g);
    int first = g * codes->layout.group;
    uint64_t index = bs_codes_index(codes, i, first);
    if (codes->rounder.mode == BS_NEAREST) {
        bool wide = codes->layout.code_bits > 8;
        size_t width = wide ? sizeof(uint16_t) : sizeof(uint8_t);
        bs_cell_encode_all(&cell, x, (size_t)n, wide,
                           (unsigned char *)codes->codes + index * width);
        return;
    }
    for (int j = 0; j < n; j++)
        bs_codes_set(codes, i, first + j,
                     bs_cell_encode(&cell, codes->rounder, index + (uint64_t)j, x[j]));
}

/* By the format's own rule. */
static void encode_row(struct bs_codes *codes, const float *row, int i)
{
    struct bs_sample sample = bs_sample_of(row, (size_t)codes->layout.in);
    sample.importance = bs_setting_importance(codes->setting, codes->importance);
    sample.index = index_of(codes, i, 0);
    size_t width = codes->layout.code_bits <= 8 ? sizeof(uint8_t) : sizeof(uint16_t);
    bs_format_of(codes->setting)
        ->encode(codes->setting->format.options, &codes->setting->range, tensor_of(codes), &sample,
                 params_of(codes, i, 0),
                 (unsigned char *)codes->codes + bs_codes_index(codes, i, 0) * width);
}

static void round_row(struct bs_codes *codes, const float *row, int i)
{
    if (bs_setting_encodes(codes->setting, codes->rounder.mode)) {
        encode_row(codes, row, i);
        return;
    }
    for (int s = 0; s < codes->spans; s++) {
        struct bs_sample sample = bs_sample_of(row + (size_t)s * (size_t)codes->layout.span,
                                               (size_t)bs_codes_span_columns(codes, s));
        if (codes->importance)
            sample.importance = codes->importance + (size_t)s * (size_t)codes->layout.span;
        bs_codes_fit(codes, i, s, &sample);
    }
    for (int g = 0; g < codes->groups; g++)
        round_group(codes, row + (size_t)g * (size_t)codes->layout.group, i, g,
                    bs_codes_group_columns(codes, g));
}

static enum bs_status round_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct rows_job *job = context;
    struct bs_codes *codes = job->codes;
    int end = (index + 1) * ROWS_A_TASK;
    for (int i = index * ROWS_A_TASK; i < end && i < codes->layout.out; i++)
        round_row(codes, job->weight + (size_t)i * (size_t)codes->layout.in, i);
    return BS_OK;
}

enum bs_status bs_codes_round(struct bs_codes *codes, const float *weight,
                              const struct bs_shared *shared, struct bs_error *err)
{
    if (bs_codes_fit_tensor(codes, weight, shared, err))
        return err->status;
    struct rows_job job = {.codes = codes, .weight = weight};
    return bs_parallel((codes->layout.out + ROWS_A_TASK - 1) / ROWS_A_TASK, round_rows, &job, err);
}

/* ---- decoding ---- */

static void decode_group(const struct bs_codes *codes, int i, int g, float *row)
{
    struct bs_cell cell = bs_codes_cell(codes, i, g);
    int first = g * codes->layout.group, n = bs_codes_group_columns(codes, g);
    size_t at = bs_codes_index(codes, i, first);
    if (codes->layout.whole_numbers) {
        const uint8_t *from = (const uint8_t *)codes->codes + at;
        for (int j = 0; j < n; j++)
            row[first + j] = cell.scale * (float)(from[j] + cell.first);
        return;
    }
    for (int j = 0; j < n; j++)
        row[first + j] = bs_cell_decode(&cell, bs_codes_get(codes, i, first + j));
}

/* Columns whose groups stand in any order; cells of the first groups are held. */
static void decode_scattered(const struct bs_codes *codes, int i, float *row)
{
    struct bs_cell cells[CELLS];
    for (int g = 0; g < codes->groups && g < CELLS; g++)
        cells[g] = bs_codes_cell(codes, i, g);
    for (int j = 0; j < codes->layout.in; j++) {
        int g = codes->group_index[j];
        struct bs_cell cell = g < CELLS ? cells[g] : bs_codes_cell(codes, i, g);
        row[j] = bs_cell_decode(&cell, bs_codes_get(codes, i, j));
    }
}

static void decode_row(const struct bs_codes *codes, int i, float *row)
{
    if (codes->group_index) {
        decode_scattered(codes, i, row);
        return;
    }
    for (int g = 0; g < codes->groups; g++)
        decode_group(codes, i, g, row);
}

void bs_codes_decode(const struct bs_codes *codes, float *weight)
{
#pragma omp parallel for schedule(static)
    for (int i = 0; i < codes->layout.out; i++)
        decode_row(codes, i, weight + (size_t)i * (size_t)codes->layout.in);
}

/* ---- files ---- */

double bs_codes_bits(const struct bs_codes *codes)
{
    double index = codes->group_index ? (double)INDEX_BITS * codes->layout.in : 0;
    return codes->layout.bits + index;
}

/* A span's codes, column by column. */
static void pack_span(const struct bs_codes *codes, int i, int s, uint16_t *room,
                      struct bs_bits *to)
{
    int first = s * codes->layout.span, n = bs_codes_span_columns(codes, s);
    for (int j = 0; j < n; j++)
        room[j] = (uint16_t)bs_codes_get(codes, i, first + j);
    bs_format_of(codes->setting)
        ->pack(codes->setting->format.options, params_of(codes, i, s), room, n, to);
}

static void unpack_span(struct bs_codes *codes, int i, int s, uint16_t *room, struct bs_bits *from)
{
    int first = s * codes->layout.span, n = bs_codes_span_columns(codes, s);
    bs_format_of(codes->setting)
        ->unpack(codes->setting->format.options, tensor_of(codes), index_of(codes, i, s), from,
                 params_of(codes, i, s), room, n);
    for (int j = 0; j < n; j++)
        bs_codes_set(codes, i, first + j, room[j]);
}

void bs_codes_pack_row(const struct bs_codes *codes, int i, uint16_t *room, struct bs_bits *to)
{
    for (int s = 0; s < codes->spans; s++)
        pack_span(codes, i, s, room, to);
}

static void pack_all(const struct bs_codes *codes, uint16_t *room, struct bs_bits *to)
{
    const struct bs_format *format = bs_format_of(codes->setting);
    for (int j = 0; codes->group_index && j < codes->layout.in; j++)
        bs_bits_put(to, (uint32_t)codes->group_index[j], INDEX_BITS);
    if (codes->layout.tensor_bytes)
        format->pack_tensor(codes->setting->format.options, &codes->shared.layout,
                            codes->shared.bytes, to);
    for (int i = 0; i < codes->layout.out; i++)
        bs_codes_pack_row(codes, i, room, to);
}

enum bs_status bs_codes_pack(const struct bs_codes *codes, struct bs_bits *to, struct bs_error *err)
{
    uint16_t *room = bs_alloc((size_t)codes->layout.span, sizeof *room);
    if (!room)
        return bs_fail_memory(err);
    pack_all(codes, room, to);
    bs_free(room);
    return BS_OK;
}

static void unpack_all(struct bs_codes *codes, uint16_t *room, struct bs_bits *from)
{
    const struct bs_format *format = bs_format_of(codes->setting);
    for (int j = 0; codes->group_index && j < codes->layout.in; j++)
        codes->group_index[j] = (int)bs_bits_get(from, INDEX_BITS);
    if (codes->layout.tensor_bytes)
        format->unpack_tensor(codes->setting->format.options, &codes->shared.layout, from,
                              codes->shared.bytes);
    for (int i = 0; i < codes->layout.out; i++)
        for (int s = 0; s < codes->spans; s++)
            unpack_span(codes, i, s, room, from);
}

enum bs_status bs_codes_unpack(struct bs_codes *codes, struct bs_bits *from, struct bs_error *err)
{
    uint16_t *room = bs_alloc((size_t)codes->layout.span, sizeof *room);
    if (!room)
        return bs_fail_memory(err);
    unpack_all(codes, room, from);
    bs_free(room);
    return BS_OK;
}

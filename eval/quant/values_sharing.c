/* Rounding the values of a site: who shares a scale, and what stays as it is. */
#include "eval/quant/values.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "eval/quant/bits.h"

/* Channels that are brought together at a time: a line of the cache has as many. */
enum { CHANNELS = 16 };

static struct bs_code_layout layout_of(const struct bs_setting *setting, int width)
{
    struct bs_code_layout layout;
    struct bs_error ignored; /* the width was checked when the setting was chosen */
    (void)bs_setting_lay(setting, 1, width, &layout, &ignored);
    return layout;
}

/* Every span of a row by parameters of its own. */
static void round_spans(const struct bs_setting *setting, const struct bs_code_layout *layout,
                        const void *tensor, struct bs_rounder rounder, uint64_t index, float *row)
{
    for (int at = 0; at < layout->in; at += layout->span) {
        int left = layout->in - at;
        bs_span_round(setting, layout, tensor, rounder, index + (uint64_t)at, NULL, row + at,
                      left < layout->span ? left : layout->span);
    }
}

/* ---- the largest and the smallest stay ---- */

/* Brings x[k] to where sorting would, what is less before it and what is more after it, of the
 * values from `low` to `high` (Hoare's selection). */
static void select_rank(float *x, int low, int high, int k)
{
    while (low < high) {
        float pivot = x[k];
        int i = low, j = high;
        do {
            while (x[i] < pivot)
                i++;
            while (pivot < x[j])
                j--;
            if (i <= j) {
                float other = x[i];
                x[i++] = x[j];
                x[j--] = other;
            }
        } while (i <= j);
        low = j < k ? i : low;
        high = k < i ? j : high;
    }
}

/* torch.quantile of values: the two ranks that it lies between, and how far. */
struct quantile {
    int below, above;
    float part;
};

static struct quantile quantile_of(int count, double q)
{
    float rank = (float)q * (float)(count - 1), below = floorf(rank);
    return (struct quantile){(int)below, (int)ceilf(rank), rank - below};
}

/* Its value, of ranks that are in their places. */
static float between(const float *x, struct quantile q)
{
    return bs_between(x[q.below], x[q.above], q.part);
}

/* A row but for the outermost of its values; room: 2 rows. */
static void round_inner(const struct bs_setting *setting, const struct bs_code_layout *layout,
                        struct bs_rounder rounder, uint64_t index, float *row, float *room)
{
    int count = layout->in, last = count - 1, middle = last / 2;
    float *all = room, *ranked = room + count;
    double upper = 1 - setting->keep / 2;
    struct quantile lower_one = quantile_of(count, 1 - upper),
                    upper_one = quantile_of(count, upper);
    memcpy(all, row, (size_t)count * sizeof *all);
    memcpy(ranked, row, (size_t)count * sizeof *ranked);
    select_rank(ranked, 0, last, middle);
    select_rank(ranked, 0, middle, lower_one.above);
    select_rank(ranked, 0, lower_one.above, lower_one.below);
    select_rank(ranked, middle, last, upper_one.below);
    select_rank(ranked, upper_one.below, last, upper_one.above);
    float low = between(ranked, lower_one), high = between(ranked, upper_one);
    float median = ranked[middle];
    for (int i = 0; i < count; i++)
        row[i] = all[i] <= low || all[i] >= high ? median : all[i];
    round_spans(setting, layout, NULL, rounder, index, row);
    for (int i = 0; i < count; i++)
        row[i] = all[i] <= low || all[i] >= high ? all[i] : row[i];
}

/* A row whose values share no scale with those of another. */
static void round_row(const struct bs_setting *setting, const struct bs_code_layout *layout,
                      struct bs_rounder rounder, uint64_t index, float *row, float *room)
{
    if (setting->keep > 0)
        round_inner(setting, layout, rounder, index, row, room);
    else
        round_spans(setting, layout, NULL, rounder, index, row);
}

/* ---- who shares a scale ---- */

static float *token(const struct bs_values *values, int t)
{
    return values->x + (size_t)t * (size_t)values->stride;
}

static struct bs_sample sample_of(const struct bs_values *values, int first, int rows)
{
    return (struct bs_sample){.x = token(values, first),
                              .rows = (size_t)rows,
                              .count = (size_t)values->width,
                              .stride = (size_t)values->stride};
}

static uint64_t index_of(const struct bs_values *values, int t)
{
    return (uint64_t)t * (uint64_t)values->width;
}

/* By a format with parameters of a tensor above those of spans. */
static void round_under_tensor(const struct bs_setting *setting,
                               const struct bs_code_layout *layout, const struct bs_fixed *fixed,
                               struct bs_rounder rounder, const struct bs_values *values)
{
    const struct bs_format *format = bs_format_of(setting);
    struct bs_fixed tensor;
    struct bs_sample all = sample_of(values, 0, values->rows);
    bool known = bs_is_static((enum bs_sharing)setting->sharing);
    assert(fixed || !known);
    if (known)
        tensor = *fixed;
    else if (setting->sharing == BS_BY_WINDOW)
        format->fit_tensor(setting->format.options, &setting->range, layout, &all, tensor.bytes);
    for (int t = 0; t < values->rows; t++) {
        struct bs_sample own = sample_of(values, t, 1);
        if (!known && setting->sharing != BS_BY_WINDOW)
            format->fit_tensor(setting->format.options, &setting->range, layout, &own,
                               tensor.bytes);
        round_spans(setting, layout, tensor.bytes, rounder, index_of(values, t), token(values, t));
    }
}

/* Every row by its own scales. */
static void round_rows(const struct bs_setting *setting, struct bs_rounder rounder,
                       const struct bs_values *values, float *room)
{
    struct bs_code_layout layout = layout_of(setting, values->width);
    if (layout.tensor_bytes)
        round_under_tensor(setting, &layout, NULL, rounder, values);
    for (int t = 0; t < values->rows && !layout.tensor_bytes; t++)
        round_row(setting, &layout, rounder, index_of(values, t), token(values, t), room);
}

/* The heads of a token are rows, close together. */
static void round_heads(const struct bs_setting *setting, struct bs_rounder rounder,
                        const struct bs_values *values, float *room)
{
    int width = values->width / values->heads;
    for (int t = 0; t < values->rows; t++) {
        struct bs_values heads = {token(values, t), values->heads, width, width, 1};
        round_rows(setting, bs_rounder_from(rounder, index_of(values, t)), &heads, room);
    }
}

/* A channel by fixed parameters; room: a row. */
static void round_fixed_channel(const struct bs_setting *setting, const struct bs_fixed *fixed,
                                struct bs_rounder rounder, uint64_t index, float *column,
                                size_t rows, float *room)
{
    struct bs_cell cell = bs_values_cell(setting, fixed, NULL, 0, 1, 0, NULL);
    memcpy(room, column, rows * sizeof *room);
    bs_cell_round(&cell, rounder, index, column, rows);
    for (size_t t = 0; t < rows && setting->keep > 0; t++)
        if (room[t] < fixed->low || room[t] > fixed->high)
            column[t] = room[t];
}

/* A channel is a row along the tokens; `fixed` where its parameters are. */
static void round_channels(const struct bs_setting *setting, const struct bs_fixed *fixed,
                           struct bs_rounder rounder, const struct bs_values *values,
                           float *columns, float *room)
{
    size_t rows = (size_t)values->rows;
    struct bs_code_layout layout = layout_of(setting, values->rows);
    for (int first = 0; first < values->width; first += CHANNELS) {
        int left = values->width - first, count = left < CHANNELS ? left : CHANNELS;
        for (int t = 0; t < values->rows; t++)
            for (int c = 0; c < count; c++)
                columns[(size_t)c * rows + (size_t)t] = token(values, t)[first + c];
        for (int c = 0; c < count; c++) {
            float *column = columns + (size_t)c * rows;
            uint64_t index = (uint64_t)(first + c) * rows;
            if (fixed)
                round_fixed_channel(setting, &fixed[first + c], rounder, index, column, rows, room);
            else
                round_row(setting, &layout, rounder, index, column, room);
        }
        for (int t = 0; t < values->rows; t++)
            for (int c = 0; c < count; c++)
                token(values, t)[first + c] = columns[(size_t)c * rows + (size_t)t];
    }
}

/* All rows by one cell. */
static void round_alike(const struct bs_setting *setting, const struct bs_fixed *fixed,
                        struct bs_rounder rounder, const struct bs_values *values)
{
    struct bs_code_layout layout = layout_of(setting, values->width);
    if (layout.tensor_bytes) {
        round_under_tensor(setting, &layout, fixed, rounder, values);
        return;
    }
    struct bs_cell cell = bs_values_cell(setting, fixed, values->x, values->rows, values->width,
                                         values->stride, NULL);
    for (int t = 0; t < values->rows; t++)
        bs_cell_round(&cell, rounder, index_of(values, t), token(values, t), (size_t)values->width);
}

/* Each head of all rows by parameters of its own. */
static void round_fixed_heads(const struct bs_setting *setting, const struct bs_fixed *fixed,
                              struct bs_rounder rounder, const struct bs_values *values)
{
    int width = values->width / values->heads;
    for (int h = 0; h < values->heads; h++) {
        struct bs_values head = {values->x + h * width, values->rows, width, values->stride, 1};
        uint64_t index = (uint64_t)h * (uint64_t)values->rows * (uint64_t)width;
        round_alike(setting, &fixed[h], bs_rounder_from(rounder, index), &head);
    }
}

/* ---- columns stay ---- */

static float half(float x) { return bs_half_value(bs_half_of(x)); }

/* kept[j] = 1 where any token reaches the threshold in column j, else 0. */
static void find_columns(const struct bs_values *values, float threshold, float *kept)
{
    memset(kept, 0, (size_t)values->width * sizeof *kept);
    for (int t = 0; t < values->rows; t++) {
        const float *row = token(values, t);
        for (int j = 0; j < values->width; j++)
            kept[j] = fabsf(half(row[j])) >= threshold ? 1 : kept[j];
    }
}

static void round_but_columns(const struct bs_setting *setting, struct bs_rounder rounder,
                              const struct bs_values *values, float *kept, float *own, float *room)
{
    const float threshold = (float)setting->threshold;
    find_columns(values, threshold, kept);
    for (int t = 0; t < values->rows; t++) {
        struct bs_values row = {token(values, t), 1, values->width, values->stride, 1};
        for (int j = 0; j < values->width; j++) {
            own[j] = half(row.x[j]);
            row.x[j] = fabsf(own[j]) >= threshold ? 0 : own[j];
        }
        round_rows(setting, bs_rounder_from(rounder, index_of(values, t)), &row, room);
        for (int j = 0; j < values->width; j++)
            row.x[j] = kept[j] > 0 ? own[j] : row.x[j];
    }
}

void bs_values_round(const struct bs_setting *setting, const struct bs_fixed *fixed,
                     struct bs_rounder rounder, const struct bs_values *values,
                     struct bs_scratch *scratch)
{
    size_t mark = scratch->used, width = (size_t)values->width, rows = (size_t)values->rows;
    float *room = bs_scratch_take(scratch, 2 * (width > rows ? width : rows));
    if (setting->threshold > 0) {
        float *kept = bs_scratch_take(scratch, width), *own = bs_scratch_take(scratch, width);
        round_but_columns(setting, rounder, values, kept, own, room);
    } else if (setting->sharing == BS_BY_CHANNEL || setting->sharing == BS_BY_STATIC_CHANNEL) {
        round_channels(setting, setting->sharing == BS_BY_CHANNEL ? NULL : fixed, rounder, values,
                       bs_scratch_take(scratch, CHANNELS * rows), room);
    } else if (setting->sharing == BS_BY_STATIC_HEAD) {
        round_fixed_heads(setting, fixed, rounder, values);
    } else if (setting->sharing == BS_BY_HEAD) {
        round_heads(setting, rounder, values, room);
    } else if (setting->sharing == BS_BY_TOKEN) {
        round_rows(setting, rounder, values, room);
    } else {
        round_alike(setting, fixed, rounder, values);
    }
    scratch->used = mark;
}

size_t bs_values_floats(int rows, int width)
{
    size_t longer = (size_t)(width > rows ? width : rows);
    size_t columns = bs_scratch_floats(CHANNELS * (size_t)rows);
    size_t kept = 2 * bs_scratch_floats((size_t)width);
    return bs_scratch_floats(2 * longer) + (columns > kept ? columns : kept);
}

#include "eval/quant/values.h"

#include <assert.h>

#include "eval/base/mem.h"

/* Room for the parameters of a span, aligned for any type. */
union params {
    unsigned char bytes[BS_MOST_PARAM_BYTES];
    max_align_t align;
};

enum bs_status bs_values_check(const struct bs_setting *setting, int width, int heads,
                               struct bs_error *err)
{
    struct bs_code_layout layout;
    bool head = setting->sharing == BS_BY_HEAD || setting->sharing == BS_BY_STATIC_HEAD;
    int row = head ? width / heads : setting->sharing == BS_BY_STATIC_CHANNEL ? 1 : width;
    if (setting->sharing == BS_BY_CHANNEL)
        return BS_OK; /* whose rows are of any length */
    if (bs_setting_lay(setting, 1, row, &layout, err))
        return err->status;
    if (bs_is_static((enum bs_sharing)setting->sharing) && !layout.tensor_bytes &&
        layout.param_bytes > BS_FIXED_BYTES)
        return bs_fail(err, BS_ECONFIG,
                       "format %s has no room for static parameters, expected "
                       "sharing: token, head or window",
                       setting->format.plugin->name);
    return BS_OK;
}

enum bs_status bs_probabilities_check(const struct bs_setting *setting, struct bs_error *err)
{
    struct bs_code_layout layout;
    if (setting->sharing != BS_BY_TOKEN && setting->sharing != BS_BY_HEAD &&
        setting->sharing != BS_BY_STATIC && setting->sharing != BS_BY_STATIC_HEAD)
        return bs_fail(err, BS_ECONFIG,
                       "sharing is %s, and probabilities are rows of keys, one for each head and "
                       "query, that differ in length: expected sharing: token or head, which are "
                       "a row, static or static_head",
                       bs_sharing_words[setting->sharing]);
    if (setting->threshold > 0)
        return bs_fail(err, BS_ECONFIG,
                       "threshold is about columns of channels, and those of probabilities are "
                       "keys: expected none");
    return bs_setting_lay(setting, 1, bs_probabilities_width(setting, 1), &layout, err);
}

int bs_probabilities_width(const struct bs_setting *setting, int keys)
{
    struct bs_code_layout layout;
    struct bs_error ignored;
    if (!bs_setting_lay(setting, 1, keys, &layout, &ignored))
        return keys;
    int span = bs_setting_layout(setting).span;
    return (keys + span - 1) / span * span;
}

int bs_values_parts(const struct bs_setting *setting, int width, int heads)
{
    return setting->sharing == BS_BY_STATIC_HEAD      ? heads
           : setting->sharing == BS_BY_STATIC_CHANNEL ? width
                                                      : 1;
}

static struct bs_cell cell_at(const struct bs_setting *setting, const void *tensor,
                              const void *params, int g)
{
    return bs_format_of(setting)->cell(setting->format.options, tensor, params, g);
}

static struct bs_code_layout layout_of(const struct bs_setting *setting, int width)
{
    struct bs_code_layout layout;
    struct bs_error ignored; /* the width was checked when the setting was chosen */
    (void)bs_setting_lay(setting, 1, width, &layout, &ignored);
    return layout;
}

static void fit_tensor(const struct bs_setting *setting, const struct bs_code_layout *layout,
                       const struct bs_sample *all, void *tensor)
{
    bs_format_of(setting)->fit_tensor(setting->format.options, &setting->range, layout, all,
                                      tensor);
}

enum bs_status bs_tensor_fit(const struct bs_setting *setting, const struct bs_code_layout *layout,
                             const float *weight, unsigned char **tensor, struct bs_error *err)
{
    *tensor = NULL;
    if (!layout->tensor_bytes)
        return BS_OK;
    *tensor = bs_alloc(layout->tensor_bytes, 1);
    if (!*tensor)
        return bs_fail_memory(err);
    struct bs_sample all = bs_sample_of(weight, (size_t)layout->out * (size_t)layout->in);
    fit_tensor(setting, layout, &all, *tensor);
    return BS_OK;
}

void bs_values_fix(const struct bs_setting *setting, int width, float low, float high,
                   struct bs_fixed *fixed)
{
    const float extremes[] = {low, high};
    const struct bs_sample sample = {.extremes = extremes, .rows = 1, .count = (size_t)width};
    struct bs_code_layout layout = layout_of(setting, width);
    fixed->low = low;
    fixed->high = high;
    if (layout.tensor_bytes)
        fit_tensor(setting, &layout, &sample, fixed->bytes);
    else
        bs_setting_fit(setting, NULL, &sample, fixed->bytes);
}

enum bs_status bs_values_set(const struct bs_setting *setting, int width, float scale, float zero,
                             struct bs_fixed *fixed, struct bs_error *err)
{
    const struct bs_format *format = bs_format_of(setting);
    struct bs_code_layout layout = layout_of(setting, width);
    size_t bytes = layout.tensor_bytes ? layout.tensor_bytes : layout.param_bytes;
    if (!format->set_scale || bytes > sizeof *fixed)
        return bs_fail(err, BS_ECONFIG, "format %s has no scale that a file could fix",
                       format->plugin.name);
    format->set_scale(setting->format.options, scale, zero, fixed->bytes);
    return BS_OK;
}

struct bs_cell bs_values_cell(const struct bs_setting *setting, const struct bs_fixed *fixed,
                              const float *x, int rows, int width, int stride,
                              const float *extremes)
{
    union params params;
    if (bs_is_static((enum bs_sharing)setting->sharing))
        return cell_at(setting, NULL, fixed->bytes, 0);
    const struct bs_sample sample = {.x = x,
                                     .extremes = extremes,
                                     .rows = (size_t)rows,
                                     .count = (size_t)width,
                                     .stride = (size_t)stride};
    bs_setting_fit(setting, NULL, &sample, params.bytes);
    return cell_at(setting, NULL, params.bytes, 0);
}

/* ---- by the format's own rule ---- */

/* Room for the longest rows that models have: a rule that looks at the row as a whole sees it. */
enum { MOST_COLUMNS = 1 << 16, PARAM_ROOM = 1 << 16 };

/* Decodes what was found for x, some spans side by side, in its place. */
static void decode_spans(const struct bs_setting *setting, const struct bs_code_layout *layout,
                         const void *tensor, const unsigned char *params, const void *codes,
                         float *x, int columns)
{
    bool narrow = layout->code_bits <= 8;
    int groups = layout->span / layout->group;
    for (int at = 0, g = 0; at < columns; at += layout->group, g++) {
        const unsigned char *own = params + (size_t)(g / groups) * layout->param_bytes;
        struct bs_cell cell = cell_at(setting, tensor, own, g % groups);
        for (int j = at; j < at + layout->group && j < columns; j++)
            x[j] = bs_cell_decode(&cell, narrow ? ((const uint8_t *)codes)[j]
                                                : ((const uint16_t *)codes)[j]);
    }
}

/* A row, all at once but where it is longer than any model's. */
static void encode_in_place(const struct bs_setting *setting, const struct bs_code_layout *layout,
                            const void *tensor, uint64_t index, const float *importance, float *x,
                            int columns)
{
    union {
        unsigned char bytes[PARAM_ROOM];
        max_align_t align;
    } params;
    uint16_t codes[MOST_COLUMNS];
    size_t spans = PARAM_ROOM / (layout->param_bytes + !layout->param_bytes);
    int most = MOST_COLUMNS / layout->span;
    most = (size_t)most < spans ? most : (int)spans;
    for (int at = 0; at < columns; at += most * layout->span) {
        int left = columns - at, n = left < most * layout->span ? left : most * layout->span;
        struct bs_sample row = bs_sample_of(x + at, (size_t)n);
        row.importance = bs_setting_importance(setting, importance ? importance + at : NULL);
        row.index = index + (uint64_t)at;
        bs_format_of(setting)->encode(setting->format.options, &setting->range, tensor, &row,
                                      params.bytes, codes);
        decode_spans(setting, layout, tensor, params.bytes, codes, x + at, n);
    }
}

void bs_span_round(const struct bs_setting *setting, const struct bs_code_layout *layout,
                   const void *tensor, struct bs_rounder rounder, uint64_t index,
                   const float *importance, float *x, int columns)
{
    if (bs_setting_encodes(setting, rounder.mode)) {
        assert(layout->span <= MOST_COLUMNS);
        encode_in_place(setting, layout, tensor, index, importance, x, columns);
        return;
    }
    union params params;
    struct bs_sample sample = bs_sample_of(x, (size_t)columns);
    sample.importance = importance;
    sample.index = index;
    if (layout->param_bytes)
        bs_setting_fit(setting, tensor, &sample, params.bytes);
    for (int at = 0, g = 0; at < columns; at += layout->group, g++) {
        struct bs_cell cell = cell_at(setting, tensor, params.bytes, g);
        int left = columns - at, n = left < layout->group ? left : layout->group;
        bs_cell_round(&cell, rounder, index + (uint64_t)at, x + at, (size_t)n);
    }
}

void bs_weights_round(const struct bs_setting *setting, const struct bs_code_layout *layout,
                      const void *tensor, struct bs_rounder rounder, int first,
                      const float *importance, float *x, int rows)
{
    assert(!layout->tensor_bytes || tensor);
    /* The format's own rule may look at the row as a whole. */
    int step = bs_setting_encodes(setting, rounder.mode) ? layout->in : layout->span;
    for (int i = 0; i < rows; i++)
        for (int at = 0; at < layout->in; at += step) {
            int left = layout->in - at;
            uint64_t index = (uint64_t)(first + i) * (uint64_t)layout->in + (uint64_t)at;
            bs_span_round(setting, layout, tensor, rounder, index,
                          importance ? importance + at : NULL,
                          x + (size_t)i * (size_t)layout->in + at, left < step ? left : step);
        }
}

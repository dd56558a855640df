#include "eval/quant/format.h"

#include <math.h>
#include <string.h>

#include "eval/linalg/vector.h"

void bs_sample_extremes(const struct bs_sample *sample, float *low, float *high)
{
    if (sample->extremes) {
        *low = sample->extremes[0];
        *high = sample->extremes[1];
        return;
    }
    bs_min_max(sample->x, sample->count, low, high);
    for (size_t r = 1; r < sample->rows; r++) {
        float least, most;
        bs_min_max(sample->x + r * sample->stride, sample->count, &least, &most);
        *low = least < *low ? least : *low;
        *high = most > *high ? most : *high;
    }
}

float bs_sample_magnitude(const struct bs_sample *sample)
{
    float low, high;
    bs_sample_extremes(sample, &low, &high);
    return fmaxf(fabsf(low), fabsf(high));
}

void bs_range_find(const struct bs_choice *choice, const struct bs_sample *sample,
                   const struct bs_range_trial *trial, float *low, float *high)
{
    const struct bs_range *range = (const struct bs_range *)choice->plugin;
    if (range->find)
        range->find(choice->options, sample, trial, low, high);
}

float bs_range_magnitude(const struct bs_choice *range, const struct bs_sample *sample,
                         const struct bs_range_trial *trial)
{
    float high = bs_sample_magnitude(sample), low = -high;
    bs_range_find(range, sample, trial, &low, &high);
    return fmaxf(fabsf(low), fabsf(high));
}

enum { CHUNK = 1024 };

/* Lets |error|^power count by what it is multiplied with. */
static void weigh(const float *importance, size_t count, double power, float *rounded, float *x)
{
    float factor[CHUNK];
    bs_power(importance, count, (float)(1 / power), factor);
    for (size_t j = 0; j < count; j++) {
        rounded[j] *= factor[j];
        x[j] *= factor[j];
    }
}

static float chunk_error(const struct bs_cell *cell, const float *x, const float *importance,
                         size_t count, double power)
{
    const struct bs_rounder nearest = {.mode = BS_NEAREST};
    float rounded[CHUNK], original[CHUNK];
    memcpy(rounded, x, count * sizeof *x);
    bs_cell_round(cell, nearest, 0, rounded, count);
    if (!importance)
        return bs_sum_power_difference(rounded, x, count, (float)power);
    memcpy(original, x, count * sizeof *x);
    weigh(importance, count, power, rounded, original);
    return bs_sum_power_difference(rounded, original, count, (float)power);
}

double bs_cell_error(const struct bs_cell *cell, const struct bs_sample *sample, double power,
                     bool weighted)
{
    const float *importance = weighted ? sample->importance : NULL;
    float error = 0; /* as quant.py sums */
    for (size_t r = 0; r < sample->rows; r++)
        for (size_t start = 0; start < sample->count; start += CHUNK) {
            size_t left = sample->count - start;
            error += chunk_error(cell, sample->x + r * sample->stride + start,
                                 importance ? importance + start : NULL,
                                 left < CHUNK ? left : CHUNK, power);
        }
    return (double)error;
}

enum bs_status bs_lay_blocks(int out, int in, double block_bits, struct bs_code_layout *layout,
                             struct bs_error *err)
{
    if (in % layout->span)
        return bs_fail(err, BS_ECONFIG, "blocks of %d values do not fit in rows of %d",
                       layout->span, in);
    layout->out = out;
    layout->in = in;
    layout->by_columns = true;
    int blocks = in / layout->span;
    layout->bits = block_bits * out * blocks;
    return BS_OK;
}

const struct bs_format *bs_format_of(const struct bs_setting *setting)
{
    return (const struct bs_format *)setting->format.plugin;
}

void bs_setting_fit(const struct bs_setting *setting, const void *tensor,
                    const struct bs_sample *span, void *params)
{
    const struct bs_format *format = bs_format_of(setting);
    uint16_t codes[BS_MOST_OWN_SPAN];
    struct bs_sample own = *span;
    own.importance = bs_setting_importance(setting, span->importance);
    if (format->fit)
        format->fit(setting->format.options, &setting->range, tensor, &own, params);
    else if (format->encode)
        format->encode(setting->format.options, &setting->range, tensor, &own, params, codes);
}

const float *bs_setting_importance(const struct bs_setting *setting, const float *known)
{
    bool asked = setting->importance.word != BS_ALIKE || !bs_format_of(setting)->own_search;
    return asked ? known : NULL;
}

bool bs_setting_encodes(const struct bs_setting *setting, enum bs_rounding mode)
{
    return bs_format_of(setting)->encode && mode == BS_NEAREST;
}

const struct bs_range *bs_setting_range(const struct bs_setting *setting)
{
    return (const struct bs_range *)setting->range.plugin;
}

enum bs_status bs_setting_lay(const struct bs_setting *setting, int out, int in,
                              struct bs_code_layout *layout, struct bs_error *err)
{
    return bs_format_of(setting)->lay(setting->format.options, out, in, layout, err);
}

struct bs_code_layout bs_setting_layout(const struct bs_setting *setting)
{
    const int wide = 1 << 25;
    struct bs_code_layout layout = {.group = wide, .span = wide};
    struct bs_error ignored; /* no format minds a shape that all powers of two divide */
    (void)bs_setting_lay(setting, 2, wide, &layout, &ignored);
    return layout;
}

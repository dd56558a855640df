#include "tests/support/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 512, TEXT = 2048 };

static const struct bs_setting *made(enum bs_use use, const char *settings)
{
    static struct {
        enum bs_use use;
        char text[TEXT];
        struct bs_setting setting;
    } all[MOST];
    static int count;
    struct bs_error err;
    for (int i = 0; i < count; i++)
        if (all[i].use == use && !strcmp(all[i].text, settings))
            return &all[i].setting;
    assert_true(count < MOST && strlen(settings) < TEXT);
    struct bs_setting *setting = &all[count].setting;
    char rest[TEXT], *save = NULL;
    if (use == BS_FOR_CACHE)
        bs_setting_init_cache(setting);
    else
        bs_setting_init(setting);
    snprintf(rest, sizeof rest, "%s", settings);
    for (char *key = strtok_r(rest, " ", &save); key; key = strtok_r(NULL, " ", &save)) {
        char *value = strchr(key, '=');
        assert_non_null(value);
        *value++ = '\0';
        if (bs_setting_set(setting, use, key, value, &err))
            fail_msg("%s", err.message);
    }
    if (bs_setting_resolve(setting, use, &err))
        fail_msg("%s", err.message);
    all[count].use = use;
    snprintf(all[count].text, TEXT, "%s", settings);
    count++;
    return setting;
}

const struct bs_setting *weights_setting(const char *settings)
{
    return made(BS_FOR_WEIGHTS, settings);
}

const struct bs_setting *activations_setting(const char *settings)
{
    return made(BS_FOR_ACTIVATIONS, settings);
}

const struct bs_setting *cache_setting(const char *settings)
{
    return made(BS_FOR_CACHE, settings);
}

const struct bs_setting *kept_setting(const struct bs_setting *setting)
{
    static struct bs_setting kept[MOST];
    static int count;
    struct bs_error err;
    assert_true(count < MOST);
    assert_int_equal(bs_setting_copy(&kept[count], setting, &err), BS_OK);
    return &kept[count++];
}

static struct bs_cell cell_of(const struct bs_setting *setting, const struct bs_sample *sample)
{
    union {
        unsigned char bytes[BS_MOST_PARAM_BYTES];
        max_align_t align;
    } params;
    const struct bs_format *format = bs_format_of(setting);
    const void *options = setting->format.options;
    if (bs_setting_layout(setting).tensor_bytes) {
        struct bs_code_layout layout = bs_setting_layout(setting);
        format->fit_tensor(options, &setting->range, &layout, sample, params.bytes);
        return format->cell(options, params.bytes, NULL, 0);
    }
    format->fit(options, &setting->range, NULL, sample, params.bytes);
    return format->cell(options, NULL, params.bytes, 0);
}

struct bs_cell cell_of_values(const struct bs_setting *setting, const float *x, size_t count)
{
    struct bs_sample sample = bs_sample_of(x, count);
    return cell_of(setting, &sample);
}

struct bs_cell cell_between(const struct bs_setting *setting, float low, float high)
{
    const float extremes[] = {low, high};
    const struct bs_sample sample = {.extremes = extremes, .rows = 1, .count = 1};
    return cell_of(setting, &sample);
}

bool same_cell(struct bs_cell a, struct bs_cell b)
{
    return a.levels == b.levels && a.first == b.first && a.scale == b.scale && a.shift == b.shift;
}

void round_one_by_one(struct bs_cell cell, float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = bs_cell_decode(&cell, bs_cell_nearest(&cell, x[i]));
}

void round_matrix(const struct bs_setting *setting, float *x, int rows, int columns)
{
    struct bs_error err;
    struct bs_codes codes;
    if (bs_codes_init(&codes, setting, 0, rows, columns, &err) ||
        bs_codes_round(&codes, x, NULL, &err))
        fail_msg("%s", err.message);
    bs_codes_decode(&codes, x);
    bs_codes_release(&codes);
}

static bool same_bytes(const void *a, const void *b, size_t size)
{
    return (!a && !b) || (a && b && !memcmp(a, b, size));
}

bool same_codes(const struct bs_codes *a, const struct bs_codes *b)
{
    if (!a->codes || !b->codes)
        return a->codes == b->codes;
    const struct bs_code_layout *layout = &a->layout;
    size_t out = (size_t)layout->out, in = (size_t)layout->in;
    return layout->out == b->layout.out && layout->in == b->layout.in && a->spans == b->spans &&
           same_bytes(a->codes, b->codes, out * in * (layout->code_bits <= 8 ? 1 : 2)) &&
           same_bytes(a->params, b->params, out * (size_t)a->spans * layout->param_bytes) &&
           same_bytes(a->shared.bytes, b->shared.bytes, layout->tensor_bytes) &&
           same_bytes(a->group_index, b->group_index, in * sizeof *a->group_index);
}

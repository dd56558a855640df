#include "eval/model/cache.h"

#include <string.h>

#include "eval/linalg/hadamard.h"
#include "eval/model/ggml_loops.h"
#include "eval/quant/gguf_product.h"

enum { KEPT_BITS = 32 };

/* What llama.cpp turns values by. */
enum { VALUES_TURNED = 64 };

int bs_cache_turned(int head, bool values)
{
    int span = head & -head;
    return values && span > VALUES_TURNED ? VALUES_TURNED : span;
}

/* H is its own inverse. */
static void turn(const struct bs_values *values, int span)
{
    for (int t = 0; t < values->rows; t++)
        for (int j = 0; j < values->width; j += span)
            bs_hadamard(values->x + (size_t)t * (size_t)values->stride + j, span, 1);
}

/* Puts a head in the order of llama.cpp's, which rotates neighbours; `back`: in ours, by halves. */
static void pair(float *head, int width, bool back, float *room)
{
    int half = width / 2;
    memcpy(room, head, (size_t)width * sizeof *room);
    for (int j = 0; j < half; j++) {
        head[back ? j : 2 * j] = room[back ? 2 * j : j];
        head[back ? j + half : 2 * j + 1] = room[back ? 2 * j + 1 : j + half];
    }
}

static void pair_all(const struct bs_values *values, bool back, struct bs_scratch *scratch)
{
    int width = values->width / values->heads;
    size_t mark = scratch->used;
    float *room = bs_scratch_take(scratch, (size_t)width);
    for (int t = 0; t < values->rows; t++)
        for (int h = 0; h < values->heads; h++)
            pair(values->x + (size_t)t * (size_t)values->stride + h * width, width, back, room);
    scratch->used = mark;
}

/* To what is stored, before it is rounded. */
static void enter(const struct bs_site_setting *site, const struct bs_values *values,
                  struct bs_scratch *scratch)
{
    if (site->paired)
        pair_all(values, false, scratch);
    if (site->setting->hadamard)
        turn(values, site->turned);
}

static void leave(const struct bs_site_setting *site, const struct bs_values *values,
                  struct bs_scratch *scratch)
{
    if (site->setting->hadamard)
        turn(values, site->turned);
    if (site->paired)
        pair_all(values, true, scratch);
}

void bs_cache_round(const struct bs_site_setting *site, const struct bs_values *values,
                    uint64_t first, struct bs_scratch *scratch)
{
    enter(site, values, scratch);
    bs_values_round(site->setting, bs_site_fixed(site), bs_rounder_from(site->rounder, first),
                    values, scratch);
    leave(site, values, scratch);
}

bool bs_cache_meets_blocks(const struct bs_setting *keys, int head)
{
    const struct bs_gguf_type *type = bs_gguf_type_of_format(keys->format.plugin->name);
    const struct bs_gguf_product *product = type ? bs_gguf_product_find(type->id) : NULL;
    return !(head % BS_GGML_SHORT) && product &&
           (product->input == BS_GGUF_SHORT || product->input == BS_GGUF_SHORT_SUM);
}

void bs_cache_round_query(const struct bs_site_setting *keys, const struct bs_values *queries,
                          struct bs_scratch *scratch)
{
    if (!keys->blocks)
        return;
    const struct bs_ggml_product_loops *loops = bs_ggml_product_loops[bs_isa()];
    enter(keys, queries, scratch);
    for (int t = 0; t < queries->rows; t++)
        for (int j = 0; j < queries->width; j += BS_GGML_SHORT) {
            float *x = queries->x + (size_t)t * (size_t)queries->stride + j, scale;
            int16_t codes[BS_GGML_SHORT];
            loops->round_legacy(x, codes, &scale, NULL);
            for (int i = 0; i < BS_GGML_SHORT; i++)
                x[i] = scale * (float)codes[i];
        }
    leave(keys, queries, scratch);
}

size_t bs_cache_floats(int rows, int width)
{
    size_t room = bs_scratch_floats((size_t)width), round = bs_values_floats(rows, width);
    return room > round ? room : round;
}

int bs_cache_until(const struct bs_setting *setting, int position)
{
    int recent = setting->residual;
    if (setting->leave == BS_LEAVE_TOGETHER)
        return position - position % recent;
    return position > recent ? position - recent : 0;
}

int bs_cache_count(const struct bs_setting *setting, int tokens)
{
    int until = setting->when == BS_WHEN_STORED ? bs_cache_until(setting, tokens) : tokens;
    return until > setting->first ? until - setting->first : 0;
}

/* Bits of so many tokens in the format. */
static double stored_bits(const struct bs_setting *setting, int tokens, int width, int heads)
{
    struct bs_code_layout layout;
    struct bs_error ignored; /* the shape was checked when the setting was chosen */
    int row = setting->sharing == BS_BY_HEAD      ? width / heads
              : setting->sharing == BS_BY_CHANNEL ? tokens
                                                  : width;
    int rows = tokens * width / row;
    if (bs_setting_lay(setting, rows, row, &layout, &ignored))
        return 0;
    double kept = setting->keep * KEPT_BITS * (double)tokens * width, codes = layout.bits + kept;
    bool one = setting->sharing == BS_BY_WINDOW || bs_is_static((enum bs_sharing)setting->sharing);
    bool alike = one && layout.group == layout.in;
    return alike ? (double)layout.code_bits * tokens * width + kept : codes;
}

double bs_cache_bits(const struct bs_setting *setting, int tokens, int width, int heads)
{
    int stored = bs_cache_count(setting, tokens);
    double plain = (double)BS_UNQUANTIZED_BITS * (tokens - stored) * width;
    return plain + (stored ? stored_bits(setting, stored, width, heads) : 0);
}

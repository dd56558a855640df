#include "eval/model/cache.h"

#include "eval/linalg/hadamard.h"

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

void bs_cache_round(const struct bs_site_setting *site, const struct bs_values *values,
                    uint64_t first, struct bs_scratch *scratch)
{
    if (site->setting->hadamard)
        turn(values, site->turned);
    bs_values_round(site->setting, &site->fixed, bs_rounder_from(site->rounder, first), values,
                    scratch);
    if (site->setting->hadamard)
        turn(values, site->turned);
}

size_t bs_cache_floats(int rows, int width) { return bs_values_floats(rows, width); }

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
    double codes = layout.bits + setting->keep * KEPT_BITS * (double)tokens * width;
    bool alike = setting->sharing == BS_BY_WINDOW && layout.group == layout.in;
    return alike ? (double)layout.code_bits * tokens * width : codes;
}

double bs_cache_bits(const struct bs_setting *setting, int tokens, int width, int heads)
{
    int stored = bs_cache_count(setting, tokens);
    double plain = (double)BS_UNQUANTIZED_BITS * (tokens - stored) * width;
    return plain + (stored ? stored_bits(setting, stored, width, heads) : 0);
}

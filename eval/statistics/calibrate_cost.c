/* What calibration takes: bytes and multiply-adds, for plans. */
#include "eval/statistics/calibrate.h"

#include <math.h>

/* On each thread. */
static double working_bytes(const struct bs_statistic *statistic, const struct bs_observed *of)
{
    double bytes = 0;
    if (statistic->compare) /* the window in the unquantized model */
        bytes += (double)of->tokens * of->width * (double)sizeof(float);
    struct bs_observed shown = *of;
    shown.tokens = (int)of->rows;
    return bytes + (statistic->slot_bytes ? (double)statistic->slot_bytes(&shown) : 0);
}

/* The extent, with the rows that a window has there on average. */
static struct bs_observed expected_at(const struct bs_wanted *wanted, const struct bs_wish *wish,
                                      int windows, int tokens)
{
    const struct bs_program *p = bs_wanted_program(wanted);
    struct bs_observed of = bs_observed_at(p, wish, windows, tokens);
    of.rows = (size_t)ceil(bs_value_rows(p, wish->site, of.tokens));
    return of;
}

/* Adds those of one wish; of what is derived, it returns them if they are memory of its own where
 * the statistic is not shared. */
static double add_wish(const struct bs_wanted *wanted, const struct bs_wish *wish, int windows,
                       int tokens, struct bs_calibrate_bytes *bytes)
{
    struct bs_observed of = expected_at(wanted, wish, windows, tokens);
    if (wish->derivation) {
        double made = wish->derivation->bytes(wanted->architecture, &of);
        *(wish->derivation->in_stream ? &bytes->streams : &bytes->derived) += made;
        return wish->derivation->in_stream || wish->derivation->in_place ? 0 : made;
    }
    if (wish->statistic->in_stream) {
        bytes->streams += (double)windows * tokens * of.width * (double)sizeof(float);
        return 0;
    }
    bytes->memory += wish->statistic->bytes ? (double)wish->statistic->bytes(&of) : 0;
    bytes->working += bs_threads() * working_bytes(wish->statistic, &of);
    return 0;
}

struct bs_calibrate_bytes bs_calibrate_bytes(const struct bs_wanted *wanted, int windows,
                                             int tokens)
{
    struct bs_calibrate_bytes bytes = {.memory = 0};
    double made[BS_MAX_VALUES] = {0}, floats = 0;
    for (int i = 0; i < wanted->count; i++) {
        const struct bs_wish *wish = &wanted->wishes[i];
        made[wish->site] += add_wish(wanted, wish, windows, tokens, &bytes);
        bytes.site = fmax(bytes.site, made[wish->site]);
        floats = fmax(floats, bs_probabilities_floats(bs_wanted_program(wanted), wish, tokens));
    }
    bytes.working += bs_threads() * floats * (double)sizeof(float);
    return bytes;
}

double bs_calibrate_flops(const struct bs_wanted *wanted, int windows, int tokens)
{
    double flops = 0;
    for (int i = 0; i < wanted->count; i++) {
        const struct bs_wish *wish = &wanted->wishes[i];
        struct bs_observed of = expected_at(wanted, wish, windows, tokens);
        of.tokens = (int)of.rows;
        if (!wish->derivation && wish->statistic->flops)
            flops += wish->statistic->flops(&of);
    }
    return flops;
}

double bs_derived_flops(const struct bs_wanted *wanted, int windows, int tokens)
{
    double flops = 0;
    for (int i = 0; i < wanted->count; i++) {
        const struct bs_wish *wish = &wanted->wishes[i];
        struct bs_observed of = bs_observed_at(bs_wanted_program(wanted), wish, windows, tokens);
        if (wish->derivation && wish->derivation->flops)
            flops += wish->derivation->flops(&of);
    }
    return flops;
}

int bs_derived_count(const struct bs_wanted *wanted)
{
    int count = 0;
    for (int i = 0; i < wanted->count; i++)
        count += wanted->wishes[i].derivation && wanted->wishes[i].derivation->flops;
    return count;
}

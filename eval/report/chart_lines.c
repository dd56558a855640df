/* Which trials a chart holds that has a line for each: of layers, of positions. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "eval/quant/format.h"
#include "eval/report/chart_internal.h"

/* Formats are compared within: lines differ by algorithm only. What a trial
 * computed in is no part of its layers' errors: with it, lines would lie on each other. */
static bool same_format(const struct bs_row *a, const struct bs_row *b)
{
    return a->bits == b->bits && !strcmp(a->format, b->format) &&
           !strcmp(a->granularity, b->granularity) && a->activation_bits == b->activation_bits &&
           a->kv_code_bits == b->kv_code_bits &&
           !strcmp(a->activation_granularity, b->activation_granularity) &&
           !strcmp(a->compute, b->compute);
}

/* How near the bits are to 3, where algorithms differ and models still work; smaller is better. */
static double distance(const struct bs_row *row)
{
    return 2 * fabs((double)row->bits - 3) + (row->bits < 3);
}

/* The format with the most algorithms, of weights alone where there is one; of several the one
 * nearest to 3 bits, then the first of the file. */
static const struct bs_row *choose_format(const struct bs_plot *plot)
{
    const struct bs_row *best = NULL;
    int best_algorithms = 0;
    for (int i = 0; i < plot->num_rows; i++) {
        const struct bs_row *row = plot->rows[i];
        int algorithms = 0;
        for (int k = 0; k < plot->num_rows; k++) {
            bool new = same_format(plot->rows[k], row);
            for (int m = 0; m < k && new; m++)
                new = !same_format(plot->rows[m], row) ||
                      strcmp(plot->rows[m]->algorithm, plot->rows[k]->algorithm);
            algorithms += new;
        }
        bool better = !best;
        if (best && bs_is_weight_only(row) != bs_is_weight_only(best))
            better = bs_is_weight_only(row);
        else if (best && algorithms != best_algorithms)
            better = algorithms > best_algorithms;
        else if (best)
            better = distance(row) < distance(best);
        if (better) {
            best = row;
            best_algorithms = algorithms;
        }
    }
    return best;
}

void bs_chart_lines_choose(const struct bs_plot *plot, struct bs_chart_lines *lines)
{
    *lines = (struct bs_chart_lines){.format = choose_format(plot)};
    for (int i = 0; i < plot->num_rows; i++) {
        const struct bs_row *row = plot->rows[i];
        bool again = false; /* a label twice would be one line with two values at each place */
        for (int k = 0; k < lines->count; k++)
            again = again || !strcmp(lines->rows[k]->label, row->label);
        if (again || !same_format(row, lines->format))
            continue;
        if (lines->count < BS_MOST_LINES)
            lines->rows[lines->count++] = row;
        else
            lines->left_out++;
    }
}

/* "int weights, 3 bits, groups of 64; 8-bit activations, per token; the first 8 of 11 trials". */
static void print_format(FILE *script, const struct bs_chart_lines *lines)
{
    const struct bs_row *format = lines->format;
    const char *shared = format->granularity;
    bool is_group = shared[0] >= '0' && shared[0] <= '9';
    bool is_own = !*shared || !strcmp(shared, "none"); /* the format's */
    char text[256];
    int used = snprintf(text, sizeof text, "%s weights, %d bits%s%s", format->format, format->bits,
                        is_own     ? ""
                        : is_group ? ", groups of "
                                   : ", one scale per ",
                        is_own ? "" : shared);
    if (format->activation_bits < 16)
        used += snprintf(text + used, sizeof text - (size_t)used, "; %d-bit activations, per %s",
                         format->activation_bits, format->activation_granularity);
    if (format->kv_code_bits < 16)
        used += snprintf(text + used, sizeof text - (size_t)used, "; %d-bit KV cache",
                         format->kv_code_bits);
    if (lines->left_out)
        snprintf(text + used, sizeof text - (size_t)used, "; the first %d of %d trials",
                 lines->count, lines->count + lines->left_out);
    bs_script_text(script, "FORMAT", text);
}

void bs_script_lines(const struct bs_plot *plot, const struct bs_chart_lines *lines,
                     const char *compared_with)
{
    struct bs_series series[BS_MOST_LINES];
    struct bs_series_list list = {.series = series};
    struct bs_key keys[1 + BS_MOST_LINES + BS_NUM_FAMILIES];
    for (int line = 0; line < lines->count; line++)
        bs_series_of(&list, lines->rows[line]);
    /* What all lines have in common is in the title and need not be in the legend. */
    for (int s = 0; s < list.count; s++)
        if (bs_is_weight_only(lines->format))
            bs_series_name(lines->rows[s], true, series[s].name, sizeof series[s].name);
    int num_keys = 0;
    if (compared_with)
        keys[num_keys++] = (struct bs_key){.name = compared_with, .dash = 2};
    num_keys += bs_series_keys(&list, keys + num_keys);
    bs_script_series(plot, &list, keys, num_keys);
    print_format(plot->script, lines);
}

void bs_script_value_name(FILE *script, const char *variable, const char *value)
{
    char name[64];
    snprintf(name, sizeof name, "%s", value);
    for (char *c = name; *c; c++)
        *c = *c == '_' ? ' ' : *c;
    bs_script_text(script, variable, name);
}

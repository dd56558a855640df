/* The error of each kind of linear, block by block, for trials of one format. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "eval/report/chart_internal.h"

enum { MOST_KINDS = 16, MOST_LINES = 8 };

/* Formats are compared within: a chart of layers holds trials that differ by algorithm only. What a
 * trial computed in is no part of its layers' errors: with it, lines would lie on each other. */
static bool same_format(const struct bs_row *a, const struct bs_row *b)
{
    return a->bits == b->bits && !strcmp(a->granularity, b->granularity) &&
           a->activation_bits == b->activation_bits &&
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

/* The lines of the chart, with their layers. */
struct lines {
    int num_lines;
    const struct bs_row *rows[MOST_LINES];
    struct bs_layer_table layers[MOST_LINES];
    int column[MOST_LINES]; /* of the error */
    int num_kinds;
    const char *kinds[MOST_KINDS]; /* names of linears, in the order of the model */
    double low, high;              /* of the error, positive values only */
};

static double error_of(const struct lines *lines, int line, int layer)
{
    int column = lines->column[line];
    return column < 0 ? (double)NAN : lines->layers[line].rows[layer].values[column];
}

static void add_kinds(struct lines *lines, int line)
{
    for (int i = 0; i < lines->layers[line].num_rows; i++) {
        const struct bs_layer_row *layer = &lines->layers[line].rows[i];
        int kind = 0;
        while (kind < lines->num_kinds && strcmp(lines->kinds[kind], layer->name))
            kind++;
        if (kind == lines->num_kinds && kind < MOST_KINDS)
            lines->kinds[lines->num_kinds++] = layer->name;
        double error = error_of(lines, line, i);
        if (!(error > 0) || !isfinite(error))
            continue;
        if (!(error >= lines->low))
            lines->low = error;
        if (!(error <= lines->high))
            lines->high = error;
    }
}

static enum bs_status load(struct lines *lines, const struct bs_plot *plot,
                           const struct bs_row *format, struct bs_error *err)
{
    for (int i = 0; i < plot->num_rows && lines->num_lines < MOST_LINES; i++) {
        const struct bs_row *row = plot->rows[i];
        bool again = false; /* a label twice would be one line with two values at each block */
        for (int k = 0; k < lines->num_lines; k++)
            again = again || !strcmp(lines->rows[k]->label, row->label);
        if (again || !same_format(row, format))
            continue;
        int line = lines->num_lines;
        if (bs_results_read_layers(plot->results->path, row->id, &lines->layers[line], err))
            return err->status;
        lines->column[line] = bs_layer_column(&lines->layers[line], plot->layer_value);
        lines->rows[line] = row;
        lines->num_lines++;
        add_kinds(lines, line);
    }
    if (lines->num_kinds == 0 || !(lines->low > 0))
        return bs_fail(err, BS_EDATA, "%s: no errors of layers to draw", plot->results->path);
    return BS_OK;
}

/* A block of data for each kind and line: block of the model, error. */
static void print_data(const struct lines *lines, const char *name, FILE *data)
{
    fprintf(data, "# block\t%s\tname\tlabel\n", name);
    for (int kind = 0; kind < lines->num_kinds; kind++)
        for (int line = 0; line < lines->num_lines; line++) {
            bool empty = true;
            for (int i = 0; i < lines->layers[line].num_rows; i++) {
                const struct bs_layer_row *layer = &lines->layers[line].rows[i];
                if (strcmp(layer->name, lines->kinds[kind]))
                    continue;
                empty = false;
                fprintf(data, "%d\t%.8g\t", layer->block, error_of(lines, line, i));
                bs_print_field(data, layer->name);
                fputc('\t', data);
                bs_print_field(data, lines->rows[line]->label);
                fputc('\n', data);
            }
            /* gnuplot does not count a block without a line */
            fputs(empty ? "nan\tnan\t\t\n\n\n" : "\n\n", data);
        }
}

static void print_script(const struct lines *lines, const struct bs_row *format, FILE *script)
{
    struct bs_series series[MOST_LINES];
    int num_series = 0, blocks = 0;
    for (int line = 0; line < lines->num_lines; line++) {
        bs_series_of(series, &num_series, lines->rows[line]);
        for (int i = 0; i < lines->layers[line].num_rows; i++)
            if (lines->layers[line].rows[i].block > blocks)
                blocks = lines->layers[line].rows[i].block;
    }
    /* What all lines have in common is in the title and need not be in the legend. */
    for (int s = 0; s < num_series; s++)
        if (bs_is_weight_only(format))
            bs_series_name(lines->rows[s], true, series[s].name, sizeof series[s].name);
    bs_script_series(script, series, num_series);
    int longest = 0;
    for (int s = 0; s < num_series; s++) {
        int length = bs_chart_columns(series[s].name, BS_NAME_COLUMNS);
        longest = length > longest ? length : longest;
    }
    fprintf(script, "LONGEST_NAME = %d\n", longest);
    fprintf(script, "KINDS = %d\narray KIND[%d]\n", lines->num_kinds, lines->num_kinds);
    for (int kind = 0; kind < lines->num_kinds; kind++) {
        const char *dot = strrchr(lines->kinds[kind], '.');
        char name[32];
        snprintf(name, sizeof name, "KIND[%d]", kind + 1);
        bs_script_text(script, name, dot ? dot + 1 : lines->kinds[kind]);
    }
    bool is_group = format->granularity[0] >= '0' && format->granularity[0] <= '9';
    char text[128];
    int used = snprintf(text, sizeof text, "%d-bit weights, %s%s", format->bits,
                        is_group ? "groups of " : "one scale per ", format->granularity);
    if (!bs_is_weight_only(format))
        snprintf(text + used, sizeof text - (size_t)used, "; %d-bit activations, per %s",
                 format->activation_bits, format->activation_granularity);
    bs_script_text(script, "FORMAT", text);
    double room = pow(lines->high / lines->low, 0.08);
    fprintf(script, "BLOCKS = %d\nY_LOW = %.8g\nY_HIGH = %.8g\n", blocks, lines->low / room / 1.02,
            lines->high * room * 1.02);
}

/* "relative output error". */
static void print_value_name(const struct bs_plot *plot)
{
    char name[64];
    snprintf(name, sizeof name, "%s", plot->layer_value);
    for (char *c = name; *c; c++)
        *c = *c == '_' ? ' ' : *c;
    bs_script_text(plot->script, "LAYER_VALUE", name);
}

enum bs_status bs_plot_layers(struct bs_plot *plot, struct bs_error *err)
{
    struct lines lines = {.low = (double)NAN, .high = (double)NAN};
    const struct bs_row *format = choose_format(plot);
    enum bs_status status = load(&lines, plot, format, err);
    if (!status) {
        print_data(&lines, plot->layer_value, plot->data);
        print_script(&lines, format, plot->script);
        print_value_name(plot);
    }
    for (int line = 0; line < MOST_LINES; line++)
        bs_layer_table_release(&lines.layers[line]);
    return status;
}

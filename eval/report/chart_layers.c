/* The error of each kind of linear, block by block, for trials of one format. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "eval/report/chart_internal.h"

enum { MOST_KINDS = 16 };

/* The lines of the chart, with their layers. */
struct lines {
    struct bs_chart_lines of;
    struct bs_layer_table layers[BS_MOST_LINES];
    int column[BS_MOST_LINES]; /* of the error */
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

static enum bs_status load(struct lines *lines, const struct bs_plot *plot, struct bs_error *err)
{
    for (int line = 0; line < lines->of.count; line++) {
        const struct bs_row *row = lines->of.rows[line];
        if (bs_results_read_layers(row->file, row->id, &lines->layers[line], err))
            return err->status;
        lines->column[line] = bs_layer_column(&lines->layers[line], plot->asked);
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
        for (int line = 0; line < lines->of.count; line++) {
            bool empty = true;
            for (int i = 0; i < lines->layers[line].num_rows; i++) {
                const struct bs_layer_row *layer = &lines->layers[line].rows[i];
                if (strcmp(layer->name, lines->kinds[kind]))
                    continue;
                empty = false;
                fprintf(data, "%d\t%.8g\t", layer->block, error_of(lines, line, i));
                bs_print_field(data, layer->name);
                fputc('\t', data);
                bs_print_field(data, lines->of.rows[line]->label);
                fputc('\n', data);
            }
            /* gnuplot does not count a block without a line */
            fputs(empty ? "nan\tnan\t\t\n\n\n" : "\n\n", data);
        }
}

static void print_script(const struct lines *lines, const struct bs_plot *plot)
{
    FILE *script = plot->script;
    int blocks = 0;
    for (int line = 0; line < lines->of.count; line++)
        for (int i = 0; i < lines->layers[line].num_rows; i++)
            if (lines->layers[line].rows[i].block > blocks)
                blocks = lines->layers[line].rows[i].block;
    bs_script_lines(plot, &lines->of, NULL);
    fprintf(script, "KINDS = %d\narray KIND[%d]\n", lines->num_kinds, lines->num_kinds);
    for (int kind = 0; kind < lines->num_kinds; kind++) {
        const char *dot = strrchr(lines->kinds[kind], '.');
        char name[32];
        snprintf(name, sizeof name, "KIND[%d]", kind + 1);
        bs_script_text(script, name, dot ? dot + 1 : lines->kinds[kind]);
    }
    double room = pow(lines->high / lines->low, 0.08);
    fprintf(script, "BLOCKS = %d\nY_LOW = %.8g\nY_HIGH = %.8g\n", blocks, lines->low / room / 1.02,
            lines->high * room * 1.02);
}

enum bs_status bs_plot_layers(struct bs_plot *plot, struct bs_error *err)
{
    struct lines lines = {.low = (double)NAN, .high = (double)NAN};
    bs_chart_lines_choose(plot, &lines.of);
    enum bs_status status = load(&lines, plot, err);
    if (!status) {
        print_data(&lines, plot->asked, plot->data);
        print_script(&lines, plot);
        bs_script_value_name(plot->script, "LAYER_VALUE", plot->asked);
    }
    for (int line = 0; line < BS_MOST_LINES; line++)
        bs_layer_table_release(&lines.layers[line]);
    return status;
}

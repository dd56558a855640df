/* What the charts share, the chart of perplexity against bits, and the one of layers. */
#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/tasks/uncertainty.h"
#include "eval/report/chart_internal.h"

int bs_is_weight_only(const struct bs_row *row) { return row->activation_bits >= 16; }

enum { FIELD_TEXT = 1024 };

void bs_print_field(FILE *out, const char *text)
{
    char printable[FIELD_TEXT];
    bs_escape(text, printable, sizeof printable);
    for (const char *c = printable; *c; c++)
        fputc(*c == '"' ? '\'' : *c, out);
}

void bs_print_shortened(FILE *out, const char *text, int columns)
{
    char printable[FIELD_TEXT], shown[FIELD_TEXT];
    bs_escape(text, printable, sizeof printable);
    bs_shorten(printable, columns, shown, sizeof shown);
    bs_print_field(out, shown);
}

/* Within double quotes every sign that may mean something to gnuplot (a backquote runs a command)
 * has its number instead. */
static void put_quoted(FILE *script, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)text[i];
        bool plain = byte >= 0x80 || isalnum(byte) || strchr(" .,:;()+-=/", byte);
        fprintf(script, plain ? "%c" : "\\%03o", byte);
    }
}

void bs_script_text(FILE *script, const char *name, const char *text)
{
    char printable[FIELD_TEXT];
    bs_escape(text, printable, sizeof printable);
    fprintf(script, "%s = \"", name);
    put_quoted(script, printable, strlen(printable));
    fputs("\"\n", script);
}

/* Prints `text` folded; returns the lines. */
static int put_folded(FILE *script, const char *text, bool first)
{
    int lines = 0;
    for (const char *line = text; *line; lines++) {
        size_t bytes = bs_line_bytes(line, BS_TITLE_COLUMNS);
        fputs(first && !lines ? "" : "\\n", script);
        put_quoted(script, line, bytes);
        line += bytes;
        line += strspn(line, " ");
    }
    return lines;
}

int bs_script_title(FILE *script, const char *name, const char *subject, const char *how)
{
    char whole[FIELD_TEXT], parts[2][FIELD_TEXT];
    bs_escape(subject, parts[0], sizeof parts[0]);
    bs_escape(how, parts[1], sizeof parts[1]);
    int length = snprintf(whole, sizeof whole, "%s %s", parts[0], parts[1]);
    bool together = length < FIELD_TEXT && bs_text_width(whole, strlen(whole)) <= BS_TITLE_COLUMNS;
    fprintf(script, "%s = \"", name);
    int lines = put_folded(script, together ? whole : parts[0], true);
    lines += together ? 0 : put_folded(script, parts[1], !lines);
    fputs("\"\n", script);
    return lines;
}

int bs_chart_columns(const char *text, int most)
{
    char printable[FIELD_TEXT];
    bs_escape(text, printable, sizeof printable);
    int columns = bs_text_width(printable, strlen(printable));
    return columns < most ? columns : most;
}

void bs_series_name(const struct bs_row *row, int without_granularity, char *out, size_t size)
{
    char bits[24], group[24];
    snprintf(bits, sizeof bits, "w%d", row->bits);
    bool is_group = row->granularity[0] >= '0' && row->granularity[0] <= '9';
    snprintf(group, sizeof group, "%s%s", is_group ? "g" : "", row->granularity);
    size_t used = 0;
    bool bits_seen = false, group_seen = !without_granularity;
    for (const char *word = row->label; *word;) {
        size_t length = strcspn(word, " ");
        bool drop = false;
        if (!bits_seen && strlen(bits) == length && !strncmp(word, bits, length))
            drop = bits_seen = true;
        else if (!group_seen && strlen(group) == length && !strncmp(word, group, length))
            drop = group_seen = true;
        if (!drop && used + length + 2 < size) {
            if (used > 0)
                out[used++] = ' ';
            memcpy(out + used, word, length);
            used += length;
        }
        word += length;
        word += strspn(word, " ");
    }
    out[used] = '\0';
}

int bs_series_of(struct bs_series *series, int *num_series, const struct bs_row *row)
{
    struct bs_series new = {.algorithm = row->algorithm, .colour = 1, .dash = 1};
    bs_series_name(row, false, new.name, sizeof new.name);
    const char *space = strchr(new.name, ' ');
    snprintf(new.variant, sizeof new.variant, "%s", space ? space : "");
    int most_colours = 0, most_dashes = 0;
    bool colour_known = false, dash_known = false;
    for (int i = 0; i < *num_series; i++) {
        const struct bs_series *old = &series[i];
        if (!strcmp(old->name, new.name))
            return i;
        most_colours = old->colour > most_colours ? old->colour : most_colours;
        most_dashes = old->dash > most_dashes ? old->dash : most_dashes;
        if (!strcmp(old->algorithm, new.algorithm)) {
            new.colour = old->colour;
            colour_known = true;
        }
        if (!strcmp(old->variant, new.variant)) {
            new.dash = old->dash;
            dash_known = true;
        }
    }
    if (!colour_known)
        new.colour = most_colours + 1;
    if (!dash_known)
        new.dash = most_dashes + 1;
    series[*num_series] = new;
    return (*num_series)++;
}

void bs_script_series(FILE *script, const struct bs_series *series, int num_series)
{
    fprintf(script, "N = %d\narray NAMES[%d]\narray COLOURS[%d]\narray DASHES[%d]\n", num_series,
            num_series + 1, num_series + 1, num_series + 1);
    for (int s = 0; s < num_series; s++) {
        char name[32];
        snprintf(name, sizeof name, "NAMES[%d]", s + 1);
        char printable[FIELD_TEXT], shown[FIELD_TEXT];
        bs_escape(series[s].name, printable, sizeof printable);
        bs_shorten(printable, BS_NAME_COLUMNS, shown, sizeof shown);
        bs_script_text(script, name, shown);
        fprintf(script, "COLOURS[%d] = %d\nDASHES[%d] = %d\n", s + 1, series[s].colour, s + 1,
                series[s].dash);
    }
}

static int by_bits(const void *left, const void *right)
{
    const struct bs_row *a = *(const struct bs_row *const *)left;
    const struct bs_row *b = *(const struct bs_row *const *)right;
    if (a->bits != b->bits)
        return (a->bits > b->bits) - (a->bits < b->bits);
    return (a > b) - (a < b); /* the file's order; both are of one array */
}

static double scale_of(const struct bs_plot *plot)
{
    return plot->value->scale > 0 ? plot->value->scale : 1;
}

double bs_plot_value(const struct bs_plot *plot, const struct bs_row *row)
{
    return scale_of(plot) * bs_row_number(row, plot->value->name);
}

/* The value's difference to the unquantized model's, NULL where the row has none. */
static const struct bs_value_row *paired_value(const struct bs_plot *plot, const struct bs_row *row)
{
    char name[64];
    snprintf(name, sizeof name, "%s_delta", plot->value->name);
    return bs_row_value(row, NULL, name);
}

bool bs_plot_is_paired(const struct bs_plot *plot)
{
    return plot->num_rows > 0 && paired_value(plot, plot->rows[0]);
}

double bs_plot_se(const struct bs_plot *plot, const struct bs_row *row)
{
    const struct bs_value_row *value = paired_value(plot, row);
    if (!value)
        value = bs_row_value(row, NULL, plot->value->name);
    return value && isfinite(value->se) ? scale_of(plot) * value->se : 0;
}

double bs_plot_spread(const struct bs_plot *plot, const struct bs_row *row)
{
    const struct bs_value_row *value = bs_row_value(row, NULL, plot->value->name);
    bool drawn = value && row->calibrations > 1 && isfinite(value->calibration_sd);
    return drawn ? scale_of(plot) * value->calibration_sd : 0;
}

/* A point: x, value, standard error, label, as much of it as stands beside an axis, and what
 * another draw of calibration does, "none" where that is not known. */
static void print_point(const struct bs_plot *plot, double x, const struct bs_row *row)
{
    FILE *data = plot->data;
    fprintf(data, "%g\t%.10g\t%.10g\t", x, bs_plot_value(plot, row), bs_plot_se(plot, row));
    bs_print_field(data, row->label);
    fputc('\t', data);
    bs_print_shortened(data, row->label, BS_TICK_COLUMNS);
    if (row->calibrations > 1)
        fprintf(data, "\t%.10g\n", bs_plot_spread(plot, row));
    else
        fputs("\tnone\n", data);
}

void bs_range_widen(struct bs_range *range, double value)
{
    if (!(value >= range->low))
        range->low = value;
    if (!(value <= range->high))
        range->high = value;
}

void bs_script_range(FILE *script, const char *axis, struct bs_range range)
{
    bool logarithmic = range.low > 0 && range.high > 3 * range.low;
    double low, high;
    if (logarithmic) {
        double room = pow(range.high / range.low, 0.05);
        low = range.low / (room * room);
        high = range.high * room;
    } else {
        double room = range.high > range.low ? 0.05 * (range.high - range.low) : 0.05 * range.high;
        if (!(room > 0)) /* all of it nothing */
            room = 0.05;
        low = range.low - 2 * room;
        high = range.high + room;
    }
    fprintf(script, "LOG_%s = %d\n%s_LOW = %.10g\n%s_HIGH = %.10g\n", axis, logarithmic, axis, low,
            axis, high);
}

/* Where 2 bits cost tens of times what 4 do, all else lies on one line: a second panel then shows
 * the better 70 % of the trials. CLOSE_HIGH is its upper end, 0 = no such panel. */
static enum bs_status print_close_up(const struct bs_plot *plot, struct bs_range lines,
                                     struct bs_error *err)
{
    float *values = bs_alloc((size_t)plot->num_rows, sizeof *values);
    if (!values)
        return bs_fail_memory(err);
    size_t count = 0;
    for (int i = 0; i < plot->num_rows; i++)
        if (bs_is_weight_only(plot->rows[i]))
            values[count++] = (float)fmin(bs_plot_value(plot, plot->rows[i]), (double)FLT_MAX);
    bs_sort(values, count);
    double high = lines.low + 1.1 * (bs_quantile(values, count, 0.7) - lines.low);
    double left = (double)INFINITY;
    for (int i = 0; i < plot->num_rows; i++)
        if (bs_is_weight_only(plot->rows[i]) && bs_plot_value(plot, plot->rows[i]) <= high)
            left = fmin(left, plot->rows[i]->bits);
    bool wanted = count >= 6 && high - lines.low < 0.3 * (lines.high - lines.low);
    fprintf(plot->script, "CLOSE_HIGH = %.10g\nCLOSE_LOW = %.10g\nCLOSE_LEFT = %g\n",
            wanted ? high : 0, lines.low - 0.1 * (high - lines.low), left - 0.4);
    bs_free(values);
    return BS_OK;
}

static void print_perplexity_data(const struct bs_plot *plot, struct bs_series *series,
                                  int num_series, int num_dots)
{
    fputs("# bits\tperplexity\tpaired_se\tlabel\tshown\tcalibration_sd\n", plot->data);
    for (int s = 0; s < num_series; s++) {
        for (int i = 0; i < plot->num_rows; i++) {
            const struct bs_row *row = plot->rows[i];
            if (bs_is_weight_only(row) && bs_series_of(series, &num_series, row) == s)
                print_point(plot, row->bits, row);
        }
        fputs("\n\n", plot->data);
    }
    /* The others, a line each, from the top. */
    for (int i = 0, place = num_dots; i < plot->num_rows; i++)
        if (!bs_is_weight_only(plot->rows[i]))
            print_point(plot, place--, plot->rows[i]);
}

enum bs_status bs_plot_perplexity(struct bs_plot *plot, struct bs_error *err)
{
    struct bs_series *series = bs_alloc((size_t)plot->num_rows, sizeof *series);
    if (!series)
        return bs_fail_memory(err);
    qsort(plot->rows, (size_t)plot->num_rows, sizeof *plot->rows, by_bits);
    int num_series = 0, num_dots = 0;
    int longest_name = 0, longest_dot = 0;
    double level = plot->unquantized ? bs_plot_value(plot, plot->unquantized) : (double)NAN;
    bool spreads = false;
    struct bs_range lines = {level, level}, dots = {level, level},
                    bits = {(double)NAN, (double)NAN};
    for (int i = 0; i < plot->num_rows; i++) {
        const struct bs_row *row = plot->rows[i];
        struct bs_range *range = bs_is_weight_only(row) ? &lines : &dots;
        double value = bs_plot_value(plot, row);
        double bar = fmax(bs_plot_se(plot, row), bs_plot_spread(plot, row));
        bs_range_widen(range, value - bar);
        bs_range_widen(range, value + bar);
        if (bs_is_weight_only(row)) {
            int s = bs_series_of(series, &num_series, row);
            int length = bs_chart_columns(series[s].name, BS_NAME_COLUMNS);
            longest_name = length > longest_name ? length : longest_name;
            bs_range_widen(&bits, row->bits);
            spreads = spreads || row->calibrations > 1;
        } else {
            int length = bs_chart_columns(row->label, BS_TICK_COLUMNS);
            longest_dot = length > longest_dot ? length : longest_dot;
            num_dots++;
        }
    }
    print_perplexity_data(plot, series, num_series, num_dots);
    bs_script_series(plot->script, series, num_series);
    bs_free(series);
    fprintf(plot->script, "LONGEST_NAME = %d\nDOTS = %d\nLONGEST_DOT = %d\n", longest_name,
            num_dots, longest_dot);
    fprintf(plot->script, "SPREADS = %d\n", spreads);
    bs_script_range(plot->script, "Y", lines);
    bs_script_range(plot->script, "DOTS", dots);
    fprintf(plot->script, "X_LOW = %g\nX_HIGH = %g\n", bits.low - 0.4, bits.high + 0.4);
    return print_close_up(plot, lines, err);
}

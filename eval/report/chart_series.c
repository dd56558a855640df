/* What the charts share, the chart of perplexity against bits, and the one of layers. */
#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/quant/format.h"
#include "eval/tasks/uncertainty.h"
#include "eval/report/chart_internal.h"

int bs_is_weight_only(const struct bs_row *row)
{
    return row->activation_bits >= 16 && row->kv_code_bits >= 16;
}

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
static int put_folded(FILE *script, const char *text, int columns, bool first)
{
    int lines = 0;
    for (const char *line = text; *line; lines++) {
        size_t bytes = bs_line_bytes(line, columns);
        fputs(first && !lines ? "" : "\\n", script);
        put_quoted(script, line, bytes);
        line += bytes;
        line += strspn(line, " ");
    }
    return lines;
}

int bs_script_title(const struct bs_plot *plot, const char *name, const char *subject,
                    const char *how)
{
    char whole[FIELD_TEXT], parts[2][FIELD_TEXT];
    bs_escape(subject, parts[0], sizeof parts[0]);
    bs_escape(how, parts[1], sizeof parts[1]);
    int length = snprintf(whole, sizeof whole, "%s %s", parts[0], parts[1]);
    bool together = length < FIELD_TEXT && bs_text_width(whole, strlen(whole)) <= plot->room.title;
    fprintf(plot->script, "%s = \"", name);
    int lines = put_folded(plot->script, together ? whole : parts[0], plot->room.title, true);
    lines += together ? 0 : put_folded(plot->script, parts[1], plot->room.title, !lines);
    fputs("\"\n", plot->script);
    return lines;
}

int bs_chart_columns(const char *text, int most)
{
    char printable[FIELD_TEXT];
    bs_escape(text, printable, sizeof printable);
    int columns = bs_text_width(printable, strlen(printable));
    return columns < most ? columns : most;
}

/* Appends a word of a name where it has room. */
static void add_word(char *out, size_t size, const char *word, size_t length)
{
    size_t used = strlen(out);
    if (used + length + 2 < size)
        snprintf(out + used, size - used, "%s%.*s", used ? " " : "", (int)length, word);
}

void bs_series_name(const struct bs_row *row, int without_granularity, char *out, size_t size)
{
    char bits[24], group[24];
    snprintf(bits, sizeof bits, "w%d", row->bits);
    bool is_group = row->granularity[0] >= '0' && row->granularity[0] <= '9';
    snprintf(group, sizeof group, "%s%s", is_group ? "g" : "", row->granularity);
    bool bits_seen = false, group_seen = !without_granularity;
    *out = '\0';
    for (const char *word = row->label; *word;) {
        size_t length = strcspn(word, " ");
        bool drop = false;
        if (!bits_seen && strlen(bits) == length && !strncmp(word, bits, length))
            drop = bits_seen = true;
        else if (!group_seen && strlen(group) == length && !strncmp(word, group, length))
            drop = group_seen = true;
        if (!drop)
            add_word(out, size, word, length);
        word += length;
        word += strspn(word, " ");
    }
}

void bs_series_name_but_cache(const struct bs_row *row, char *out, size_t size)
{
    *out = '\0';
    for (const char *word = row->label; *word;) {
        size_t length = strcspn(word, " "), letters = strspn(word, "kv");
        size_t digits = letters ? strspn(word + letters, "0123456789") : 0;
        bool is_bits = digits && letters + digits == length;
        const char *next = word + length + strspn(word + length, " ");
        /* the letters stay where words follow that are the cache's too */
        if (!is_bits || *next)
            add_word(out, size, word, is_bits ? letters : length);
        word = next;
    }
}

bool bs_plot_has_families(const struct bs_plot *plot)
{
    const char *first = NULL;
    for (int i = 0; i < plot->num_rows; i++) {
        const struct bs_row *row = plot->rows[i];
        if (!bs_is_weight_only(row) || !*row->format_family)
            continue;
        if (first && strcmp(first, row->format_family))
            return true;
        first = row->format_family;
    }
    return false;
}

/* The place of a family among all; of one that this program does not know, after them. */
static int family_index(const char *family)
{
    int i = 1;
    while (i < BS_NUM_FAMILIES && strcmp(bs_format_families[i], family))
        i++;
    return i;
}

static bool is_same(const struct bs_series_list *list, const struct bs_series *a,
                    const struct bs_series *b)
{
    if (list->pooled)
        return !strcmp(a->algorithm, b->algorithm) &&
               (!list->by_family || !strcmp(a->family, b->family));
    return !strcmp(a->name, b->name);
}

int bs_series_of(struct bs_series_list *list, const struct bs_row *row)
{
    struct bs_series new = {.algorithm = row->algorithm, .family = row->format_family};
    bs_series_name(row, false, new.name, sizeof new.name);
    const char *space = strchr(new.name, ' ');
    snprintf(new.variant, sizeof new.variant, "%s", space && !list->pooled ? space : "");
    int most_shapes = 0, most_dashes = 0;
    for (int i = 0; i < list->count; i++) {
        const struct bs_series *old = &list->series[i];
        if (is_same(list, old, &new))
            return i;
        most_shapes = old->shape > most_shapes ? old->shape : most_shapes;
        most_dashes = old->dash > most_dashes ? old->dash : most_dashes;
        if (!strcmp(old->algorithm, new.algorithm))
            new.shape = old->shape;
        if (!strcmp(old->variant, new.variant))
            new.dash = old->dash;
    }
    new.shape = new.shape ? new.shape : most_shapes + 1;
    new.dash = new.dash ? new.dash : most_dashes + 1;
    new.colour = list->by_family ? family_index(new.family) : new.shape;
    list->series[list->count] = new;
    return list->count++;
}

/* The colours, then the shapes where there are several. */
static int pooled_keys(const struct bs_series_list *list, struct bs_key *keys)
{
    int count = 0, shapes = 0;
    for (int f = 1; f <= BS_NUM_FAMILIES && list->by_family; f++)
        for (int s = 0; s < list->count; s++)
            if (list->series[s].colour == f) {
                const char *name = f < BS_NUM_FAMILIES ? bs_format_families[f] : "other";
                keys[count++] = (struct bs_key){.name = name, .colour = f};
                break;
            }
    for (int s = 0; s < list->count; s++) {
        const struct bs_series *series = &list->series[s];
        if (series->shape <= shapes) /* they are counted in the order of the series */
            continue;
        shapes = series->shape;
        keys[count++] = (struct bs_key){.name = series->algorithm,
                                        .colour = list->by_family ? 0 : series->colour,
                                        .shape = series->shape,
                                        .dash = 1};
    }
    return list->by_family && shapes == 1 ? count - 1 : count;
}

int bs_series_keys(const struct bs_series_list *list, struct bs_key *keys)
{
    if (list->pooled || list->count > BS_MOST_KEYS)
        return pooled_keys(list, keys);
    for (int s = 0; s < list->count; s++) {
        const struct bs_series *series = &list->series[s];
        keys[s] = (struct bs_key){series->name, series->colour, series->shape, series->dash};
    }
    return list->count;
}

static int longest_key(const struct bs_plot *plot, const struct bs_key *keys, int num_keys)
{
    int longest = 0;
    for (int k = 0; k < num_keys; k++) {
        int length = bs_chart_columns(keys[k].name, plot->room.name);
        longest = length > longest ? length : longest;
    }
    return longest;
}

int bs_key_rows(const struct bs_plot *plot, const struct bs_key *keys, int num_keys)
{
    int columns = (int)((plot->width - 60) / (130 + 19.5 * longest_key(plot, keys, num_keys)));
    columns = columns < 1 ? 1 : columns > 4 ? 4 : columns;
    return (num_keys + columns - 1) / columns;
}

void bs_script_series(const struct bs_plot *plot, const struct bs_series_list *list,
                      const struct bs_key *keys, int num_keys)
{
    FILE *script = plot->script;
    /* an array has one element at least */
    fprintf(script, "N = %d\narray COLOURS[%d]\narray SHAPES[%d]\narray DASHES[%d]\n", list->count,
            list->count + 1, list->count + 1, list->count + 1);
    bool named = list->count <= BS_MOST_KEYS;
    for (int s = 0; s < list->count; s++)
        fprintf(script, "COLOURS[%d] = %d\nSHAPES[%d] = %d\nDASHES[%d] = %d\n", s + 1,
                list->series[s].colour, s + 1, list->series[s].shape, s + 1,
                named ? list->series[s].dash : 1);
    fprintf(script, "KEYS = %d\nLONGEST_NAME = %d\n", num_keys, longest_key(plot, keys, num_keys));
    fprintf(script, "array KEY_NAMES[%d]\narray KEY_COLOURS[%d]\n", num_keys + 1, num_keys + 1);
    fprintf(script, "array KEY_SHAPES[%d]\narray KEY_DASHES[%d]\n", num_keys + 1, num_keys + 1);
    for (int k = 0; k < num_keys; k++) {
        char name[32], printable[FIELD_TEXT], shown[FIELD_TEXT];
        snprintf(name, sizeof name, "KEY_NAMES[%d]", k + 1);
        bs_escape(keys[k].name, printable, sizeof printable);
        bs_shorten(printable, plot->room.name, shown, sizeof shown);
        bs_script_text(script, name, shown);
        fprintf(script, "KEY_COLOURS[%d] = %d\nKEY_SHAPES[%d] = %d\nKEY_DASHES[%d] = %d\n", k + 1,
                keys[k].colour, k + 1, keys[k].shape, k + 1, keys[k].dash);
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
    bs_print_shortened(data, row->label, plot->room.tick);
    if (row->calibrations > 1)
        fprintf(data, "\t%.10g\n", bs_plot_spread(plot, row));
    else
        fputs("\tnone\n", data);
}

/* Of a code; of many formats what a weight takes in a file, by which those are told apart. */
static double bits_of(const struct bs_row *row, bool measured)
{
    double bits = measured ? bs_row_number(row, "bits_per_weight") : (double)NAN;
    return isfinite(bits) ? bits : row->bits;
}

void bs_axis_range_widen(struct bs_axis_range *range, double value)
{
    if (!(value >= range->low))
        range->low = value;
    if (!(value <= range->high))
        range->high = value;
}

void bs_script_range(FILE *script, const char *axis, struct bs_axis_range range)
{
    bool logarithmic = range.low > 0 && range.high > 3 * range.low;
    double low, high;
    if (logarithmic) {
        double room = pow(range.high / range.low, 0.05);
        low = range.low / (room * room);
        high = range.high * room;
    } else {
        double room = range.high > range.low ? 0.05 * (range.high - range.low) : 0.05 * range.high;
        if (!(room > 0)) /* all of it nothing: numbers beside the axis that are short */
            room = 0.5;
        low = range.low - 2 * room;
        high = range.high + room;
    }
    fprintf(script, "LOG_%s = %d\n%s_LOW = %.10g\n%s_HIGH = %.10g\n", axis, logarithmic, axis, low,
            axis, high);
}

/* Of the trials of weights alone a share has values, or bits, below this; `room` for all rows. */
static double quantile_of(const struct bs_plot *plot, float *room, bool of_bits, bool measured,
                          double share, size_t *count)
{
    *count = 0;
    for (int i = 0; i < plot->num_rows; i++) {
        const struct bs_row *row = plot->rows[i];
        double number = of_bits ? bits_of(row, measured) : bs_plot_value(plot, row);
        if (bs_is_weight_only(row))
            room[(*count)++] = (float)fmin(number, (double)FLT_MAX);
    }
    bs_sort(room, *count);
    return bs_quantile(room, *count, share);
}

/* Where 2 bits cost tens of times what 4 do, all else lies on one line: a second panel then shows
 * the better 70 % of the trials, of measured bits without the few that are far to the right.
 * CLOSE_HIGH is its upper end, 0 = no such panel. */
static enum bs_status print_close_up(const struct bs_plot *plot, struct bs_axis_range lines,
                                     bool measured, struct bs_error *err)
{
    float *room = bs_alloc((size_t)plot->num_rows, sizeof *room);
    if (!room)
        return bs_fail_memory(err);
    size_t count;
    double right = 1.1 * quantile_of(plot, room, true, measured, 0.95, &count);
    double high = quantile_of(plot, room, false, measured, 0.7, &count);
    high = lines.low + 1.1 * (high - lines.low);
    double left = (double)INFINITY;
    for (int i = 0; i < plot->num_rows; i++)
        if (bs_is_weight_only(plot->rows[i]) && bs_plot_value(plot, plot->rows[i]) <= high)
            left = fmin(left, bits_of(plot->rows[i], measured));
    bool wanted = count >= 6 && high - lines.low < 0.3 * (lines.high - lines.low);
    fprintf(plot->script, "CLOSE_HIGH = %.10g\nCLOSE_LOW = %.10g\nCLOSE_LEFT = %g\n",
            wanted ? high : 0, lines.low - 0.1 * (high - lines.low),
            measured ? left / 1.05 : left - 0.4);
    if (measured)
        fprintf(plot->script, "CLOSE_RIGHT = %g\n", right);
    else
        fputs("CLOSE_RIGHT = X_HIGH\n", plot->script);
    bs_free(room);
    return BS_OK;
}

/* What was published for a trial of weights alone; NaN where nothing was. */
static double published_of(const struct bs_plot *plot, const struct bs_row *row)
{
    const struct bs_published *p =
        bs_is_weight_only(row) ? bs_published_for(&plot->how->published, row, plot->value->name)
                               : NULL;
    return p ? scale_of(plot) * p->value : (double)NAN;
}

/* A line for each figure that was published for a trial of the lines. */
static void print_published(const struct bs_plot *plot, struct bs_series_list *list, int num_dots)
{
    FILE *data = plot->data;
    bool any = false, measured = list->count > BS_MOST_KEYS;
    for (int i = 0; i < plot->num_rows; i++) {
        const struct bs_row *row = plot->rows[i];
        double published = published_of(plot, row);
        if (!isfinite(published))
            continue;
        /* gnuplot does not count a block without a line */
        if (!any)
            fprintf(data, "%s\n\n# bits\tpublished\tline\tlabel\n",
                    num_dots ? "" : "nan\tnan\t0\n");
        any = true;
        fprintf(data, "%g\t%.10g\t%d\t", bits_of(row, measured), published,
                bs_series_of(list, row) + 1);
        bs_print_field(data, row->label);
        fputc('\n', data);
    }
    fprintf(plot->script, "PUBLISHED = %d\n", any);
}

static void print_perplexity_data(const struct bs_plot *plot, struct bs_series_list *list,
                                  int num_dots)
{
    fputs("# bits\tperplexity\tpaired_se\tlabel\tshown\tcalibration_sd\n", plot->data);
    bool measured = list->count > BS_MOST_KEYS;
    for (int s = 0; s < list->count; s++) {
        for (int i = 0; i < plot->num_rows; i++) {
            const struct bs_row *row = plot->rows[i];
            if (bs_is_weight_only(row) && bs_series_of(list, row) == s)
                print_point(plot, bits_of(row, measured), row);
        }
        fputs("\n\n", plot->data);
    }
    /* The others, a line each, from the top. */
    for (int i = 0, place = num_dots; i < plot->num_rows; i++)
        if (!bs_is_weight_only(plot->rows[i]))
            print_point(plot, place--, plot->rows[i]);
    print_published(plot, list, num_dots);
}

/* What is drawn. */
struct drawn {
    struct bs_series_list list;
    struct bs_axis_range lines, dots, bits;
    int num_dots, longest_dot;
    bool spreads;
};

/* Sorts the rows into lines and dots. */
static void add_rows(const struct bs_plot *plot, struct drawn *drawn)
{
    for (int i = 0; i < plot->num_rows; i++) {
        const struct bs_row *row = plot->rows[i];
        struct bs_axis_range *range = bs_is_weight_only(row) ? &drawn->lines : &drawn->dots;
        double value = bs_plot_value(plot, row);
        double bar = fmax(bs_plot_se(plot, row), bs_plot_spread(plot, row));
        bs_axis_range_widen(range, value - bar);
        bs_axis_range_widen(range, value + bar);
        double published = published_of(plot, row);
        if (isfinite(published))
            bs_axis_range_widen(range, published);
        if (bs_is_weight_only(row)) {
            bs_series_of(&drawn->list, row);
            drawn->spreads = drawn->spreads || row->calibrations > 1;
        } else {
            int length = bs_chart_columns(row->label, plot->room.tick);
            drawn->longest_dot = length > drawn->longest_dot ? length : drawn->longest_dot;
            drawn->num_dots++;
        }
    }
    bool measured = drawn->list.count > BS_MOST_KEYS;
    for (int i = 0; i < plot->num_rows; i++)
        if (bs_is_weight_only(plot->rows[i]))
            bs_axis_range_widen(&drawn->bits, bits_of(plot->rows[i], measured));
}

static enum bs_status print_drawn(const struct bs_plot *plot, struct drawn *drawn,
                                  struct bs_error *err)
{
    struct bs_series_list *list = &drawn->list;
    struct bs_key *keys = bs_alloc((size_t)list->count + BS_NUM_FAMILIES, sizeof *keys);
    if (!keys)
        return bs_fail_memory(err);
    int num_keys = bs_series_keys(list, keys);
    print_perplexity_data(plot, list, drawn->num_dots);
    bs_script_series(plot, list, keys, num_keys);
    fprintf(plot->script, "DOTS = %d\nLONGEST_DOT = %d\n", drawn->num_dots, drawn->longest_dot);
    bs_free(keys);
    bool measured = list->count > BS_MOST_KEYS;
    fprintf(plot->script, "SPREADS = %d\nMEASURED_BITS = %d\n", drawn->spreads, measured);
    bs_script_range(plot->script, "Y", drawn->lines);
    bs_script_range(plot->script, "DOTS", drawn->dots);
    struct bs_axis_range bits = drawn->bits; /* on a logarithmic axis where they are measured */
    fprintf(plot->script, "X_LOW = %g\nX_HIGH = %g\n", measured ? bits.low / 1.1 : bits.low - 0.4,
            measured ? bits.high * 1.1 : bits.high + 0.4);
    return print_close_up(plot, drawn->lines, measured, err);
}

enum bs_status bs_plot_perplexity(struct bs_plot *plot, struct bs_error *err)
{
    double level = plot->unquantized ? bs_plot_value(plot, plot->unquantized) : (double)NAN;
    struct drawn drawn = {
        .lines = {level, level}, .dots = {level, level}, .bits = {(double)NAN, (double)NAN}};
    drawn.list.series = bs_alloc((size_t)plot->num_rows, sizeof *drawn.list.series);
    if (!drawn.list.series)
        return bs_fail_memory(err);
    drawn.list.by_family = bs_plot_has_families(plot);
    qsort(plot->rows, (size_t)plot->num_rows, sizeof *plot->rows, by_bits);
    add_rows(plot, &drawn);
    enum bs_status status = print_drawn(plot, &drawn, err);
    bs_free(drawn.list.series);
    return status;
}

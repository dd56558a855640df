/* Any value against any other: a panel for what differs in some columns, in it a line for what
 * differs in others. Points stand where they were measured; a line joins those of a series where
 * each has an x of its own. */
#include "eval/report/chart_xy.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/report/chart_internal.h"
#include "eval/report/table_internal.h"

/* What rows are told apart by: a name for each that some rows share. */
struct classes {
    struct bs_columns columns;
    bool by_recipe; /* by their labels too, but for the bits of weights */
    bool by_cache;  /* or, where those are what x is about, of the cache */
    int count;
    char **ids, **names; /* by the columns' whole texts, and as they are shown */
};

struct point {
    const struct bs_row *row;
    int panel, series;
    double x, y, x_se, y_se;
    double published; /* NaN = none */
};

struct xy {
    struct bs_xy_axes axes;
    struct classes panels, lines;
    int num_points;
    struct point *points;
    struct bs_axis_range x, y;
    bool is_paired, has_bars, has_published;
};

/* ---- axes ---- */

enum bs_status bs_xy_axes_find(const struct bs_results *results, const struct bs_chart_how *how,
                               struct bs_xy_axes *axes, struct bs_error *err)
{
    const struct bs_value_type *type;
    const char *own, *first = "perplexity";
    for (int i = 0; (type = bs_value_type_at(i, &own)); i++)
        if (results->num_rows && !strcmp(own, results->rows[0].evaluation)) {
            first = type->name;
            break;
        }
    if (bs_chart_axis(results, "x", how->x ? how->x : "bits_per_weight", &axes->x, err))
        return err->status;
    return bs_chart_axis(results, "y", how->y ? how->y : first, &axes->y, err);
}

static double scale_of(const struct bs_column *column)
{
    return column->type && column->type->scale > 0 ? column->type->scale : 1;
}

/* As a table shows it; NaN where the row has no such number. */
static double number_of(const struct bs_column *column, const struct bs_row *row)
{
    return scale_of(column) * bs_column_number(column, row);
}

static bool has_point(const struct bs_xy_axes *axes, const struct bs_row *row)
{
    return isfinite(number_of(&axes->x, row)) && isfinite(number_of(&axes->y, row));
}

bool bs_xy_has_point(const struct bs_xy_axes *axes, const struct bs_row *row)
{
    return bs_row_is_done(row) && strcmp(row->algorithm, "unquantized") && has_point(axes, row);
}

/* The standard error: of the paired difference to the unquantized model where there is one. */
static double error_of(const struct bs_column *column, const struct bs_row *row, bool *is_paired)
{
    char name[64];
    if (column->field || column->is_time)
        return 0;
    snprintf(name, sizeof name, "%s_delta", column->name);
    const struct bs_value_row *value = bs_row_value(row, NULL, name);
    *is_paired = *is_paired || value;
    value = value ? value : bs_row_value(row, NULL, column->name);
    return value && isfinite(value->se) ? scale_of(column) * value->se : 0;
}

/* ---- panels and lines ---- */

static bool is_named(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *word = list; *word;) {
        size_t own = strcspn(word, ",");
        if (own == length && !strncmp(word, name, own))
            return true;
        word += own + (word[own] == ',');
    }
    return false;
}

/* What trials of one line or panel agree in: a line over two models would tell nothing. */
static const char *const subjects[] = {"model", "text", "numerics"};
enum { NUM_SUBJECTS = sizeof subjects / sizeof *subjects };

static const char *subject_of(const struct bs_row *row, int subject)
{
    return subject == 0 ? row->model : subject == 1 ? row->text : row->numerics;
}

/* Of the trials that have the axes' values. */
static bool varies(const struct bs_plot *plot, const struct xy *xy, int subject)
{
    const struct bs_row *first = NULL;
    for (int i = 0; i < plot->num_rows; i++) {
        const struct bs_row *row = plot->rows[i];
        if (!has_point(&xy->axes, row))
            continue;
        first = first ? first : row;
        if (strcmp(subject_of(row, subject), subject_of(first, subject)))
            return true;
    }
    return false;
}

/* `list` and the subjects that vary and are in neither list; in new memory. */
static char *with_subjects(const struct bs_plot *plot, const struct xy *xy, const char *list,
                           const char *other)
{
    char *longer = bs_strdup(list);
    for (int s = 0; s < NUM_SUBJECTS && longer; s++) {
        if (!varies(plot, xy, s) || is_named(list, subjects[s]) || is_named(other, subjects[s]))
            continue;
        char *next = bs_printf("%s%s%s", longer, *longer ? "," : "", subjects[s]);
        bs_free(longer);
        longer = next;
    }
    return longer;
}

/* Which columns make panels and lines. */
static enum bs_status find_columns(const struct bs_plot *plot, struct xy *xy, struct bs_error *err)
{
    const char *asked = plot->how->lines ? plot->how->lines : "";
    char *panels =
        plot->how->panels ? bs_strdup(plot->how->panels) : with_subjects(plot, xy, "", asked);
    char *lines = panels ? with_subjects(plot, xy, asked, panels) : NULL;
    xy->lines.by_recipe = !plot->how->lines;
    const char *x = xy->axes.x.name;
    assert(x);
    xy->lines.by_cache = !strcmp(x, BS_KV_BITS) || !strcmp(x, "kv_code_bits");
    enum bs_status status = lines ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = bs_columns_parse(panels, plot->results, &xy->panels.columns, err);
    if (!status)
        status = bs_columns_parse(lines, plot->results, &xy->lines.columns, err);
    bs_free(lines);
    bs_free(panels);
    return status;
}

/* The end of a model's path where no other model has it too. */
static const char *short_model(const struct bs_results *results, const struct bs_row *row)
{
    const char *name = bs_path_name(row->model);
    for (int i = 0; i < results->num_rows; i++)
        if (strcmp(results->rows[i].model, row->model) &&
            !strcmp(bs_path_name(results->rows[i].model), name))
            return row->model;
    return *name ? name : row->model;
}

/* Bits as papers write them, "W4A8KV4". */
static const struct {
    const char *column, *letters;
} bits_columns[] = {{"bits", "W"}, {"activation_bits", "A"}, {"kv_code_bits", "KV"}};

static const char *bits_letters(const struct bs_column *column)
{
    for (size_t i = 0; i < sizeof bits_columns / sizeof *bits_columns; i++)
        if (!strcmp(bits_columns[i].column, column->name))
            return bits_columns[i].letters;
    return NULL;
}

/* "gptq", "W4", "granularity 128". */
static void print_part(const struct bs_results *results, const struct bs_column *column,
                       const struct bs_row *row, bool is_shown, FILE *out)
{
    bool is_text = column->field && !bs_column_is_number(column);
    const char *text = is_text ? bs_field_text(column->field, row) : "";
    if (is_text && is_shown && !strcmp(column->name, subjects[0]))
        text = short_model(results, row);
    if (!is_text && bits_letters(column))
        fprintf(out, "%s%.6g", bits_letters(column), number_of(column, row));
    else if (!is_text)
        fprintf(out, "%s %.6g", column->name, number_of(column, row));
    else if (!*text || (*text >= '0' && *text <= '9'))
        fprintf(out, "%s %s", column->name, *text ? text : "none");
    else
        fputs(text, out);
}

static void print_parts(const struct bs_results *results, const struct bs_columns *columns,
                        const struct bs_row *row, bool is_shown, FILE *out)
{
    for (int c = 0; c < columns->count; c++) {
        fputs(c ? ", " : "", out);
        print_part(results, &columns->columns[c], row, is_shown, out);
    }
}

static char *class_text(const struct classes *classes, const struct bs_results *results,
                        const struct bs_row *row, bool is_shown)
{
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (!out)
        return NULL;
    const char *before = "";
    if (classes->by_recipe) {
        char name[160];
        if (classes->by_cache)
            bs_series_name_but_cache(row, name, sizeof name);
        else
            bs_series_name(row, false, name, sizeof name);
        fputs(name, out);
        before = ", ";
    }
    fputs(*before && classes->columns.count ? before : "", out);
    print_parts(results, &classes->columns, row, is_shown, out);
    return bs_print_end(&printing);
}

char *bs_chart_class_name(const struct bs_results *results, const struct bs_columns *columns,
                          const struct bs_row *row)
{
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (out)
        print_parts(results, columns, row, true, out);
    return out ? bs_print_end(&printing) : NULL;
}

/* The class of the row, a new one where it is the first of it; -1 where memory has run out. */
static int class_of(struct classes *classes, const struct bs_results *results,
                    const struct bs_row *row)
{
    char *id = class_text(classes, results, row, false);
    if (!id)
        return -1;
    for (int c = 0; c < classes->count; c++)
        if (!strcmp(classes->ids[c], id)) {
            bs_free(id);
            return c;
        }
    char *name = class_text(classes, results, row, true);
    if (!name) {
        bs_free(id);
        return -1;
    }
    classes->ids[classes->count] = id;
    classes->names[classes->count] = name;
    return classes->count++;
}

static void release_classes(struct classes *classes)
{
    for (int c = 0; c < classes->count; c++) {
        bs_free(classes->ids[c]);
        bs_free(classes->names[c]);
    }
    bs_free(classes->ids);
    bs_free(classes->names);
}

/* ---- points ---- */

static double published_of(const struct bs_plot *plot, const struct bs_column *column,
                           const struct bs_row *row)
{
    const struct bs_published *p = bs_published_for(&plot->how->published, row, column->name);
    return p ? scale_of(column) * p->value : (double)NAN;
}

/* Values with what fits of their bars: one that reaches below half of its value does not decide
 * whether the axis is logarithmic. */
static void widen(struct bs_axis_range *range, double value, double bar)
{
    bs_axis_range_widen(range, value > 0 ? fmax(value - bar, 0.5 * value) : value - bar);
    bs_axis_range_widen(range, value + bar);
}

static enum bs_status add_point(const struct bs_plot *plot, struct xy *xy, const struct bs_row *row,
                                struct bs_error *err)
{
    struct point point = {.row = row,
                          .x = number_of(&xy->axes.x, row),
                          .y = number_of(&xy->axes.y, row),
                          .published = published_of(plot, &xy->axes.y, row)};
    bool ignored = false;
    if (!has_point(&xy->axes, row))
        return BS_OK;
    point.panel = class_of(&xy->panels, plot->results, row);
    point.series = class_of(&xy->lines, plot->results, row);
    if (point.panel < 0 || point.series < 0)
        return bs_fail_memory(err);
    point.x_se = error_of(&xy->axes.x, row, &ignored);
    point.y_se = error_of(&xy->axes.y, row, &xy->is_paired);
    widen(&xy->x, point.x, point.x_se);
    widen(&xy->y, point.y, point.y_se);
    xy->has_bars = xy->has_bars || point.y_se > 0;
    if (isfinite(point.published)) {
        bs_axis_range_widen(&xy->y, point.published);
        xy->has_published = true;
    }
    xy->points[xy->num_points++] = point;
    return BS_OK;
}

static int by_x(const void *left, const void *right)
{
    const struct point *a = left, *b = right;
    if (a->x < b->x || a->x > b->x)
        return a->x < b->x ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row); /* the file's order */
}

/* Whether every point of a series has an x of its own in each panel: then a line may join them. */
static bool is_lined(const struct xy *xy, int series)
{
    for (int i = 0; i < xy->num_points; i++)
        for (int k = 0; k < i; k++) {
            const struct point *a = &xy->points[i], *b = &xy->points[k];
            if (a->series == series && b->series == series && a->panel == b->panel &&
                !(a->x < b->x) && !(a->x > b->x))
                return false;
        }
    return true;
}

/* The unquantized model's value where the panel has one such model. */
static double level_of(const struct bs_plot *plot, const struct xy *xy, int panel)
{
    double level = (double)NAN;
    for (int i = 0; i < plot->results->num_rows; i++) {
        const struct bs_row *row = &plot->results->rows[i];
        bool in_panel = false;
        for (int k = 0; k < xy->num_points && !strcmp(row->algorithm, "unquantized"); k++)
            in_panel = in_panel || (xy->points[k].panel == panel &&
                                    bs_rows_same_subject(xy->points[k].row, row));
        double own = in_panel ? number_of(&xy->axes.y, row) : (double)NAN;
        if (!isfinite(own))
            continue;
        if (isfinite(level))
            return (double)NAN;
        level = own;
    }
    return level;
}

/* ---- printing ---- */

static void print_block(const struct bs_plot *plot, const struct xy *xy, int panel, int series)
{
    FILE *data = plot->data;
    bool empty = true;
    for (int i = 0; i < xy->num_points; i++) {
        const struct point *point = &xy->points[i];
        bool is_here = point->panel == panel &&
                       (series < 0 ? isfinite(point->published) : point->series == series);
        if (!is_here)
            continue;
        empty = false;
        if (series < 0)
            fprintf(data, "%.10g\t0\t%.10g\t%d\t", point->x, point->published, point->series + 1);
        else
            fprintf(data, "%.10g\t%.10g\t%.10g\t%.10g\t", point->x, point->x_se, point->y,
                    point->y_se);
        bs_print_field(data, point->row->label);
        fputc('\t', data);
        bs_print_field(data, xy->panels.names[panel]);
        fputc('\n', data);
    }
    fputs(empty ? "nan\tnan\tnan\tnan\t\t\n\n\n" : "\n\n", data);
}

/* Of every panel a block for each line, then one of what was published, where the fourth column is
 * the number of the line. */
static void print_data(const struct bs_plot *plot, const struct xy *xy)
{
    fprintf(plot->data, "# %s\tse\t%s\tse\tlabel\tpanel\n", xy->axes.x.name, xy->axes.y.name);
    for (int panel = 0; panel < xy->panels.count; panel++) {
        for (int series = 0; series < xy->lines.count; series++)
            print_block(plot, xy, panel, series);
        print_block(plot, xy, panel, -1);
    }
}

static void print_panels(const struct bs_plot *plot, struct xy *xy)
{
    FILE *script = plot->script;
    int count = xy->panels.count;
    bool any_level = false;
    fprintf(script, "PANELS = %d\narray PANEL[%d]\narray LEVEL[%d]\n", count, count, count);
    for (int panel = 0; panel < count; panel++) {
        char name[32];
        double level = level_of(plot, xy, panel);
        snprintf(name, sizeof name, "PANEL[%d]", panel + 1);
        bs_script_text(script, name, xy->panels.names[panel]);
        fprintf(script, "LEVEL[%d] = %.10g\n", panel + 1, level);
        if (isfinite(level))
            bs_axis_range_widen(&xy->y, level);
        any_level = any_level || isfinite(level);
    }
    fprintf(script, "LEVELS = %d\nPUBLISHED = %d\n", any_level, xy->has_published);
}

static enum bs_status print_series(const struct bs_plot *plot, const struct xy *xy,
                                   struct bs_error *err)
{
    size_t most = (size_t)xy->lines.count + 2;
    struct bs_series_list list = {.series = bs_calloc(most, sizeof *list.series)};
    struct bs_key *keys = bs_calloc(most, sizeof *keys);
    enum bs_status status = list.series && keys ? BS_OK : bs_fail_memory(err);
    int num_keys = 0;
    for (int s = 0; s < xy->lines.count && !status; s++) {
        list.series[list.count++] = (struct bs_series){.colour = s + 1, .shape = s + 1, .dash = 1};
        if (*xy->lines.names[s])
            keys[num_keys++] = (struct bs_key){xy->lines.names[s], s + 1, s + 1, 1};
    }
    if (!status) {
        bs_script_series(plot, &list, keys, num_keys);
        fprintf(plot->script, "array LINED[%d]\n", list.count + 1);
        for (int s = 0; s < list.count; s++)
            fprintf(plot->script, "LINED[%d] = %d\n", s + 1, is_lined(xy, s));
    }
    bs_free(keys);
    bs_free(list.series);
    return status;
}

static enum bs_status print_script(const struct bs_plot *plot, struct xy *xy, struct bs_error *err)
{
    if (print_series(plot, xy, err))
        return err->status;
    print_panels(plot, xy);
    bs_chart_axis_name(plot, "X_NAME", &xy->axes.x);
    bs_chart_axis_name(plot, "Y_NAME", &xy->axes.y);
    fprintf(plot->script, "BARS = %d\nPAIRED = %d\nX_IS_BITS = %d\nY_IS_BITS = %d\n", xy->has_bars,
            xy->is_paired, bs_column_is_bits(&xy->axes.x), bs_column_is_bits(&xy->axes.y));
    bs_script_range(plot->script, "X", xy->x);
    bs_script_range(plot->script, "Y", xy->y);
    return BS_OK;
}

enum { MOST_PANELS = 24 };

static enum bs_status check_room(const struct xy *xy, struct bs_error *err)
{
    if (xy->lines.count > BS_MOST_KEYS)
        return bs_fail(
            err, BS_EDATA,
            "%d lines are more than a legend has room for, which is %d: choose trials by "
            "--where, or fewer columns by --lines",
            xy->lines.count, BS_MOST_KEYS);
    if (xy->panels.count > MOST_PANELS)
        return bs_fail(
            err, BS_EDATA,
            "%d panels are more than a chart has room for, which is %d: choose trials by "
            "--where, or fewer columns by --panels",
            xy->panels.count, MOST_PANELS);
    return BS_OK;
}

/* Panels by what they are called, which the file's order need not be; of points in that order. */
static void order_panels(struct xy *xy)
{
    const struct bs_row *first[MOST_PANELS];
    char *ids[MOST_PANELS], *names[MOST_PANELS];
    int order[MOST_PANELS], place[MOST_PANELS], count = xy->panels.count;
    for (int i = xy->num_points - 1; i >= 0; i--)
        first[xy->points[i].panel] = xy->points[i].row;
    bs_chart_order(&xy->panels.columns, first, count, order);
    for (int k = 0; k < count; k++) {
        place[order[k]] = k;
        ids[k] = xy->panels.ids[order[k]];
        names[k] = xy->panels.names[order[k]];
    }
    for (int k = 0; k < count; k++) {
        xy->panels.ids[k] = ids[k];
        xy->panels.names[k] = names[k];
    }
    for (int i = 0; i < xy->num_points; i++)
        xy->points[i].panel = place[xy->points[i].panel];
}

static enum bs_status choose(const struct bs_plot *plot, struct xy *xy, struct bs_error *err)
{
    size_t rows = (size_t)plot->num_rows;
    xy->points = bs_calloc(rows, sizeof *xy->points);
    for (int c = 0; c < 2; c++) {
        struct classes *classes = c ? &xy->lines : &xy->panels;
        classes->ids = bs_calloc(rows, sizeof *classes->ids);
        classes->names = bs_calloc(rows, sizeof *classes->names);
        if (!xy->points || !classes->ids || !classes->names)
            return bs_fail_memory(err);
    }
    if (bs_xy_axes_find(plot->results, plot->how, &xy->axes, err) || find_columns(plot, xy, err))
        return err->status;
    for (int i = 0; i < plot->num_rows; i++)
        if (add_point(plot, xy, plot->rows[i], err))
            return err->status;
    if (xy->panels.count <= MOST_PANELS)
        order_panels(xy);
    qsort(xy->points, (size_t)xy->num_points, sizeof *xy->points, by_x);
    if (!xy->num_points)
        return bs_fail(err, BS_EDATA, "%s: no trial has both %s and %s", plot->results->path,
                       xy->axes.x.name, xy->axes.y.name);
    return BS_OK;
}

static void release_xy(struct xy *xy)
{
    release_classes(&xy->lines);
    release_classes(&xy->panels);
    bs_free(xy->points);
}

enum bs_status bs_plot_xy(struct bs_plot *plot, struct bs_error *err)
{
    const struct xy empty = {.x = {(double)NAN, (double)NAN}, .y = {(double)NAN, (double)NAN}};
    const struct bs_chart_how *asked = plot->how;
    struct bs_chart_how pooled = *asked;
    struct xy xy = empty;
    enum bs_status status = choose(plot, &xy, err);
    /* More recipes than a legend names are told by their algorithms. */
    if (!status && xy.lines.count > BS_MOST_KEYS && !asked->lines) {
        pooled.lines = "algorithm";
        plot->how = &pooled;
        release_xy(&xy);
        xy = empty;
        status = choose(plot, &xy, err);
    }
    if (!status)
        status = check_room(&xy, err);
    if (!status) {
        print_data(plot, &xy);
        status = print_script(plot, &xy, err);
    }
    release_xy(&xy);
    plot->how = asked;
    return status;
}

/* A value over two columns as a map: a cell for each pair of their values that was measured, its
 * colour the value on one scale for all panels, its number in it. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/elementary.h"
#include "eval/report/chart_internal.h"
#include "eval/report/chart_xy.h"

enum { MOST_STEPS = 24, MOST_PANELS = 12, SMALLEST_SHARE = 1000 };

/* A panel: trials that agree in its columns. */
struct panel {
    char *name;
    const struct bs_row *first;
};

struct cell {
    const struct bs_row *row;
    int panel;
    double x, y, value, se;
};

struct map {
    struct bs_column x, y;
    struct bs_columns by; /* what makes panels */
    struct bs_column shown;
    int num_panels, num_cells;
    struct panel panels[MOST_PANELS];
    struct cell *cells;
    int num_x, num_y;
    double xs[MOST_STEPS], ys[MOST_STEPS]; /* ascending */
};

static enum bs_status find_columns(const struct bs_plot *plot, struct map *map,
                                   struct bs_error *err)
{
    const struct bs_chart_how *how = plot->how;
    const char *panels = how->panels ? how->panels : "algorithm,kv_code_bits";
    char shown[64];
    bs_chart_shown(plot->results, plot->value, plot->asked, shown);
    if (bs_chart_axis(plot->results, "x", how->x ? how->x : BS_HEATMAP_X, &map->x, err) ||
        bs_chart_axis(plot->results, "y", how->y ? how->y : BS_HEATMAP_Y, &map->y, err) ||
        bs_columns_parse(panels, plot->results, &map->by, err) ||
        bs_chart_axis(plot->results, "y", shown, &map->shown, err))
        return err->status;
    return BS_OK;
}

/* ---- cells ---- */

static bool agree(const struct bs_columns *columns, const struct bs_row *a, const struct bs_row *b)
{
    for (int c = 0; c < columns->count; c++) {
        const struct bs_column *column = &columns->columns[c];
        bool is_text = !bs_column_is_number(column);
        double left = bs_column_number(column, a), right = bs_column_number(column, b);
        bool same = is_text
                        ? !strcmp(bs_field_text(column->field, a), bs_field_text(column->field, b))
                        : !(left < right) && !(left > right);
        if (!same)
            return false;
    }
    return true;
}

/* The panel of a row, a new one where it is the first of it. */
static enum bs_status panel_of(const struct bs_plot *plot, struct map *map,
                               const struct bs_row *row, int *panel, struct bs_error *err)
{
    for (*panel = 0; *panel < map->num_panels; ++*panel)
        if (agree(&map->by, map->panels[*panel].first, row))
            return BS_OK;
    if (map->num_panels == MOST_PANELS)
        return bs_fail(
            err, BS_EDATA,
            "more than %d panels, for which a map has no room: choose trials by --where, "
            "or fewer columns by --panels",
            MOST_PANELS);
    char *name = bs_chart_class_name(plot->results, &map->by, row);
    if (!name)
        return bs_fail_memory(err);
    map->panels[map->num_panels++] = (struct panel){name, row};
    return BS_OK;
}

/* A step of an axis, in its place. */
static enum bs_status add_step(double *steps, int *count, const struct bs_column *column,
                               double value, struct bs_error *err)
{
    int at = 0;
    while (at < *count && steps[at] < value)
        at++;
    if (at < *count && !(steps[at] > value))
        return BS_OK;
    if (*count == MOST_STEPS)
        return bs_fail(err, BS_EDATA,
                       "%s has more than %d values, for which a map has no room: choose trials by "
                       "--where, or another column",
                       column->name, MOST_STEPS);
    memmove(steps + at + 1, steps + at, (size_t)(*count - at) * sizeof *steps);
    steps[at] = value;
    ++*count;
    return BS_OK;
}

static int step_of(const double *steps, double value)
{
    int at = 0;
    while (steps[at] < value)
        at++;
    return at;
}

static enum bs_status add_cell(const struct bs_plot *plot, struct map *map,
                               const struct bs_row *row, struct bs_error *err)
{
    struct cell cell = {
        .row = row, .x = bs_column_number(&map->x, row), .y = bs_column_number(&map->y, row)};
    const struct bs_value_row *value = bs_row_value(row, NULL, map->shown.name);
    double scale = map->shown.type && map->shown.type->scale > 0 ? map->shown.type->scale : 1;
    if (!isfinite(cell.x) || !isfinite(cell.y) ||
        !isfinite(cell.value = scale * bs_column_number(&map->shown, row)))
        return BS_OK;
    cell.se = value && isfinite(value->se) ? scale * value->se : 0;
    if (panel_of(plot, map, row, &cell.panel, err) ||
        add_step(map->xs, &map->num_x, &map->x, cell.x, err) ||
        add_step(map->ys, &map->num_y, &map->y, cell.y, err))
        return err->status;
    for (int i = 0; i < map->num_cells; i++) {
        const struct cell *other = &map->cells[i];
        if (other->panel == cell.panel && !(other->x < cell.x) && !(other->x > cell.x) &&
            !(other->y < cell.y) && !(other->y > cell.y))
            return bs_fail(err, BS_EDATA,
                           "'%s' and '%s' are one cell of the map: choose trials by --where, or "
                           "part them by --panels",
                           other->row->label, row->label);
    }
    map->cells[map->num_cells++] = cell;
    return BS_OK;
}

/* Panels by what they are called, which the file's order need not be. */
static void order_panels(struct map *map)
{
    const struct bs_row *first[MOST_PANELS];
    struct panel panels[MOST_PANELS];
    int order[MOST_PANELS], place[MOST_PANELS];
    for (int panel = 0; panel < map->num_panels; panel++)
        first[panel] = map->panels[panel].first;
    bs_chart_order(&map->by, first, map->num_panels, order);
    for (int k = 0; k < map->num_panels; k++) {
        place[order[k]] = k;
        panels[k] = map->panels[order[k]];
    }
    memcpy(map->panels, panels, (size_t)map->num_panels * sizeof *panels);
    for (int i = 0; i < map->num_cells; i++)
        map->cells[i].panel = place[map->cells[i].panel];
}

/* ---- printing ---- */

/* Where the value is on the scale, 0 the best to 1 the worst. What loses next to nothing, or wins,
 * is at its beginning: the scale spans a thousandfold at most. */
static double shade(double value, struct bs_axis_range range, bool is_log, bool is_reversed)
{
    double low = is_log ? fmax(range.low, range.high / SMALLEST_SHARE) : range.low, at;
    if (!(range.high > low))
        at = 0;
    else if (is_log)
        at = bs_log(fmax(value, low) / low) / bs_log(range.high / low);
    else
        at = (value - low) / (range.high - low);
    return is_reversed ? 1 - at : at;
}

/* Of the least number above 0 in place of what has no logarithm. */
static struct bs_axis_range range_of(const struct map *map, bool *is_log)
{
    struct bs_axis_range all = {(double)NAN, (double)NAN}, above = all;
    for (int i = 0; i < map->num_cells; i++) {
        bs_axis_range_widen(&all, map->cells[i].value);
        if (map->cells[i].value > 0)
            bs_axis_range_widen(&above, map->cells[i].value);
    }
    *is_log = above.high > 3 * above.low && above.high >= -all.low;
    return *is_log ? above : all;
}

static void print_number(const struct map *map, double value, FILE *out)
{
    bool is_signed = map->shown.type && map->shown.type->signed_;
    double size = fabs(value);
    int decimals = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
    bool is_zero = size < 0.0005;
    fprintf(out, is_signed && !is_zero ? "%+.*f" : "%.*f", is_zero ? 0 : decimals,
            is_zero ? 0 : value);
}

static void print_cells(const struct bs_plot *plot, const struct map *map)
{
    FILE *data = plot->data;
    bool is_log;
    struct bs_axis_range range = range_of(map, &is_log);
    bool is_reversed = map->shown.type && map->shown.type->direction > 0;
    fprintf(data, "# column\trow\tshade\tnumber\t%s\t%s\t%s\tse\tlabel\tpanel\n", map->x.name,
            map->y.name, map->shown.name);
    for (int panel = 0; panel < map->num_panels; panel++) {
        for (int i = 0; i < map->num_cells; i++) {
            const struct cell *cell = &map->cells[i];
            if (cell->panel != panel)
                continue;
            fprintf(data, "%d\t%d\t%.6f\t", step_of(map->xs, cell->x), step_of(map->ys, cell->y),
                    shade(cell->value, range, is_log, is_reversed));
            print_number(map, cell->value, data);
            fprintf(data, "\t%.10g\t%.10g\t%.10g\t%.10g\t", cell->x, cell->y, cell->value,
                    cell->se);
            bs_print_field(data, cell->row->label);
            fputc('\t', data);
            bs_print_field(data, map->panels[panel].name);
            fputc('\n', data);
        }
        fputs("\n\n", data);
    }
}

static void print_steps(FILE *script, const char *axis, const double *steps, int count)
{
    fprintf(script, "%s_STEPS = %d\narray %s_STEP[%d]\n", axis, count, axis, count);
    for (int i = 0; i < count; i++)
        fprintf(script, "%s_STEP[%d] = \"%.6g\"\n", axis, i + 1, steps[i]);
}

static void print_script(const struct bs_plot *plot, const struct map *map)
{
    FILE *script = plot->script;
    const struct bs_series_list none = {.count = 0};
    bs_script_series(plot, &none, NULL, 0);
    fprintf(script, "PANELS = %d\narray PANEL[%d]\n", map->num_panels, map->num_panels);
    for (int panel = 0; panel < map->num_panels; panel++) {
        char name[32];
        snprintf(name, sizeof name, "PANEL[%d]", panel + 1);
        bs_script_text(script, name, map->panels[panel].name);
    }
    print_steps(script, "X", map->xs, map->num_x);
    print_steps(script, "Y", map->ys, map->num_y);
    bs_chart_axis_name(plot, "X_NAME", &map->x);
    bs_chart_axis_name(plot, "Y_NAME", &map->y);
    bs_chart_axis_name(plot, "SHOWN", &map->shown);
}

enum bs_status bs_plot_heatmap(struct bs_plot *plot, struct bs_error *err)
{
    struct map map = {.num_panels = 0};
    map.cells = bs_calloc((size_t)plot->num_rows + 1, sizeof *map.cells);
    enum bs_status status = map.cells ? find_columns(plot, &map, err) : bs_fail_memory(err);
    for (int i = 0; i < plot->num_rows && !status; i++)
        status = add_cell(plot, &map, plot->rows[i], err);
    if (!status && !map.num_cells)
        status = bs_fail(err, BS_EDATA, "%s: no trial has %s, %s and %s", plot->results->path,
                         map.x.name, map.y.name, map.shown.name);
    if (!status) {
        order_panels(&map);
        print_cells(plot, &map);
        print_script(plot, &map);
    }
    for (int panel = 0; panel < map.num_panels; panel++)
        bs_free(map.panels[panel].name);
    bs_free(map.cells);
    return status;
}

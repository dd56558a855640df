/* Trials that quantize one place alone, as a map of blocks and kinds of linears: a panel for each
 * way to quantize it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/quant/setting.h"
#include "eval/report/chart_internal.h"

enum { MOST_PANELS = 24, MOST_KINDS = 32 };

/* Places that are quantized one way. */
struct panel {
    const struct bs_row *first;
    char *way;                 /* their trials' canonical text but for the places */
    struct bs_axis_range bits; /* a weight */
};

/* A linear with what its trial has. */
struct cell {
    int panel, block, kind;
    const struct bs_row *row;
};

struct map {
    int num_panels, num_kinds, num_cells, capacity;
    int num_blocks;
    int left_out; /* panels */
    struct panel panels[MOST_PANELS];
    char kinds[MOST_KINDS][BS_CHART_NAME_BYTES]; /* in the order of the model */
    struct cell *cells;
};

/* Bits a weight of a linear; NaN where that was not noted. */
static double bits_of(const struct bs_layer_table *layers, int layer)
{
    int column = bs_layer_column(layers, "bits_per_weight");
    return column < 0 ? (double)NAN : layers->rows[layer].values[column];
}

static bool is_quantized(const struct bs_layer_table *layers, int layer)
{
    return bits_of(layers, layer) < BS_UNQUANTIZED_BITS;
}

/* Whether what is quantized is one place: of one block, or of one kind; and not all there is. */
static bool is_one_place(const struct bs_layer_table *layers)
{
    int first = -1, quantized = 0;
    bool one_block = true, one_kind = true;
    for (int i = 0; i < layers->num_rows; i++) {
        if (!is_quantized(layers, i))
            continue;
        const struct bs_layer_row *own = &layers->rows[i];
        first = first < 0 ? i : first;
        one_block = one_block && own->block == layers->rows[first].block;
        one_kind = one_kind && !strcmp(own->name, layers->rows[first].name);
        quantized++;
    }
    return quantized > 0 && quantized < layers->num_rows && (one_block || one_kind);
}

/* Reads the layers of a trial of one place; false for others. */
static bool read_place(const struct bs_row *row, struct bs_layer_table *layers)
{
    struct bs_error ignored; /* such a trial is not drawn */
    if (!bs_row_is_done(row) || row->bits < BS_UNQUANTIZED_BITS ||
        bs_results_read_layers(row->file, row->id, layers, &ignored))
        return false;
    if (is_one_place(layers))
        return true;
    bs_layer_table_release(layers);
    return false;
}

bool bs_row_is_of_one_place(const struct bs_row *row)
{
    struct bs_layer_table layers;
    bool is = read_place(row, &layers);
    if (is)
        bs_layer_table_release(&layers);
    return is;
}

static int kind_of(struct map *map, const char *name)
{
    const char *dot = strrchr(name, '.');
    const char *own = dot ? dot + 1 : name;
    int kind = 0;
    while (kind < map->num_kinds && strcmp(map->kinds[kind], own))
        kind++;
    if (kind == MOST_KINDS)
        return -1;
    if (kind == map->num_kinds)
        snprintf(map->kinds[map->num_kinds++], sizeof *map->kinds, "%s", own);
    return kind;
}

/* A trial's canonical text without the lines that name its place, in new memory. */
static enum bs_status way_of(const struct bs_row *row, char **way, struct bs_error *err)
{
    static const char place[] = "except: ";
    if (bs_results_read_text(row->file, row->id, "canonical", way, err))
        return err->status;
    char *to = *way;
    for (const char *line = *way; *line;) {
        size_t length = strcspn(line, "\n");
        length += line[length] == '\n';
        if (strncmp(line, place, strlen(place))) {
            memmove(to, line, length);
            to += length;
        }
        line += length;
    }
    *to = '\0';
    return BS_OK;
}

/* The panel of a trial, with its number; -1 where there is no room for another. */
static enum bs_status find_panel(struct map *map, const struct bs_row *row, int *panel,
                                 struct bs_error *err)
{
    char *way;
    *panel = -1;
    if (way_of(row, &way, err))
        return err->status;
    for (*panel = 0; *panel < map->num_panels; ++*panel)
        if (!strcmp(map->panels[*panel].way, way))
            break;
    if (*panel < map->num_panels || map->num_panels == MOST_PANELS) {
        bs_free(way);
        *panel = *panel < map->num_panels ? *panel : -1;
        return BS_OK;
    }
    map->panels[map->num_panels++] = (struct panel){row, way, {(double)NAN, (double)NAN}};
    return BS_OK;
}

static enum bs_status add_cell(struct map *map, struct cell cell, struct bs_error *err)
{
    if (map->num_cells == map->capacity) {
        size_t more = 2 * (size_t)map->capacity + 64;
        struct cell *grown = bs_realloc(map->cells, (size_t)map->capacity, more, sizeof *grown);
        if (!grown)
            return bs_fail_memory(err);
        map->cells = grown;
        map->capacity = (int)more;
    }
    map->cells[map->num_cells++] = cell;
    return BS_OK;
}

/* Adds the linears of one trial. */
static enum bs_status add_place(struct map *map, const struct bs_row *row,
                                const struct bs_layer_table *layers, struct bs_error *err)
{
    int panel;
    if (find_panel(map, row, &panel, err))
        return err->status;
    map->left_out += panel < 0;
    for (int i = 0; i < layers->num_rows && panel >= 0; i++) {
        const struct bs_layer_row *layer = &layers->rows[i];
        int kind = kind_of(map, layer->name);
        map->num_blocks = layer->block >= map->num_blocks ? layer->block + 1 : map->num_blocks;
        if (!is_quantized(layers, i) || kind < 0)
            continue;
        bs_axis_range_widen(&map->panels[panel].bits, bits_of(layers, i));
        if (add_cell(map, (struct cell){panel, layer->block, kind, row}, err))
            return err->status;
    }
    return BS_OK;
}

static enum bs_status fill(struct map *map, const struct bs_plot *plot, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int i = 0; i < plot->num_rows && !status; i++) {
        struct bs_layer_table layers;
        const struct bs_row *row = plot->rows[i];
        if (!bs_row_value(row, NULL, plot->asked) || !read_place(row, &layers))
            continue;
        status = add_place(map, row, &layers, err);
        bs_layer_table_release(&layers);
    }
    if (!status && !map->num_cells)
        status = bs_fail(err, BS_EDATA, "%s: no trial that quantizes one place has %s",
                         plot->results->path, plot->asked);
    return status;
}

/* What is drawn, in the units of a table. */
static double shown(const struct bs_value_type *type, double value)
{
    return type && type->scale > 0 ? type->scale * value : value;
}

/* A block of data for each panel: block, kind from 0 down, value, its standard error. */
static void print_data(const struct map *map, const struct bs_plot *plot,
                       const struct bs_value_type *type)
{
    fprintf(plot->data, "# block\tkind\t%s\t%s_se\tname\tlabel\n", plot->asked, plot->asked);
    for (int p = 0; p < map->num_panels; p++) {
        for (int c = 0; c < map->num_cells; c++) {
            const struct cell *cell = &map->cells[c];
            const struct bs_value_row *value = bs_row_value(cell->row, NULL, plot->asked);
            if (cell->panel != p)
                continue;
            fprintf(plot->data, "%d\t%d\t%.8g\t%.8g\t%s\t", cell->block, -cell->kind,
                    shown(type, value->value), shown(type, value->se), map->kinds[cell->kind]);
            bs_print_field(plot->data, cell->row->label);
            fputc('\n', plot->data);
        }
        fputs("\n\n", plot->data);
    }
}

/* The colours span all values; logarithmically, a thousandfold at most, where all are positive. */
static void print_scale(const struct map *map, const struct bs_plot *plot,
                        const struct bs_value_type *type)
{
    struct bs_axis_range range = {(double)NAN, (double)NAN};
    for (int c = 0; c < map->num_cells; c++)
        bs_axis_range_widen(&range,
                            shown(type, bs_row_value(map->cells[c].row, NULL, plot->asked)->value));
    bool is_log = range.low > 0 && range.high > 3 * range.low;
    double low = is_log ? fmax(range.low, range.high / 1000) : range.low;
    double high = range.high > low ? range.high : low + fabs(low) + 1e-9;
    fprintf(plot->script, "LOG_VALUE = %d\nVALUE_LOW = %.8g\nVALUE_HIGH = %.8g\n", is_log, low,
            high);
}

/* "gptq, 2.15 bits", and the options of the algorithm. */
static void print_panel(const struct panel *panel, char *out, size_t size)
{
    const char *options = panel->first->options;
    char high[32] = "";
    if (panel->bits.high - panel->bits.low >= 0.005)
        snprintf(high, sizeof high, " to %.2f", panel->bits.high);
    snprintf(out, size, "%s, %.2f%s bits%s%s", panel->first->algorithm, panel->bits.low, high,
             *options ? ", " : "", options);
}

static void print_panels(const struct map *map, const struct bs_plot *plot)
{
    FILE *script = plot->script;
    int longest = 0;
    fprintf(script, "PANELS = %d\narray PANEL[%d]\n", map->num_panels, map->num_panels);
    for (int p = 0; p < map->num_panels; p++) {
        char variable[32], name[BS_CHART_NAME_BYTES];
        snprintf(variable, sizeof variable, "PANEL[%d]", p + 1);
        print_panel(&map->panels[p], name, sizeof name);
        bs_script_text(script, variable, name);
    }
    fprintf(script, "KINDS = %d\narray KIND[%d]\n", map->num_kinds, map->num_kinds);
    for (int k = 0; k < map->num_kinds; k++) {
        char variable[32];
        snprintf(variable, sizeof variable, "KIND[%d]", k + 1);
        bs_script_text(script, variable, map->kinds[k]);
        int columns = bs_chart_columns(map->kinds[k], plot->room.name);
        longest = columns > longest ? columns : longest;
    }
    fprintf(script, "BLOCKS = %d\nLONGEST_KIND = %d\nLEFT_OUT = %d\n", map->num_blocks, longest,
            map->left_out);
    fputs("KEYS = 0\nLONGEST_NAME = 0\n", script); /* there is no legend but the colours */
}

enum bs_status bs_plot_sensitivity(struct bs_plot *plot, struct bs_error *err)
{
    struct map *map = bs_calloc(1, sizeof *map);
    if (!map)
        return bs_fail_memory(err);
    enum bs_status status = fill(map, plot, err);
    const struct bs_value_type *type =
        status ? NULL : bs_value_type_find(plot->rows[0]->evaluation, plot->asked);
    if (!status) {
        const char *heading = type && type->heading ? type->heading : plot->asked;
        char name[96];
        snprintf(name, sizeof name, "%s", heading);
        for (char *c = name; *c; c++)
            *c = *c == '\n' || *c == '_' ? ' ' : *c;
        print_data(map, plot, type);
        print_panels(map, plot);
        print_scale(map, plot, type);
        bs_script_text(plot->script, "CELL_VALUE", name);
    }
    for (int p = 0; p < map->num_panels; p++)
        bs_free(map->panels[p].way);
    bs_free(map->cells);
    bs_free(map);
    return status;
}

/* Maps of the errors of linears: a cell for each, a row for each block, of all recipes of a model
 * by one scale of colours, whose steps are of equal factors. */
#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/elementary.h"
#include "eval/report/columns.h"
#include "eval/report/html.h"
#include "eval/report/page_internal.h"

/* Classes of report.css, m0 to m11, and mx where there is no error. */
enum { STEPS = 12, MOST_CELLS = 24000, MOST_KINDS = 1024, CELL = 14 };

/* The linears of a recipe. */
struct map {
    const struct bs_row *row;
    struct bs_layer_table layers;
    int column; /* of the error */
};

/* The recipes of a model, each once. */
struct atlas {
    const char *value; /* what is drawn of each linear */
    int count, left_out, cells;
    struct map *maps;
    int num_kinds, num_blocks, unnamed; /* linears of further kinds, for which there is no room */
    const char *kinds[MOST_KINDS];      /* names of linears, in the order of the model */
    double low, high;                   /* of the errors above 0; then of the scale of colours */
    bool low_more, high_more;           /* errors lie below, above the scale */
};

/* What errors a scale of colours can show: those of recipes that lose next to nothing, or all,
 * would make the others one colour. */
struct scale {
    const char *value;
    double least;   /* as a share of the highest */
    double highest; /* that means anything */
    const char *words;
};

/* The error of outputs, or where none was taken that of the weights. */
static const struct scale scales[] = {
    {"relative_output_error", 1e-3, 1,

     "no higher than 1, where all is lost, and no lower than a thousandth"},
    {"weight_mse", 1e-6, INFINITY, "no lower than a millionth"},
};

static double error_of(const struct map *map, int layer)
{
    return map->column < 0 ? (double)NAN : map->layers.rows[layer].values[map->column];
}

static int find_kind(const struct atlas *atlas, const char *name)
{
    int kind = 0;
    while (kind < atlas->num_kinds && strcmp(atlas->kinds[kind], name))
        kind++;
    return kind;
}

/* The places and the range of a map. */
static void take_in(struct atlas *atlas, const struct map *map)
{
    for (int i = 0; i < map->layers.num_rows; i++) {
        const struct bs_layer_row *layer = &map->layers.rows[i];
        double error = error_of(map, i);
        int kind = find_kind(atlas, layer->name);
        if (kind == atlas->num_kinds && kind < MOST_KINDS)
            atlas->kinds[atlas->num_kinds++] = layer->name;
        else if (kind == atlas->num_kinds)
            atlas->unnamed++;
        if (layer->block >= atlas->num_blocks)
            atlas->num_blocks = layer->block + 1;
        if (!(error > 0) || !isfinite(error))
            continue;
        atlas->low = error >= atlas->low ? atlas->low : error;
        atlas->high = error <= atlas->high ? atlas->high : error;
    }
}

/* Errors of layers are the same on all texts: of several trials of a recipe the first stands. */
static bool is_drawn(const struct atlas *atlas, const struct bs_row *row)
{
    for (int i = 0; i < atlas->count; i++) {
        const struct bs_row *other = atlas->maps[i].row;
        if (!strcmp(other->label, row->label) && !strcmp(other->numerics, row->numerics) &&
            !strcmp(other->calibration_digest, row->calibration_digest))
            return true;
    }
    return false;
}

static enum bs_status add_map(struct atlas *atlas, const struct bs_row *row, struct bs_error *err)
{
    struct map map = {.row = row};
    if (bs_results_read_layers(row->file, row->id, &map.layers, err))
        return err->status;
    map.column = bs_layer_column(&map.layers, atlas->value);
    bool fits = atlas->cells + map.layers.num_rows <= MOST_CELLS;
    if (!map.layers.num_rows || !fits) {
        atlas->left_out += !fits;
        bs_layer_table_release(&map.layers);
        return BS_OK;
    }
    atlas->cells += map.layers.num_rows;
    atlas->maps[atlas->count++] = map;
    take_in(atlas, &map);
    return BS_OK;
}

static bool same_model(const struct bs_row *a, const struct bs_row *b)
{
    return !strcmp(a->model, b->model) && !strcmp(a->model_digest, b->model_digest);
}

/* The maps of the model that `first` is of. */
static enum bs_status gather(struct atlas *atlas, const struct bs_results *results,
                             const struct bs_row *first, struct bs_error *err)
{
    atlas->maps = bs_alloc((size_t)results->num_rows, sizeof *atlas->maps);
    if (!atlas->maps)
        return bs_fail_memory(err);
    for (int i = 0; i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        if (bs_row_is_done(row) && same_model(row, first) &&
            strcmp(row->algorithm, "unquantized") && !is_drawn(atlas, row) &&
            add_map(atlas, row, err))
            return err->status;
    }
    return BS_OK;
}

static void bound_scale(struct atlas *atlas, const struct scale *scale)
{
    atlas->high_more = atlas->high > scale->highest;
    atlas->high = atlas->high_more ? scale->highest : atlas->high;
    double least = scale->least * atlas->high;
    atlas->low_more = atlas->low < least;
    atlas->low = atlas->low_more ? least : atlas->low;
}

/* ---- drawing ---- */

/* -1 where there is no error to show; 0 is the least. */
static int step_of(const struct atlas *atlas, double error)
{
    if (!isfinite(error) || error < 0)
        return -1;
    if (!(error > atlas->low) || !(atlas->high > atlas->low))
        return 0;
    double share = bs_log(error / atlas->low) / bs_log(atlas->high / atlas->low);
    int step = (int)(share * STEPS);
    return step < STEPS ? step : STEPS - 1;
}

/* The cells of one step as a path. */
static void print_step(const struct atlas *atlas, const struct map *map, int step, FILE *out)
{
    bool any = false;
    for (int i = 0; i < map->layers.num_rows; i++) {
        const struct bs_layer_row *layer = &map->layers.rows[i];
        int kind = step_of(atlas, error_of(map, i)) == step ? find_kind(atlas, layer->name)
                                                            : atlas->num_kinds;
        if (kind == atlas->num_kinds)
            continue;
        if (!any && step < 0)
            fputs("<path class=\"mx\" d=\"", out);
        else if (!any)
            fprintf(out, "<path class=\"m%d\" d=\"", step);
        any = true;
        fprintf(out, "M%d %dh13v13h-13z", CELL * kind, CELL * layer->block);
    }
    fputs(any ? "\"/>\n" : "", out);
}

/* What the pointer is told: errors row by row, empty where there is none. */
static void print_values(const struct atlas *atlas, const struct map *map, FILE *out)
{
    int at = 0, cells = atlas->num_blocks * atlas->num_kinds;
    float *values = bs_alloc((size_t)cells, sizeof *values);
    for (int i = 0; values && i < cells; i++)
        values[i] = NAN;
    for (int i = 0; values && i < map->layers.num_rows; i++) {
        int kind = find_kind(atlas, map->layers.rows[i].name);
        if (kind < atlas->num_kinds && map->layers.rows[i].block >= 0)
            values[map->layers.rows[i].block * atlas->num_kinds + kind] = (float)error_of(map, i);
    }
    for (fputs(" data-values=\"", out); values && at < cells; at++)
        if (isfinite(values[at]))
            fprintf(out, at ? ",%.3g" : "%.3g", (double)values[at]);
        else
            fputs(at ? "," : "", out);
    fputc('"', out);
    bs_free(values);
}

static void print_map(const struct atlas *atlas, const struct map *map, FILE *out)
{
    int width = CELL * atlas->num_kinds, height = CELL * atlas->num_blocks;
    fputs("<figure class=\"map\">", out);
    bs_html_element(out, "figcaption", "%s", map->row->label);
    fprintf(
        out,
        "<div class=\"wide\"><svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\"",
        width, height, width, height);
    print_values(atlas, map, out);
    fputs(">\n", out);
    for (int step = -1; step < STEPS; step++)
        print_step(atlas, map, step, out);
    fputs("</svg></div></figure>\n", out);
}

/* The steps with the errors they begin at. */
static void print_scale(const struct atlas *atlas, FILE *out)
{
    fprintf(out,
            "<p class=\"scale\">%s%.2g <svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
            "role=\"img\" aria-label=\"scale of colours\">",
            atlas->low_more ? "≤ " : "", atlas->low, CELL * STEPS, CELL, CELL * STEPS, CELL);
    for (int step = 0; step < STEPS; step++)
        fprintf(out, "<path class=\"m%d\" d=\"M%d 0h14v14h-14z\"/>", step, CELL * step);
    fprintf(out, "</svg> %s%.2g</p>\n", atlas->high_more ? "≥ " : "", atlas->high);
}

/* "columns: q_proj, k_proj, ..." for eyes and for the pointer. */
static void print_kinds(const struct atlas *atlas, FILE *out)
{
    fputs("<p class=\"kinds\">Columns: ", out);
    for (int k = 0; k < atlas->num_kinds; k++) {
        fputs(k ? ", " : "", out);
        fprintf(out, "<span>");
        bs_html_text(out, atlas->kinds[k]);
        fputs("</span>", out);
    }
    fprintf(out, "; rows: blocks 0 to %d.</p>\n", atlas->num_blocks - 1);
}

static void print_atlas(const struct atlas *atlas, const struct bs_row *first, FILE *out)
{
    fputs("<div class=\"atlas\">\n", out);
    bs_html_element(out, "h3", "%s", first->model);
    print_kinds(atlas, out);
    print_scale(atlas, out);
    for (int i = 0; i < atlas->count; i++)
        print_map(atlas, &atlas->maps[i], out);
    if (atlas->left_out)
        bs_html_element(out, "p",
                        "%d further recipes are not drawn, for want of room: --where and "
                        "--top choose others",
                        atlas->left_out);
    if (atlas->unnamed)
        bs_html_element(out, "p", "%d linears have no cell, for want of room", atlas->unnamed);
    fputs("</div>\n", out);
}

static void release(struct atlas *atlas)
{
    for (int i = 0; i < atlas->count; i++)
        bs_layer_table_release(&atlas->maps[i].layers);
    bs_free(atlas->maps);
}

static bool begins_model(const struct bs_results *results, int trial)
{
    for (int i = 0; i < trial; i++)
        if (same_model(&results->rows[i], &results->rows[trial]))
            return false;
    return true;
}

static const struct scale *scale_of(const struct bs_results *results)
{
    for (int i = 0; i < results->num_rows; i++)
        if (isfinite(bs_row_number(&results->rows[i], scales[0].value)))
            return &scales[0];
    return &scales[1];
}

enum bs_status bs_page_layers(const struct bs_page *page, FILE *out, struct bs_error *err)
{
    const struct bs_results *results = &page->shown->results;
    const struct scale *scale = scale_of(results);
    enum bs_status status = BS_OK;
    bool begun = false;
    int cells = 0;
    for (int i = 0; i < results->num_rows && !status; i++) {
        struct atlas atlas = {.value = scale->value, .cells = cells, .low = NAN, .high = NAN};
        if (!begins_model(results, i))
            continue;
        status = gather(&atlas, results, &results->rows[i], err);
        if (!status && atlas.count && !begun) {
            bs_page_section(out, "layers", "Errors by layer");
            bs_html_element(
                out, "p",
                "%s of every linear; each step of colour is the same factor. The scale goes %s of "
                "its upper end; what lies beyond has the colour of that end.",
                scale->value, scale->words);
            begun = true;
        }
        bound_scale(&atlas, scale);
        if (!status && atlas.count)
            print_atlas(&atlas, &results->rows[i], out);
        cells = atlas.cells;
        release(&atlas);
    }
    fputs(begun ? "</section>\n" : "", out);
    return status;
}

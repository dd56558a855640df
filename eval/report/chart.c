/* Charts by their names: what each draws, of which trials, and how its files are called. */
#include "eval/report/chart.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/model_name.h"
#include "eval/base/option.h"
#include "eval/base/printable.h"
#include "eval/report/chart_internal.h"
#include "eval/report/chart_xy.h"
#include "eval/report/column_names.h"
#include "eval/report/columns.h"
#include "eval/tasks/evaluation.h"
#include "eval/tasks/metric.h"

/* A kind of chart: its own name, and how it is called with a value that is drawn in the place of
 * its own. */
static const struct kind {
    const char *name, *before, *after; /* before NULL: it has no such value */
    const char *template;              /* NULL: its name's */
    enum bs_status (*plot)(struct bs_plot *plot, struct bs_error *err);
    const char
        *lines_of;     /* its own value where it has a line for each trial; NULL = it draws values
                           * of trials, groups of calibrations by their means */
    const char *takes; /* which words may be said of it, a letter each */
    const char *over;  /* the value that it draws over, of which trials must have several; NULL = it
                       * is the bits of weights or asked for */
    bool (*draws)(const struct bs_row *row); /* the trials that it is of; NULL = all */
} kinds[] = {
    {"perplexity_vs_bits", "", "_vs_bits", NULL, bs_plot_perplexity, NULL, "", NULL, NULL},
    {"pareto", "pareto_", "", NULL, bs_plot_pareto, NULL, "", NULL, NULL},
    {"layer_error", "layer_", "", NULL, bs_plot_layers, "relative_output_error", "", NULL, NULL},
    {"perplexity_by_position", "", "_by_position", NULL, bs_plot_positions, "perplexity", "", NULL,
     NULL},
    {"kv_cache", "kv_cache_", "", "xy", bs_plot_xy, NULL, "lp", BS_KV_BITS, NULL},
    {"heatmap", "heatmap_", "", NULL, bs_plot_heatmap, NULL, "xyp", NULL, NULL},
    {"sensitivity", "sensitivity_", "", NULL, bs_plot_sensitivity, "kld_mean", "", NULL,
     bs_row_is_of_one_place},
    {"channels", NULL, NULL, NULL, bs_plot_channels, NULL, "", NULL, bs_row_has_channels},
    {"xy", NULL, NULL, NULL, bs_plot_xy, NULL, "xylp", NULL, NULL}, /* one chart of all trials */
};
enum { NUM_KINDS = sizeof kinds / sizeof *kinds };

/* Dots of a further line of a title, by the terminal that sets lines widest (SVG). */
enum { TITLE_LINE = 54 };

const char *const bs_chart_names[] = {
    "perplexity_vs_bits", "pareto",      "layer_error", "perplexity_by_position",
    "kv_cache",           "sensitivity", "channels",    NULL};
const char *const bs_picture_names[] = {"png", "svg", "pdf", "eps", NULL};

const char *const bs_chart_patterns[] = {"perplexity_vs_bits",
                                         "pareto",
                                         "layer_error",
                                         "perplexity_by_position",
                                         "kv_cache",
                                         "heatmap",
                                         "sensitivity",
                                         "channels",
                                         "xy",
                                         "*_vs_bits",
                                         "pareto_*",
                                         "layer_*",
                                         "*_by_position",
                                         "kv_cache_*",
                                         "heatmap_*",
                                         "sensitivity_*",
                                         NULL};

/* A chart that is asked for. */
struct chart {
    const struct kind *kind;
    const char *name; /* as it is asked for, and as its files are called */
    char value[64];   /* "" = the kind's own */
};

/* False for a name that no chart has. */
static bool parse_name(const char *name, struct chart *chart)
{
    for (int k = 0; k < NUM_KINDS; k++) {
        *chart = (struct chart){&kinds[k], name, ""};
        if (!strcmp(kinds[k].name, name))
            return true;
    }
    for (int k = 0; k < NUM_KINDS; k++) {
        if (!kinds[k].before)
            continue;
        size_t before = strlen(kinds[k].before), after = strlen(kinds[k].after);
        size_t length = strlen(name);
        if (length <= before + after || strncmp(name, kinds[k].before, before) ||
            strcmp(name + length - after, kinds[k].after))
            continue;
        *chart = (struct chart){&kinds[k], name, ""};
        snprintf(chart->value, sizeof chart->value, "%.*s", (int)(length - before - after),
                 name + before);
        return true;
    }
    return false;
}

/* Appends the text of a template to the script. */
static enum bs_status append_template(FILE *script, const char *plots, const char *name,
                                      struct bs_error *err)
{
    char *path = bs_printf("%s/%s.gp", plots, name), *text = NULL;
    size_t size = 0;
    enum bs_status status = path ? bs_file_read(path, &text, &size, err) : bs_fail_memory(err);
    if (!status) {
        fputc('\n', script);
        fwrite(text, 1, size, script); /* the stream remembers a failure until it is closed */
    }
    bs_free(text);
    bs_free(path);
    return status;
}

/* As much of a model's name as a title has room for: of a path its end. */
static enum bs_status title_name(const char *model, char *out, size_t size, struct bs_error *err)
{
    enum { COLUMNS = 44 };
    char *name = bs_model_short_name(model), shown[256];
    if (!name)
        return bs_fail_memory(err);
    const char *rest = name, *slash;
    while (bs_chart_columns(rest, COLUMNS) == COLUMNS && (slash = strchr(rest, '/')) && slash[1])
        rest = slash + 1;
    bs_shorten(rest, COLUMNS, shown, sizeof shown);
    snprintf(out, size, "%s%s", rest > name + 1 ? "\xe2\x80\xa6/" : "", shown);
    bs_free(name);
    return BS_OK;
}

/* What the value is called, in one line, and which way is worse. */
static void print_value(const struct bs_plot *plot)
{
    const struct bs_value_type *type = plot->value;
    char name[96] = "";
    if (type)
        snprintf(name, sizeof name, "%s", type->heading ? type->heading : type->name);
    for (char *c = name; *c; c++)
        *c = *c == '\n' || *c == '_' ? ' ' : *c;
    bs_script_text(plot->script, "VALUE", name);
    fprintf(plot->script, "PAIRED = %d\nCHANGE = '%s'\n", type && bs_plot_is_paired(plot),
            type && type->direction > 0 ? "decrease" : "increase");
}

void bs_plot_set_width(struct bs_plot *plot)
{
    bool is_single = plot->how->is_single;
    plot->width = is_single ? 960 : 1600;
    plot->room.title = is_single ? 44 : 74;
    plot->room.name = is_single ? 36 : 66;
    plot->room.tick = is_single ? 50 : 56;
    plot->room.point = is_single ? 28 : 40;
}

/* What the pictures are to be like: style.gp makes it so. */
static void print_style(const struct bs_plot *plot, const char *base)
{
    const struct bs_chart_how *how = plot->how;
    FILE *script = plot->script;
    fprintf(script, "# Draws %s from %s.tsv: gnuplot %s.gp\nPICTURES = '", base, base, base);
    const char *before = "";
    for (int i = 0; i < BS_NUM_PICTURES; i++)
        if (how->pictures >> i & 1u) {
            fprintf(script, "%s%s", before, bs_picture_names[i]);
            before = " ";
        }
    /* Of two columns of a paper and of one, as ACM, IEEE and ACL have them. */
    fprintf(script, "'\nWIDTH = %d\nINCHES = %s\nSINGLE = %d\nDARK = %d\n", plot->width,
            how->is_single ? "3.3" : "7", how->is_single, how->is_dark);
}

/* What all that a chart of all draws is of. */
struct common {
    const struct bs_row *first; /* a row that is drawn */
    bool model, text;           /* whether all are of one */
};

static struct common find_common(const struct bs_plot *plot, const struct bs_row *first)
{
    struct common common = {first, true, true};
    const struct bs_results *results = plot->results;
    struct bs_xy_axes axes;
    struct bs_error ignored;
    bool any = false;
    if (!plot->of_all || bs_xy_axes_find(results, plot->how, &axes, &ignored))
        return common;
    for (int i = 0; i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        if (!bs_xy_has_point(&axes, row))
            continue;
        common.first = any ? common.first : row;
        any = true;
        common.model = common.model && !strcmp(row->model, common.first->model);
        common.text = common.text && bs_rows_comparable(row, common.first);
    }
    return common;
}

/* What the chart is of: its trials' models, text and protocol as far as they agree. */
static enum bs_status print_title(struct bs_plot *plot, const struct bs_row *first,
                                  struct bs_error *err)
{
    char subject[400], how[BS_MEASURED_TEXT + 2], model[300], measured[BS_MEASURED_TEXT];
    struct common common = find_common(plot, first);
    if (title_name(common.first->model, model, sizeof model, err))
        return err->status;
    bs_row_measured(common.first, measured);
    snprintf(subject, sizeof subject, "%s%s%s", common.model ? model : "",
             common.model && common.text ? " on " : "", common.text ? common.first->text : "");
    snprintf(how, sizeof how, "%s%s%s", common.text ? "(" : "", common.text ? measured : "",
             common.text ? ")" : "");
    plot->title_lines = bs_script_title(plot, "SECTION", subject, how);
    return BS_OK;
}

static enum bs_status script_head(struct bs_plot *plot, const char *base,
                                  const struct bs_row *first, struct bs_error *err)
{
    print_style(plot, base);
    /* How C prints what gnuplot calls NaN. */
    fputs("nan = NaN\ninf = NaN\n", plot->script);
    bs_script_text(plot->script, "BASE", base);
    fputs("DATA = BASE . '.tsv'\n", plot->script);
    if (print_title(plot, first, err))
        return err->status;
    int lines = plot->title_lines > 0 ? plot->title_lines : 1;
    fprintf(plot->script, "TITLE_MORE = %d\n", TITLE_LINE * (lines - 1));
    print_value(plot);
    fprintf(plot->script, "UNQUANTIZED = %.10g\n",
            plot->unquantized && plot->value ? bs_plot_value(plot, plot->unquantized)
                                             : (double)NAN);
    return BS_OK;
}

/* What is drawn of an evaluation's trials: the value that is asked for, else their perplexity, else
 * the first of its values, but of a task where the chart is perplexity's by its name; NULL where
 * there is none that this program knows. */
static const struct bs_value_type *value_of(const struct bs_results *results,
                                            const struct chart *chart, const char *evaluation)
{
    const struct bs_value_type *type;
    const char *own;
    if (*chart->value)
        return bs_columns_type(results, chart->value);
    type = bs_value_type_find(evaluation, "perplexity");
    bool named = chart->kind->plot == bs_plot_perplexity && bs_evaluation_has_answers(evaluation);
    for (int i = 0; !type && !named && bs_value_type_at(i, &own); i++)
        if (!strcmp(own, evaluation))
            type = bs_value_type_at(i, &own);
    return type;
}

/* Whether two finished trials differ in this value. */
static bool differ(const struct bs_results *results, const char *name)
{
    double first = (double)NAN;
    for (int i = 0; i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        double number = bs_row_is_done(row) ? bs_row_number(row, name) : (double)NAN;
        if (isnan(number))
            continue;
        if (number < first || number > first)
            return true;
        first = number;
    }
    return false;
}

bool bs_chart_applies(const struct bs_results *results, const char *name)
{
    struct chart chart;
    bool applies = false;
    for (int i = 0; parse_name(name, &chart) && i < results->num_rows && !applies; i++) {
        const struct bs_row *row = &results->rows[i];
        const struct bs_value_type *value = value_of(results, &chart, row->evaluation);
        const char *drawn = chart.kind->lines_of ? chart.kind->lines_of : value ? value->name : "";
        applies = bs_row_is_done(row) && bs_row_value(row, NULL, drawn) &&
                  (!chart.kind->draws || chart.kind->draws(row));
    }
    return applies && (!chart.kind->over || differ(results, chart.kind->over));
}

/* The chart that is written, and the first row of its section. */
struct section {
    const struct chart *chart;
    const struct bs_row *first;
};

static enum bs_status write_chart(struct bs_plot *plot, const char *base, const void *context,
                                  struct bs_error *err)
{
    const struct section *section = context;
    const struct kind *kind = section->chart->kind;
    const char *plots = plot->how->plots;
    if (script_head(plot, base, section->first, err) || kind->plot(plot, err) ||
        append_template(plot->script, plots, "style", err))
        return err->status;
    return append_template(plot->script, plots, kind->template ? kind->template : kind->name, err);
}

/* Takes those rows off that a chart is not of. */
static void keep_rows(struct bs_plot *plot, bool (*draws)(const struct bs_row *row))
{
    int kept = 0;
    for (int i = 0; i < plot->num_rows; i++)
        if (draws(plot->rows[i]))
            plot->rows[kept++] = plot->rows[i];
    plot->num_rows = kept;
}

/* Adds to `drawn`; a section without a finished trial, as where a run has just begun, is none:
 * what an earlier file had of it goes. */
static enum bs_status draw_section(const struct bs_results *results, const struct section *section,
                                   const struct bs_chart_how *how, const char *name,
                                   struct bs_lines *drawn, struct bs_error *err)
{
    char base[BS_CHART_NAME_BYTES + 16];
    const struct chart *chart = section->chart;
    const char *lines_of = chart->kind->lines_of;
    bool of_all = chart->kind->plot == bs_plot_xy;
    struct bs_plot plot = {.results = results,
                           .how = how,
                           .value = lines_of ? NULL
                                             : value_of(results, chart, section->first->evaluation),
                           .asked = *chart->value ? chart->value : lines_of,
                           .of_all = of_all,
                           .of_predictions = chart->kind->plot == bs_plot_positions};
    snprintf(base, sizeof base, "%s%s", name, bs_chart_suffix(how));
    bs_plot_set_width(&plot);
    plot.rows = bs_alloc((size_t)results->num_rows, sizeof *plot.rows);
    struct bs_row *copies = bs_calloc((size_t)results->num_rows, sizeof *copies);
    enum bs_status status = plot.rows && copies ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = bs_plot_choose_rows(&plot, section->first, copies, !lines_of, err);
    if (!status && chart->kind->draws)
        keep_rows(&plot, chart->kind->draws);
    if (!status && plot.num_rows)
        status = bs_lines_add(drawn, err, "%s", name);
    if (!status && plot.num_rows)
        status = bs_chart_make(&plot, base, write_chart, section, err);
    else if (!status)
        status = bs_chart_remove(how->directory, base, false, err);
    for (int i = 0; copies && i < results->num_rows; i++)
        if (copies[i].values != results->rows[i].values) /* a mean; of what was left out, NULL */
            bs_rows_mean_release(&copies[i]);
    bs_free(copies);
    bs_free(plot.rows);
    return status;
}

/* A chart that asks for no value is of texts where there are any: what tasks could add to it is the
 * same linears once more, and accuracies, which are asked for by their names. */
static bool is_of_texts(const struct bs_results *results, const struct chart *chart,
                        const struct bs_row *row)
{
    if (*chart->value || !bs_evaluation_has_answers(row->evaluation))
        return false;
    for (int i = 0; i < results->num_rows; i++)
        if (!bs_evaluation_has_answers(results->rows[i].evaluation))
            return true;
    return false;
}

static enum bs_status draw_sections(const struct bs_results *results, const struct chart *chart,
                                    const struct bs_chart_how *how, struct bs_lines *drawn,
                                    struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int i = 0, number = 0; !status && i < results->num_rows; i++) {
        bool begun = is_of_texts(results, chart, &results->rows[i]);
        for (int k = 0; k < i && !begun; k++)
            begun = bs_rows_same_subject(&results->rows[i], &results->rows[k]);
        if (begun)
            continue;
        char base[BS_CHART_NAME_BYTES];
        const struct section section = {chart, &results->rows[i]};
        bs_chart_base_name(results, chart->name, number++, i, base, sizeof base);
        status = draw_section(results, &section, how, base, drawn, err);
    }
    /* The name without a model is from a time when the file had one model. */
    struct bs_error ignored;
    if ((!status || status == BS_EDATA) && bs_results_several_models(results))
        bs_chart_remove(how->directory, chart->name, true, &ignored);
    return status;
}

/* A chart of all trials: of any value against any other, or of what is lost over the bits of a
 * cache. */
static enum bs_status draw_whole(const struct bs_results *results, const struct chart *chart,
                                 const struct bs_chart_how *how, struct bs_lines *drawn,
                                 struct bs_error *err)
{
    const struct section section = {chart, &results->rows[0]};
    struct bs_chart_how own = *how;
    struct bs_xy_axes axes;
    char shown[64], *base;
    bool is_cache = chart->kind->over;
    if (is_cache) {
        bs_chart_shown(results, value_of(results, chart, results->rows[0].evaluation),
                       *chart->value ? chart->value : NULL, shown);
        own.x = BS_KV_BITS;
        own.y = shown;
    }
    if (bs_xy_axes_find(results, &own, &axes, err))
        return err->status;
    base = is_cache ? bs_strdup(chart->name) : bs_printf("%s_over_%s", axes.y.name, axes.x.name);
    enum bs_status status = base ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = draw_section(results, &section, &own, base, drawn, err);
    bs_free(base);
    return status;
}

/* The kind of chart whose name is nearest, NULL = none is near. */
static const char *near_kind(const char *name)
{
    const char *names[NUM_KINDS + 1] = {NULL};
    for (int k = 0; k < NUM_KINDS; k++)
        names[k] = kinds[k].name;
    return bs_nearest_word(name, names);
}

static enum bs_status fail_name(const char *name, struct bs_error *err)
{
    const char *near = near_kind(name);
    return bs_fail(
        err, BS_ECONFIG,
        "no chart is called '%s'%s%s%s: there are %s, %s, %s, %s, %s, %s and %s, of any "
        "value NAME_vs_bits, pareto_NAME, layer_NAME, NAME_by_position and "
        "kv_cache_NAME, heatmap and heatmap_NAME, and xy, of any value against any other",
        name, near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "",
        bs_chart_names[0], bs_chart_names[1], bs_chart_names[2], bs_chart_names[3],
        bs_chart_names[4], bs_chart_names[5], bs_chart_names[6]);
}

static bool is_of_linears(const char *name)
{
    const struct bs_value_type *type;
    for (int i = 0; (type = bs_metrics_linear_value_at(i)); i++)
        if (!strcmp(type->name, name))
            return true;
    return false;
}

/* A chart that has nothing to draw may be of a value that there is not: then says so. */
static enum bs_status fail_value(const struct chart *chart, struct bs_error *err)
{
    const char *near = NULL, *near_chart = near_kind(chart->name);
    bool of_layers = chart->kind->plot == bs_plot_layers;
    if (!*chart->value || chart->kind->plot == bs_plot_positions ||
        (of_layers ? is_of_linears(chart->value) : bs_column_is_known(chart->value, &near)))
        return err->status;
    near = near_chart ? near_chart : near;
    return bs_fail(err, err->status, "no chart is called '%s': '%s' is no value of %s%s%s%s",
                   chart->name, chart->value, of_layers ? "linears" : "trials",
                   near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

enum bs_status bs_chart_check(const char *name, const struct bs_chart_how *how, bool columns_too,
                              struct bs_error *err)
{
    const struct {
        char letter;
        const char *word, *said;
    } all[] = {{'x', "x", how->x},
               {'y', "y", how->y},
               {'l', "lines", how->lines},
               {'p', "panels", how->panels}};
    struct chart chart;
    if (!parse_name(name, &chart))
        return fail_name(name, err);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i].said && !strchr(chart.kind->takes, all[i].letter))
            return bs_fail(err, BS_ECONFIG, "%s is nothing that can be said of chart '%s'",
                           all[i].word, name);
        for (const char *word = all[i].said; columns_too && word && *word;) {
            size_t length = strcspn(word, ",");
            char column[64];
            const char *near;
            snprintf(column, sizeof column, "%.*s", (int)length, word);
            if (!bs_column_is_known(column, &near))
                return bs_fail(err, BS_ECONFIG,
                               "%s is '%s', expected a value or field of results, as --format csv "
                               "calls it%s%s%s",
                               all[i].word, column, near ? " (did you mean '" : "",
                               near ? near : "", near ? "'?)" : "");
            word += length + (word[length] == ',');
        }
    }
    return BS_OK;
}

enum bs_status bs_chart_draw(const struct bs_results *results, const char *name,
                             const struct bs_chart_how *how, struct bs_lines *drawn,
                             struct bs_error *err)
{
    struct chart chart;
    if (!parse_name(name, &chart))
        return fail_name(name, err);
    if (results->num_rows == 0)
        return bs_fail(err, BS_EDATA, "%s: no trial to draw", results->path);
    char axes[BS_CHART_NAME_BYTES];
    if (chart.kind->plot == bs_plot_heatmap && (how->x || how->y)) {
        snprintf(axes, sizeof axes, "%s_%s_over_%s", name, how->y ? how->y : BS_HEATMAP_Y,
                 how->x ? how->x : BS_HEATMAP_X);
        chart.name = axes;
    }
    enum bs_status status = bs_make_directory(how->directory, err);
    int before = drawn->count;
    if (!status && chart.kind->plot == bs_plot_xy)
        status = draw_whole(results, &chart, how, drawn, err);
    else if (!status)
        status = draw_sections(results, &chart, how, drawn, err);
    if (!status && drawn->count == before)
        status = bs_fail(err, BS_EDATA, "%s: no finished trial to draw", results->path);
    return status == BS_EDATA ? fail_value(&chart, err) : status;
}

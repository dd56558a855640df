/* What a chart is drawn from; chart.c makes the files, the others choose the data. */
#ifndef BS_EVAL_REPORT_CHART_INTERNAL_H
#define BS_EVAL_REPORT_CHART_INTERNAL_H

#include <stdbool.h>
#include <stdio.h>

#include "eval/report/chart.h"

/* One section of a result file (the same model, text and protocol) on its way to gnuplot. */
struct bs_plot {
    const struct bs_results *results;
    const struct bs_chart_how *how;
    const struct bs_value_type *value; /* what is drawn against bits */
    const char *asked;   /* the value that the chart draws of every linear, or by position */
    bool of_predictions; /* it draws figures of predictions: tasks have none */
    bool of_all;         /* of all models and texts in one chart */
    const struct bs_row *unquantized; /* NULL where the file has none */
    int num_rows;
    const struct bs_row **rows; /* finished trials, without the unquantized model */
    FILE *data;                 /* tab separated; blocks end with two empty lines */
    FILE *script;               /* gnuplot's variables, before the template */
    int title_lines;
    int width; /* dots: a letter is as large whatever the width */
    /* Columns of letters that fit over the chart, into its legend, beside its axis, to a point. */
    struct {
        int title, name, tick, point;
    } room;
};

/* More than the names of a chart, a model and a text and a number take. */
enum { BS_CHART_NAME_BYTES = 256 };

/* Sets how wide a plot is, and what room there is, by plot->how. */
void bs_plot_set_width(struct bs_plot *plot);

/* Fills plot->data and plot->script. */
typedef enum bs_status bs_chart_write(struct bs_plot *plot, const char *base, const void *context,
                                      struct bs_error *err);

/* Makes the files of chart `base` by what `write` writes. On any failure what was there stays; only
 * where gnuplot cannot be run, data and script are put in their places. BS_EIO, BS_ENOMEM. */
enum bs_status bs_chart_make(struct bs_plot *plot, const char *base, bs_chart_write *write,
                             const void *context, struct bs_error *err);

/* Removes the pictures of an earlier time, and data and script too. BS_EIO, BS_ENOMEM. */
enum bs_status bs_chart_remove(const char *directory, const char *base, bool data_too,
                               struct bs_error *err);

/* A line or a group of points. All indices from 1, as gnuplot counts. */
struct bs_series {
    char name[160];
    char variant[160]; /* name without the algorithm */
    const char *algorithm, *family;
    int colour, shape, dash;
};

/* The series of a chart, and what its legend tells of them. */
struct bs_series_list {
    struct bs_series *series; /* with room for what is added */
    int count;
    bool by_family; /* the chart has formats of several families: colours tell them, the same one a
                       family in every chart, and shapes the algorithms. Else both do the latter. */
    bool pooled;    /* a series is an algorithm (and family); else what differs in bits only, where
                       dash and filling tell the rest */
};

/* An entry of the legend. */
struct bs_key {
    const char *name;
    int colour, shape, dash; /* shape 0: a patch of the colour alone; of colour 0, a line */
};

/* More series than these are not named one by one: the legend has the colours and the shapes. */
enum { BS_MOST_KEYS = 24 };

/* What is drawn of a row, as a table shows it; and its standard error: of the paired difference to
 * the unquantized model where its evaluation has that ("NAME_delta"), else its own, 0 where there
 * is none. And the deviation of one draw of calibration, 0 for fewer than two. */
bool bs_plot_is_paired(const struct bs_plot *plot);
double bs_plot_value(const struct bs_plot *plot, const struct bs_row *row);
double bs_plot_se(const struct bs_plot *plot, const struct bs_row *row);
double bs_plot_spread(const struct bs_plot *plot, const struct bs_row *row);

/* Whether trials that are compared by their weights alone are of several families of formats. */
bool bs_plot_has_families(const struct bs_plot *plot);

/* Adds the series of `row` where it is new; returns its index from 0. */
int bs_series_of(struct bs_series_list *list, const struct bs_row *row);

/* The entries of the list's legend, into room for list->count + BS_NUM_FAMILIES; how many. And the
 * rows that plots/style.gp gives them. */
int bs_series_keys(const struct bs_series_list *list, struct bs_key *keys);
int bs_key_rows(const struct bs_plot *plot, const struct bs_key *keys, int num_keys);

/* The words of row->label but "w<bits>" and, where asked, the granularity. */
void bs_series_name(const struct bs_row *row, int without_granularity, char *out, size_t size);

/* The words of row->label but the numbers of "kv4", "k4" and "v2"; "kv4" at the end goes whole. */
void bs_series_name_but_cache(const struct bs_row *row, char *out, size_t size);

/* The value of trials that a chart of losses shows: that which is asked for, else (NULL) the
 * difference of this one to the unquantized model's, where trials have that. */
void bs_chart_shown(const struct bs_results *results, const struct bs_value_type *value,
                    const char *asked, char out[64]);

/* Whether activations and the cache are as they were: such trials are compared by the bits of their
 * weights. */
int bs_is_weight_only(const struct bs_row *row);

/* Columns that a text takes which is shortened to `most`. */
int bs_chart_columns(const char *text, int most);

/* Writes a variable of the script: NAME = "text", all of it letters to gnuplot. */
void bs_script_text(FILE *script, const char *name, const char *text);

/* The same of what is drawn and how it was measured, in one line where there is room, else folded.
 * Returns the lines. */
int bs_script_title(const struct bs_plot *plot, const char *name, const char *subject,
                    const char *how);

/* Writes COLOURS, SHAPES and DASHES of N series, and KEY_NAMES, KEY_COLOURS, KEY_SHAPES, KEY_DASHES
 * of KEYS entries, whose LONGEST_NAME has so many columns. */
void bs_script_series(const struct bs_plot *plot, const struct bs_series_list *list,
                      const struct bs_key *keys, int num_keys);

/* The least and the largest of values; NaN for none. */
struct bs_axis_range {
    double low, high;
};
void bs_axis_range_widen(struct bs_axis_range *range, double value);

/* Writes LOG_<axis>, <axis>_LOW and <axis>_HIGH: room around the values, more below them, where the
 * name of the unquantized level stands; logarithmic where they span more than a factor of three. */
void bs_script_range(FILE *script, const char *axis, struct bs_axis_range range);

/* Lines of a chart that has one for each trial: of one format, the one with the most algorithms, of
 * weights alone where there is one; of several the one nearest to 3 bits. */
enum { BS_MOST_LINES = 8 };
struct bs_chart_lines {
    int count, left_out; /* further trials of the format, for which there is no room */
    const struct bs_row *rows[BS_MOST_LINES];
    const struct bs_row *format; /* one of it */
};
void bs_chart_lines_choose(const struct bs_plot *plot, struct bs_chart_lines *lines);

/* Writes the series of the lines, what they have in common as FORMAT, and the legend, which begins
 * with what they are `compared_with` where that is not NULL. */
void bs_script_lines(const struct bs_plot *plot, const struct bs_chart_lines *lines,
                     const char *compared_with);

/* Writes a value's name in words, "relative output error". */
void bs_script_value_name(FILE *script, const char *variable, const char *value);

/* Prints text without what would part fields or lines; the second shortened to `columns`. */
void bs_print_field(FILE *out, const char *text);
void bs_print_shortened(FILE *out, const char *text, int columns);

/* Sets the unquantized model and the rows of the section that `first` is of, or of all sections
 * where the plot is of all: its finished trials,
 * in `copies` [num_rows of the results], which borrow what they hold; with `means`, of those that
 * differ in the seed of their calibration only, one that has their means, and values of its own.
 * BS_ENOMEM. */
enum bs_status bs_plot_choose_rows(struct bs_plot *plot, const struct bs_row *first,
                                   struct bs_row *copies, bool means, struct bs_error *err);

/* Whether a finished trial quantizes one place of the model alone: linears of one block, or one
 * kind of linears. Reads its layers. */
bool bs_row_is_of_one_place(const struct bs_row *row);

/* Whether the largest values of channels of a finished trial are in its file. */
bool bs_row_has_channels(const struct bs_row *row);

/* What follows a chart's name in those of its files: "_single_dark". */
const char *bs_chart_suffix(const struct bs_chart_how *how);

/* How the chart's section that begins at `row` is called, the `section`-th from 0: the chart's
 * name, what of model, text and numerics tells it from others, and its number where nothing
 * does. */
void bs_chart_base_name(const struct bs_results *results, const char *chart, int section, int row,
                        char *out, size_t size);

/* The charts: BS_EDATA where there is nothing to draw. */
enum bs_status bs_plot_perplexity(struct bs_plot *plot, struct bs_error *err);
enum bs_status bs_plot_pareto(struct bs_plot *plot, struct bs_error *err);
enum bs_status bs_plot_layers(struct bs_plot *plot, struct bs_error *err);
enum bs_status bs_plot_positions(struct bs_plot *plot, struct bs_error *err);
enum bs_status bs_plot_sensitivity(struct bs_plot *plot, struct bs_error *err);
enum bs_status bs_plot_channels(struct bs_plot *plot, struct bs_error *err);
enum bs_status bs_plot_xy(struct bs_plot *plot, struct bs_error *err);
enum bs_status bs_plot_heatmap(struct bs_plot *plot, struct bs_error *err);

#endif

/* What a chart is drawn from; chart.c makes the files, the others choose the data. */
#ifndef BS_EVAL_REPORT_CHART_INTERNAL_H
#define BS_EVAL_REPORT_CHART_INTERNAL_H

#include <stdbool.h>
#include <stdio.h>

#include "eval/report/chart.h"

/* One section of a result file (the same model, text and protocol) on its way to gnuplot. */
struct bs_plot {
    const struct bs_results *results;
    const struct bs_value_type *value; /* what is drawn against bits */
    const char *asked; /* the value that the chart draws of every linear, or by position */
    const struct bs_row *unquantized; /* NULL where the file has none */
    int num_rows;
    const struct bs_row **rows; /* finished trials, without the unquantized model */
    FILE *data;                 /* tab separated; blocks end with two empty lines */
    FILE *script;               /* gnuplot's variables, before the template */
    int title_lines;
};

/* A line or a group of points: what differs in bits only. Colour and shape tell the algorithm, dash
 * and filling the rest. All indices from 1, as gnuplot counts. */
struct bs_series {
    char name[160];
    char variant[160]; /* name without the algorithm */
    const char *algorithm;
    int colour, dash;
};

/* What is drawn of a row, as a table shows it; and its standard error: of the paired difference to
 * the unquantized model where its evaluation has that ("NAME_delta"), else its own, 0 where there
 * is none. And the deviation of one draw of calibration, 0 for fewer than two. */
bool bs_plot_is_paired(const struct bs_plot *plot);
double bs_plot_value(const struct bs_plot *plot, const struct bs_row *row);
double bs_plot_se(const struct bs_plot *plot, const struct bs_row *row);
double bs_plot_spread(const struct bs_plot *plot, const struct bs_row *row);

/* Adds the series of `row` where it is new; returns its index from 0. `series` has room. */
int bs_series_of(struct bs_series *series, int *num_series, const struct bs_row *row);

/* The words of row->label but "w<bits>" and, where asked, the granularity. */
void bs_series_name(const struct bs_row *row, int without_granularity, char *out, size_t size);

/* Whether activations are as they were: such trials are compared by the bits of their weights. */
int bs_is_weight_only(const struct bs_row *row);

/* Columns of letters that fit over a chart, into its legend, beside its axis, and to a point. */
enum { BS_TITLE_COLUMNS = 74, BS_NAME_COLUMNS = 66, BS_TICK_COLUMNS = 56, BS_POINT_COLUMNS = 40 };

/* Columns that a text takes which is shortened to `most`. */
int bs_chart_columns(const char *text, int most);

/* Writes a variable of the script: NAME = "text", all of it letters to gnuplot. */
void bs_script_text(FILE *script, const char *name, const char *text);

/* The same of what is drawn and how it was measured, in one line where there is room, else folded
 * to BS_TITLE_COLUMNS. Returns the lines. */
int bs_script_title(FILE *script, const char *name, const char *subject, const char *how);

/* Writes the arrays NAMES, COLOURS, DASHES and their length N. */
void bs_script_series(FILE *script, const struct bs_series *series, int num_series);

/* The least and the largest of values; NaN for none. */
struct bs_range {
    double low, high;
};
void bs_range_widen(struct bs_range *range, double value);

/* Writes LOG_<axis>, <axis>_LOW and <axis>_HIGH: room around the values, more below them, where the
 * name of the unquantized level stands; logarithmic where they span more than a factor of three. */
void bs_script_range(FILE *script, const char *axis, struct bs_range range);

/* Lines of a chart that has one for each trial: of one format, the one with the most algorithms, of
 * weights alone where there is one; of several the one nearest to 3 bits. */
enum { BS_MOST_LINES = 8 };
struct bs_lines {
    int count, left_out; /* further trials of the format, for which there is no room */
    const struct bs_row *rows[BS_MOST_LINES];
    const struct bs_row *format; /* one of it */
};
void bs_lines_choose(const struct bs_plot *plot, struct bs_lines *lines);

/* Writes the series of the lines, LONGEST_NAME, and what they have in common as FORMAT. */
void bs_script_lines(FILE *script, const struct bs_lines *lines);

/* Writes a value's name in words, "relative output error". */
void bs_script_value_name(FILE *script, const char *variable, const char *value);

/* Prints text without what would part fields or lines; the second shortened to `columns`. */
void bs_print_field(FILE *out, const char *text);
void bs_print_shortened(FILE *out, const char *text, int columns);

/* The charts: BS_EDATA where there is nothing to draw. */
enum bs_status bs_plot_perplexity(struct bs_plot *plot, struct bs_error *err);
enum bs_status bs_plot_pareto(struct bs_plot *plot, struct bs_error *err);
enum bs_status bs_plot_layers(struct bs_plot *plot, struct bs_error *err);
enum bs_status bs_plot_positions(struct bs_plot *plot, struct bs_error *err);

#endif

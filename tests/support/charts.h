/* Result files of trials that are made up, and the charts that are drawn of them. */
#ifndef BS_TESTS_SUPPORT_CHARTS_H
#define BS_TESTS_SUPPORT_CHARTS_H

#include <stddef.h>

#include "eval/report/chart.h"

/* The result file of a test, in its folder, and the folder of its charts. */
extern char charts_file[80], charts_folder[80];

/* Of the trials that are added from now on. */
extern const char *charts_model, *charts_compute, *charts_format, *charts_family;

/* How they are drawn, but for the folders. */
extern struct bs_chart_how charts_how;

/* A cmocka setup: an empty folder, and everything as at the beginning. */
int charts_setup(void **state);

/* Adds one finished trial with three linears in two blocks. */
void charts_add(const char *algorithm, int bits, int activation_bits, double perplexity,
                const char *text);

/* Draws by the templates in `plots`. */
enum bs_status charts_draw(const char *name, const char *plots, struct bs_error *err);

/* The path of a chart's file. */
void charts_path(const char *base, const char *ending, char *path, size_t size);

/* Fails unless PNG and SVG are there, whole. */
void charts_assert_pictures(const char *base);

/* charts_how with the folders. */
const struct bs_chart_how *charts_how_of(const char *plots);

#endif

/* The parts of a page; page.c puts them in order. Each prints its section, or nothing where
 * there is nothing to tell. */
#ifndef BS_EVAL_REPORT_PAGE_INTERNAL_H
#define BS_EVAL_REPORT_PAGE_INTERNAL_H

#include "eval/report/page.h"

/* Prints the beginning of a section, with its heading; the end is "</section>". */
void bs_page_section(FILE *out, const char *id, const char *heading);

/* The result files that the page is of. */
int bs_page_files(const struct bs_page *page);
const struct bs_results *bs_page_file(const struct bs_page *page, int file);

/* What was run, by which program, where and when. */
enum bs_status bs_page_facts(const struct bs_page *page, FILE *out, struct bs_error *err);

/* What a reader has to know before the numbers: what failed, fell back, was passed over as models
 * were opened, or is not there yet. */
enum bs_status bs_page_warnings(const struct bs_page *page, FILE *out, struct bs_error *err);

/* Every chart that the trials have something for, as `plot` draws it, within the page. */
enum bs_status bs_page_charts(const struct bs_page *page, FILE *out, struct bs_error *err);

/* For every recipe of a model a map of the error of its linears, block by block, all of a model by
 * one scale. Of those for which a page has no room it says how many they are. */
enum bs_status bs_page_layers(const struct bs_page *page, FILE *out, struct bs_error *err);

#endif

/* Result files as one page of HTML that needs nothing else: no network, no other file. */
#ifndef BS_EVAL_REPORT_PAGE_H
#define BS_EVAL_REPORT_PAGE_H

#include "eval/config/config.h"
#include "eval/report/table.h"

/* What a page is made of. */
struct bs_page {
    const struct bs_trials *shown;
    const struct bs_trials *drawn; /* the same with the unquantized models, for charts */
    const struct bs_published_list *published;
    const char *selected; /* how they were chosen, in words; NULL = all trials are shown */
    const char *columns;  /* of the tables; NULL = by default */
    const char *plots;    /* folder of the chart templates, report.css and report.js */
    int num_charts;       /* further ones, which configs name */
    const struct bs_chart_config **charts; /* [num_charts] */
};

/* Writes the page to `path`, whole or not at all: what was run and where, what to know of it, the
 * table, which trials to take, what the leading ones differ by, charts, errors by layer, and the
 * config. The same results give the same page. Nothing of the results can become markup or a
 * script: a policy within the page lets no script run but its own, and nothing be loaded.
 * BS_EDATA where there is no trial to show, BS_EIO, BS_ENOMEM, and what charts fail by. */
enum bs_status bs_page_write(const struct bs_page *page, const char *path, struct bs_error *err);

#endif

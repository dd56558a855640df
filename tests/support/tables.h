/* Tables of results for tests. */
#ifndef BS_TESTS_SUPPORT_TABLES_H
#define BS_TESTS_SUPPORT_TABLES_H

#include "eval/report/table.h"

/* All trials, to be released. */
enum bs_status select_all(const struct bs_results *results, struct bs_trials *shown,
                          struct bs_error *err);

/* bs_table_print of what the selection chooses; NULL = everything. */
enum bs_status print_selected(const struct bs_results *results,
                              const struct bs_published_list *published,
                              const struct bs_selection *selection, const char *columns,
                              enum bs_table_style style, FILE *out, struct bs_error *err);

#endif

/* Which rows of a table are shown, and in what order: the same words for the trials of a
 * table and the pairs of a gate. Everything is asked of a sheet made for programs, whose columns
 * are the names that a user sees in --format csv. */
#ifndef BS_EVAL_REPORT_SELECTION_H
#define BS_EVAL_REPORT_SELECTION_H

#include "eval/report/expression.h"

/* What was chosen, in its order. */
struct bs_chosen {
    int count;
    int *rows;   /* of the sheet, from 0 for the first below the header */
    int *groups; /* of each of these its group, ascending */
};

/* Chooses rows of the sheet. Row i belongs to table tables[i] (NULL: all to one); each table keeps
 * its rows together and has its own order, groups and top. Where references[i] is true (NULL: none)
 * the row stands first in its table and is not counted by `top`: what others are compared with.
 * What has no number, or an empty text, stands last. BS_ECONFIG for what cannot be read. */
enum bs_status bs_selection_choose(const struct bs_selection *selection,
                                   const struct bs_sheet *sheet, const int *tables,
                                   const bool *references, struct bs_chosen *chosen,
                                   struct bs_error *err);
void bs_chosen_release(struct bs_chosen *chosen);

/* Holds `condition` (--fail-if) against the chosen rows of the sheet, whose label, model and text
 * name them. BS_ECONFIG. */
enum bs_status bs_gate_check(const char *condition, const struct bs_sheet *sheet,
                             const struct bs_chosen *chosen, struct bs_gate *gate,
                             struct bs_error *err);

#endif

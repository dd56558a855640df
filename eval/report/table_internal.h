/* What the table of a section says below it of items. */
#ifndef BS_EVAL_REPORT_TABLE_INTERNAL_H
#define BS_EVAL_REPORT_TABLE_INTERNAL_H

#include "eval/report/sheet.h"
#include "eval/store/results.h"

/* Notes which trials of the section that `first` is of differ from their unquantized model: in acc
 * by McNemar's test of the items that turned, and in the target perplexity of last words by
 * Student's t of their log-likelihoods, each corrected by Holm over the section; nothing for trials
 * that have no items. BS_ENOMEM, BS_EDATA. */
enum bs_status bs_table_note_items(struct bs_sheet *sheet, const struct bs_results *results,
                                   const struct bs_row *first, struct bs_error *err);

#endif

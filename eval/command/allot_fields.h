/* Budgets for programs. */
#ifndef BS_EVAL_COMMAND_ALLOT_FIELDS_H
#define BS_EVAL_COMMAND_ALLOT_FIELDS_H

#include "eval/report/table.h"
#include "eval/run/allot.h"

/* Prints a row for each mix and text; as JSON also one for each place and candidate. Damages are in
 * the units of the values that they are. BS_ENOMEM, BS_EIO; as bs_mix_predict. */
enum bs_status bs_allot_print_fields(const struct bs_config *config,
                                     const struct bs_allotments *all, enum bs_table_style style,
                                     FILE *out, struct bs_error *err);

#endif

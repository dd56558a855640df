/* What the config of a result file expects, as tables want it. */
#ifndef BS_EVAL_RUN_PUBLISHED_H
#define BS_EVAL_RUN_PUBLISHED_H

#include "eval/config/config.h"
#include "eval/report/table.h"

/* Figures; their texts belong to the configs. */
struct bs_published_set {
    int num_configs;
    struct bs_config *configs;
    int count;
    struct bs_published *figures;
};

/* Reads the figures from the texts of the configs that the file holds, or every one of several:
 * neither models nor texts need be there. BS_ECONFIG where one cannot be read, as in a file of
 * another version of bitsweep; then, and on BS_ENOMEM, the set is empty. */
enum bs_status bs_published_read(const struct bs_results *results, struct bs_published_set *set,
                                 struct bs_error *err);
void bs_published_release(struct bs_published_set *set);

#endif

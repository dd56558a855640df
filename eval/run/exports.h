/* The exports that a config asks for: which recipes of which models they are of, and their writing
 * once the trials have run. */
#ifndef BS_EVAL_RUN_EXPORTS_H
#define BS_EVAL_RUN_EXPORTS_H

#include "eval/run/export.h"
#include "eval/run/models.h"

/* One of them. */
struct bs_planned_export {
    int model; /* of the wanted models */
    const struct bs_export_config *entry;
    char *label, *path; /* owned */
    bool there;         /* written already */
};

/* All, in the order of the models, then of the config. */
struct bs_planned_exports {
    int count;
    struct bs_planned_export *items;
};

/* Lists them and checks each as bs_export_run would before any work. `waiting`: recipes are still
 * to come, so that an entry may be of none. BS_ECONFIG, BS_EUNSUPPORTED with the entry's place in
 * the config; as bs_models_switch. */
enum bs_status bs_exports_list(struct bs_models *models, bool waiting,
                               struct bs_planned_exports *exports, struct bs_error *err);
void bs_exports_release(struct bs_planned_exports *exports);

/* A line each, for plan. */
void bs_exports_print(const struct bs_models *models, const struct bs_planned_exports *exports,
                      FILE *out);

/* Writes them. What one of them fails by is told on stderr, and the others follow: *failed of them.
 * BS_ESTOPPED; as bs_models_switch. */
enum bs_status bs_exports_run(struct bs_models *models, const struct bs_planned_exports *exports,
                              const struct bs_limits *limits, const struct bs_telling *telling,
                              FILE *out, int *failed, struct bs_error *err);

#endif

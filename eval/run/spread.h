/* Recipes of `sensitivity:`, which quantize one place of a model at a time. */
#ifndef BS_EVAL_RUN_SPREAD_H
#define BS_EVAL_RUN_SPREAD_H

#include "eval/config/config.h"

/* Linears that are quantized together. */
struct bs_spread_place {
    char *where;     /* patterns that name them and nothing else */
    int block, slot; /* the first of them; block -1: in all blocks, slot -1: all of a block */
};

/* The places of one model, in the order of its blocks. */
struct bs_spread_places {
    int count;
    struct bs_spread_place *list;
};

/* Lists the places that a spread recipe has in a model. BS_ENOMEM. */
enum bs_status bs_spread_list(const struct bs_spread_config *spread,
                              const struct bs_architecture *architecture,
                              struct bs_spread_places *places, struct bs_error *err);
void bs_spread_release(struct bs_spread_places *places);

/* What quantizes one of the places as the spread recipe does everything, resolved. BS_ENOMEM;
 * BS_ECONFIG where bs_recipe_resolve refuses it. */
enum bs_status bs_spread_recipe(const struct bs_spread_config *spread,
                                const struct bs_spread_place *place, struct bs_recipe *recipe,
                                struct bs_error *err);

/* Appends the recipes of all spreads to the config's, for each wanted model (bit m is models[m]).
 * Of the models config.json is read. As bs_architecture_read; BS_ECONFIG where recipes are too
 * many. */
enum bs_status bs_spread_open(struct bs_config *config, uint64_t wanted, struct bs_error *err);

#endif

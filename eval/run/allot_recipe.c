/* What a budget gives each place, as a recipe. */
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/run/allot.h"

enum { PATTERN_ROOM = 160 }; /* a list of layers goes on in another pattern from there */

/* The next pattern of a place, "layer[3].mlp.down_proj": its layer (-1: in all) and its name. */
static bool next_part(const char **where, int *layer, const char **name, int *length)
{
    static const char layered[] = "layer[";
    *where += strspn(*where, " ");
    if (!**where)
        return false;
    const char *end = *where + strcspn(*where, " ");
    *name = *where;
    *layer = -1;
    if (!strncmp(*where, layered, strlen(layered))) {
        *layer = (int)strtol(*where + strlen(layered), NULL, 10);
        *name = strchr(*where, '.') + 1;
    }
    *length = (int)(end - *name);
    *where = end;
    return true;
}

/* Marks the layers in which places of a candidate have the name. */
static void mark_layers(const struct bs_sensitivities *s, const int *taken, int candidate,
                        const char *name, int length, bool layers[BS_MAX_LAYERS])
{
    for (int p = 0; p < s->places.count; p++) {
        const char *where = s->places.list[p].where, *other;
        int layer, other_length;
        while (taken[p] == candidate && next_part(&where, &layer, &other, &other_length))
            if (layer >= 0 && other_length == length && !strncmp(other, name, (size_t)length))
                layers[layer] = true;
    }
}

/* "layer[0,2-4].mlp.down_proj", in several patterns where the list is long. */
static void print_layers(const bool layers[BS_MAX_LAYERS], const char *name, int length, FILE *out)
{
    int used = 0;
    for (int first = 0, next; first < BS_MAX_LAYERS; first = next + 1) {
        for (next = first; next < BS_MAX_LAYERS && layers[next]; next++)
            ;
        if (next == first)
            continue;
        if (used + length > PATTERN_ROOM) {
            fprintf(out, "].%.*s", length, name);
            used = 0;
        }
        used += fprintf(out, "%s%d", used ? "," : " layer[", first);
        if (next - 1 > first)
            used += fprintf(out, "-%d", next - 1);
    }
    if (used)
        fprintf(out, "].%.*s", length, name);
}

/* Whether an earlier part of the candidate's places has the name. */
static bool is_told(const struct bs_sensitivities *s, const int *taken, int place, const char *name,
                    int length)
{
    for (int p = 0; p <= place; p++) {
        const char *where = s->places.list[p].where, *other;
        int layer, other_length;
        while (taken[p] == taken[place] && next_part(&where, &layer, &other, &other_length)) {
            if (other == name)
                return false;
            if (layer >= 0 && other_length == length && !strncmp(other, name, (size_t)length))
                return true;
        }
    }
    return false;
}

/* The patterns of all places that get a candidate, in new memory. */
static char *where_of(const struct bs_sensitivities *s, const int *taken, int candidate)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (int p = 0; p < s->places.count; p++) {
        const char *where = s->places.list[p].where, *name;
        int layer, length;
        while (taken[p] == candidate && next_part(&where, &layer, &name, &length)) {
            bool layers[BS_MAX_LAYERS] = {false};
            if (layer < 0) {
                fprintf(out, " %.*s", length, name);
            } else if (!is_told(s, taken, p, name, length)) {
                mark_layers(s, taken, candidate, name, length, layers);
                print_layers(layers, name, length, out);
            }
        }
    }
    bool failed = ferror(out);
    failed |= fclose(out) != 0;
    char *copy = failed ? NULL : bs_strdup(text);
    free(text);
    return copy;
}

/* Adds a rule for the places that get a candidate; none where none does. */
static enum bs_status add_rule(const struct bs_config *config, const struct bs_sensitivities *s,
                               const int *taken, int candidate, struct bs_recipe *recipe,
                               struct bs_error *err)
{
    struct bs_rule *rule;
    char *where = where_of(s, taken, candidate);
    if (!where)
        return bs_fail_memory(err);
    enum bs_status status = BS_OK;
    if (*where)
        status =
            bs_recipe_add_rule(recipe, BS_FOR_WEIGHTS, where,
                               &config->spreads[s->spreads[candidate]].recipe.weights, &rule, err);
    bs_free(where);
    return status;
}

/* The candidate that stands for all places that no exception names: the one with most bits. */
static int usual_candidate(const struct bs_sensitivities *s, const int *taken)
{
    int usual = 0;
    double most = -1;
    for (int c = 0; c < s->num_candidates; c++) {
        double bits = 0;
        for (int p = 0; p < s->places.count; p++)
            bits += taken[p] == c ? s->offers[p * s->num_candidates + c].bits : 0;
        usual = bits > most ? c : usual;
        most = bits > most ? bits : most;
    }
    return usual;
}

char *bs_allot_name(const struct bs_spread_config *spread, const struct bs_mix *mix)
{
    static const char *const per[] = {[BS_OVER_LINEARS] = "",
                                      [BS_OVER_FUSED] = " per fused",
                                      [BS_OVER_BLOCKS] = " per block",
                                      [BS_OVER_ROLES] = " per role"};
    const struct bs_budget_config *budget = &spread->budget;
    const char *over = per[spread->places], *name = budget->name, *blank = *name ? " " : "";
    char round[32] = "";
    if (mix->kind == BS_MIX_DRAWN)
        return bs_printf("at random %d seed %d%s%s%s", mix->number, budget->seed, over, blank,
                         name);
    if (mix->round > 1)
        snprintf(round, sizeof round, " round %d", mix->round);
    const struct bs_amount *amount = &budget->amounts[mix->number];
    return bs_printf("%s %s by %s%s%s%s%s", amount->text, amount->bytes ? "bytes" : "bits",
                     bs_damage_words[budget->by], over, blank, name, round);
}

enum bs_status bs_allot_recipe(const struct bs_config *config, const struct bs_sensitivities *s,
                               const int *taken, char *name, struct bs_recipe *recipe,
                               struct bs_error *err)
{
    int usual = usual_candidate(s, taken);
    const struct bs_spread_config *spread = &config->spreads[s->spreads[usual]];
    if (!name)
        return bs_fail_memory(err);
    if (bs_recipe_copy(recipe, &spread->recipe, err)) {
        bs_free(name);
        return err->status;
    }
    recipe->allotted = name;
    enum bs_status status = BS_OK;
    for (int c = 0; c < s->num_candidates && !status; c++)
        if (c != usual)
            status = add_rule(config, s, taken, c, recipe, err);
    if (!status)
        status = bs_recipe_resolve(recipe, err);
    if (status)
        bs_recipe_release(recipe);
    return status;
}

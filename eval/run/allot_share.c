/* Mixes: an amount shared out round after round, and what is drawn. */
#include "eval/run/allot_internal.h"

#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/config/sensitivity.h"
#include "eval/quant/cell.h"

/* What mixes of one grid and model are made of. */
struct sharing {
    const struct bs_sweep *sweep;
    const struct bs_results *results;
    const struct bs_sensitivities *s;
    const struct bs_spread_config *spread; /* the first of its candidates */
    struct bs_allotments *all;
    struct bs_offer *offers; /* [places][candidates], of the round */
    int *taken;              /* [places] */
};

double bs_allot_limit(const struct bs_amount *amount, double weights)
{
    return amount->bytes ? 8 * amount->value : amount->value * weights;
}

/* Trials of one round after the first, its own among them. */
static int trials_of_round(const struct bs_sensitivities *s)
{
    return s->places.count * (s->num_candidates - 1) + 1;
}

int bs_allot_expected(const struct bs_config *config, const struct bs_sensitivities *s)
{
    const struct bs_budget_config *budget = &config->spreads[s->spreads[0]].budget;
    return budget->random + budget->count * (1 + (budget->rounds - 1) * trials_of_round(s));
}

/* Adds the mix of sharing->taken, called `name`, which it takes; NULL after a failure. */
static struct bs_mix *add_mix(struct sharing *sharing, struct bs_mix mix, char *name,
                              struct bs_error *err)
{
    const struct bs_sensitivities *s = sharing->s;
    struct bs_allotments *all = sharing->all;
    size_t count = (size_t)all->count, places = (size_t)s->places.count;
    struct bs_mix *grown = bs_realloc(all->list, count, count + 1, sizeof *grown);
    all->list = grown ? grown : all->list;
    mix.sensitivities = all->num_sensitivities - 1;
    mix.taken = bs_alloc(places, sizeof *mix.taken);
    if (!grown || !mix.taken) {
        bs_free(mix.taken);
        bs_free(name);
        bs_fail_memory(err);
        return NULL;
    }
    memcpy(mix.taken, sharing->taken, places * sizeof *mix.taken);
    if (bs_allot_recipe(sharing->sweep->config, s, mix.taken, name, &mix.recipe, err)) {
        bs_free(mix.taken);
        return NULL;
    }
    int recipe = bs_config_find_recipe(sharing->sweep->config, &mix.recipe);
    for (int t = 0; t < sharing->sweep->config->num_evaluations && recipe >= 0; t++)
        mix.rows[t] = bs_allot_row(sharing->sweep, sharing->results, recipe, t);
    for (int p = 0; p < s->places.count; p++) {
        const struct bs_measured_offer *offer = &s->offers[p * s->num_candidates + mix.taken[p]];
        mix.bits += offer->bits;
        mix.predicted += mix.round > 1 ? 0 : offer->damage;
    }
    grown[all->count] = mix;
    return &grown[all->count++];
}

/* What was measured of a mix where the sensitivities were; NaN. */
static double damage_of(const struct sharing *sharing, const struct bs_mix *mix)
{
    const struct bs_row *row = mix->rows[sharing->s->text];
    const char *name = bs_damage_values[sharing->spread->budget.by];
    const struct bs_value_row *value =
        row && bs_row_is_done(row) ? bs_row_value(row, NULL, name) : NULL;
    return value ? value->value : (double)NAN;
}

/* ---- an amount ---- */

/* sharing->taken by the offers. */
static enum bs_status choose(struct sharing *sharing, const struct bs_amount *amount,
                             struct bs_error *err)
{
    const struct bs_sensitivities *s = sharing->s;
    double limit = bs_allot_limit(amount, s->weights);
    enum bs_status status = bs_budget_choose(s->places.count, s->num_candidates, sharing->offers,
                                             (int64_t)fmin(limit, 9e18), sharing->taken, err);
    char at[BS_PLACE_TEXT];
    bs_config_place(sharing->sweep->config, amount->line, amount->column, at);
    if (status == BS_ECONFIG)
        return bs_fail_within(err, "%s: error: budget of %s %s", at, amount->text,
                              amount->bytes ? "bytes" : "bits a weight");
    return status;
}

/* The first round's: each place alone. */
static void offer_measured(struct sharing *sharing)
{
    const struct bs_sensitivities *s = sharing->s;
    for (int i = 0; i < s->places.count * s->num_candidates; i++) {
        double damage = s->offers[i].damage;
        sharing->offers[i] = (struct bs_offer){(int64_t)ceil(s->offers[i].bits),
                                               isnan(damage) ? (double)INFINITY : damage};
    }
}

/* "layer[0].mlp.gate_proj+layer[0].mlp.up_proj w4 g128", what a neighbour has another way. */
static char *name_neighbour(const struct sharing *sharing, const struct bs_mix *before, int place,
                            int candidate)
{
    const struct bs_sensitivities *s = sharing->s;
    const char *setting = strchr(s->labels[candidate], ' ');
    char *name = bs_allot_name(sharing->spread, before);
    char *where = bs_strdup(s->places.list[place].where), *own = NULL;
    for (char *c = where; c && *c; c++)
        *c = *c == ' ' ? '+' : *c;
    if (name && where)
        own = bs_printf("%s but %s%s", name, where, setting ? setting : "");
    bs_free(where);
    bs_free(name);
    return own;
}

/* One candidate at one place in the mix before, index `before`: its offer, or one more trial that
 * is waited for (*open). */
static enum bs_status look_around(struct sharing *sharing, int before, int place, int candidate,
                                  int *open, struct bs_error *err)
{
    const struct bs_mix mix = sharing->all->list[before];
    int index = place * sharing->s->num_candidates + candidate;
    struct bs_offer *offer = &sharing->offers[index];
    if (candidate == mix.taken[place] || isnan(sharing->s->offers[index].damage)) {
        offer->damage = candidate == mix.taken[place] ? 0 : (double)INFINITY;
        return BS_OK;
    }
    const struct bs_mix kind = {
        .kind = BS_MIX_NEIGHBOUR, .number = mix.number, .round = mix.round + 1};
    memcpy(sharing->taken, mix.taken, (size_t)sharing->s->places.count * sizeof *mix.taken);
    sharing->taken[place] = candidate;
    struct bs_mix *own =
        add_mix(sharing, kind, name_neighbour(sharing, &mix, place, candidate), err);
    if (!own)
        return err->status;
    double damage = damage_of(sharing, own) - damage_of(sharing, &mix);
    offer->damage = isnan(damage) ? (double)INFINITY : damage;
    *open += !own->rows[sharing->s->text];
    return BS_OK;
}

/* The offers around the mix before, index `before`, and what is waited for: *open. */
static enum bs_status offer_neighbours(struct sharing *sharing, int before, int *open,
                                       struct bs_error *err)
{
    const struct bs_sensitivities *s = sharing->s;
    for (int p = 0; p < s->places.count; p++)
        for (int c = 0; c < s->num_candidates; c++)
            if (look_around(sharing, before, p, c, open, err))
                return err->status;
    return BS_OK;
}

/* What a further round is predicted to cost. */
static double predicted_of(const struct sharing *sharing, const struct bs_mix *before,
                           const int *taken)
{
    double predicted = damage_of(sharing, before);
    for (int p = 0; p < sharing->s->places.count; p++)
        predicted += sharing->offers[p * sharing->s->num_candidates + taken[p]].damage;
    return predicted;
}

/* The round after that of the mix with index `before`: *next is its index; -1 where it is waited
 * for, or comes to the same mix. */
static enum bs_status share_again(struct sharing *sharing, int before, int *next,
                                  struct bs_error *err)
{
    struct bs_allotments *all = sharing->all;
    const struct bs_mix mix = all->list[before];
    const struct bs_budget_config *budget = &sharing->spread->budget;
    int open = 0, later = (budget->rounds - mix.round - 1) * trials_of_round(sharing->s);
    *next = -1;
    if (!mix.rows[sharing->s->text])
        all->later += later + trials_of_round(sharing->s);
    if (isnan(damage_of(sharing, &mix))) /* has not run, or failed: nothing to go by */
        return BS_OK;
    if (offer_neighbours(sharing, before, &open, err))
        return err->status;
    if (open) {
        all->later += later + 1;
        return BS_OK;
    }
    if (choose(sharing, &budget->amounts[mix.number], err))
        return err->status;
    size_t places = (size_t)sharing->s->places.count;
    all->list[before].settled = !memcmp(sharing->taken, mix.taken, places * sizeof *mix.taken);
    if (all->list[before].settled)
        return BS_OK;
    struct bs_mix again = {.kind = BS_MIX_ALLOTTED, .number = mix.number, .round = mix.round + 1};
    double predicted = predicted_of(sharing, &mix, sharing->taken);
    struct bs_mix *added = add_mix(sharing, again, bs_allot_name(sharing->spread, &again), err);
    if (!added)
        return err->status;
    added->predicted = predicted;
    *next = all->count - 1;
    return BS_OK;
}

static enum bs_status share_amount(struct sharing *sharing, int number, struct bs_error *err)
{
    const struct bs_budget_config *budget = &sharing->spread->budget;
    const struct bs_mix first = {.kind = BS_MIX_ALLOTTED, .number = number, .round = 1};
    offer_measured(sharing);
    if (choose(sharing, &budget->amounts[number], err) ||
        !add_mix(sharing, first, bs_allot_name(sharing->spread, &first), err))
        return err->status;
    int mix = sharing->all->count - 1;
    for (int round = 2; round <= budget->rounds && mix >= 0; round++)
        if (share_again(sharing, mix, &mix, err))
            return err->status;
    return BS_OK;
}

/* ---- at random ---- */

/* One of the candidates that a place was measured with, each as likely. */
static int draw(const struct bs_sensitivities *s, int place, uint64_t key)
{
    const struct bs_measured_offer *offers = s->offers + (size_t)place * (size_t)s->num_candidates;
    int count = 0, taken = 0;
    for (int c = 0; c < s->num_candidates; c++)
        count += !isnan(offers[c].damage);
    int nth = (int)((double)bs_draw(key, (uint64_t)place) * count);
    for (int c = 0; c < s->num_candidates; c++)
        if (!isnan(offers[c].damage) && nth-- == 0)
            taken = c;
    return taken;
}

static enum bs_status add_draw(struct sharing *sharing, int number, struct bs_error *err)
{
    const struct bs_mix drawn = {.kind = BS_MIX_DRAWN, .number = number, .round = 1};
    uint64_t key = (uint64_t)sharing->spread->budget.seed << 32 | (unsigned)number;
    for (int p = 0; p < sharing->s->places.count; p++)
        sharing->taken[p] = draw(sharing->s, p, key);
    if (!add_mix(sharing, drawn, bs_allot_name(sharing->spread, &drawn), err))
        return err->status;
    return BS_OK;
}

enum bs_status bs_allot_share(const struct bs_sweep *sweep, const struct bs_results *results,
                              struct bs_allotments *all, struct bs_error *err)
{
    const struct bs_sensitivities *s = &all->sensitivities[all->num_sensitivities - 1];
    size_t places = (size_t)s->places.count;
    struct sharing sharing = {.sweep = sweep,
                              .results = results,
                              .s = s,
                              .spread = &sweep->config->spreads[s->spreads[0]],
                              .all = all};
    sharing.offers = bs_calloc(places * (size_t)s->num_candidates, sizeof *sharing.offers);
    sharing.taken = bs_alloc(places, sizeof *sharing.taken);
    enum bs_status status = sharing.offers && sharing.taken ? BS_OK : bs_fail_memory(err);
    for (int i = 0; i < sharing.spread->budget.count && !status; i++)
        status = share_amount(&sharing, i, err);
    for (int i = 1; i <= sharing.spread->budget.random && !status; i++)
        status = add_draw(&sharing, i, err);
    bs_free(sharing.offers);
    bs_free(sharing.taken);
    return status;
}

#include "eval/statistics/wanted.h"

#include <limits.h>
#include <math.h>

#include "eval/base/mem.h"

const struct bs_program *bs_wanted_program(const struct bs_wanted *wanted)
{
    return bs_program_of(wanted->architecture, wanted->layer);
}

bool bs_same_choice(struct bs_derived_choice a, struct bs_derived_choice b)
{
    return a.numbers[0] == b.numbers[0] && a.numbers[1] == b.numbers[1];
}

static bool same_place(const struct bs_wish *a, const struct bs_wish *b)
{
    return a->statistic == b->statistic && a->site == b->site && a->detail == b->detail;
}

static bool holds(const struct bs_wanted *wanted, const struct bs_wish *wish)
{
    for (int i = 0; i < wanted->count; i++) {
        const struct bs_wish *w = &wanted->wishes[i];
        if (same_place(w, wish) && w->derivation == wish->derivation &&
            bs_same_choice(w->choice, wish->choice))
            return true;
    }
    return false;
}

static void add(struct bs_wanted *wanted, const struct bs_wish *wish)
{
    wanted->any = true;
    wanted->compares |= wish->statistic->compare != NULL;
    if (!wanted->architecture || holds(wanted, wish))
        return;
    if (wanted->count == wanted->room) {
        int room = wanted->room ? 2 * wanted->room : 16;
        struct bs_wish *wishes =
            bs_realloc(wanted->wishes, (size_t)wanted->room, (size_t)room, sizeof *wanted->wishes);
        wanted->failed |= !wishes;
        if (!wishes)
            return;
        wanted->wishes = wishes;
        wanted->room = room;
    }
    wanted->wishes[wanted->count++] = *wish;
}

bool bs_rounds_readers(const struct bs_program *program, const struct bs_setting *const *weights,
                       int site)
{
    bool any = false;
    for (int s = 0; s < program->num_slots; s++)
        any |= program->slots[s].input == site && bs_setting_quantizes(weights[s]);
    return any;
}

/* Adds the wish at the site that it names, or at all that it stands for. */
static void add_everywhere(struct bs_wanted *wanted, struct bs_wish wish)
{
    int where = wish.site;
    if (where >= 0 || !wanted->architecture) {
        add(wanted, &wish);
        return;
    }
    const struct bs_program *p = bs_wanted_program(wanted);
    for (int k = 0; k < p->num_inputs; k++) {
        wish.site = p->inputs[k];
        if (where == BS_EVERY_SITE || bs_rounds_readers(p, wanted->weights, wish.site))
            add(wanted, &wish);
    }
}

void bs_want(struct bs_wanted *wanted, const struct bs_statistic *statistic, int site, int detail)
{
    add_everywhere(wanted,
                   (struct bs_wish){.statistic = statistic, .site = site, .detail = detail});
}

void bs_want_derived(struct bs_wanted *wanted, const struct bs_derivation *derivation, int site,
                     int detail, struct bs_derived_choice choice)
{
    bs_want(wanted, derivation->of, site, detail);
    add_everywhere(wanted, (struct bs_wish){derivation->of, site, detail, derivation, choice});
}

void bs_wanted_merge(struct bs_wanted *to, const struct bs_wanted *more)
{
    to->failed |= more->failed;
    to->any |= more->any;
    to->compares |= more->compares;
    for (int i = 0; i < more->count; i++)
        add(to, &more->wishes[i]);
}

void bs_wanted_merge_site(struct bs_wanted *to, const struct bs_wanted *more, int site)
{
    to->failed |= more->failed;
    for (int i = 0; i < more->count; i++)
        if (more->wishes[i].site == site)
            add(to, &more->wishes[i]);
}

bool bs_wanted_any(const struct bs_wanted *wanted) { return wanted->any; }

bool bs_wanted_compares(const struct bs_wanted *wanted) { return wanted->compares; }

bool bs_wanted_within(const struct bs_wanted *wanted, const struct bs_wanted *have)
{
    bool within = !wanted->failed;
    for (int i = 0; i < wanted->count && within; i++) {
        struct bs_wish wish = wanted->wishes[i];
        within = wish.derivation || holds(have, &wish);
    }
    return within;
}

enum bs_status bs_wanted_check(const struct bs_wanted *wanted, struct bs_error *err)
{
    return wanted->failed ? bs_fail_memory(err) : BS_OK;
}

void bs_wanted_release(struct bs_wanted *wanted)
{
    bs_free(wanted->wishes);
    *wanted = (struct bs_wanted){
        .architecture = wanted->architecture, .layer = wanted->layer, .weights = wanted->weights};
}

struct bs_observed bs_observed_at(const struct bs_program *program, const struct bs_wish *wish,
                                  int windows, int tokens)
{
    const struct bs_value *value = &program->values[wish->site];
    bool pairs = value->kind == BS_SITE_PROBABILITIES;
    double most = fmin(bs_attention_pairs(tokens), INT_MAX);
    return (struct bs_observed){.width = pairs ? value->heads : value->width,
                                .heads = value->heads,
                                .varies = value->expert >= 0,
                                .windows = windows,
                                .tokens = pairs ? (int)most : tokens,
                                .detail = wish->detail};
}

double bs_probabilities_floats(const struct bs_program *program, const struct bs_wish *wish,
                               int tokens)
{
    const struct bs_value *value = &program->values[wish->site];
    return value->kind == BS_SITE_PROBABILITIES ? value->heads * bs_attention_pairs(tokens) : 0;
}

int bs_wanted_last(const struct bs_wanted *wanted)
{
    const struct bs_program *p = bs_wanted_program(wanted);
    int last = p->inputs[0];
    for (int i = 0; i < wanted->count; i++) {
        int site = wanted->wishes[i].site;
        last = p->values[site].made_by > p->values[last].made_by ? site : last;
    }
    return last;
}

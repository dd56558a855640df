/* Place after place, all sums of bits that some choice for the places so far comes to, each with
 * the least damage there is for it: but for those that another one beats with fewer bits. */
#include "eval/recipe/budget.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "eval/base/mem.h"

/* The best choice for the places so far of those that take so many bits. */
struct sum {
    int64_t bits;
    double damage;
    int before, offer; /* of the list before; that was taken last */
};

/* Sums with rising bits and falling damage. */
struct front {
    int count;
    struct sum *sums;
};

struct choosing {
    int num_places, num_offers;
    const struct bs_offer *offers;
    int64_t limit;
    int64_t *rest;        /* [num_places + 1], the least bits of a place and those after it */
    struct front *fronts; /* [num_places + 1], after so many places */
};

static const struct bs_offer *offers_of(const struct choosing *c, int place)
{
    return c->offers + (size_t)place * (size_t)c->num_offers;
}

static bool is_open(const struct bs_offer *offer) { return offer->damage < (double)INFINITY; }

/* c->rest; -1 in the first where a place has no offer at all. */
static void find_least(struct choosing *c)
{
    c->rest[c->num_places] = 0;
    for (int p = c->num_places - 1; p >= 0; p--) {
        int64_t least = -1;
        for (int o = 0; o < c->num_offers; o++) {
            const struct bs_offer *offer = &offers_of(c, p)[o];
            if (is_open(offer) && (least < 0 || offer->bits < least))
                least = offer->bits;
        }
        c->rest[p] = least < 0 || c->rest[p + 1] < 0 ? -1 : least + c->rest[p + 1];
    }
}

/* The next sum in the order of bits, of equal ones that of least damage: `at` [num_offers] says how
 * far each offer has gone along the front before. False at the end. */
static bool next_sum(const struct choosing *c, int place, int *at, struct sum *next)
{
    const struct front *before = &c->fronts[place];
    int from = -1;
    for (int o = 0; o < c->num_offers; o++) {
        const struct bs_offer *offer = &offers_of(c, place)[o];
        if (!is_open(offer) || at[o] == before->count)
            continue;
        const struct sum *sum = &before->sums[at[o]];
        struct sum own = {sum->bits + offer->bits, sum->damage + offer->damage, at[o], o};
        if (from < 0 || own.bits < next->bits ||
            (own.bits == next->bits && own.damage < next->damage)) {
            *next = own;
            from = o;
        }
    }
    if (from >= 0)
        at[from]++;
    return from >= 0;
}

/* The front after a place, from the one before. `at` [num_offers]. */
static enum bs_status pass_place(struct choosing *c, int place, int *at, struct bs_error *err)
{
    struct front *after = &c->fronts[place + 1];
    size_t room = (size_t)c->fronts[place].count * (size_t)c->num_offers;
    struct sum next;
    after->sums = bs_alloc(room, sizeof *after->sums);
    if (!after->sums)
        return bs_fail_memory(err);
    for (int o = 0; o < c->num_offers; o++)
        at[o] = 0;
    while (next_sum(c, place, at, &next)) {
        bool fits = next.bits + c->rest[place + 1] <= c->limit;
        if (fits && (!after->count || next.damage < after->sums[after->count - 1].damage))
            after->sums[after->count++] = next;
    }
    struct sum *less = bs_realloc(after->sums, room, (size_t)after->count, sizeof *less);
    after->sums = less ? less : after->sums;
    return BS_OK;
}

static enum bs_status choose(struct choosing *c, int *at, int *taken, struct bs_error *err)
{
    find_least(c);
    if (c->rest[0] < 0)
        return bs_fail(err, BS_ECONFIG, "no candidate has been measured for some place");
    if (c->rest[0] > c->limit)
        return bs_fail(err, BS_ECONFIG,
                       "the candidates take %lld bits at least, expected a budget from there",
                       (long long)c->rest[0]);
    for (int p = 0; p < c->num_places; p++)
        if (pass_place(c, p, at, err))
            return err->status;
    int sum = c->fronts[c->num_places].count - 1;
    for (int p = c->num_places - 1; p >= 0; p--) {
        taken[p] = c->fronts[p + 1].sums[sum].offer;
        sum = c->fronts[p + 1].sums[sum].before;
    }
    return BS_OK;
}

enum bs_status bs_budget_choose(int num_places, int num_offers, const struct bs_offer *offers,
                                int64_t limit, int *taken, struct bs_error *err)
{
    struct sum nothing = {.bits = 0};
    size_t fronts = (size_t)num_places + 1;
    struct choosing c = {.num_places = num_places,
                         .num_offers = num_offers,
                         .offers = offers,
                         .limit = limit,
                         .rest = bs_alloc(fronts, sizeof *c.rest),
                         .fronts = bs_calloc(fronts, sizeof *c.fronts)};
    int *at = bs_alloc((size_t)num_offers, sizeof *at);
    enum bs_status status = c.rest && c.fronts && at ? BS_OK : bs_fail_memory(err);
    if (!status) {
        c.fronts[0] = (struct front){1, &nothing};
        status = choose(&c, at, taken, err);
    }
    for (size_t p = 1; c.fronts && p < fronts; p++)
        bs_free(c.fronts[p].sums);
    bs_free(c.fronts);
    bs_free(c.rest);
    bs_free(at);
    return status;
}

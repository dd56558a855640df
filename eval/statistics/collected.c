/* What a pass has collected, and what was made of it. */
#include "eval/statistics/calibrate.h"

#include <assert.h>

#include "eval/base/mem.h"

static void release_derived(struct bs_collected *c)
{
    while (c->derived) {
        struct bs_derived *next = c->derived->next;
        c->derived->derivation->free(c->derived);
        c->derived = next;
    }
}

void bs_statistics_release(struct bs_statistics *statistics)
{
    for (int i = 0; i < statistics->count; i++) {
        struct bs_collected *c = &statistics->collected[i];
        release_derived(c);
        if (c->wish.statistic->in_stream)
            bs_stream_release(&c->stream);
        else
            bs_free(c->data);
    }
    bs_free(statistics->collected);
    *statistics = (struct bs_statistics){.windows = 0};
}

struct bs_collected *bs_statistics_find(const struct bs_statistics *statistics,
                                        const struct bs_statistic *statistic, int site, int detail)
{
    for (int i = 0; i < statistics->count; i++) {
        struct bs_collected *c = &statistics->collected[i];
        if (c->wish.statistic == statistic && c->wish.site == site && c->wish.detail == detail)
            return c;
    }
    return NULL;
}

struct bs_collected *bs_statistics_at(const struct bs_statistics *statistics,
                                      const struct bs_statistic *statistic, int site, int detail)
{
    struct bs_collected *c = bs_statistics_find(statistics, statistic, site, detail);
    assert(c);
    return c;
}

const void *bs_statistics_of(const struct bs_statistics *statistics,
                             const struct bs_statistic *statistic, int site)
{
    return bs_statistics_at(statistics, statistic, site, 0)->data;
}

bool bs_statistics_hold(const struct bs_statistics *statistics, const struct bs_wanted *wanted)
{
    bool hold = !wanted->failed;
    for (int i = 0; i < wanted->count && hold; i++) {
        const struct bs_wish *w = &wanted->wishes[i];
        hold = bs_statistics_find(statistics, w->statistic, w->site, w->detail) != NULL;
    }
    return hold;
}

struct bs_derived *bs_derived_find(const struct bs_collected *collected,
                                   const struct bs_derivation *derivation,
                                   struct bs_derived_choice choice)
{
    struct bs_derived *d = collected->derived;
    while (d && (d->derivation != derivation || !bs_same_choice(d->choice, choice)))
        d = d->next;
    return d;
}

void bs_derived_keep(struct bs_collected *collected, struct bs_derived *derived)
{
    derived->next = collected->derived;
    collected->derived = derived;
}

void bs_derived_release(struct bs_statistics *statistics, int site)
{
    for (int i = 0; i < statistics->count; i++)
        if (statistics->collected[i].wish.site == site)
            release_derived(&statistics->collected[i]);
}

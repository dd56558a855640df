/* Bits shared out: the best of all choices, by looking at each of them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/recipe/budget.h"

enum { INSTANCES = 200, MOST_PLACES = 7, MOST_OFFERS = 4 };

/* What a choice comes to. */
struct total {
    int64_t bits;
    double damage;
};

static struct total total_of(int places, int num_offers, const struct bs_offer *offers,
                             const int *taken)
{
    struct total total = {.bits = 0};
    for (int p = 0; p < places; p++) {
        total.bits += offers[p * num_offers + taken[p]].bits;
        total.damage += offers[p * num_offers + taken[p]].damage;
    }
    return total;
}

/* The best of all choices of at most `limit` bits; false where there is none. */
static bool by_brute_force(int places, int num_offers, const struct bs_offer *offers, int64_t limit,
                           struct total *best)
{
    bool any = false;
    int all = 1, taken[MOST_PLACES];
    for (int p = 0; p < places; p++)
        all *= num_offers;
    for (int k = 0; k < all; k++) {
        for (int p = 0, rest = k; p < places; p++, rest /= num_offers)
            taken[p] = rest % num_offers;
        struct total own = total_of(places, num_offers, offers, taken);
        if (own.bits > limit || !(own.damage < (double)INFINITY))
            continue;
        if (!any || own.damage < best->damage ||
            (own.damage == best->damage && own.bits < best->bits))
            *best = own;
        any = true;
    }
    return any;
}

/* A generator of its own, so that the instances are the same for ever. */
static uint64_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static void equal_to_brute_force(void **state)
{
    (void)state;
    uint64_t random = 20;
    int with_choice = 0, without = 0;
    for (int i = 0; i < INSTANCES; i++) {
        int places = 1 + (int)(draw(&random) % MOST_PLACES);
        int num_offers = 1 + (int)(draw(&random) % MOST_OFFERS), taken[MOST_PLACES];
        struct bs_offer offers[MOST_PLACES * MOST_OFFERS];
        bool few = draw(&random) % 2; /* damages that tie */
        int64_t sum = 0;
        for (int k = 0; k < places * num_offers; k++) {
            offers[k].bits = (int64_t)(1 + draw(&random) % 40);
            offers[k].damage = few ? (double)(draw(&random) % 4) : (double)draw(&random) / 1e6;
            if (draw(&random) % 16 == 0)
                offers[k].damage = (double)INFINITY;
            sum += offers[k].bits;
        }
        int64_t limit = (int64_t)(draw(&random) % (uint64_t)(1 + sum / num_offers * 2));
        struct total best = {.bits = 0};
        struct bs_error err;
        bool any = by_brute_force(places, num_offers, offers, limit, &best);
        enum bs_status status = bs_budget_choose(places, num_offers, offers, limit, taken, &err);
        assert_int_equal(status, any ? BS_OK : BS_ECONFIG);
        with_choice += any;
        without += !any;
        if (!any)
            continue;
        struct total own = total_of(places, num_offers, offers, taken);
        assert_true(own.damage == best.damage);
        assert_int_equal(own.bits, best.bits);
    }
    assert_true(with_choice > 100 && without > 10);
}

static void a_budget_that_nothing_fits_names_the_least(void **state)
{
    (void)state;
    const struct bs_offer offers[] = {{10, 2}, {20, 1}, {30, 2}, {40, 1}};
    int taken[2];
    struct bs_error err;
    assert_int_equal(bs_budget_choose(2, 2, offers, 39, taken, &err), BS_ECONFIG);
    assert_non_null(strstr(err.message, "40 bits at least"));
    assert_int_equal(bs_budget_choose(2, 2, offers, 40, taken, &err), BS_OK);
    assert_true(taken[0] == 0 && taken[1] == 0);
    assert_int_equal(bs_budget_choose(2, 2, offers, 1000, taken, &err), BS_OK);
    assert_true(taken[0] == 1 && taken[1] == 1);
}

/* As many linears as large models have, of few sizes. */
static void many_places_are_no_trouble(void **state)
{
    (void)state;
    enum { PLACES = 560, OFFERS = 4 };
    static struct bs_offer offers[PLACES * OFFERS];
    static int taken[PLACES];
    uint64_t random = 7;
    struct bs_error err;
    int64_t least = 0;
    for (int p = 0; p < PLACES; p++) {
        int64_t size = (int64_t)(1 + draw(&random) % 4) * 8192 * 1024;
        for (int o = 0; o < OFFERS; o++)
            offers[p * OFFERS + o] =
                (struct bs_offer){size * (2 + o), (double)(draw(&random) % 1000) / (1 << 2 * o)};
        least += 2 * size;
    }
    assert_int_equal(bs_budget_choose(PLACES, OFFERS, offers, least * 3 / 2, taken, &err), BS_OK);
    assert_true(total_of(PLACES, OFFERS, offers, taken).bits <= least * 3 / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_to_brute_force),
        cmocka_unit_test(a_budget_that_nothing_fits_names_the_least),
        cmocka_unit_test(many_places_are_no_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

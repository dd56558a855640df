/* CPython's `random`: the generator of Matsumoto and Nishimura (mt19937ar, 2002), seeded by
 * init_by_array with the seed's only 32-bit word, and Lib/random.py's _randbelow_with_getrandbits
 * for the numbers. For permutations numpy's: SeedSequence (after O'Neill's seed_seq_fe) fills PCG64
 * (O'Neill, 2014: 128-bit state, XSL-RR output), whose 32-bit halves, the low one first, place each
 * element of a Fisher-Yates shuffle by masking and drawing again. */
#include "eval/data/random.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/elementary.h"

enum { STATE_WORDS = 624, SHIFT_WORDS = 397 };

static void random_seed_plain(uint32_t *state, uint32_t seed)
{
    state[0] = seed;
    for (uint32_t i = 1; i < STATE_WORDS; i++)
        state[i] = 1812433253u * (state[i - 1] ^ (state[i - 1] >> 30)) + i;
}

void bs_random_seed(struct bs_random *random, uint32_t seed)
{
    uint32_t *state = random->state;
    random_seed_plain(state, 19650218u);
    /* init_by_array for a key of one word, whose index is always 0. */
    uint32_t i = 1;
    for (int k = 0; k < STATE_WORDS; k++) {
        state[i] = (state[i] ^ ((state[i - 1] ^ (state[i - 1] >> 30)) * 1664525u)) + seed;
        if (++i == STATE_WORDS) {
            state[0] = state[STATE_WORDS - 1];
            i = 1;
        }
    }
    for (int k = 0; k < STATE_WORDS - 1; k++) {
        state[i] = (state[i] ^ ((state[i - 1] ^ (state[i - 1] >> 30)) * 1566083941u)) - i;
        if (++i == STATE_WORDS) {
            state[0] = state[STATE_WORDS - 1];
            i = 1;
        }
    }
    state[0] = 0x80000000u;
    random->next = STATE_WORDS;
}

static void random_refill(uint32_t *state)
{
    for (int i = 0; i < STATE_WORDS; i++) {
        uint32_t y = (state[i] & 0x80000000u) | (state[(i + 1) % STATE_WORDS] & 0x7fffffffu);
        state[i] = state[(i + SHIFT_WORDS) % STATE_WORDS] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0u);
    }
}

static uint32_t random_word(struct bs_random *random)
{
    if (random->next == STATE_WORDS) {
        random_refill(random->state);
        random->next = 0;
    }
    uint32_t y = random->state[random->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

void bs_random_seed_torch(struct bs_random *random, uint32_t seed)
{
    random_seed_plain(random->state, seed);
    random->next = STATE_WORDS;
}

/* torch takes a word modulo the range. */
void bs_random_bits(struct bs_random *random, int count, unsigned char *bits)
{
    for (int i = 0; i < count; i++)
        bits[i] = random_word(random) & 1;
}

/* Of 53 bits, in [0, 1). */
static double random_unit(struct bs_random *random)
{
    uint64_t high = random_word(random), bits = high << 32 | random_word(random);
    return (double)(bits & (((uint64_t)1 << 53) - 1)) * 0x1p-53;
}

enum { BATCH = 16 };

/* Normal numbers of as many uniform ones, by Box and Muller. */
static void make_normal(double *batch)
{
    for (int j = 0; j < BATCH / 2; j++) {
        double radius = sqrt(-2 * bs_log(1 - batch[j])), sine, cosine;
        bs_sin_cos_of_turns(batch[j + BATCH / 2], &sine, &cosine);
        batch[j] = radius * cosine;
        batch[j + BATCH / 2] = radius * sine;
    }
}

static void draw_normals(struct bs_random *random, size_t count, double *normals)
{
    for (size_t i = 0; i < count; i++)
        normals[i] = random_unit(random);
    for (size_t i = 0; i + BATCH <= count; i += BATCH)
        make_normal(normals + i);
    if (count % BATCH == 0)
        return;
    double *last = normals + count - BATCH; /* those are drawn anew, some of them twice */
    for (int i = 0; i < BATCH; i++)
        last[i] = random_unit(random);
    make_normal(last);
}

void bs_random_normals(struct bs_random *random, size_t count, double *normals)
{
    double batch[BATCH];
    if (count >= BATCH) {
        draw_normals(random, count, normals);
        return;
    }
    draw_normals(random, BATCH, batch);
    memcpy(normals, batch, count * sizeof *normals);
}

int64_t bs_random_int(struct bs_random *random, int64_t low, int64_t high)
{
    assert(low <= high && (uint64_t)high - (uint64_t)low < UINT32_MAX);
    uint32_t range = (uint32_t)((uint64_t)high - (uint64_t)low) + 1;
    int bits = 0;
    while (bits < 32 && range >> bits)
        bits++;
    uint32_t drawn;
    do
        drawn = random_word(random) >> (32 - bits);
    while (drawn >= range);
    return low + (int64_t)drawn;
}

/* Up to this size of a population random.sample takes from a list that shrinks, above it draws
 * until it meets what is not drawn yet: 21 and, for k above 5, the power of 4 from 3 k on. */
static int list_size(int k)
{
    int power = 1;
    while (k > 5 && power < 3 * k)
        power *= 4;
    return 21 + (k > 5 ? power : 0);
}

static bool is_among(const int *drawn, int count, int one)
{
    for (int i = 0; i < count; i++)
        if (drawn[i] == one)
            return true;
    return false;
}

enum bs_status bs_random_sample(struct bs_random *random, int n, int k, int *drawn,
                                struct bs_error *err)
{
    if (n > list_size(k)) {
        for (int i = 0; i < k; i++)
            do
                drawn[i] = (int)bs_random_int(random, 0, n - 1);
            while (is_among(drawn, i, drawn[i]));
        return BS_OK;
    }
    int *list = bs_alloc((size_t)n, sizeof *list);
    if (!list)
        return bs_fail_memory(err);
    for (int i = 0; i < n; i++)
        list[i] = i;
    for (int i = 0; i < k; i++) {
        int j = (int)bs_random_int(random, 0, n - i - 1);
        drawn[i] = list[j];
        list[j] = list[n - i - 1];
    }
    bs_free(list);
    return BS_OK;
}

__extension__ typedef unsigned __int128 uint128;

/* PCG64, and the half of its last output that is still to be used. */
struct pcg {
    uint128 state, increment;
    uint32_t waiting;
    bool is_waiting;
};

static uint32_t fold(uint32_t x) { return x ^ x >> 16; }

/* SeedSequence's hash: its constant goes on with each call. */
static uint32_t seed_hash(uint32_t x, uint32_t *constant, uint32_t multiplier)
{
    x ^= *constant;
    *constant *= multiplier;
    return fold(x * *constant);
}

/* SeedSequence(seed).generate_state(8), in 32-bit words. */
static void seed_words(uint32_t seed, uint32_t *words)
{
    enum { POOL = 4, WORDS = 8 };
    uint32_t pool[POOL], constant = 0x43b0d7e5u;
    for (int i = 0; i < POOL; i++)
        pool[i] = seed_hash(i == 0 ? seed : 0, &constant, 0x931e8875u);
    for (int from = 0; from < POOL; from++)
        for (int to = 0; to < POOL; to++)
            if (from != to)
                pool[to] = fold(0xca01f9ddu * pool[to] -
                                0x4973f715u * seed_hash(pool[from], &constant, 0x931e8875u));
    constant = 0x8b51f9ddu;
    for (int i = 0; i < WORDS; i++)
        words[i] = seed_hash(pool[i % POOL], &constant, 0x58f38dedu);
}

/* The 128-bit number of four 32-bit words: of its two halves the high one first, of each half's
 * words the low one. */
static uint128 wide(const uint32_t *words)
{
    uint64_t high = (uint64_t)words[1] << 32 | words[0], low = (uint64_t)words[3] << 32 | words[2];
    return (uint128)high << 64 | low;
}

static void pcg_step(struct pcg *pcg)
{
    const uint128 multiplier = (uint128)2549297995355413924u << 64 | 4865540595714422341u;
    pcg->state = pcg->state * multiplier + pcg->increment;
}

static void pcg_seed(struct pcg *pcg, uint32_t seed)
{
    uint32_t words[8];
    seed_words(seed, words);
    *pcg = (struct pcg){.increment = wide(words + 4) << 1 | 1};
    pcg_step(pcg);
    pcg->state += wide(words);
    pcg_step(pcg);
}

static uint32_t pcg_word(struct pcg *pcg)
{
    pcg->is_waiting = !pcg->is_waiting;
    if (!pcg->is_waiting)
        return pcg->waiting;
    pcg_step(pcg);
    uint64_t mixed = (uint64_t)(pcg->state >> 64) ^ (uint64_t)pcg->state;
    unsigned turn = (unsigned)(pcg->state >> 122);
    mixed = mixed >> turn | mixed << (-turn & 63u);
    pcg->waiting = (uint32_t)(mixed >> 32);
    return (uint32_t)mixed;
}

void bs_permutation(uint32_t seed, uint32_t *order, uint32_t count)
{
    struct pcg pcg;
    pcg_seed(&pcg, seed);
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    uint32_t mask = UINT32_MAX;
    for (uint32_t i = count; i-- > 1;) {
        while (mask >> 1 >= i)
            mask >>= 1;
        uint32_t j;
        do
            j = pcg_word(&pcg) & mask;
        while (j > i);
        uint32_t element = order[i];
        order[i] = order[j];
        order[j] = element;
    }
}

/* CPython's `random`: the generator of Matsumoto and Nishimura (mt19937ar, 2002), seeded by
 * init_by_array with the seed's only 32-bit word, and Lib/random.py's _randbelow_with_getrandbits
 * for the numbers. */
#include "eval/data/random.h"

#include <assert.h>

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

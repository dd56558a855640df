/* The cores of Hadamard matrices whose order is no power of two, by the constructions of Paley
 * (1933) and Williamson (1944). Which construction an order has, and how its rows are signed, is as
 * in the matrices of N. J. A. Sloane's library that QuaRot's code takes. */
#include "eval/linalg/hadamard.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

BS_LEVELS(bs_hadamard_loops);

/* Williamson's: A, B, C and D are symmetric circulants whose squares add up to 4 m I. Bit j of a
 * word: entries j and m - j of its first row are -1. */
struct williamson {
    int m;
    uint32_t rows[4];
};

static const struct williamson williamsons[] = {
    {13, {0x1a, 0xe, 0x34, 0x5e}},
    {39, {0xcdf58, 0xaf370, 0xdae98, 0x47d4e}},
    {43, {0x2450ce, 0x135e04, 0x342b28, 0x3cda1c}},
};

/* The orders in the order in which they are tried. */
static const int orders[] = {172, 156, 140, 108, 60, 52, 36, 28, 40, 20, 12};
enum { NUM_ORDERS = sizeof orders / sizeof *orders };

static bool is_power_of_two(int n) { return n > 0 && !(n & (n - 1)); }

static bool is_prime(int q)
{
    for (int d = 2; d * d <= q; d++)
        if (q % d == 0)
            return false;
    return q > 1;
}

static const struct williamson *williamson_of(int k)
{
    for (size_t i = 0; i < sizeof williamsons / sizeof *williamsons; i++)
        if (4 * williamsons[i].m == k)
            return &williamsons[i];
    return NULL;
}

/* Paley's first construction is of order q + 1 for a prime q = 3 mod 4, his second of order
 * 2 (q + 1) for q = 1 mod 4. */
static bool is_first_paley(int k) { return k % 4 == 0 && is_prime(k - 1); }
static bool is_second_paley(int k) { return k % 4 == 0 && k / 2 % 4 == 2 && is_prime(k / 2 - 1); }

static int compute_core(int n)
{
    if (is_power_of_two(n))
        return 1;
    for (int i = 0; i < NUM_ORDERS && n > 0; i++)
        if (n % orders[i] == 0 && is_power_of_two(n / orders[i]))
            return orders[i];
    for (int k = 4; k <= BS_HADAMARD_CORE && k <= n; k += 4)
        if (n % k == 0 && is_power_of_two(n / k) && (is_first_paley(k) || is_second_paley(k)))
            return k;
    return 0;
}

int bs_hadamard_core(int n) { return compute_core(n); }

bool bs_hadamard_takes(int n) { return bs_hadamard_core(n) > 0; }

/* chi [q]: 0 at 0, 1 at squares mod q, else -1. */
static void legendre(int q, float *chi)
{
    for (int a = 0; a < q; a++)
        chi[a] = a ? -1 : 0;
    for (int a = 1; a < q; a++)
        chi[a * a % q] = 1;
}

/* C [n][n], n = q + 1: zeros on the diagonal, chi(i - j) within a border whose first row is of
 * `row`s and whose first column of ones. */
static void bordered(int q, float row, float *c, int stride)
{
    float chi[BS_HADAMARD_CORE];
    legendre(q, chi);
    for (int i = 0; i <= q; i++)
        for (int j = 0; j <= q; j++)
            c[i * stride + j] = i == j ? 0 : !i ? row : !j ? 1 : chi[(i - j + q) % q];
}

/* I + C, C skew. */
static void first_paley(int k, float *c)
{
    bordered(k - 1, -1, c, k);
    for (int i = 0; i < k; i++)
        c[i * k + i] = 1;
}

/* [C + I, C - I; C - I, -C - I], C symmetric. */
static void second_paley(int k, float *c)
{
    int n = k / 2;
    bordered(n - 1, 1, c, k);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            float x = c[i * k + j], one = i == j;
            c[i * k + j] = x + one;
            c[i * k + n + j] = c[(n + i) * k + j] = x - one;
            c[(n + i) * k + n + j] = -x - one;
        }
}

/* [A, B, C, D; -B, A, -D, C; -C, D, A, -B; -D, -C, B, A]. */
static void williamson(const struct williamson *w, float *c)
{
    static const int which[4][4] = {{0, 1, 2, 3}, {1, 0, 3, 2}, {2, 3, 0, 1}, {3, 2, 1, 0}};
    static const float sign[4][4] = {{1, 1, 1, 1}, {-1, 1, -1, 1}, {-1, 1, 1, -1}, {-1, -1, 1, 1}};
    int m = w->m, k = 4 * m;
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++) {
            int apart = (j % m - i % m + m) % m, bit = apart <= m / 2 ? apart : m - apart;
            float x = w->rows[which[i / m][j / m]] >> bit & 1 ? -1 : 1;
            c[i * k + j] = sign[i / m][j / m] * x;
        }
}

/* [A, A; A, -A], A of half the order. */
static void doubled(int k, float *c)
{
    int n = k / 2;
    for (int i = n - 1; i >= 0; i--)
        for (int j = 0; j < n; j++)
            c[i * k + j] = c[i * n + j];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            c[i * k + n + j] = c[(n + i) * k + j] = c[i * k + j];
            c[(n + i) * k + n + j] = -c[i * k + j];
        }
}

static void make_core(int k, float *c)
{
    const struct williamson *w = williamson_of(k);
    if (w) {
        williamson(w, c);
    } else if (is_first_paley(k)) {
        first_paley(k, c);
    } else if (is_second_paley(k)) {
        second_paley(k, c);
    } else {
        assert(k == 40);
        first_paley(k / 2, c);
        doubled(k, c);
    }
}

/* The core of order k, of a thread: it is made when it is not that of the last call. */
static const float *core_of(int k)
{
    static _Thread_local float core[BS_HADAMARD_CORE * BS_HADAMARD_CORE];
    static _Thread_local int order;
    if (k > 1 && order != k)
        make_core(k, core);
    order = k > 1 ? k : order;
    return core;
}

void bs_hadamard(float *x, int n, int length)
{
    int k = bs_hadamard_core(n);
    bs_hadamard_loops[bs_isa()]->transform(x, n, length, core_of(k), k, false);
}

void bs_hadamard_back(float *x, int n, int length)
{
    int k = bs_hadamard_core(n);
    bs_hadamard_loops[bs_isa()]->transform(x, n, length, core_of(k), k, true);
}

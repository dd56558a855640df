#include "eval/quant/formats/ggml_search.h"

#include <math.h>
#include <string.h>

enum { LANES = BS_GGML_LANES, SIZES = BS_GGML_MOST_BLOCK };

static const float zero_below = 1e-15f; /* blocks whose values are all less count as zeros */

/* --- one value --- */

static inline int clip(int code, int least, int most)
{
    code = code < most ? code : most;
    return code > least ? code : least;
}

/* x / y, 0 where that is not sound. */
static inline float quotient(bool sound, float x, float y)
{
    float quotient_or_x = x / (sound ? y : 1);
    return sound ? quotient_or_x : 0;
}

/* --- blocks side by side --- */

static void gather(const float *x, int n, int count, struct bs_ggml_blocks *to)
{
    for (int i = 0; i < n; i++)
        for (int l = 0; l < LANES; l++)
            to->x[i].v[l] = l < count ? x[l * n + i] : 0;
}

static void scatter(const struct bs_ggml_codes *codes, int n, int count, uint8_t *to)
{
    for (int l = 0; l < count; l++)
        for (int i = 0; i < n; i++)
            to[l * n + i] = codes->q[i][l];
}

/* The first value of largest size, and whether it is large enough not to count as zero: 1 stands
 * for one that is not. */
static inline void find_extremes(int lanes, int n, const struct bs_ggml_blocks *x, float *extreme,
                                 int *zero)
{
    float size[LANES];
    for (int l = 0; l < lanes; l++)
        size[l] = extreme[l] = 0;
    for (int i = 0; i < n; i++)
        for (int l = 0; l < lanes; l++) {
            float own = x->x[i].v[l], a = fabsf(own);
            extreme[l] = a > size[l] ? own : extreme[l];
            size[l] = a > size[l] ? a : size[l];
        }
    for (int l = 0; l < lanes; l++) {
        zero[l] = size[l] < zero_below;
        extreme[l] = zero[l] ? 1 : extreme[l];
    }
}

/* Of the codes by one scale: xl = sum w x l, ll = sum w l^2. */
static inline void symmetric_sums(int lanes, int n, int most, const struct bs_ggml_blocks *x,
                                  const struct bs_ggml_blocks *weights, const float *inverse,
                                  float *xl, float *ll)
{
    float a[LANES], b[LANES];
    for (int l = 0; l < lanes; l++)
        a[l] = b[l] = 0;
    for (int i = 0; i < n; i++)
        for (int l = 0; l < lanes; l++) {
            float own = x->x[i].v[l], w = weights->x[i].v[l];
            float level = (float)clip(bs_ggml_nearest(inverse[l] * own), -most, most - 1);
            a[l] += w * own * level;
            b[l] += w * level * level;
        }
    for (int l = 0; l < lanes; l++) {
        xl[l] = a[l];
        ll[l] = b[l];
    }
}

static inline void search_symmetric(int lanes, int n, int most, const struct bs_ggml_blocks *x,
                                    const struct bs_ggml_blocks *weights, float *scale,
                                    struct bs_ggml_codes *codes)
{
    enum { TRIES = 9 };
    float extreme[LANES], inverse[LANES], best[LANES], chosen[LANES], xl[LANES], ll[LANES];
    int zero[LANES];
    find_extremes(lanes, n, x, extreme, zero);
    for (int l = 0; l < lanes; l++)
        chosen[l] = (float)-most / extreme[l];
    symmetric_sums(lanes, n, most, x, weights, chosen, xl, ll);
    for (int l = 0; l < lanes; l++) {
        scale[l] = quotient(ll[l] != 0, xl[l], ll[l]);
        best[l] = scale[l] * xl[l];
    }
    for (int k = -TRIES; k <= TRIES; k++) {
        if (k == 0)
            continue;
        float steps = (float)most + 0.1f * (float)k;
        for (int l = 0; l < lanes; l++)
            inverse[l] = -steps / extreme[l];
        symmetric_sums(lanes, n, most, x, weights, inverse, xl, ll);
        for (int l = 0; l < lanes; l++) {
            bool better = ll[l] > 0 && xl[l] * xl[l] > best[l] * ll[l];
            float fitted = quotient(better, xl[l], ll[l]);
            scale[l] = better ? fitted : scale[l];
            best[l] = better ? fitted * xl[l] : best[l];
            chosen[l] = better ? inverse[l] : chosen[l];
        }
    }
    for (int l = 0; l < lanes; l++)
        scale[l] = zero[l] ? 0 : scale[l];
    for (int i = 0; i < n; i++)
        for (int l = 0; l < lanes; l++) {
            int code = most + clip(bs_ggml_nearest(chosen[l] * x->x[i].v[l]), -most, most - 1);
            codes->q[i][l] = (uint8_t)(zero[l] ? 0 : code);
        }
}

static void symmetric(int n, int most, const struct bs_ggml_blocks *x,
                      const struct bs_ggml_blocks *weights, struct bs_ggml_lanes *scale,
                      struct bs_ggml_codes *codes)
{
    search_symmetric(LANES, n, most, x, weights, scale->v, codes);
}

static float symmetric_one(int n, int most, const float *x, const float *weights, uint8_t *codes)
{
    struct bs_ggml_blocks values = {0}, own_weights = {0};
    struct bs_ggml_codes found;
    float scale;
    for (int i = 0; i < n; i++) {
        values.x[i].v[0] = x[i];
        own_weights.x[i].v[0] = weights[i];
    }
    search_symmetric(1, n, most, &values, &own_weights, &scale, &found);
    for (int i = 0; i < n; i++)
        codes[i] = found.q[i][0];
    return scale;
}

/* --- one code at a time --- */

/* Where each lane stands: its levels, and the sums over them. */
struct descent {
    struct bs_ggml_blocks level;
    struct bs_ggml_lanes xl, ll;
};

/* Moves value i of each lane to the level that is best for the scale of the others, where that
 * helps; returns whether any moved. */
static inline bool move(struct descent *at, int i, int most, const struct bs_ggml_lanes *x)
{
    int moved = 0;
    for (int l = 0; l < LANES; l++) {
        float own = x->v[l], w = own * own, level = at->level.x[i].v[l];
        float xl = at->xl.v[l] - w * own * level, ll = at->ll.v[l] - w * level * level;
        bool sound = xl > 0;
        float next = (float)clip(bs_ggml_nearest(quotient(sound, own * ll, xl)), -most, most - 1);
        xl += w * own * next;
        ll += w * next * next;
        bool better = sound && next != level && ll > 0 &&
                      xl * xl * at->ll.v[l] > at->xl.v[l] * at->xl.v[l] * ll;
        at->level.x[i].v[l] = better ? next : level;
        at->xl.v[l] = better ? xl : at->xl.v[l];
        at->ll.v[l] = better ? ll : at->ll.v[l];
        moved |= better;
    }
    return moved;
}

static void descend(int n, int most, const struct bs_ggml_blocks *x, struct bs_ggml_lanes *scale,
                    struct bs_ggml_codes *codes)
{
    enum { SWEEPS = 5 };
    float extreme[LANES];
    int zero[LANES];
    struct descent at = {.xl = {{0}}};
    find_extremes(LANES, n, x, extreme, zero);
    for (int l = 0; l < LANES; l++)
        extreme[l] = (float)-most / extreme[l];
    for (int i = 0; i < n; i++)
        for (int l = 0; l < LANES; l++) {
            float own = x->x[i].v[l], w = own * own;
            float level = (float)clip(bs_ggml_nearest(extreme[l] * own), -most, most - 1);
            at.level.x[i].v[l] = level;
            at.xl.v[l] += w * own * level;
            at.ll.v[l] += w * level * level;
        }
    /* A lane that has come to rest stays as it is in further sweeps. */
    bool moved = true;
    for (int sweep = 0; sweep < SWEEPS && moved; sweep++) {
        moved = false;
        for (int i = 0; i < n; i++)
            moved |= move(&at, i, most, &x->x[i]);
    }
    for (int l = 0; l < LANES; l++)
        scale->v[l] = zero[l] ? 0 : quotient(at.ll.v[l] > 0, at.xl.v[l], at.ll.v[l]);
    for (int i = 0; i < n; i++)
        for (int l = 0; l < LANES; l++)
            codes->q[i][l] = (uint8_t)(zero[l] ? 0 : (int)at.level.x[i].v[l] + most);
}

/* --- scale and minimum --- */

/* What is known of each lane before its scales are tried, and of the best of them. */
struct affine_lanes {
    struct bs_ggml_lanes low, high, sum_w, sum_x; /* the lowest, of later tries the fitted one */
    struct bs_ggml_lanes scale, error;
    struct bs_ggml_lanes inverse, from; /* that the best codes are made with */
    int flat[LANES];                    /* all values alike, or above 0 by nothing */
};

static inline void affine_begin(struct affine_lanes *a, int n, const struct bs_ggml_blocks *x,
                                const struct bs_ggml_blocks *weights)
{
    for (int l = 0; l < LANES; l++) {
        a->low.v[l] = a->high.v[l] = x->x[0].v[l];
        a->sum_w.v[l] = weights->x[0].v[l];
        a->sum_x.v[l] = weights->x[0].v[l] * x->x[0].v[l];
    }
    for (int i = 1; i < n; i++)
        for (int l = 0; l < LANES; l++) {
            float own = x->x[i].v[l], w = weights->x[i].v[l];
            a->low.v[l] = own < a->low.v[l] ? own : a->low.v[l];
            a->high.v[l] = own > a->high.v[l] ? own : a->high.v[l];
            a->sum_w.v[l] += w;
            a->sum_x.v[l] += w * own;
        }
    for (int l = 0; l < LANES; l++) {
        a->low.v[l] = a->low.v[l] > 0 ? 0 : a->low.v[l];
        a->flat[l] = !(a->high.v[l] > a->low.v[l]);
        a->high.v[l] = a->flat[l] ? a->low.v[l] + 1 : a->high.v[l];
    }
}

static inline float error_of(float difference, bool absolute)
{
    return absolute ? fabsf(difference) : difference * difference;
}

/* The error of the codes that span the whole range. */
static inline void affine_first(struct affine_lanes *a, int n, const struct bs_ggml_grid *grid,
                                const struct bs_ggml_blocks *x,
                                const struct bs_ggml_blocks *weights)
{
    struct bs_ggml_lanes error = {{0}};
    for (int l = 0; l < LANES; l++) {
        a->inverse.v[l] = (float)grid->most / (a->high.v[l] - a->low.v[l]);
        a->scale.v[l] = 1 / a->inverse.v[l];
        a->from.v[l] = a->low.v[l];
    }
    for (int i = 0; i < n; i++)
        for (int l = 0; l < LANES; l++) {
            float own = x->x[i].v[l];
            float code =
                (float)clip(bs_ggml_nearest(a->inverse.v[l] * (own - a->low.v[l])), 0, grid->most);
            float difference = a->scale.v[l] * code + a->low.v[l] - own;
            error.v[l] += weights->x[i].v[l] * error_of(difference, grid->absolute);
        }
    a->error = error;
}

/* Sums over the codes by one scale: l, l^2 and x l, weighted. */
struct affine_sums {
    struct bs_ggml_lanes l, ll, xl;
};

static inline void affine_sums(const struct affine_lanes *a, int n, int most,
                               const struct bs_ggml_blocks *x, const struct bs_ggml_blocks *weights,
                               const struct bs_ggml_lanes *inverse, struct bs_ggml_blocks *codes,
                               struct affine_sums *to)
{
    struct bs_ggml_lanes sum_l = {{0}}, sum_ll = {{0}}, sum_xl = {{0}};
    for (int i = 0; i < n; i++)
        for (int l = 0; l < LANES; l++) {
            float own = x->x[i].v[l], w = weights->x[i].v[l];
            float code = (float)clip(bs_ggml_nearest(inverse->v[l] * (own - a->low.v[l])), 0, most);
            float weighted = w * code;
            codes->x[i].v[l] = code;
            sum_l.v[l] += weighted;
            sum_ll.v[l] += weighted * code;
            sum_xl.v[l] += weighted * own;
        }
    *to = (struct affine_sums){sum_l, sum_ll, sum_xl};
}

/* The least squares fit to these codes, and what it gives. A lane whose codes are all alike has
 * none: `sound` is false. */
static inline void affine_fit(const struct affine_lanes *a, const struct affine_sums *sums,
                              float *scale, float *low, int *sound)
{
    for (int l = 0; l < LANES; l++) {
        float w = a->sum_w.v[l], x = a->sum_x.v[l];
        float sl = sums->l.v[l], sll = sums->ll.v[l], sxl = sums->xl.v[l];
        float d = w * sll - sl * sl;
        float divisor = d > 0 ? d : 1, through_zero = sxl / (d > 0 ? sll : 1);
        float fitted = (w * sxl - x * sl) / divisor, fitted_low = (sll * x - sl * sxl) / divisor;
        scale[l] = fitted_low > 0 ? through_zero : fitted;
        low[l] = fitted_low > 0 ? 0 : fitted_low;
        sound[l] = d > 0;
    }
}

static inline void affine_errors(int n, bool absolute, const struct bs_ggml_blocks *x,
                                 const struct bs_ggml_blocks *weights,
                                 const struct bs_ggml_blocks *codes, const float *scale,
                                 const float *low, struct bs_ggml_lanes *error)
{
    struct bs_ggml_lanes sum = {{0}};
    for (int i = 0; i < n; i++)
        for (int l = 0; l < LANES; l++) {
            float difference = scale[l] * codes->x[i].v[l] + low[l] - x->x[i].v[l];
            sum.v[l] += weights->x[i].v[l] * error_of(difference, absolute);
        }
    *error = sum;
}

/* One scale of the grid. Where it is better the fitted minimum is where later ones start from. */
static inline void affine_try(struct affine_lanes *a, int n, const struct bs_ggml_grid *grid, int k,
                              const struct bs_ggml_blocks *x, const struct bs_ggml_blocks *weights)
{
    struct bs_ggml_lanes inverse, error;
    struct bs_ggml_blocks codes;
    struct affine_sums sums;
    float scale[LANES], low[LANES];
    int sound[LANES];
    float steps = grid->from + grid->step * (float)k + (float)grid->most;
    for (int l = 0; l < LANES; l++)
        inverse.v[l] = quotient(a->high.v[l] != a->low.v[l], steps, a->high.v[l] - a->low.v[l]);
    affine_sums(a, n, grid->most, x, weights, &inverse, &codes, &sums);
    affine_fit(a, &sums, scale, low, sound);
    if (grid->absolute)
        affine_errors(n, true, x, weights, &codes, scale, low, &error);
    else
        affine_errors(n, false, x, weights, &codes, scale, low, &error);
    for (int l = 0; l < LANES; l++) {
        bool better = sound[l] && !a->flat[l] && error.v[l] < a->error.v[l];
        a->error.v[l] = better ? error.v[l] : a->error.v[l];
        a->inverse.v[l] = better ? inverse.v[l] : a->inverse.v[l];
        a->from.v[l] = better ? a->low.v[l] : a->from.v[l];
        a->scale.v[l] = better ? scale[l] : a->scale.v[l];
        a->low.v[l] = better ? low[l] : a->low.v[l];
    }
}

static void affine(int n, const struct bs_ggml_grid *grid, const struct bs_ggml_blocks *x,
                   const struct bs_ggml_blocks *weights, struct bs_ggml_lanes *scale,
                   struct bs_ggml_lanes *minimum, struct bs_ggml_codes *codes)
{
    struct affine_lanes a;
    affine_begin(&a, n, x, weights);
    affine_first(&a, n, grid, x, weights);
    for (int k = 0; k <= grid->steps; k++)
        affine_try(&a, n, grid, k, x, weights);
    for (int l = 0; l < LANES; l++) {
        scale->v[l] = a.flat[l] ? 0 : a.scale.v[l];
        minimum->v[l] = -a.low.v[l];
    }
    for (int i = 0; i < n; i++)
        for (int l = 0; l < LANES; l++) {
            float from = a.from.v[l];
            int code = clip(bs_ggml_nearest(a.inverse.v[l] * (x->x[i].v[l] - from)), 0, grid->most);
            codes->q[i][l] = (uint8_t)(a.flat[l] ? 0 : code);
        }
}

/* --- the scales of a super-block --- */

/* The weighted square error of the codes by one scale. */
static float positive_error(int n, int most, const float *x, const float *weights, float inverse)
{
    float scale = 1 / inverse, sum = 0;
    for (int i = 0; i < n; i++) {
        int code = bs_ggml_nearest(inverse * x[i]);
        float difference = x[i] - scale * (float)(code < most ? code : most);
        sum += weights[i] * difference * difference;
    }
    return sum;
}

/* One code at a time to the best for the scale of the others; returns whether any changed. */
static bool positive_sweep(int n, int most, const float *x, const float *weights, uint8_t *codes,
                           float *xl, float *ll)
{
    bool changed = false;
    for (int i = 0; i < n; i++) {
        float w = weights[i], level = codes[i];
        float own_xl = *xl - w * x[i] * level, own_ll = *ll - w * level * level;
        if (!(own_xl > 0 && own_ll > 0))
            continue;
        int code = bs_ggml_nearest(x[i] * own_ll / own_xl);
        code = code < most ? code : most;
        if (code == codes[i])
            continue;
        own_xl += w * x[i] * (float)code;
        own_ll += w * (float)code * (float)code;
        if (own_xl * own_xl * *ll > *xl * *xl * own_ll) {
            codes[i] = (uint8_t)code;
            *xl = own_xl;
            *ll = own_ll;
            changed = true;
        }
    }
    return changed;
}

static float positive(int n, int most, const float *x, const float *weights, uint8_t *codes)
{
    enum { TRIES = 4, SWEEPS = 5 };
    float largest = 0, xl = 0, ll = 0;
    memset(codes, 0, (size_t)n);
    for (int i = 0; i < n; i++)
        largest = largest > x[i] ? largest : x[i];
    if (largest < zero_below)
        return 0;
    float inverse = (float)most / largest;
    float least = positive_error(n, most, x, weights, inverse);
    for (int k = -TRIES; k <= TRIES; k++) {
        float tried = (0.1f * (float)k + (float)most) / largest;
        float error = k ? positive_error(n, most, x, weights, tried) : least;
        inverse = error < least ? tried : inverse;
        least = error < least ? error : least;
    }
    for (int i = 0; i < n; i++) {
        int code = bs_ggml_nearest(inverse * x[i]);
        codes[i] = (uint8_t)(code < most ? code : most);
        float level = (float)(code < most ? code : most);
        xl += weights[i] * x[i] * level;
        ll += weights[i] * level * level;
    }
    for (int sweep = 0; sweep < SWEEPS; sweep++)
        if (!positive_sweep(n, most, x, weights, codes, &xl, &ll))
            break;
    return quotient(ll > 0, xl, ll);
}

/* --- the table --- */

/* The level nearest to x, ties to the upper one. */
static inline float nearest_level(float x)
{
    float level = bs_ggml_table_levels[0];
    for (int k = 0; k < 15; k++)
        level = x >= bs_ggml_table_middles[k] ? bs_ggml_table_levels[k + 1] : level;
    return level;
}

static inline void table_sums(int n, const struct bs_ggml_blocks *x,
                              const struct bs_ggml_blocks *weights, const float *inverse, float *xl,
                              float *ll)
{
    struct bs_ggml_lanes a = {{0}}, b = {{0}};
    for (int i = 0; i < n; i++)
        for (int l = 0; l < LANES; l++) {
            float own = x->x[i].v[l], w = weights->x[i].v[l];
            float level = nearest_level(inverse[l] * own);
            a.v[l] += w * level * own;
            b.v[l] += w * level * level;
        }
    memcpy(xl, a.v, sizeof a.v);
    memcpy(ll, b.v, sizeof b.v);
}

static void table(int n, const struct bs_ggml_blocks *x, const struct bs_ggml_blocks *weights,
                  struct bs_ggml_lanes *scale)
{
    enum { TRIES = 7 };
    float extreme[LANES], inverse[LANES], best[LANES], xl[LANES], ll[LANES];
    int zero[LANES];
    find_extremes(LANES, n, x, extreme, zero);
    for (int l = 0; l < LANES; l++)
        inverse[l] = 1 / (-extreme[l] / bs_ggml_table_levels[0]);
    table_sums(n, x, weights, inverse, xl, ll);
    for (int l = 0; l < LANES; l++) {
        scale->v[l] = quotient(ll[l] > 0, xl[l], ll[l]);
        best[l] = scale->v[l] * xl[l];
    }
    for (int k = -TRIES; k <= TRIES; k++) {
        for (int l = 0; l < LANES; l++)
            inverse[l] = ((float)k + bs_ggml_table_levels[0]) / extreme[l];
        table_sums(n, x, weights, inverse, xl, ll);
        for (int l = 0; l < LANES; l++) {
            bool better = ll[l] > 0 && xl[l] * xl[l] > best[l] * ll[l];
            float fitted = quotient(better, xl[l], ll[l]);
            scale->v[l] = better ? fitted : scale->v[l];
            best[l] = better ? fitted * xl[l] : best[l];
        }
    }
    for (int l = 0; l < LANES; l++)
        scale->v[l] = zero[l] ? 0 : scale->v[l];
}

static float sum_squares(const float *x, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

static void weigh(const float *x, const float *importance, float sigma2, int n, float *to)
{
    for (int i = 0; i < n; i++)
        to[i] = importance[i] * sqrtf(sigma2 + x[i] * x[i]);
}

const struct bs_ggml_loops BS_AT_LEVEL(bs_ggml_loops) = {
    .gather = gather,
    .scatter = scatter,
    .symmetric = symmetric,
    .symmetric_one = symmetric_one,
    .descend = descend,
    .affine = affine,
    .positive = positive,
    .table = table,
    .sum_squares = sum_squares,
    .weigh = weigh,
};

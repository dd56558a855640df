#include "eval/linalg/vector.h"

#include <math.h>

#include "eval/linalg/elementary.h"

enum { LANES = 16 };

/* less[l] = the smaller of itself and x[l], itself where x[l] is NaN. */
static inline void lower_lanes(const float *x, int lanes, float *less)
{
    for (int l = 0; l < lanes; l++)
        less[l] = x[l] < less[l] ? x[l] : less[l];
}

static inline void raise_lanes(const float *x, int lanes, float *more)
{
    for (int l = 0; l < lanes; l++)
        more[l] = x[l] > more[l] ? x[l] : more[l];
}

/* min_max of count >= lanes values in a constant number of lanes, a power of two, 2 LANES at
 * most. A comparison waits for the one before it in its lane: many lanes are several chains. */
static inline void find_extremes(const float *x, size_t count, int lanes, float *low, float *high)
{
    float less[2 * LANES], more[2 * LANES];
    for (int l = 0; l < lanes; l++)
        less[l] = more[l] = x[0];
    size_t i = 0, step = (size_t)lanes;
    for (; i + step <= count; i += step) {
        lower_lanes(x + i, lanes, less);
        raise_lanes(x + i, lanes, more);
    }
    lower_lanes(x + count - step, lanes, less); /* the rest, and some again */
    raise_lanes(x + count - step, lanes, more);
    for (int half = lanes / 2; half; half /= 2) {
        lower_lanes(less + half, half, less);
        raise_lanes(more + half, half, more);
    }
    *low = less[0];
    *high = more[0];
}

static void min_max(const float *x, size_t count, float *low, float *high)
{
    enum { WIDE = 2 * LANES, NARROW = LANES / 4 };
    if (count >= WIDE)
        find_extremes(x, count, WIDE, low, high);
    else if (count >= NARROW)
        find_extremes(x, count, NARROW, low, high);
    else
        find_extremes(x, count, 1, low, high);
}

static float abs_max(const float *x, size_t count)
{
    if (!count)
        return 0;
    float low, high;
    min_max(x, count, &low, &high);
    return -low > high ? -low : high;
}

static double sum_lanes(const double *lanes)
{
    double sum = 0;
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

static double dot(const float *x, const float *y, size_t count)
{
    double lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int l = 0; l < LANES; l++)
            lanes[l] += (double)x[i + (size_t)l] * (double)y[i + (size_t)l];
    for (; i < count; i++)
        lanes[0] += (double)x[i] * (double)y[i];
    return sum_lanes(lanes);
}

static double sum_squares(const float *x, size_t count) { return dot(x, x, count); }

static double sum_squared_difference(const float *x, const float *y, size_t count)
{
    double lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int l = 0; l < LANES; l++) {
            double d = (double)x[i + (size_t)l] - (double)y[i + (size_t)l];
            lanes[l] += d * d;
        }
    for (; i < count; i++)
        lanes[0] += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return sum_lanes(lanes);
}

static size_t first_not_finite(const float *x, size_t count)
{
    enum { CHUNK = 1024 };
    for (size_t start = 0; start < count; start += CHUNK) {
        size_t end = start + CHUNK < count ? start + CHUNK : count;
        /* x - x is zero for a finite value and NaN for any other. */
        int bad = 0;
        for (size_t i = start; i < end; i++)
            bad |= x[i] - x[i] != 0.0f;
        for (size_t i = start; bad && i < end; i++)
            if (!isfinite(x[i]))
                return i;
    }
    return count;
}

static float max(const float *x, size_t count)
{
    enum { WIDE = 4 * LANES };
    float more[WIDE], low;
    if (count < WIDE) {
        min_max(x, count, &low, more);
        return more[0];
    }
    for (int l = 0; l < WIDE; l++)
        more[l] = x[0];
    for (size_t i = 0; i + WIDE <= count; i += WIDE)
        raise_lanes(x + i, WIDE, more);
    raise_lanes(x + count - WIDE, WIDE, more); /* the rest, and some again */
    for (int half = WIDE / 2; half; half /= 2)
        raise_lanes(more + half, half, more);
    return more[0];
}

static float sum_float_lanes(const float *lanes)
{
    float sum = 0;
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

static float exp_shifted(float *x, size_t count, float shift)
{
    float lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            float e = bs_expf(x[i + (size_t)l] - shift);
            x[i + (size_t)l] = e;
            lanes[l] += e;
        }
    }
    for (; i < count; i++)
        lanes[0] += x[i] = bs_expf(x[i] - shift);
    return sum_float_lanes(lanes);
}

static double sum_exp(const float *x, size_t count, double shift)
{
    double lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int l = 0; l < LANES; l++)
            lanes[l] += bs_exp((double)x[i + (size_t)l] - shift);
    }
    for (; i < count; i++)
        lanes[0] += bs_exp((double)x[i] - shift);
    return sum_lanes(lanes);
}

static double exp_to_double(const float *x, size_t count, double shift, double *p)
{
    double lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            double e = bs_exp((double)x[i + (size_t)l] - shift);
            p[i + (size_t)l] = e;
            lanes[l] += e;
        }
    }
    for (; i < count; i++)
        lanes[0] += p[i] = bs_exp((double)x[i] - shift);
    return sum_lanes(lanes);
}

static double weighted_difference(const double *p, const float *x, const float *y, size_t count)
{
    double lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int l = 0; l < LANES; l++) {
            size_t j = i + (size_t)l;
            lanes[l] += p[j] * ((double)x[j] - (double)y[j]);
        }
    for (; i < count; i++)
        lanes[0] += p[i] * ((double)x[i] - (double)y[i]);
    return sum_lanes(lanes);
}

static void soft_cap(float *x, size_t count, float cap)
{
    for (size_t i = 0; i < count; i++)
        x[i] = cap * bs_tanhf(x[i] / cap);
}

static void add(const float *x, float *y, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] += x[i];
}

static void scale(float *x, size_t count, float factor)
{
    for (size_t i = 0; i < count; i++)
        x[i] *= factor;
}

static void clip(const float *x, size_t count, float most, float *out)
{
    for (size_t i = 0; i < count; i++) {
        float at_least = x[i] > -most ? x[i] : -most;
        out[i] = at_least < most ? at_least : most;
    }
}

static void turn(float *x, float *y, const float *cosine, const float *sine, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float a = x[i], b = y[i];
        x[i] = a * cosine[i] - b * sine[i];
        y[i] = b * cosine[i] + a * sine[i];
    }
}

static float sum_power_difference(const float *x, const float *y, size_t count, float power)
{
    float lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int l = 0; l < LANES; l++)
            lanes[l] += bs_powf(fabsf(x[i + (size_t)l] - y[i + (size_t)l]), power);
    }
    for (; i < count; i++)
        lanes[0] += bs_powf(fabsf(x[i] - y[i]), power);
    return sum_float_lanes(lanes);
}

static void power(const float *x, size_t count, float power, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = bs_powf(x[i], power);
}

static void rms_norm(const float *x, const float *weight, float eps, int rows, int width, float *y)
{
    for (int t = 0; t < rows; t++) {
        const float *row = x + (size_t)t * (size_t)width;
        float *out = y + (size_t)t * (size_t)width;
        float mean = (float)(sum_squares(row, (size_t)width) / width);
        float factor = 1.0f / sqrtf(mean + eps);
        for (int j = 0; j < width; j++)
            out[j] = weight[j] * (row[j] * factor);
    }
}

static double sum_of(const float *x, size_t count)
{
    double lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int l = 0; l < LANES; l++)
            lanes[l] += (double)x[i + (size_t)l];
    for (; i < count; i++)
        lanes[i % LANES] += (double)x[i];
    return sum_lanes(lanes);
}

static void layer_norm(const float *x, const float *weight, const float *bias, float eps, int rows,
                       int width, float *y)
{
    for (int t = 0; t < rows; t++) {
        const float *row = x + (size_t)t * (size_t)width;
        float *out = y + (size_t)t * (size_t)width;
        float mean = (float)(sum_of(row, (size_t)width) / width);
        for (int j = 0; j < width; j++)
            out[j] = row[j] - mean;
        float variance = (float)(sum_squares(out, (size_t)width) / width);
        float factor = 1.0f / sqrtf(variance + eps);
        for (int j = 0; j < width; j++)
            out[j] = out[j] * factor * weight[j] + (bias ? bias[j] : 0);
    }
}

const struct bs_vector_loops BS_AT_LEVEL(bs_vector_loops) = {
    .min_max = min_max,
    .abs_max = abs_max,
    .sum_squares = sum_squares,
    .dot = dot,
    .sum_squared_difference = sum_squared_difference,
    .first_not_finite = first_not_finite,
    .max = max,
    .exp_shifted = exp_shifted,
    .sum_exp = sum_exp,
    .exp_to_double = exp_to_double,
    .weighted_difference = weighted_difference,
    .soft_cap = soft_cap,
    .add = add,
    .scale = scale,
    .clip = clip,
    .turn = turn,
    .sum_power_difference = sum_power_difference,
    .power = power,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
};

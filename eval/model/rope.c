/* Angles of rotary positions, in the arithmetic of transformers' modeling_rope_utils.py (5.24):
 * frequencies in float32, since their rounding shows at late positions, what is derived from single
 * settings in double. Sources: linear (kaiokendev), dynamic (bloc97, emozilla), yarn (Peng et al.
 * 2023, section 3.4), longrope (Ding et al. 2024), llama3 (Llama 3.1's own code). */
#include "eval/model/rope.h"

#include <assert.h>
#include <limits.h>
#include <math.h>

#include "eval/base/mem.h"
#include "eval/linalg/elementary.h"
#include "eval/linalg/vector.h"

struct rope_table {
    float *cos, *sin; /* [tokens][half] */
};

/* Tables for windows of up to `tokens`, or of just as many. */
struct rope_length {
    int tokens;
    struct rope_table tables[2]; /* of global and of local layers */
};

struct bs_rope {
    int half; /* pairs of dimensions that are rotated */
    bool interleaved;
    bool depends;    /* on the window's length */
    int num_lengths; /* rising */
    struct rope_length *lengths;
};

/* --- frequencies --- */

/* theta ^ (2 j / dim), j-th of the pairs of `dim` dimensions. */
static float power_of(float theta, int j, int dim)
{
    return bs_powf(theta, (float)(2 * j) / (float)dim);
}

/* Llama 3: long wavelengths are stretched by `factor`, short ones left alone, those between
 * blended. */
static float llama3_frequency(const struct bs_rope_settings *rope, float frequency)
{
    float wavelength = 6.2831853f / frequency;
    float original = (float)rope->original_positions, factor = (float)rope->factor;
    float low = (float)rope->low_freq_factor, high = (float)rope->high_freq_factor;
    if (wavelength < original / high)
        return frequency;
    if (wavelength > original / low)
        return frequency / factor;
    float smooth = (original / wavelength - low) / (high - low);
    return (1 - smooth) * frequency / factor + smooth * frequency;
}

/* The pair that turns `rotations` times over the original positions, as a fraction of a pair. */
static double yarn_pair(const struct bs_rope_settings *rope, double rotations, int dim)
{
    return dim * bs_log(rope->original_positions / (rotations * 2 * 3.14159265358979323846)) /
           (2 * bs_log(rope->theta));
}

/* Pairs that turn often keep their frequency, those that turn less than once are stretched by
 * `factor`, with a ramp between. */
static float yarn_frequency(const struct bs_rope_settings *rope, int j, int dim)
{
    double low = yarn_pair(rope, rope->beta_fast, dim),
           high = yarn_pair(rope, rope->beta_slow, dim);
    if (rope->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, dim - 1);
    if (low == high)
        high += 0.001; /* as the source has it: no division by 0 */
    float ramp = ((float)j - (float)low) / (float)(high - low);
    ramp = fminf(fmaxf(ramp, 0), 1);
    float power = power_of((float)rope->theta, j, dim), kept = 1 - ramp;
    return 1.0f / ((float)rope->factor * power) * (1 - kept) + 1.0f / power * kept;
}

/* Beyond the original positions the base grows with the window. */
static float dynamic_theta(const struct bs_rope_settings *rope, int tokens, int dim)
{
    float original = (float)rope->original_positions, theta = (float)rope->theta;
    if (tokens <= rope->original_positions)
        return theta;
    float stretch = (float)rope->factor * (float)tokens / original - (float)(rope->factor - 1);
    return theta * bs_powf(stretch, (float)((double)dim / (dim - 2)));
}

/* Frequency of pair j of `dim` dimensions, in a window of `tokens`. */
static float frequency_of(const struct bs_rope_settings *rope, int j, int dim, int tokens)
{
    float theta = (float)rope->theta;
    switch (rope->kind) {
    case BS_ROPE_DEFAULT:
        break;
    case BS_ROPE_LINEAR:
        return 1.0f / power_of(theta, j, dim) / (float)rope->factor;
    case BS_ROPE_LLAMA3:
        return llama3_frequency(rope, 1.0f / power_of(theta, j, dim));
    case BS_ROPE_YARN:
        return yarn_frequency(rope, j, dim);
    case BS_ROPE_DYNAMIC:
        return 1.0f / power_of(dynamic_theta(rope, tokens, dim), j, dim);
    case BS_ROPE_LONGROPE:
        return 1.0f /
               ((tokens > rope->original_positions ? rope->long_factors : rope->short_factors)[j] *
                power_of(theta, j, dim));
    }
    return 1.0f / power_of(theta, j, dim);
}

/* --- of two settings --- */

static bool same_floats(const float *a, const float *b, int count)
{
    for (int i = 0; i < count; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

bool bs_rope_same(const struct bs_rope_settings *a, const struct bs_rope_settings *b)
{
    const double numbers[][2] = {{a->theta, b->theta},
                                 {a->attention_factor, b->attention_factor},
                                 {a->scores_factor, b->scores_factor},
                                 {a->factor, b->factor},
                                 {a->original_positions, b->original_positions},
                                 {a->low_freq_factor, b->low_freq_factor},
                                 {a->high_freq_factor, b->high_freq_factor},
                                 {a->beta_fast, b->beta_fast},
                                 {a->beta_slow, b->beta_slow}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if ((float)numbers[i][0] != (float)numbers[i][1])
            return false;
    return a->kind == b->kind && a->truncate == b->truncate && a->num_factors == b->num_factors &&
           same_floats(a->short_factors, b->short_factors, a->num_factors) &&
           same_floats(a->long_factors, b->long_factors, a->num_factors);
}

double bs_rope_distance(const struct bs_rope_settings *a, const struct bs_rope_settings *b,
                        int rotary_dim)
{
    const int lengths[] = {1, INT_MAX};
    double distance = 0;
    for (int k = 0; k < 2; k++)
        for (int j = 0; j < (rotary_dim + 1) / 2; j++) {
            double own = (double)frequency_of(a, j, rotary_dim, lengths[k]);
            double other = (double)frequency_of(b, j, rotary_dim, lengths[k]);
            distance = fmax(distance, fabs(other - own) / own);
        }
    return distance;
}

float bs_rope_factor(const struct bs_rope_settings *rope, int pair, int rotary_dim)
{
    const int reach = 4;
    float power = power_of((float)rope->theta, pair, rotary_dim);
    float wanted = frequency_of(rope, pair, rotary_dim, 1);
    float first = (1.0f / power) / wanted, above = first, below = first, best = first;
    for (int k = 0; k <= reach; k++) {
        const float tried[] = {above, below};
        for (int i = 0; i < 2; i++)
            if (fabsf(1.0f / (tried[i] * power) - wanted) < fabsf(1.0f / (best * power) - wanted))
                best = tried[i];
        above = nextafterf(above, INFINITY);
        below = nextafterf(below, 0);
    }
    return best;
}

/* --- tables --- */

static bool fill_table(struct rope_table *table, const struct bs_rope_settings *rope, int dim,
                       int tokens)
{
    int half = (dim + 1) / 2;
    float scale = (float)rope->attention_factor;
    size_t count = (size_t)tokens * (size_t)half;
    table->cos = bs_alloc(count, sizeof(float));
    table->sin = bs_alloc(count, sizeof(float));
    if (!table->cos || !table->sin)
        return false;
    for (int j = 0; j < half; j++) {
        float frequency = frequency_of(rope, j, dim, tokens);
        for (int t = 0; t < tokens; t++) {
            size_t at = (size_t)t * (size_t)half + (size_t)j;
            float sine, cosine;
            bs_sin_cos((float)t * frequency, &sine, &cosine);
            table->cos[at] = cosine * scale;
            table->sin[at] = sine * scale;
        }
    }
    return true;
}

static bool depends_on_length(const struct bs_rope_settings *rope)
{
    return rope->kind == BS_ROPE_DYNAMIC || rope->kind == BS_ROPE_LONGROPE;
}

bool bs_rope_depends_on_length(const struct bs_architecture *a)
{
    return depends_on_length(&a->rope) || depends_on_length(&a->local_rope);
}

/* Puts `tokens` into the rising lengths, which have room for it. */
static void add_length(struct bs_rope *rope, int tokens)
{
    int at = rope->num_lengths;
    while (at > 0 && rope->lengths[at - 1].tokens > tokens)
        at--;
    if (at > 0 && rope->lengths[at - 1].tokens == tokens)
        return;
    for (int i = rope->num_lengths++; i > at; i--)
        rope->lengths[i].tokens = rope->lengths[i - 1].tokens;
    rope->lengths[at].tokens = tokens;
}

struct bs_rope *bs_rope_create(const struct bs_architecture *a, const int *windows, int count)
{
    struct bs_rope *rope = bs_calloc(1, sizeof *rope);
    if (!rope)
        return NULL;
    rope->half = (a->rotary_dim + 1) / 2;
    rope->interleaved = a->family->rotary_interleaved;
    rope->depends = bs_rope_depends_on_length(a);
    rope->lengths = bs_calloc((size_t)count, sizeof *rope->lengths);
    bool done = rope->lengths;
    for (int i = 0; done && i < count; i++) {
        if (!rope->depends && rope->num_lengths && rope->lengths[0].tokens < windows[i])
            rope->lengths[0].tokens = windows[i];
        else if (rope->depends || !rope->num_lengths)
            add_length(rope, windows[i]);
    }
    for (int i = 0; done && i < rope->num_lengths; i++) {
        struct rope_length *l = &rope->lengths[i];
        done = fill_table(&l->tables[0], &a->rope, a->rotary_dim, l->tokens) &&
               (!a->sliding_window ||
                fill_table(&l->tables[1], &a->local_rope, a->rotary_dim, l->tokens));
    }
    if (done)
        return rope;
    bs_rope_free(rope);
    return NULL;
}

void bs_rope_free(struct bs_rope *rope)
{
    if (!rope)
        return;
    for (int i = 0; rope->lengths && i < rope->num_lengths; i++)
        for (int k = 0; k < 2; k++) {
            bs_free(rope->lengths[i].tables[k].cos);
            bs_free(rope->lengths[i].tables[k].sin);
        }
    bs_free(rope->lengths);
    bs_free(rope);
}

static const struct rope_table *find_table(const struct bs_rope *rope, bool local, int tokens)
{
    int i = 0;
    while (i < rope->num_lengths - 1 && rope->lengths[i].tokens < tokens)
        i++;
    assert(rope->depends ? rope->lengths[i].tokens == tokens : rope->lengths[i].tokens >= tokens);
    return &rope->lengths[i].tables[local];
}

/* Turns pairs that stand side by side. */
static void turn_neighbours(float *x, const float *c, const float *s, size_t pairs)
{
    for (size_t j = 0; j < pairs; j++) {
        float a = x[2 * j], b = x[2 * j + 1];
        x[2 * j] = a * c[j] - b * s[j];
        x[2 * j + 1] = b * c[j] + a * s[j];
    }
}

void bs_rotate(const struct bs_rope *rope, bool local, float *x, int first, int tokens, int heads,
               int head_dim, int width)
{
    size_t half = (size_t)rope->half;
    if (!half || !tokens)
        return;
    const struct rope_table *table = find_table(rope, local, first + tokens);
    for (int t = 0; t < tokens; t++) {
        size_t at = ((size_t)first + (size_t)t) * half;
        const float *c = table->cos + at, *s = table->sin + at;
        for (int h = 0; h < heads; h++) {
            float *head = x + (size_t)t * (size_t)width + (size_t)(h * head_dim);
            if (rope->interleaved)
                turn_neighbours(head, c, s, half);
            else
                bs_turn(head, head + half, c, s, half);
        }
    }
}

#include "eval/model/attention.h"

#include <math.h>
#include <string.h>

#include "eval/linalg/bfloat16.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/elementary.h"
#include "eval/linalg/vector.h"

enum { QUERY_TILE = 128 }; /* rows of a head's scores that exist at a time */

/* The slope of ALiBi for one head (Press et al. 2022; for a number of heads that is no power of two
 * the further slopes lie between those of twice the power, as BLOOM's code has it). */
static float alibi_slope(const struct bs_architecture *a, int head)
{
    int power = 1;
    while (power * 2 <= a->num_heads)
        power *= 2;
    bool further = head >= power;
    int step = further ? 2 * (head - power) + 1 : head + 1;
    float base = (float)bs_exp2(-(double)a->alibi_exponent / (further ? 2 * power : power));
    return bs_powf(base, (float)step);
}

/* What ALiBi adds to the scores of one head, for keys first and on. */
static void add_alibi(const struct bs_architecture *a, int head, float *scores, int rows, int width,
                      int first)
{
    float slope = alibi_slope(a, head), rounded = bs_round_to_bfloat16(slope),
          scale = a->attention_scale;
    for (int r = 0; r < rows; r++) {
        float *row = scores + (size_t)r * (size_t)width;
        if (a->family->alibi_bfloat16)
            for (int j = 0; j < width; j++)
                row[j] += bs_round_to_bfloat16(rounded * bs_round_to_bfloat16((float)(first + j))) *
                          scale;
        else
            for (int j = 0; j < width; j++)
                row[j] += slope * (float)(first + j);
    }
}

/* What is done to scores [rows][width] of one head, whose columns are keys first_key and on. */
static void shape_scores(const struct bs_architecture *a, int head, float *scores, int rows,
                         int width, int first_key)
{
    if (a->attention_softcap > 0)
        bs_soft_cap(scores, (size_t)rows * (size_t)width, a->attention_softcap);
    if (a->positions == BS_ALIBI)
        add_alibi(a, head, scores, rows, width, first_key);
}

/* Row r of scores [rows][width] becomes exp(score - its largest) over the keys that its query sees,
 * 0 elsewhere, and inverse[r] one over the sum. Row r is query first + r, column j key first_key +
 * j. */
static void causal_exp(float *scores, int rows, int width, int first, int first_key, int window,
                       float *inverse)
{
    for (int r = 0; r < rows; r++) {
        float *row = scores + (size_t)r * (size_t)width;
        int from = first + r + 1 - window - first_key, end = first + r + 1 - first_key;
        from = from > 0 ? from : 0;
        size_t seen = (size_t)(end - from);
        float high = bs_max(row + from, seen);
        inverse[r] = 1.0f / bs_exp_shifted(row + from, seen, high);
        memset(row, 0, (size_t)from * sizeof *row);
        memset(row + end, 0, (size_t)(width - end) * sizeof *row);
    }
}

/* The keys and values of one head, [tokens][head_dim] each, brought together: the products read
 * every row many times. */
static void gather_head(const struct bs_heads *in, int kv_head, float *keys, float *values)
{
    size_t d = (size_t)in->architecture->head_dim, at = (size_t)kv_head * d;
    for (size_t t = 0; t < (size_t)in->tokens; t++) {
        memcpy(keys + t * d, in->k + t * (size_t)in->width + at, d * sizeof *keys);
        memcpy(values + t * d, in->v + t * (size_t)in->width + at, d * sizeof *values);
    }
}

/* out, rows of `stride` floats: attention of one head's queries first .. first + rows - 1. */
static void attend_rows(const struct bs_heads *in, int head, int first, int rows, const float *keys,
                        const float *values, float *scores, float *out, int stride)
{
    int d = in->architecture->head_dim;
    int from = first + 1 - in->window > 0 ? first + 1 - in->window : 0;
    int width = first + rows - from;
    float inverse[QUERY_TILE];
    const float *q = in->q + (size_t)first * (size_t)in->width + (size_t)(head * d);
    bs_gemm_nt(rows, width, d, in->scale, q, in->width, keys + (size_t)(from * d), d, 0, scores,
               width);
    shape_scores(in->architecture, head, scores, rows, width, from);
    causal_exp(scores, rows, width, first, from, in->window, inverse);
    bs_gemm_nn(rows, d, width, 1, scores, width, values + (size_t)(from * d), d, 0, out, stride);
    for (int r = 0; r < rows; r++)
        bs_scale(out + (size_t)r * (size_t)stride, (size_t)d, inverse[r]);
}

void bs_attend(const struct bs_heads *in, float *out, struct bs_scratch *scratch)
{
    const struct bs_architecture *a = in->architecture;
    int d = a->head_dim, out_width = a->num_heads * d, shared = a->num_heads / a->num_kv_heads;
    size_t mark = scratch->used, tokens = (size_t)in->tokens;
    float *scores = bs_scratch_take(scratch, QUERY_TILE * tokens);
    float *keys = bs_scratch_take(scratch, tokens * (size_t)d);
    float *values = bs_scratch_take(scratch, tokens * (size_t)d);
    for (int h = 0; h < a->num_heads; h++) {
        if (h % shared == 0)
            gather_head(in, h / shared, keys, values);
        for (int first = 0; first < in->tokens; first += QUERY_TILE) {
            int left = in->tokens - first, rows = left < QUERY_TILE ? left : QUERY_TILE;
            attend_rows(in, h, first, rows, keys, values, scores,
                        out + (size_t)first * (size_t)out_width + (size_t)(h * d), out_width);
        }
    }
    scratch->used = mark;
}

size_t bs_attend_floats(int head_dim, int tokens)
{
    size_t head = (size_t)tokens * (size_t)head_dim;
    return bs_scratch_floats(QUERY_TILE * (size_t)tokens) + 2 * bs_scratch_floats(head);
}

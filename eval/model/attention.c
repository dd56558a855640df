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

/* The first key that the query at a position sees. */
static int first_seen(const struct bs_heads *in, int position)
{
    int from = in->chunked ? position - position % in->window : position + 1 - in->window;
    return from > 0 ? from : 0;
}

/* Row r of scores [rows][width] becomes exp(score - its largest) over the keys that its query sees,
 * 0 elsewhere, and inverse[r] one over the sum, with the sink where there is one (NULL). Row r is
 * query first + r, column j key first_key + j. */
static void causal_exp(const struct bs_heads *in, const float *sink, float *scores, int rows,
                       int width, int first, int first_key, float *inverse)
{
    for (int r = 0; r < rows; r++) {
        float *row = scores + (size_t)r * (size_t)width;
        int from = first_seen(in, first + r) - first_key, end = first + r + 1 - first_key;
        size_t seen = (size_t)(end - from);
        float high = bs_max(row + from, seen);
        high = sink && *sink > high ? *sink : high;
        float sum = bs_exp_shifted(row + from, seen, high);
        inverse[r] = 1.0f / (sink ? sum + bs_expf(*sink - high) : sum);
        memset(row, 0, (size_t)from * sizeof *row);
        memset(row + end, 0, (size_t)(width - end) * sizeof *row);
    }
}

/* One head's keys and values on their way, close together: the products read every row many times.
 * */
struct head_rows {
    float *keys, *values, *scores;
    int kv_head;
};

/* Brings the keys and values of a segment to where their positions are. */
static void gather(const struct bs_heads *in, struct bs_segment s, const struct head_rows *head)
{
    size_t wide[] = {(size_t)in->architecture->head_dim, (size_t)in->architecture->value_dim};
    const struct bs_head_rows rows[] = {in->k, in->v};
    float *const to[] = {head->keys, head->values};
    for (size_t t = 0; t < (size_t)s.count; t++)
        for (int i = 0; i < 2; i++)
            memcpy(to[i] + ((size_t)s.position + t) * wide[i],
                   rows[i].x + ((size_t)s.begin + t) * (size_t)rows[i].stride +
                       (size_t)head->kv_head * wide[i],
                   wide[i] * sizeof(float));
}

/* out, rows of `stride` floats: attention of one head's queries at positions first .. first + rows
 * - 1, which stand in the window from `at` on. They are some of one tile, whose first query decides
 * which key the sums begin with. */
static void attend_rows(const struct bs_heads *in, int h, int at, int first, int rows,
                        const struct head_rows *head, float *out, int stride)
{
    int d = in->architecture->head_dim, v = in->architecture->value_dim;
    int from = first_seen(in, first - first % QUERY_TILE), width = first + rows - from;
    float inverse[QUERY_TILE];
    const float *q = in->q.x + (size_t)at * (size_t)in->q.stride + (size_t)(h * d);
    bs_gemm_nt(rows, width, d, in->scale, q, in->q.stride, head->keys + (size_t)from * (size_t)d, d,
               0, head->scores, width);
    shape_scores(in->architecture, h, head->scores, rows, width, from);
    causal_exp(in, in->sinks ? in->sinks + h : NULL, head->scores, rows, width, first, from,
               inverse);
    bs_gemm_nn(rows, v, width, 1, head->scores, width, head->values + (size_t)from * (size_t)v, v,
               0, out, stride);
    for (int r = 0; r < rows; r++)
        bs_scale(out + (size_t)r * (size_t)stride, (size_t)v, inverse[r]);
}

/* One head's queries of a segment, tile after tile of its positions. */
static void attend_segment(const struct bs_heads *in, struct bs_segment s, int h,
                           const struct head_rows *head, float *out)
{
    int v = in->architecture->value_dim, stride = in->architecture->num_heads * v;
    for (int done = 0, rows; done < s.count; done += rows) {
        int first = s.position + done, left = s.count - done;
        rows = QUERY_TILE - first % QUERY_TILE;
        rows = rows < left ? rows : left;
        attend_rows(in, h, s.begin + done, first, rows, head,
                    out + (size_t)(s.begin + done) * (size_t)stride + (size_t)(h * v), stride);
    }
}

void bs_attend(const struct bs_heads *in, float *out, struct bs_scratch *scratch)
{
    const struct bs_architecture *a = in->architecture;
    int shared = a->num_heads / a->num_kv_heads;
    size_t mark = scratch->used, tokens = (size_t)in->fork.tokens;
    struct head_rows head = {.scores = bs_scratch_take(scratch, QUERY_TILE * tokens),
                             .keys = bs_scratch_take(scratch, tokens * (size_t)a->head_dim),
                             .values = bs_scratch_take(scratch, tokens * (size_t)a->value_dim)};
    for (; head.kv_head < a->num_kv_heads; head.kv_head++)
        for (int i = 0; i <= in->fork.branches; i++) {
            struct bs_segment s = bs_fork_segment(&in->fork, i);
            gather(in, s, &head);
            for (int h = head.kv_head * shared; h < (head.kv_head + 1) * shared; h++)
                attend_segment(in, s, h, &head, out);
        }
    scratch->used = mark;
}

size_t bs_attend_floats(int head_dim, int value_dim, int tokens)
{
    size_t rows = (size_t)tokens;
    return bs_scratch_floats(QUERY_TILE * rows) + bs_scratch_floats(rows * (size_t)head_dim) +
           bs_scratch_floats(rows * (size_t)value_dim);
}

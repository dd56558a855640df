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

/* One head's keys and values on their way, close together: the products read every row many times.
 * */
struct head_rows {
    float *keys, *values, *scores;
    int kv_head;
};

/* Brings the keys and values of a segment to where their positions are. */
static void gather(const struct bs_heads *in, struct bs_segment s, const struct head_rows *head)
{
    size_t d = (size_t)in->architecture->head_dim, width = (size_t)in->width;
    for (size_t t = 0; t < (size_t)s.count; t++) {
        size_t from = ((size_t)s.begin + t) * width + (size_t)head->kv_head * d;
        size_t to = ((size_t)s.position + t) * d;
        memcpy(head->keys + to, in->k + from, d * sizeof(float));
        memcpy(head->values + to, in->v + from, d * sizeof(float));
    }
}

/* out, rows of `stride` floats: attention of one head's queries at positions first .. first + rows
 * - 1, which stand in the window from `at` on. They are some of one tile, whose first query decides
 * which key the sums begin with. */
static void attend_rows(const struct bs_heads *in, int h, int at, int first, int rows,
                        const struct head_rows *head, float *out, int stride)
{
    int d = in->architecture->head_dim, tile = first - first % QUERY_TILE;
    int from = tile + 1 - in->window > 0 ? tile + 1 - in->window : 0;
    int width = first + rows - from;
    float inverse[QUERY_TILE];
    const float *q = in->q + (size_t)at * (size_t)in->width + (size_t)(h * d);
    size_t begin = (size_t)from * (size_t)d;
    bs_gemm_nt(rows, width, d, in->scale, q, in->width, head->keys + begin, d, 0, head->scores,
               width);
    shape_scores(in->architecture, h, head->scores, rows, width, from);
    causal_exp(head->scores, rows, width, first, from, in->window, inverse);
    bs_gemm_nn(rows, d, width, 1, head->scores, width, head->values + begin, d, 0, out, stride);
    for (int r = 0; r < rows; r++)
        bs_scale(out + (size_t)r * (size_t)stride, (size_t)d, inverse[r]);
}

/* One head's queries of a segment, tile after tile of its positions. */
static void attend_segment(const struct bs_heads *in, struct bs_segment s, int h,
                           const struct head_rows *head, float *out)
{
    int d = in->architecture->head_dim, stride = in->architecture->num_heads * d;
    for (int done = 0, rows; done < s.count; done += rows) {
        int first = s.position + done, left = s.count - done;
        rows = QUERY_TILE - first % QUERY_TILE;
        rows = rows < left ? rows : left;
        attend_rows(in, h, s.begin + done, first, rows, head,
                    out + (size_t)(s.begin + done) * (size_t)stride + (size_t)(h * d), stride);
    }
}

void bs_attend(const struct bs_heads *in, float *out, struct bs_scratch *scratch)
{
    const struct bs_architecture *a = in->architecture;
    int shared = a->num_heads / a->num_kv_heads;
    size_t mark = scratch->used, tokens = (size_t)in->fork.tokens, d = (size_t)a->head_dim;
    struct head_rows head = {.scores = bs_scratch_take(scratch, QUERY_TILE * tokens),
                             .keys = bs_scratch_take(scratch, tokens * d),
                             .values = bs_scratch_take(scratch, tokens * d)};
    for (; head.kv_head < a->num_kv_heads; head.kv_head++)
        for (int i = 0; i <= in->fork.branches; i++) {
            struct bs_segment s = bs_fork_segment(&in->fork, i);
            gather(in, s, &head);
            for (int h = head.kv_head * shared; h < (head.kv_head + 1) * shared; h++)
                attend_segment(in, s, h, &head, out);
        }
    scratch->used = mark;
}

size_t bs_attend_floats(int head_dim, int tokens)
{
    size_t head = (size_t)tokens * (size_t)head_dim;
    return bs_scratch_floats(QUERY_TILE * (size_t)tokens) + 2 * bs_scratch_floats(head);
}

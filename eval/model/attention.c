#include "eval/model/attention.h"

#include <math.h>
#include <string.h>

#include "eval/linalg/bfloat16.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/elementary.h"
#include "eval/linalg/vector.h"
#include "eval/model/cache.h"

enum { QUERY_TILE = 128 }; /* rows of a head's scores that exist at a time */

/* Of values that a format takes together at least; of a position in a window. */
enum { MOST_BLOCK = 256, POSITION_BITS = 24 };

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

size_t bs_pairs_seen(const struct bs_heads *in, int position)
{
    size_t window = (size_t)in->window, count = (size_t)position, whole = count / window;
    if (whole == 0 || in->chunked)
        return whole * window * (window + 1) / 2 + count % window * (count % window + 1) / 2;
    return window * (window + 1) / 2 + (count - window) * window;
}

/* Puts the probabilities of one head's queries down, exponents that are `inverse` of them. */
static void show_probabilities(const struct bs_heads *in, int h, const float *scores, int rows,
                               int width, int first, int first_key, const float *inverse)
{
    size_t heads = (size_t)in->architecture->num_heads;
    for (int r = 0; r < rows; r++) {
        int from = first_seen(in, first + r), seen = first + r + 1 - from;
        const float *row = scores + (size_t)r * (size_t)width + (from - first_key);
        float *to = in->shown + bs_pairs_seen(in, first + r) * heads + (size_t)h;
        for (int j = 0; j < seen; j++)
            to[(size_t)j * heads] = row[j] * inverse[r];
    }
}

/* Rounds the probabilities of one head's queries, exponents that are `inverse` of them; a row is
 * the keys that its query sees, the others have none. Draws are counted by head, query and key. */
static void round_probabilities(const struct bs_heads *in, int h, float *scores, int rows,
                                int width, int first, int first_key, float *inverse,
                                struct bs_scratch *scratch)
{
    const struct bs_site_setting *site = in->probabilities;
    const struct bs_fixed *fixed = site->parts ? &site->parts[h] : &site->fixed;
    size_t mark = scratch->used;
    float *room = bs_scratch_take(scratch, (size_t)width + MOST_BLOCK);
    for (int r = 0; r < rows; r++) {
        int from = first_seen(in, first + r), seen = first + r + 1 - from;
        int wide = bs_probabilities_width(site->setting, seen);
        float *row = scores + (size_t)r * (size_t)width + (from - first_key);
        uint64_t query = ((uint64_t)h << POSITION_BITS) + (uint64_t)(first + r);
        struct bs_rounder rounder = bs_rounder_from(site->rounder, query << POSITION_BITS);
        bs_scale(row, (size_t)seen, inverse[r]);
        inverse[r] = 1;
        memcpy(room, row, (size_t)seen * sizeof *row);
        memset(room + seen, 0, (size_t)(wide - seen) * sizeof *row);
        bs_values_round(site->setting, fixed, rounder, &(struct bs_values){room, 1, wide, wide, 1},
                        scratch);
        memcpy(row, room, (size_t)seen * sizeof *row);
    }
    scratch->used = mark;
}

/* One head's keys or values of a segment on their way, close together: the products read every row
 * many times. And the same as a cache stores them. */
struct head_side {
    const struct bs_site_setting *site; /* NULL: no cache */
    struct bs_head_rows rows, given;    /* given: as stored, where that is known; else x is NULL */
    int width, heads;                   /* of a head; key-value heads */
    float *plain, *stored;
};

struct head_rows {
    struct head_side keys, values;
    float *scores, *band; /* a tile each */
    int kv_head;
};

/* A token's head, as stored where all its heads share a scale: rounded with them. */
static void store_token(const struct head_side *side, int kv_head, int row, float *to,
                        struct bs_scratch *scratch)
{
    size_t mark = scratch->used, width = (size_t)(side->width * side->heads);
    struct bs_values values = {bs_scratch_take(scratch, width), 1, (int)width, (int)width,
                               side->heads};
    memcpy(values.x, side->rows.x + (size_t)row * (size_t)side->rows.stride, width * sizeof *to);
    bs_cache_round(side->site, &values, (uint64_t)row * width, scratch);
    memcpy(to, values.x + kv_head * side->width, (size_t)side->width * sizeof *to);
    scratch->used = mark;
}

/* Some rows of one head. */
static void gather_rows(const struct head_side *side, struct bs_head_rows rows, int kv_head,
                        int begin, int count, float *to)
{
    size_t wide = (size_t)side->width;
    for (size_t t = 0; t < (size_t)count; t++)
        memcpy(to + t * wide,
               rows.x + ((size_t)begin + t) * (size_t)rows.stride + (size_t)kv_head * wide,
               wide * sizeof *to);
}

/* The setting of one head's rows, whose static parameters are those of the head. */
static struct bs_site_setting site_of_head(const struct head_side *side, int kv_head)
{
    struct bs_site_setting own = *side->site;
    int each = own.parts ? own.num_parts / side->heads : 0;
    own.parts = own.parts ? own.parts + (size_t)(kv_head * each) : NULL;
    return own;
}

/* Brings one head's rows of a segment to where their positions are. */
static void gather_side(const struct head_side *side, struct bs_segment s, int kv_head,
                        struct bs_scratch *scratch)
{
    size_t wide = (size_t)side->width, bytes = wide * sizeof(float);
    float *plain = side->plain + (size_t)s.position * wide;
    gather_rows(side, side->rows, kv_head, s.begin, s.count, plain);
    if (side->given.x)
        gather_rows(side, side->given, kv_head, s.begin, s.count,
                    side->stored + (size_t)s.position * wide);
    if (!side->site || side->given.x)
        return;
    int keep = side->site->setting->first - s.position; /* which stay, before the others */
    keep = keep < 0 ? 0 : keep < s.count ? keep : s.count;
    float *stored = side->stored + (size_t)(s.position + keep) * wide;
    int count = s.count - keep;
    if (side->site->setting->sharing == BS_BY_TOKEN) {
        for (int t = 0; t < count; t++)
            store_token(side, kv_head, s.begin + keep + t, stored + (size_t)t * wide, scratch);
        return;
    }
    struct bs_values values = {stored, count, side->width, side->width, 1};
    memcpy(stored, plain + (size_t)keep * wide, (size_t)count * bytes);
    uint64_t place = (uint64_t)kv_head * (uint64_t)side->rows.stride; /* no two heads alike */
    const struct bs_site_setting own = site_of_head(side, kv_head);
    if (count > 0)
        bs_cache_round(&own, &values, (place << 32) + (uint64_t)(s.begin + keep) * wide, scratch);
}

/* Keys from `begin` to `low` are stored to all queries of some rows, those to `high` to some of
 * them: what position `first + r` sees is stored up to bs_cache_until. */
struct stored_span {
    int begin, low, high;
};

static struct stored_span span_of(const struct head_side *side, int from, int first, int rows)
{
    struct stored_span span = {from, from, from};
    if (!side->site)
        return span;
    const struct bs_setting *setting = side->site->setting;
    int low = bs_cache_until(setting, first), high = bs_cache_until(setting, first + rows - 1);
    span.begin = setting->first > from ? setting->first : from;
    span.low = low > span.begin ? low : span.begin;
    span.high = high > span.low ? high : span.low;
    if (span.begin >= first + rows)
        span = (struct stored_span){from, from, from};
    return span;
}

/* scores [rows][width]: columns `begin` to `end` of keys in `keys`, to `out`, `stride` apart. */
static void score(const struct bs_heads *in, const float *q, const float *keys, int rows, int begin,
                  int end, float *out, int stride)
{
    int d = in->architecture->head_dim;
    if (end > begin)
        bs_gemm_nt(rows, end - begin, d, in->scale, q, in->q.stride,
                   keys + (size_t)begin * (size_t)d, d, 0, out, stride);
}

/* The scores of queries first and on, of keys as each of them sees these. */
static void score_rows(const struct bs_heads *in, const struct head_rows *head, const float *q,
                       int first, int rows, int from)
{
    const struct head_side *side = &head->keys;
    int end = first + rows, width = end - from;
    struct stored_span span = span_of(side, from, first, rows);
    score(in, q, side->plain, rows, from, span.begin, head->scores, width);
    score(in, q, side->stored, rows, span.begin, span.low, head->scores + (span.begin - from),
          width);
    score(in, q, side->plain, rows, span.low, end, head->scores + (span.low - from), width);
    int band = span.high - span.low;
    score(in, q, side->stored, rows, span.low, span.high, head->band, band);
    for (int r = 0; r < rows && band; r++) {
        int stored = bs_cache_until(side->site->setting, first + r) - span.low;
        if (stored > 0)
            memcpy(head->scores + (size_t)r * (size_t)width + (span.low - from),
                   head->band + (size_t)r * (size_t)band, (size_t)stored * sizeof(float));
    }
}

/* out += probabilities, columns `begin` to `end` of keys, times the values of these. */
static void weigh(const struct head_side *side, const float *values, const float *probabilities,
                  int stride, int rows, int begin, int end, float *out, int out_stride, float beta)
{
    if (end > begin)
        bs_gemm_nn(rows, side->width, end - begin, 1, probabilities, stride,
                   values + (size_t)begin * (size_t)side->width, side->width, beta, out,
                   out_stride);
}

/* out = probabilities times values, as each query sees these. */
static void weigh_rows(const struct head_rows *head, int first, int rows, int from, float *out,
                       int stride)
{
    const struct head_side *side = &head->values;
    int end = first + rows, width = end - from;
    struct stored_span span = span_of(side, from, first, rows);
    int band = span.high - span.low;
    for (int r = 0; r < rows && band; r++) {
        int stored = bs_cache_until(side->site->setting, first + r) - span.low;
        size_t taken = (size_t)(stored > 0 ? stored : 0);
        float *row = head->scores + (size_t)r * (size_t)width + (span.low - from);
        float *to = head->band + (size_t)r * (size_t)band;
        memset(to, 0, (size_t)band * sizeof *to);
        memcpy(to, row, taken * sizeof *to);
        memset(row, 0, taken * sizeof *row);
    }
    weigh(side, side->plain, head->scores + (span.low - from), width, rows, span.low, end, out,
          stride, 0);
    weigh(side, side->plain, head->scores, width, rows, from, span.begin, out, stride, 1);
    weigh(side, side->stored, head->scores + (span.begin - from), width, rows, span.begin, span.low,
          out, stride, 1);
    weigh(side, side->stored, head->band, band, rows, span.low, span.high, out, stride, 1);
}

/* out, rows of `stride` floats: attention of one head's queries at positions first .. first + rows
 * - 1, which stand in the window from `at` on. They are some of one tile, whose first query decides
 * which key the sums begin with. */
static void attend_rows(const struct bs_heads *in, int h, int at, int first, int rows,
                        const struct head_rows *head, float *out, int stride,
                        struct bs_scratch *scratch)
{
    int d = in->architecture->head_dim, v = in->architecture->value_dim;
    int from = first_seen(in, first - first % QUERY_TILE), width = first + rows - from;
    float inverse[QUERY_TILE];
    score_rows(in, head, in->q.x + (size_t)at * (size_t)in->q.stride + (size_t)(h * d), first, rows,
               from);
    shape_scores(in->architecture, h, head->scores, rows, width, from);
    causal_exp(in, in->sinks ? in->sinks + h : NULL, head->scores, rows, width, first, from,
               inverse);
    if (in->shown)
        show_probabilities(in, h, head->scores, rows, width, first, from, inverse);
    if (in->probabilities)
        round_probabilities(in, h, head->scores, rows, width, first, from, inverse, scratch);
    weigh_rows(head, first, rows, from, out, stride);
    for (int r = 0; r < rows; r++)
        bs_scale(out + (size_t)r * (size_t)stride, (size_t)v, inverse[r]);
}

/* One head's queries of a segment, tile after tile of its positions. */
static void attend_segment(const struct bs_heads *in, struct bs_segment s, int h,
                           const struct head_rows *head, float *out, struct bs_scratch *scratch)
{
    int v = in->architecture->value_dim, stride = in->architecture->num_heads * v;
    for (int done = 0, rows; done < s.count; done += rows) {
        int first = s.position + done, left = s.count - done;
        rows = QUERY_TILE - first % QUERY_TILE;
        rows = rows < left ? rows : left;
        attend_rows(in, h, s.begin + done, first, rows, head,
                    out + (size_t)(s.begin + done) * (size_t)stride + (size_t)(h * v), stride,
                    scratch);
    }
}

/* Room for the keys or values of one head, and for those that are stored where any are. */
static struct head_side side_of(const struct bs_heads *in, const struct bs_site_setting *site,
                                struct bs_head_rows rows, int width, struct bs_scratch *scratch)
{
    size_t floats = (size_t)in->fork.tokens * (size_t)width;
    return (struct head_side){.site = site,
                              .rows = rows,
                              .width = width,
                              .heads = in->architecture->num_kv_heads,
                              .plain = bs_scratch_take(scratch, floats),
                              .stored = bs_scratch_take(scratch, floats)};
}

void bs_attend(const struct bs_heads *in, float *out, struct bs_scratch *scratch)
{
    const struct bs_architecture *a = in->architecture;
    int shared = a->num_heads / a->num_kv_heads;
    size_t mark = scratch->used, tile = QUERY_TILE * (size_t)in->fork.tokens;
    struct head_rows head = {.keys = side_of(in, in->stored_keys, in->k, a->head_dim, scratch),
                             .values = side_of(in, in->stored_values, in->v, a->value_dim, scratch),
                             .scores = bs_scratch_take(scratch, tile),
                             .band = bs_scratch_take(scratch, tile)};
    head.keys.given = in->rotated;
    for (; head.kv_head < a->num_kv_heads; head.kv_head++)
        for (int i = 0; i <= in->fork.branches; i++) {
            struct bs_segment s = bs_fork_segment(&in->fork, i);
            gather_side(&head.keys, s, head.kv_head, scratch);
            gather_side(&head.values, s, head.kv_head, scratch);
            for (int h = head.kv_head * shared; h < (head.kv_head + 1) * shared; h++)
                attend_segment(in, s, h, &head, out, scratch);
        }
    scratch->used = mark;
}

size_t bs_attend_floats(const struct bs_program *program, const struct bs_op *op, int tokens)
{
    size_t floats = 2 * bs_scratch_floats(QUERY_TILE * (size_t)tokens);
    int row = tokens + MOST_BLOCK; /* of probabilities */
    size_t most = bs_scratch_floats((size_t)row) + bs_values_floats(1, row);
    for (int side = 1; side <= 2; side++) {
        const struct bs_value *value = &program->values[op->in[side]];
        size_t width = (size_t)(value->width / value->heads), all = (size_t)value->width;
        size_t room = bs_scratch_floats(all) + bs_cache_floats(tokens, value->width);
        floats += 2 * bs_scratch_floats((size_t)tokens * width);
        most = room > most ? room : most;
    }
    return floats + most;
}

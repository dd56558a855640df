#include "eval/tasks/requests.h"

#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/data/text.h"

const char *const bs_bos_names[] = {
    [BS_BOS_TOKENIZER] = "tokenizer", [BS_BOS_YES] = "yes", [BS_BOS_NO] = "no", NULL};

void bs_requests_release(struct bs_requests *requests)
{
    for (int i = 0; i < requests->count; i++)
        bs_free(requests->rows[i].ids);
    bs_free(requests->rows);
    bs_free(requests->groups);
    *requests = (struct bs_requests){0};
}

/* ---- texts to ids ---- */

/* Ids on their way. */
struct ids {
    int32_t *ids;
    size_t count;
};

/* What stands in front of an empty context. */
static int32_t prefix_token(const struct bs_request_rules *rules, const char **text)
{
    int32_t bos = bs_tokenizer_named(rules->tokenizer, BS_NAMED_BOS, text);
    return bos >= 0 ? bos : bs_tokenizer_named(rules->tokenizer, BS_NAMED_EOS, text);
}

/* True for a text that is spelled with the token in front already. */
static bool has_prefix(const struct bs_request_rules *rules, const char *text)
{
    const char *prefix = NULL;
    return prefix_token(rules, &prefix) >= 0 && prefix && !strncmp(text, prefix, strlen(prefix));
}

static enum bs_status put_bos(const struct bs_request_rules *rules, struct ids *ids,
                              struct bs_error *err)
{
    int32_t bos = bs_tokenizer_named(rules->tokenizer, BS_NAMED_BOS, NULL);
    if (bos < 0)
        return bs_fail(err, BS_ECONFIG, "bos is yes, and the tokenizer names no bos_token");
    int32_t *more = bs_realloc(ids->ids, ids->count, ids->count + 1, sizeof *more);
    if (!more)
        return bs_fail_memory(err);
    ids->ids = more;
    memmove(more + 1, more, ids->count++ * sizeof *more);
    more[0] = bos;
    return BS_OK;
}

static enum bs_status encode(const struct bs_request_rules *rules, const char *text, size_t size,
                             struct ids *ids, struct bs_error *err)
{
    bool special = rules->bos != BS_BOS_NO && !has_prefix(rules, text);
    bool own = bs_tokenizer_bos(rules->tokenizer) >= 0;
    if (bs_tokenizer_encode(rules->tokenizer, text, size, special, &ids->ids, &ids->count, err))
        return err->status;
    if (special && !own && rules->bos == BS_BOS_YES)
        return put_bos(rules, ids, err);
    return BS_OK;
}

/* Bytes of the white space that a text ends with. */
static size_t space_at_end(const char *text)
{
    size_t all = strlen(text), left = all;
    const char *from = bs_strip(text, &left);
    return left ? all - (size_t)(from - text) - left : all;
}

/* Context and continuation as the ids of both, *own of them the context's. */
static enum bs_status encode_pair(const struct bs_request_rules *rules, const char *context,
                                  const char *continuation, struct ids *whole, size_t *own,
                                  struct bs_error *err)
{
    size_t size = strlen(context), more = strlen(continuation);
    size_t before = size - space_at_end(context);
    struct ids alone = {0};
    char *text = bs_alloc(size + more + 1, 1);
    if (!text)
        return bs_fail_memory(err);
    memcpy(text, context, size);
    memcpy(text + size, continuation, more + 1);
    enum bs_status status = encode(rules, text, size + more, whole, err);
    text[before] = '\0';
    if (!status)
        status = encode(rules, text, before, &alone, err);
    *own = alone.count < whole->count ? alone.count : whole->count;
    bs_free(alone.ids);
    bs_free(text);
    return status;
}

/* A continuation after the first token of all texts. */
static enum bs_status encode_alone(const struct bs_request_rules *rules, const char *continuation,
                                   struct ids *whole, size_t *own, struct bs_error *err)
{
    int32_t first = prefix_token(rules, NULL);
    *own = 1;
    if (first < 0)
        return bs_fail(err, BS_ECONFIG,
                       "an answer without a context stands after the tokenizer's bos_token or "
                       "eos_token, and it names none");
    if (bs_tokenizer_encode(rules->tokenizer, continuation, strlen(continuation), false,
                            &whole->ids, &whole->count, err))
        return err->status;
    if (whole->count && whole->ids[0] == first)
        return BS_OK;
    int32_t *more = bs_realloc(whole->ids, whole->count, whole->count + 1, sizeof *more);
    if (!more)
        return bs_fail_memory(err);
    memmove(more + 1, more, whole->count++ * sizeof *more);
    more[0] = first;
    whole->ids = more;
    return BS_OK;
}

static enum bs_status check(const struct bs_request_rules *rules, const struct ids *whole,
                            size_t own, struct bs_error *err)
{
    size_t scored = whole->count - own;
    if (!scored || !own)
        return bs_fail(err, BS_EDATA, "%s has no tokens%s", scored ? "the context" : "the answer",
                       scored ? "" : " of its own after the context");
    if (scored > (size_t)rules->positions)
        return bs_fail(err, BS_EDATA, "the answer has %zu tokens, the model positions for %d",
                       scored, rules->positions);
    for (size_t t = 0; t < whole->count; t++)
        if (whole->ids[t] < 0 || whole->ids[t] >= rules->vocab_size)
            return bs_fail(err, BS_EDATA,
                           "token %zu has id %d, but the model has a vocabulary of %d: tokenizer "
                           "and model do not belong together",
                           t, (int)whole->ids[t], rules->vocab_size);
    return BS_OK;
}

/* Room for one more in an array of ints or requests. */
static void *grow(void *array, int count, int *capacity, size_t size)
{
    int wider = *capacity ? 2 * *capacity : 64;
    if (count < *capacity)
        return array;
    void *more = bs_realloc(array, (size_t)count, (size_t)wider, size);
    if (more)
        *capacity = wider;
    return more;
}

enum bs_status bs_requests_begin(struct bs_requests *r, struct bs_error *err)
{
    int *groups = grow(r->groups, r->num_groups, &r->groups_capacity, sizeof *groups);
    if (!groups)
        return bs_fail_memory(err);
    r->groups = groups;
    groups[r->num_groups++] = r->count;
    return BS_OK;
}

enum bs_status bs_request_add(struct bs_requests *r, const struct bs_request_rules *rules,
                              const char *context, const char *continuation, struct bs_error *err)
{
    struct ids whole = {0};
    size_t own = 0, most = (size_t)rules->positions + 1;
    enum bs_status status = *context ? encode_pair(rules, context, continuation, &whole, &own, err)
                                     : encode_alone(rules, continuation, &whole, &own, err);
    if (!status)
        status = check(rules, &whole, own, err);
    struct bs_request *rows = status ? NULL : grow(r->rows, r->count, &r->capacity, sizeof *rows);
    if (!rows) {
        bs_free(whole.ids);
        return status ? status : bs_fail_memory(err);
    }
    size_t cut = whole.count > most ? whole.count - most : 0;
    memmove(whole.ids, whole.ids + cut, (whole.count - cut) * sizeof *whole.ids);
    int first = (int)(own - 1 - cut); /* the answer fits, so its predictions do */
    r->rows = rows;
    rows[r->count++] = (struct bs_request){.ids = whole.ids,
                                           .length = (int)(whole.count - cut) - 1,
                                           .own = first,
                                           .first = first,
                                           .cut = (int)cut,
                                           .unconditional = !*context};
    return BS_OK;
}

/* ---- ids to windows ---- */

/* The requests of one window. */
struct group {
    int first, count, shared, length;
};

/* Ids that all of the rows begin with, none of which a prediction that is scored is made at. */
static int shared_by(const struct bs_request *rows, int count)
{
    int shared = rows[0].first;
    for (int k = 1; k < count; k++) {
        int same = 0, most = rows[k].first < shared ? rows[k].first : shared;
        while (same < most && rows[k].ids[same] == rows[0].ids[same])
            same++;
        shared = same;
    }
    return shared;
}

/* The longest first: threads then end at about the same time, and like stands by like. */
static int by_length(const void *left, const void *right)
{
    const struct group *a = left, *b = right;
    return a->length != b->length ? (a->length < b->length) - (a->length > b->length)
                                  : (a->first > b->first) - (a->first < b->first);
}

static void list_groups(const struct bs_requests *r, bool apart, struct group *groups, int *count)
{
    *count = 0;
    for (int g = 0; g < r->num_groups; g++) {
        int end = g + 1 < r->num_groups ? r->groups[g + 1] : r->count;
        for (int first = r->groups[g], rows; first < end; first += rows) {
            struct group *group = &groups[(*count)++];
            rows = apart ? 1 : end - first;
            *group = (struct group){first, rows, 0, 0};
            group->shared = rows > 1 ? shared_by(&r->rows[first], rows) : 0;
            group->length = group->shared;
            for (int k = 0; k < rows; k++)
                group->length += r->rows[first + k].length - group->shared;
        }
    }
    qsort(groups, (size_t)*count, sizeof *groups, by_length);
}

static enum bs_status allocate(const struct bs_requests *r, const struct group *groups, int count,
                               struct bs_windows *out, struct bs_error *err)
{
    size_t windows = (size_t)count, rows = (size_t)r->count;
    out->windows = out->all = count;
    out->tokens = groups[0].length + 1; /* with what its last prediction is of */
    out->lengths = bs_alloc(windows, sizeof *out->lengths);
    out->ids = bs_calloc(windows, (size_t)out->tokens * sizeof *out->ids);
    out->targets = bs_calloc(windows, (size_t)out->tokens * sizeof *out->targets);
    out->forks = bs_alloc(windows, sizeof *out->forks);
    out->branches = bs_alloc(rows, sizeof *out->branches);
    out->spans = bs_alloc(rows, sizeof *out->spans);
    bool enough =
        out->lengths && out->ids && out->targets && out->forks && out->branches && out->spans;
    return enough ? BS_OK : bs_fail_memory(err);
}

/* One row of a window, of which what is shared stands there already; its own part comes at
 * `begin`. */
static void lay_row(struct bs_request *row, int shared, int window, int begin,
                    struct bs_windows *out)
{
    size_t at = (size_t)window * (size_t)out->tokens + (size_t)begin;
    size_t own = (size_t)(row->length - shared);
    memcpy(out->ids + at, row->ids + shared, own * sizeof *out->ids);
    memcpy(out->targets + at, row->ids + shared + 1, own * sizeof *out->targets);
    row->span = out->num_spans;
    struct bs_span *span = &out->spans[out->num_spans++];
    *span = (struct bs_span){.window = window,
                             .first = begin + row->first - shared,
                             .count = row->length - row->first,
                             .item = row->item,
                             .choice = row->choice};
    out->num_scored += (size_t)span->count;
}

static void lay_group(struct bs_requests *r, const struct group *group, int window,
                      int *num_branches, struct bs_windows *out)
{
    int at = group->shared, *begins = out->branches + *num_branches;
    struct bs_request *rows = &r->rows[group->first];
    size_t line = (size_t)window * (size_t)out->tokens;
    memcpy(out->ids + line, rows[0].ids, (size_t)at * sizeof *out->ids);
    memcpy(out->targets + line, rows[0].ids + 1, (size_t)at * sizeof *out->targets);
    out->lengths[window] = group->length;
    out->forks[window] = bs_fork_none(group->length);
    for (int k = 0; k < group->count; k++) {
        begins[k] = at;
        lay_row(&rows[k], group->shared, window, at, out);
        at += rows[k].length - group->shared;
    }
    if (group->count == 1)
        return;
    out->forks[window] = (struct bs_fork){.tokens = group->length,
                                          .shared = group->shared,
                                          .branches = group->count,
                                          .begins = begins};
    *num_branches += group->count;
}

enum bs_status bs_requests_lay(struct bs_requests *r, bool apart, struct bs_windows *out,
                               struct bs_error *err)
{
    int count, num_branches = 0;
    struct group *groups = bs_alloc((size_t)r->count, sizeof *groups);
    if (!groups)
        return bs_fail_memory(err);
    list_groups(r, apart, groups, &count);
    enum bs_status status = allocate(r, groups, count, out, err);
    for (int w = 0; w < count && !status; w++)
        lay_group(r, &groups[w], w, &num_branches, out);
    bs_free(groups);
    return status ? status : bs_windows_take_digest(out, err);
}

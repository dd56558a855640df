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
                                           .cut = (int)cut};
    return BS_OK;
}

/* ---- ids to windows ---- */

/* Requests that branch off what they all begin with. */
struct group {
    int first, count; /* of the requests */
    int shared;       /* ids that all of them begin with */
    int length;       /* ids with each part once */
};

/* The groups of one window. */
struct cluster {
    int first, count; /* of the groups */
    int shared;       /* ids that all of them begin with */
    int length;       /* of the window */
};

/* Groups that are to share a window: of one, MOST_GROUPS so that there is work for many threads and
 * no window is longer than MOST_TOKENS for it; and what they share is at least a WORTH-th of each.
 * */
enum { MOST_GROUPS = 16, MOST_TOKENS = 2048, WORTH = 8 };

/* Ids that two rows begin with alike, `most` at most. */
static int alike(const struct bs_request *a, const struct bs_request *b, int most)
{
    int same = 0;
    while (same < most && a->ids[same] == b->ids[same])
        same++;
    return same;
}

/* Ids that all of the rows begin with, none of which a prediction that is scored is made at. */
static int shared_by(const struct bs_request *rows, int count)
{
    int shared = rows[0].first;
    for (int k = 1; k < count; k++)
        shared = alike(&rows[k], &rows[0], rows[k].first < shared ? rows[k].first : shared);
    return shared;
}

static void list_groups(const struct bs_requests *r, enum bs_apart apart, struct group *groups,
                        int *count)
{
    *count = 0;
    for (int g = 0; g < r->num_groups; g++) {
        int end = g + 1 < r->num_groups ? r->groups[g + 1] : r->count;
        for (int first = r->groups[g], rows; first < end; first += rows) {
            struct group *group = &groups[(*count)++];
            rows = apart == BS_APART_REQUESTS ? 1 : end - first;
            *group = (struct group){first, rows, shared_by(&r->rows[first], rows), 0};
            group->length = group->shared;
            for (int k = 0; k < rows; k++)
                group->length += r->rows[first + k].length - group->shared;
        }
    }
}

/* Ids that the rows of both groups begin with. */
static int shared_of(const struct bs_requests *r, const struct group *a, const struct group *b)
{
    return alike(&r->rows[a->first], &r->rows[b->first],
                 a->shared < b->shared ? a->shared : b->shared);
}

/* Takes the group into the cluster where that saves more than it costs those in it, which may have
 * more in common among themselves, and the group does not begin more like the next one, with which
 * it shares `ahead` ids. */
static bool join(const struct bs_requests *r, const struct group *groups, const struct group *group,
                 int ahead, struct cluster *cluster)
{
    int shared = shared_of(r, &groups[cluster->first], group);
    shared = shared < cluster->shared ? shared : cluster->shared;
    int lost = (cluster->count - 1) * (cluster->shared - shared);
    int length = cluster->length + lost + group->length - shared;
    if (cluster->count == MOST_GROUPS || length > MOST_TOKENS || 2 * lost > shared ||
        2 * shared < ahead || shared < group->length / WORTH)
        return false;
    *cluster = (struct cluster){cluster->first, cluster->count + 1, shared, length};
    return true;
}

/* The longest first: threads then end at about the same time, and like stands by like. */
static int by_length(const void *left, const void *right)
{
    const struct cluster *a = left, *b = right;
    return a->length != b->length ? (a->length < b->length) - (a->length > b->length)
                                  : (a->first > b->first) - (a->first < b->first);
}

static int list_clusters(const struct bs_requests *r, enum bs_apart apart,
                         const struct group *groups, int num_groups, struct cluster *clusters)
{
    int count = 0;
    for (int g = 0; g < num_groups; g++) {
        int ahead = g + 1 < num_groups ? shared_of(r, &groups[g], &groups[g + 1]) : 0;
        if (apart != BS_APART_NEVER || !count ||
            !join(r, groups, &groups[g], ahead, &clusters[count - 1]))
            clusters[count++] = (struct cluster){g, 1, groups[g].shared, groups[g].length};
    }
    qsort(clusters, (size_t)count, sizeof *clusters, by_length);
    return count;
}

static enum bs_status allocate(const struct bs_requests *r, int longest, int count,
                               struct bs_windows *out, struct bs_error *err)
{
    size_t windows = (size_t)count, rows = (size_t)r->count;
    out->windows = out->all = count;
    out->tokens = longest + 1; /* with what its last prediction is of */
    out->lengths = bs_alloc(windows, sizeof *out->lengths);
    out->ids = bs_calloc(windows, (size_t)out->tokens * sizeof *out->ids);
    out->targets = bs_calloc(windows, (size_t)out->tokens * sizeof *out->targets);
    out->forks = bs_alloc(windows, sizeof *out->forks);
    out->branches = bs_alloc(2 * rows, sizeof *out->branches); /* a group's, and its rows' */
    out->spans = bs_alloc(rows, sizeof *out->spans);
    bool enough =
        out->lengths && out->ids && out->targets && out->forks && out->branches && out->spans;
    return enough ? BS_OK : bs_fail_memory(err);
}

/* A window on its way. */
struct laying {
    struct bs_windows *out;
    int window, at;             /* at: ids that it has so far */
    struct bs_branch *branches; /* of the window */
    int num_branches;
};

/* Lays ids `from` up to `to` of a row where the window ends so far. */
static void lay_ids(struct laying *l, const struct bs_request *row, int from, int to)
{
    size_t at = (size_t)l->window * (size_t)l->out->tokens + (size_t)l->at;
    memcpy(l->out->ids + at, row->ids + from, (size_t)(to - from) * sizeof *l->out->ids);
    memcpy(l->out->targets + at, row->ids + from + 1,
           (size_t)(to - from) * sizeof *l->out->targets);
    l->at += to - from;
}

static void begin_branch(struct laying *l, int position)
{
    l->branches[l->num_branches++] = (struct bs_branch){l->at, position};
}

/* A row's own part after what is shared, and what of it is scored. */
static void lay_row(struct laying *l, struct bs_request *row, int shared)
{
    struct bs_windows *out = l->out;
    row->span = out->num_spans;
    struct bs_span *span = &out->spans[out->num_spans++];
    *span = (struct bs_span){.window = l->window,
                             .first = l->at + row->first - shared,
                             .count = row->length - row->first,
                             .item = row->item,
                             .choice = row->choice};
    out->num_scored += (size_t)span->count;
    lay_ids(l, row, shared, row->length);
}

/* A group after what its cluster shares: what its rows share beyond that, then row after row. */
static void lay_group(struct laying *l, struct bs_request *rows, const struct group *group,
                      const struct cluster *cluster)
{
    bool several = group->count > 1;
    if (cluster->count > 1 && (group->shared > cluster->shared || !several))
        begin_branch(l, cluster->shared);
    if (several)
        lay_ids(l, &rows[0], cluster->shared, group->shared);
    for (int k = 0; k < group->count; k++) {
        if (several)
            begin_branch(l, group->shared);
        lay_row(l, &rows[k], several ? group->shared : cluster->shared);
    }
}

static void lay_cluster(struct bs_requests *r, const struct group *groups,
                        const struct cluster *cluster, int window, struct bs_branch **branches,
                        struct bs_windows *out)
{
    struct laying l = {.out = out, .window = window, .branches = *branches};
    const struct group *first = &groups[cluster->first];
    bool whole = cluster->count == 1 && first->count == 1; /* one row */
    int shared = whole ? 0 : cluster->shared;
    lay_ids(&l, &r->rows[first->first], 0, shared);
    const struct cluster laid = {.count = cluster->count, .shared = shared};
    for (int g = 0; g < cluster->count; g++)
        lay_group(&l, &r->rows[first[g].first], &first[g], &laid);
    out->lengths[window] = cluster->length;
    out->forks[window] = whole ? bs_fork_none(cluster->length)
                               : (struct bs_fork){.tokens = cluster->length,
                                                  .shared = shared,
                                                  .branches = l.num_branches,
                                                  .branch = *branches};
    *branches += l.num_branches;
}

/* What is asked, which is the same however it is laid out. */
static enum bs_status take_digest(const struct bs_requests *r, struct bs_digest *digest,
                                  struct bs_error *err)
{
    struct bs_digest_state *state = bs_digest_create();
    if (!state)
        return bs_fail_memory(err);
    for (int i = 0; i < r->count; i++) {
        const struct bs_request *row = &r->rows[i];
        const int32_t what[] = {row->length, row->own,    row->first,        row->suffix,
                                row->item,   row->choice, row->unconditional};
        bs_digest_add(state, what, sizeof what);
        bs_digest_add(state, row->ids, ((size_t)row->length + 1) * sizeof *row->ids);
    }
    *digest = bs_digest_finish(state);
    return BS_OK;
}

enum bs_status bs_requests_lay(struct bs_requests *r, enum bs_apart apart, struct bs_windows *out,
                               struct bs_error *err)
{
    int num_groups, count = 0;
    struct group *groups = bs_alloc((size_t)r->count, sizeof *groups);
    struct cluster *clusters = bs_alloc((size_t)r->count, sizeof *clusters);
    enum bs_status status = groups && clusters ? BS_OK : bs_fail_memory(err);
    if (!status) {
        list_groups(r, apart, groups, &num_groups);
        count = list_clusters(r, apart, groups, num_groups, clusters);
        status = allocate(r, clusters[0].length, count, out, err);
    }
    struct bs_branch *branches = out->branches;
    for (int w = 0; w < count && !status; w++)
        lay_cluster(r, groups, &clusters[w], w, &branches, out);
    bs_free(clusters);
    bs_free(groups);
    if (!status)
        status = take_digest(r, &out->asked, err);
    return status ? status : bs_windows_take_digest(out, err);
}

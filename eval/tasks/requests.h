/* Requests of a task: contexts and continuations as ids, laid out in windows whose rows share what
 * they begin with. */
#ifndef BS_EVAL_TASKS_REQUESTS_H
#define BS_EVAL_TASKS_REQUESTS_H

#include "eval/data/windows.h"

/* Which token stands in front of a request. */
enum bs_bos { BS_BOS_TOKENIZER, BS_BOS_YES, BS_BOS_NO };
extern const char *const bs_bos_names[]; /* NULL-terminated */

/* A context with its continuation as ids: `ids` [length + 1], of which the last is predicted alone;
 * predictions from `first` on are scored, from `own` on they are of the continuation. */
struct bs_request {
    int32_t *ids;
    int length, own, first;
    int suffix; /* predictions from here on are of what tells an item's answers apart; -1 = none */
    int cut;    /* ids of the context that did not fit in front */
    int item, choice;
    bool unconditional; /* asked beside the item's own requests, for acc_mutual_info */
    int span;           /* filled as they are laid out: of the windows' spans */
};

/* Requests on their way to windows; starts as {0}. */
struct bs_requests {
    int count, capacity;
    struct bs_request *rows;
    int num_groups, groups_capacity;
    int *groups; /* [num_groups], the first row of each group that may share a window */
};

/* How texts become ids. */
struct bs_request_rules {
    const struct bs_tokenizer *tokenizer;
    enum bs_bos bos;
    int positions;  /* that the model has: a longer context is cut from its beginning */
    int vocab_size; /* ids must be below */
};

/* What is laid in a window of its own. */
enum bs_apart {
    BS_APART_NEVER,   /* nothing: what begins alike shares a window where that saves enough */
    BS_APART_ITEMS,   /* a group: what shares a scale over a window then depends on no other */
    BS_APART_REQUESTS /* each request: what is made of it then depends on its own length alone */
};

/* Adds a request as lm-evaluation-harness encodes it (api/model.py, _encode_pair): white space that
 * the context ends with goes to the continuation; the continuation's tokens are those of the whole
 * after as many as the context alone has. An empty context is the tokenizer's BOS, else its EOS.
 * BS_EDATA where the continuation has no tokens or does not fit, without a place. */
enum bs_status bs_request_add(struct bs_requests *requests, const struct bs_request_rules *rules,
                              const char *context, const char *continuation, struct bs_error *err);

/* Begins a group: rows that are added from here on, up to the next, may share a window.
 * BS_ENOMEM. */
enum bs_status bs_requests_begin(struct bs_requests *requests, struct bs_error *err);

/* Lays the requests out, the longest windows first: those of a group in one window that forks, as
 * do groups that follow one another and begin alike (shots of one subject) where that saves enough,
 * as far as `apart` lets them. Fills windows, tokens, lengths, ids, targets, forks, spans and
 * both digests of `out`, and every request's span. BS_ENOMEM. */
enum bs_status bs_requests_lay(struct bs_requests *requests, enum bs_apart apart,
                               struct bs_windows *out, struct bs_error *err);
void bs_requests_release(struct bs_requests *requests);

#endif

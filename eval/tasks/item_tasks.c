/* Tasks with items, scored as lm-evaluation-harness and llama.cpp score them: every convention from
 * one pass. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/elementary.h"
#include "eval/tasks/answer_changes.h"
#include "eval/tasks/evaluation.h"
#include "eval/tasks/item.h"
#include "eval/tasks/paired_items.h"
#include "eval/tasks/requests.h"

struct tasks {
    int shots, bos;
    bool mutual_information;
};

enum { MOST_SHOTS = 1000 };

static const struct bs_option options[] = {
    BS_OPT(struct tasks, shots, 0, 0, MOST_SHOTS,
           "answered items in front of each, drawn as lm-evaluation-harness draws them"),
    BS_OPT_WORDS(struct tasks, bos, BS_CHOICE, BS_BOS_TOKENIZER, 0, BS_BOS_NO, bs_bos_names,
                 "the BOS token in front: as the tokenizer has it (as lm-evaluation-harness since "
                 "0.4.10), always, or never (as before)"),
    BS_OPT(struct tasks, mutual_information, false, 0, 1,
           "of kind choice: also score every answer without its context"),
    {.name = NULL},
};

enum { TARGET_PERPLEXITY = BS_NUM_CONVENTIONS, SUFFIX_LOW, SUFFIX_HIGH, CHANGES };

#define SHARE(which, text, head)                                                                   \
    {                                                                                              \
        .name = which, .direction = 1, .unit = "", .meaning = text, .heading = head, .scale = 100, \
        .decimals = 1, .uncertain = true                                                           \
    }

#define DELTA(which, head)                                                                         \
    {                                                                                              \
        .name = which "_delta", .direction = 1, .unit = "",                                        \
        .meaning = "minus the unquantized model's, paired by item", .heading = head, .scale = 100, \
        .decimals = 1, .uncertain = true, .signed_ = true                                          \
    }

static const struct bs_value_type values[] = {
    [BS_ACC] = SHARE("acc",
                     "share of items whose likeliest answer is right; of last words those whose "
                     "every token is the likeliest",
                     "acc\n%"),
    [BS_ACC_NORM] = SHARE("acc_norm", "the same by log-likelihood over characters", "acc_norm\n%"),
    [BS_ACC_BYTES] = SHARE("acc_bytes", "by log-likelihood over bytes", "acc_bytes\n%"),
    [BS_ACC_TOKENS] = SHARE("acc_tokens", "by log-likelihood over tokens", "acc_tokens\n%"),
    [BS_ACC_MUTUAL_INFO] =
        SHARE("acc_mutual_info", "by log-likelihood less that of the answer alone",
              "acc_mutual\n_info %"),
    [BS_ACC_SUFFIX] = SHARE("acc_suffix",
                            "by the mean of tokens after what all answers of the item begin with, "
                            "as llama.cpp's llama-perplexity",
                            "acc_suffix\n%"),
    [TARGET_PERPLEXITY] = {.name = "target_perplexity",
                           .direction = -1,
                           .unit = "",
                           .meaning = "of last words: exp(-mean log-likelihood of a word)",
                           .heading = "target\nperplexity",
                           .decimals = 2,
                           .uncertain = true},
    [SUFFIX_LOW] = {.name = "acc_suffix_low",
                    .unit = "",
                    .meaning =
                        "lower end of Wilson's interval of 95 %, as llama-perplexity prints it",
                    .scale = 100,
                    .decimals = 1},
    [SUFFIX_HIGH] = {.name = "acc_suffix_high",
                     .unit = "",
                     .meaning = "its upper end",
                     .scale = 100,
                     .decimals = 1},
    [CHANGES + BS_ACC] = DELTA("acc", "\xce\x94 acc\n%"),
    [CHANGES + BS_ACC_NORM] = DELTA("acc_norm", "\xce\x94 acc\n_norm %"),
    [CHANGES + BS_ACC_BYTES] = DELTA("acc_bytes", "\xce\x94 acc\n_bytes %"),
    [CHANGES + BS_ACC_TOKENS] = DELTA("acc_tokens", "\xce\x94 acc\n_tokens %"),
    [CHANGES + BS_ACC_MUTUAL_INFO] = DELTA("acc_mutual_info", "\xce\x94 acc_mutual\n_info %"),
    [CHANGES + BS_ACC_SUFFIX] = DELTA("acc_suffix", "\xce\x94 acc\n_suffix %"),
    [CHANGES + BS_TARGET_PERPLEXITY_DELTA] = {.name = "target_perplexity_delta",
                                              .direction = -1,
                                              .unit = "",
                                              .meaning = "minus the unquantized model's, paired by "
                                                         "item",
                                              .heading = "\xce\x94 target\nperplexity",
                                              .uncertain = true,
                                              .signed_ = true},
    [CHANGES + BS_AGREEMENT] = SHARE("agreement",
                                     "share of items for which acc takes the same answer as the "
                                     "unquantized model's",
                                     "agree\n%"),
    [CHANGES + BS_LOST] = {.name = "lost",
                           .direction = -1,
                           .unit = "items",
                           .meaning = "right by acc in the unquantized model, and wrong here",
                           .whole = true},
    [CHANGES + BS_GAINED] = {.name = "gained",
                             .direction = 1,
                             .unit = "items",
                             .meaning = "wrong by acc in the unquantized model, and right here",
                             .whole = true},
    {.name = NULL},
};

static struct bs_protocol_used protocol(const void *own, int tokens)
{
    (void)tokens;
    const struct tasks *o = own;
    struct bs_protocol_used used = {.stride = 0};
    snprintf(used.name, sizeof used.name, "%d-shot%s%s", o->shots,
             o->bos == BS_BOS_TOKENIZER ? "" : " bos=",
             o->bos == BS_BOS_TOKENIZER ? "" : bs_bos_names[o->bos]);
    return used;
}

/* ---- requests ---- */

/* A task on its way to requests. */
struct asking {
    const struct tasks *options;
    const struct bs_evaluation_source *source;
    const struct bs_task *task;
    struct bs_items items, pool;
    struct bs_shots shots;
    struct bs_request_rules rules;
    struct bs_requests requests;
    struct bs_windows *out;
    int *first_rows; /* [items], the request of each item's first answer */
    int cut;         /* items whose context was */
    char cut_lines[96];
};

static enum bs_status missing(const struct bs_task *task, const char *what,
                              const struct bs_error *why, struct bs_error *err)
{
    return bs_fail(err, BS_EIO,
                   "the task '%s': %.3000s; `bitsweep fetch %s` brings it, or %s names a file",
                   task->name, why->message, task->name, what);
}

/* The file's rows: of the config's entry, of the record, or on the hub. */
static enum bs_status read_items(const struct bs_task *task, const char *what, const char *given,
                                 const char *own, const struct bs_remote *remote,
                                 struct bs_items *items, struct bs_error *err)
{
    const char *place = given ? given : own;
    char *path = NULL;
    struct bs_error why;
    enum bs_status status;
    if (place)
        return bs_items_read(place, task->columns, items, err);
    if (!remote->repository)
        return bs_fail(err, BS_ECONFIG,
                       "the task '%s' has no %s of its own: expected '%s: FILE' beside it",
                       task->name, what, what);
    status = bs_hub_file(remote, &path, &why);
    if (status == BS_EIO)
        return missing(task, what, &why, err);
    if (status) {
        *err = why;
        return status;
    }
    status = bs_items_read(path, task->columns, items, err);
    bs_free(path);
    return status;
}

/* Items, and the pool of shots where any are asked for. */
static enum bs_status open_items(struct asking *a, struct bs_error *err)
{
    const struct bs_task *task = a->task;
    const struct bs_evaluation_source *source = a->source;
    const struct bs_items *pool = &a->items;
    bool other = source->shot_items || task->shot_items ||
                 (task->shot_remote.repository && !source->items && !task->items);
    if (read_items(task, "items", source->items, task->items, &task->remote, &a->items, err))
        return err->status;
    if (a->options->shots && other) {
        if (read_items(task, "shot_items", source->shot_items, task->shot_items, &task->shot_remote,
                       &a->pool, err))
            return err->status;
        pool = &a->pool;
    }
    return bs_shots_begin(&a->shots, task, pool, pool == &a->items, a->options->shots, err);
}

static int characters_of(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* What all requests of an item begin with: from there on llama.cpp scores. Of one answer, and of
 * cloze, the answer's own tokens are all that is scored. Longer answers have more of their context
 * cut, so ids are compared by their place before the cut; what is cut of any row is the context's,
 * and of all. */
static void find_suffix(const struct asking *a, int first, int count)
{
    struct bs_request *rows = &a->requests.rows[first];
    int same = rows[0].cut + rows[0].length, most_cut = 0;
    for (int k = 0; k < count; k++)
        most_cut = rows[k].cut > most_cut ? rows[k].cut : most_cut;
    for (int k = 1; k < count; k++) {
        int end = rows[k].cut + rows[k].length, at = most_cut;
        end = end < same ? end : same;
        while (at < end && rows[k].ids[at - rows[k].cut] == rows[0].ids[at - rows[0].cut])
            at++;
        same = at;
    }
    for (int k = 0; k < count; k++) {
        int suffix = same > rows[k].cut ? same - 1 - rows[k].cut : 0;
        rows[k].suffix = a->task->kind == BS_TASK_CHOICE ? suffix : -1;
        if (rows[k].suffix >= 0 && suffix < rows[k].own)
            rows[k].first = suffix;
    }
}

/* Counts an item whose context was cut, and lists the first of them. */
static void note_cut(struct asking *a, int line)
{
    enum { LISTED = 5 };
    size_t used = strlen(a->cut_lines);
    if (a->cut++ < LISTED)
        snprintf(a->cut_lines + used, sizeof a->cut_lines - used, "%s%d", used ? ", " : "", line);
    else if (a->cut == LISTED + 1)
        snprintf(a->cut_lines + used, sizeof a->cut_lines - used, ", ...");
}

static enum bs_status add_answer(struct asking *a, const struct bs_item *item, int i, int choice,
                                 const struct bs_request *row, struct bs_error *err)
{
    const char *answer = bs_item_answer(item, choice);
    const struct bs_answer added = {.item = i,
                                    .choice = choice,
                                    .gold = choice == item->gold,
                                    .line = a->items.lines[i],
                                    .id = item->id,
                                    .group = item->group,
                                    .tokens = row->length - row->own,
                                    .characters = characters_of(answer),
                                    .bytes = (int)strlen(answer),
                                    .log_likelihood = (double)NAN,
                                    .unconditional = (double)NAN,
                                    .suffix = (double)NAN};
    return bs_answers_add(&a->out->answers, &added, err);
}

/* The requests of an item after `before`, its description and shots. */
static enum bs_status ask(struct asking *a, const struct bs_item *item, int i, const char *before,
                          struct bs_error *err)
{
    int count = item->choices > 1 ? item->choices : 1, first = a->requests.count;
    bool cut = false;
    const char *delimiter = a->task->kind == BS_TASK_LAST_WORD ? "" : bs_task_delimiter(a->task);
    enum bs_status status = bs_requests_begin(&a->requests, err);
    for (int k = 0; k < count && !status; k++) {
        char *context = bs_printf("%s%s", before, bs_item_context(item, k));
        char *answer = bs_printf("%s%s", delimiter, bs_item_answer(item, k));
        status = context && answer ? bs_request_add(&a->requests, &a->rules, context, answer, err)
                                   : bs_fail_memory(err);
        if (status == BS_EDATA && count > 1)
            bs_fail_within(err, "answer %d", k);
        bs_free(answer);
        bs_free(context);
        if (status)
            return status;
        struct bs_request *row = &a->requests.rows[first + k];
        row->item = i;
        row->choice = k;
        cut |= row->cut > 0;
        status = add_answer(a, item, i, k, row, err);
    }
    if (status)
        return status;
    find_suffix(a, first, count);
    if (cut)
        note_cut(a, a->items.lines[i]);
    return BS_OK;
}

/* The same answers without context. */
static enum bs_status ask_alone(struct asking *a, const struct bs_item *item, int i,
                                struct bs_error *err)
{
    enum bs_status status = bs_requests_begin(&a->requests, err);
    for (int k = 0; k < item->choices && !status; k++) {
        char *answer = bs_printf("%s%s", bs_task_delimiter(a->task), bs_item_answer(item, k));
        status =
            answer ? bs_request_add(&a->requests, &a->rules, "", answer, err) : bs_fail_memory(err);
        bs_free(answer);
        if (status)
            return status;
        struct bs_request *row = &a->requests.rows[a->requests.count - 1];
        row->item = i;
        row->choice = k;
        row->unconditional = true;
    }
    return status;
}

static enum bs_status ask_item(struct asking *a, int i, struct bs_error *err)
{
    struct bs_item item;
    char *shots = NULL, *before = NULL;
    if (bs_item_make(a->task, &a->items, i, &item, err))
        return err->status;
    enum bs_status status = bs_shots_take(&a->shots, a->items.rows[i], item.group, &shots, err);
    if (!status && !(before = bs_printf("%s%s", item.description, shots)))
        status = bs_fail_memory(err);
    enum bs_status own = status ? BS_OK : ask(a, &item, i, before, err);
    if (!status && !own && a->options->mutual_information)
        own = ask_alone(a, &item, i, err);
    if (own && own != BS_ENOMEM)
        bs_fail_within(err, "%s:%d", a->items.path, a->items.lines[i]);
    bs_free(before);
    bs_free(shots);
    bs_item_release(&item);
    return status ? status : own;
}

/* Where each answer's predictions came to be. */
static enum bs_status find_places(struct asking *a, struct bs_error *err)
{
    struct bs_windows *out = a->out;
    int at = 0;
    out->places = bs_alloc((size_t)out->answers.count, sizeof *out->places);
    if (!out->places)
        return bs_fail_memory(err);
    for (int r = 0; r < a->requests.count; r++) {
        const struct bs_request *row = &a->requests.rows[r];
        if (!row->unconditional)
            out->places[at++] =
                (struct bs_answer_place){.span = row->span,
                                         .skip = row->own - row->first,
                                         .suffix = row->suffix < 0 ? -1 : row->suffix - row->first,
                                         .unconditional = -1};
    }
    for (int r = 0, of = 0; r < a->requests.count; r++) {
        const struct bs_request *row = &a->requests.rows[r];
        if (!row->unconditional)
            continue;
        while (out->answers.rows[of].item != row->item ||
               out->answers.rows[of].choice != row->choice)
            of++;
        out->places[of].unconditional = row->span;
    }
    return BS_OK;
}

static enum bs_status ask_all(struct asking *a, struct bs_error *err)
{
    int most = a->source->windows && a->source->windows < a->items.count ? a->source->windows
                                                                         : a->items.count;
    for (int i = 0; i < most; i++)
        if (ask_item(a, i, err))
            return err->status;
    if (a->cut && bs_lines_add(&a->out->notices, err,
                               "%s: of %d of %d items the context is longer than %d positions and "
                               "was cut from its beginning, as lm-evaluation-harness does (line%s "
                               "%s)",
                               a->task->name, a->cut, most, a->rules.positions,
                               a->cut == 1 ? "" : "s", a->cut_lines))
        return err->status;
    if (bs_requests_lay(&a->requests, a->source->apart, a->out, err))
        return err->status;
    return find_places(a, err);
}

static enum bs_status request(const void *own, const struct bs_evaluation_source *source,
                              const struct bs_tokenizer *tokenizer, int vocab_size,
                              struct bs_windows *out, struct bs_error *err)
{
    const struct tasks *o = own;
    struct asking a = {.options = o,
                       .source = source,
                       .task = source->task,
                       .rules = {tokenizer, (enum bs_bos)o->bos, source->tokens, vocab_size},
                       .out = out};
    *out = (struct bs_windows){0};
    if (o->mutual_information && a.task->kind != BS_TASK_CHOICE)
        return bs_fail(err, BS_ECONFIG,
                       "mutual_information is for tasks of kind choice; %s is of kind %s",
                       a.task->name, bs_task_kind_names[a.task->kind]);
    enum bs_status status = open_items(&a, err);
    if (!status)
        status = ask_all(&a, err);
    if (!status)
        status = bs_task_take_digest(a.task, &a.items, a.pool.path ? &a.pool : NULL,
                                     &out->text_digest, err);
    if (!status) {
        out->text = (struct bs_text_size){.tokens = bs_windows_total(out)};
    }
    bs_requests_release(&a.requests);
    bs_items_release(&a.items);
    bs_items_release(&a.pool);
    if (status)
        bs_windows_release(out);
    return status;
}

/* ---- answers ---- */

/* Minus the sum of the NLLs of a span's predictions from `skip` on. */
static double log_likelihood(const struct bs_scores *scores, int span, int skip, int *tokens)
{
    const struct bs_windows *r = scores->requests;
    const struct bs_span *s = &r->spans[span];
    const float *nll = bs_figure_floats(scores->figures, BS_NLL) +
                       (size_t)s->window * (size_t)(r->tokens - 1) + s->first;
    double sum = 0;
    for (int p = skip; p < s->count; p++)
        sum -= (double)nll[p];
    *tokens = s->count - skip;
    return sum;
}

static bool is_greedy(const struct bs_scores *scores, const struct bs_answer_place *place)
{
    const struct bs_windows *r = scores->requests;
    const struct bs_span *s = &r->spans[place->span];
    const uint8_t *top = bs_figure_flags(scores->figures, BS_TARGET_IS_TOP) +
                         (size_t)s->window * (size_t)(r->tokens - 1) + s->first;
    for (int p = place->skip; p < s->count; p++)
        if (!top[p])
            return false;
    return true;
}

static enum bs_status answer(const struct bs_scores *scores, struct bs_answers *answers,
                             struct bs_error *err)
{
    const struct bs_windows *r = scores->requests;
    if (bs_answers_copy(answers, &r->answers, err))
        return err->status;
    for (int i = 0; i < answers->count; i++) {
        const struct bs_answer_place *place = &r->places[i];
        struct bs_answer *row = &answers->rows[i];
        int tokens;
        row->log_likelihood = log_likelihood(scores, place->span, place->skip, &tokens);
        row->greedy = is_greedy(scores, place);
        if (place->unconditional >= 0)
            row->unconditional = log_likelihood(scores, place->unconditional, 0, &tokens);
        if (place->suffix >= 0) {
            double sum = log_likelihood(scores, place->span, place->suffix, &tokens);
            row->suffix = sum / tokens;
        }
    }
    return BS_OK;
}

/* ---- values ---- */

/* Of the mean of x [num_items], as lm-evaluation-harness has it: by the sample's variance; where
 * items are in groups by what is left of it within them. BS_ENOMEM. */
static enum bs_status standard_error(const struct bs_answers *answers, const double *x, double *se,
                                     struct bs_error *err)
{
    size_t n = (size_t)answers->num_items;
    int *of = bs_alloc(n, sizeof *of), groups = 0;
    double *sums = bs_calloc(n, sizeof *sums), *counts = bs_calloc(n, sizeof *counts), squares = 0;
    enum bs_status status = of && sums && counts ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = bs_answers_groups(answers, of, &groups, err);
    for (size_t i = 0; i < n && !status; i++) {
        sums[of[i]] += x[i];
        counts[of[i]]++;
    }
    for (size_t i = 0; i < n && !status; i++) {
        double apart = x[i] - sums[of[i]] / counts[of[i]];
        squares += apart * apart;
    }
    *se = (int)n > groups ? sqrt(squares / ((double)n - groups) / (double)n) : (double)NAN;
    bs_free(counts);
    bs_free(sums);
    bs_free(of);
    return status;
}

/* Adds the mean of x [num_items]. */
static enum bs_status add_mean(const struct bs_answers *answers, const double *x, int type,
                               struct bs_measured *out, int *count, struct bs_error *err)
{
    int n = answers->num_items;
    double sum = 0, se;
    for (int i = 0; i < n; i++)
        sum += x[i];
    if (standard_error(answers, x, &se, err))
        return err->status;
    out[(*count)++] = (struct bs_measured){&values[type], sum / n, se, n - 1, n};
    return BS_OK;
}

/* Wilson's interval of the share that was added last. */
static void add_interval(struct bs_measured *out, int *count)
{
    const struct bs_measured *share = &out[*count - 1];
    struct bs_interval interval = bs_wilson((int)lround(share->value * share->n), share->n);
    int n = share->n;
    out[(*count)++] = bs_measured_plainly(&values[SUFFIX_LOW], interval.low, n);
    out[(*count)++] = bs_measured_plainly(&values[SUFFIX_HIGH], interval.high, n);
}

static enum bs_status add_values(const struct bs_answers *answers, struct bs_measured *out,
                                 int *count, struct bs_error *err)
{
    size_t items = (size_t)answers->num_items;
    uint8_t *right = bs_alloc(items, sizeof *right);
    double *x = bs_alloc(items, sizeof *x);
    bool single = answers->num_items == answers->count;
    enum bs_status status = right && x ? BS_OK : bs_fail_memory(err);
    for (int c = 0; c < BS_NUM_CONVENTIONS && !status; c++) {
        if (!bs_answers_right(answers, (enum bs_convention)c, right))
            continue;
        for (size_t i = 0; i < items; i++)
            x[i] = right[i];
        status = add_mean(answers, x, c, out, count, err);
        if (!status && c == BS_ACC_SUFFIX)
            add_interval(out, count);
    }
    for (size_t i = 0; single && i < items && !status; i++)
        x[i] = answers->rows[i].log_likelihood;
    if (single && !status)
        status = add_mean(answers, x, TARGET_PERPLEXITY, out, count, err);
    if (single && !status) {
        struct bs_measured *mean = &out[*count - 1];
        mean->value = bs_exp(-mean->value);
        mean->se *= mean->value; /* by the delta method */
    }
    bs_free(x);
    bs_free(right);
    return status;
}

static enum bs_status summarise(const void *own, const struct bs_scores *scores,
                                struct bs_measured *out, int *count, struct bs_error *err)
{
    (void)own;
    const struct bs_scores unquantized = {.requests = scores->requests,
                                          .figures = scores->reference};
    struct bs_answers answers, before = {0};
    *count = 0;
    if (answer(scores, &answers, err))
        return err->status;
    enum bs_status status = add_values(&answers, out, count, err);
    if (!status && scores->reference)
        status = answer(&unquantized, &before, err);
    if (!status && scores->reference)
        status = bs_answers_changes(&before, &answers, &values[CHANGES], out, count, err);
    bs_answers_release(&before);
    bs_answers_release(&answers);
    return status;
}

const struct bs_evaluation bs_evaluation_tasks = {
    .plugin = {.name = "tasks",
               .summary = "items with answers, the likeliest of which the model is said to take",
               .reference = "EleutherAI/lm-evaluation-harness 0.4.13; ggml-org/llama.cpp "
                            "tools/perplexity",
               .options_size = sizeof(struct tasks),
               .options = options},
    .subject = BS_OF_TASK,
    .figures = 1u << BS_NLL | 1u << BS_TARGET_IS_TOP,
    .values = values,
    .protocol = protocol,
    .request = request,
    .summarise = summarise,
    .answer = answer,
};

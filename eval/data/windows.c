#include "eval/data/windows.h"

#include "eval/base/mem.h"
#include "eval/data/random.h"

#include <assert.h>
#include <math.h>
#include <string.h>

const char *const bs_pick_names[] = {
    [BS_PICK_FIRST] = "first", [BS_PICK_EVEN] = "even", [BS_PICK_AUTO] = "auto", NULL};

static enum bs_status check_ids(const char *name, const int32_t *ids, size_t count, int vocab_size,
                                struct bs_error *err)
{
    for (size_t t = 0; t < count; t++)
        if (ids[t] < 0 || ids[t] >= vocab_size)
            return bs_fail(err, BS_EDATA,
                           "%s: token %zu has id %d, but the model has a vocabulary of %d: "
                           "tokenizer and model do not belong together",
                           name, t, (int)ids[t], vocab_size);
    return BS_OK;
}

int bs_windows_length(const struct bs_windows *windows, int window)
{
    return windows->lengths ? windows->lengths[window] : windows->tokens;
}

struct bs_fork bs_windows_fork(const struct bs_windows *windows, int window)
{
    return windows->forks ? windows->forks[window]
                          : bs_fork_none(bs_windows_length(windows, window));
}

size_t bs_windows_total(const struct bs_windows *windows)
{
    size_t total = 0;
    for (int w = 0; windows->lengths && w < windows->windows; w++)
        total += (size_t)windows->lengths[w];
    return windows->lengths ? total : (size_t)windows->windows * (size_t)windows->tokens;
}

const int32_t *bs_windows_targets(const struct bs_windows *windows, int window, int first)
{
    size_t at = (size_t)window * (size_t)windows->tokens + (size_t)first;
    return windows->targets ? windows->targets + at : windows->ids + at + 1;
}

const struct bs_span *bs_windows_spans(const struct bs_windows *windows, int window, int *count)
{
    int low = 0, high = windows->num_spans;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (windows->spans[middle].window < window)
            low = middle + 1;
        else
            high = middle;
    }
    int end = low;
    while (end < windows->num_spans && windows->spans[end].window == window)
        end++;
    *count = end - low;
    return windows->spans + low;
}

/* Where branches begin, and what they go on after where that is not what all share. */
static void add_branches(struct bs_digest_state *state, const struct bs_fork *fork)
{
    for (int i = 0; i < fork->branches; i++)
        bs_digest_add(state, &fork->branch[i].begin, sizeof fork->branch[i].begin);
    for (int i = 0; i < fork->branches; i++)
        if (fork->branch[i].position != fork->shared)
            bs_digest_add(state, &fork->branch[i].position, sizeof fork->branch[i].position);
}

enum bs_status bs_windows_take_digest(struct bs_windows *out, struct bs_error *err)
{
    struct bs_digest_state *state = bs_digest_create();
    if (!state)
        return bs_fail_memory(err);
    int32_t shape[2] = {out->windows, out->tokens};
    bs_digest_add(state, shape, sizeof shape);
    if (out->lengths)
        bs_digest_add(state, out->lengths, (size_t)out->windows * sizeof *out->lengths);
    for (int w = 0; w < out->windows; w++)
        bs_digest_add(state, out->ids + (size_t)w * (size_t)out->tokens,
                      (size_t)bs_windows_length(out, w) * sizeof *out->ids);
    for (int w = 0; out->targets && w < out->windows; w++)
        bs_digest_add(state, out->targets + (size_t)w * (size_t)out->tokens,
                      (size_t)bs_windows_length(out, w) * sizeof *out->targets);
    for (int w = 0; out->forks && w < out->windows; w++)
        add_branches(state, &out->forks[w]);
    out->digest = bs_digest_finish(state);
    return BS_OK;
}

static enum bs_status allocate(struct bs_windows *out, int windows, struct bs_error *err)
{
    out->windows = windows;
    out->ids = bs_alloc((size_t)windows * (size_t)out->tokens, sizeof *out->ids);
    return out->ids ? BS_OK : bs_fail_memory(err);
}

/* Settles how many of the `whole` windows that a text holds are cut: all where *windows is 0. */
static enum bs_status settle_windows(const char *name, size_t text_tokens, size_t whole, int tokens,
                                     int *windows, struct bs_error *err)
{
    if (whole == 0)
        return bs_fail(err, BS_ECONFIG, "%s has %zu tokens, too short for a window of %d", name,
                       text_tokens, tokens);
    if (*windows == 0)
        *windows = whole > INT32_MAX ? INT32_MAX : (int)whole;
    if ((size_t)*windows > whole)
        return bs_fail(err, BS_ECONFIG,
                       "%s has %zu tokens, which make %zu windows of %d, but %d are asked for",
                       name, text_tokens, whole, tokens, *windows);
    return BS_OK;
}

static enum bs_status cut_sequential(const struct bs_calibration_choice *choice, const int32_t *ids,
                                     size_t count, struct bs_windows *out, struct bs_error *err)
{
    int windows = choice->windows;
    if (settle_windows(choice->text.text, count, count / (size_t)out->tokens, out->tokens, &windows,
                       err) ||
        allocate(out, windows, err))
        return err->status;
    memcpy(out->ids, ids, (size_t)windows * (size_t)out->tokens * sizeof *ids);
    return BS_OK;
}

static enum bs_status cut_random(const struct bs_calibration_choice *choice, const int32_t *ids,
                                 size_t count, struct bs_windows *out, struct bs_error *err)
{
    size_t tokens = (size_t)out->tokens;
    /* start is at most count - tokens - 1: the published code never uses the last token */
    if (count <= tokens)
        return bs_fail(err, BS_ECONFIG,
                       "%s has %zu tokens, too short for random windows of %d, which need %zu",
                       choice->text.text, count, out->tokens, tokens + 1);
    if (allocate(out, choice->windows, err))
        return err->status;
    struct bs_random random;
    bs_random_seed(&random, (uint32_t)choice->seed);
    for (int w = 0; w < out->windows; w++) {
        int64_t start = bs_random_int(&random, 0, (int64_t)(count - tokens - 1));
        memcpy(out->ids + (size_t)w * tokens, ids + start, tokens * sizeof *ids);
    }
    return BS_OK;
}

/* Windows of the text as one stream. */
static enum bs_status calibrate_stream(const struct bs_tokenizer *tokenizer,
                                       const struct bs_calibration_choice *choice,
                                       const struct bs_text *text, struct bs_windows *out,
                                       struct bs_error *err)
{
    int32_t *ids;
    size_t count;
    enum bs_status status =
        bs_sample_tokenize(tokenizer, text->bytes, text->size, &ids, &count, &out->text, err);
    if (status)
        return bs_fail_within(err, "%s", choice->text.text);
    status = choice->sampling == BS_SAMPLING_GPTQ ? cut_random(choice, ids, count, out, err)
                                                  : cut_sequential(choice, ids, count, out, err);
    bs_free(ids);
    return status;
}

/* Windows of drawn documents. */
static enum bs_status draw(const struct bs_tokenizer *tokenizer, const char *name,
                           const struct bs_text *text, int seed, int windows,
                           struct bs_windows *out, struct bs_error *err)
{
    if (allocate(out, windows, err))
        return err->status;
    if (bs_sample_documents(tokenizer, text, seed, windows, out->tokens, out->ids, &out->text, err))
        return bs_fail_within(err, "%s", name);
    return BS_OK;
}

static enum bs_status calibrate(const struct bs_tokenizer *tokenizer,
                                const struct bs_calibration_choice *choice,
                                const struct bs_text *text, bool drawn, struct bs_windows *out,
                                struct bs_error *err)
{
    const char *name = choice->text.text;
    switch (choice->sampling) {
    case BS_SAMPLING_AWQ:
        if (bs_sample_blocks(tokenizer, text, choice->seed, choice->documents, out->tokens,
                             &out->ids, &out->windows, &out->text, err))
            return bs_fail_within(err, "%s", name);
        return BS_OK;
    case BS_SAMPLING_GPTQ_DOCUMENTS:
        return draw(tokenizer, name, text, choice->seed, choice->windows, out, err);
    case BS_SAMPLING_GPTQ:
        if (drawn)
            return draw(tokenizer, name, text, choice->seed, choice->windows, out, err);
        break;
    case BS_SAMPLING_SEQUENTIAL:
    case BS_SAMPLING_AUTO:
        break;
    }
    return calibrate_stream(tokenizer, choice, text, out, err);
}

enum bs_status bs_windows_calibrate(const struct bs_tokenizer *tokenizer,
                                    const struct bs_calibration_choice *choice, int vocab_size,
                                    struct bs_windows *out, struct bs_error *err)
{
    assert(choice->tokens > 0 && choice->windows >= 0 && choice->seed >= 0);
    assert(choice->windows > 0 || choice->sampling == BS_SAMPLING_SEQUENTIAL ||
           choice->sampling == BS_SAMPLING_AWQ);
    *out = (struct bs_windows){.tokens = choice->tokens};
    struct bs_text text;
    const struct bs_corpus_part *part;
    enum bs_status status = bs_corpus_read(&choice->text, BS_FOR_CALIBRATION, &text, &part, err);
    if (!status)
        status = calibrate(tokenizer, choice, &text, part && part->drawn, out, err);
    if (!status)
        status = check_ids(choice->text.text, out->ids, (size_t)out->windows * (size_t)out->tokens,
                           vocab_size, err);
    if (!status) {
        out->text_digest = bs_text_digest(&text);
        status = bs_windows_take_digest(out, err);
    }
    bs_text_release(&text);
    if (status)
        bs_windows_release(out);
    return status;
}

size_t bs_pick_even(size_t all, size_t windows, size_t i)
{
    assert(i < windows && windows <= all);
    static const double golden = 0.6180339887498949;
    size_t begin = i * all / windows, end = (i + 1) * all / windows;
    double place = (double)(i + 1) * golden;
    return begin + (size_t)((place - floor(place)) * (double)(end - begin));
}

/* Cuts window `window` of the text, the i-th that is taken. */
static void cut_window(const struct bs_evaluation_choice *choice, const int32_t *ids, size_t count,
                       int32_t bos, size_t window, size_t i, struct bs_windows *out)
{
    const struct bs_protocol_rules *rules = &bs_protocols[choice->protocol];
    size_t tokens = (size_t)out->tokens;
    int32_t *to = out->ids + i * tokens;
    size_t begin = bs_protocol_begin(choice->protocol, window, out->tokens, choice->stride);
    size_t left = count - begin < tokens ? count - begin : tokens;
    memcpy(to, ids + begin, left * sizeof *ids);
    for (size_t t = left; t < tokens; t++)
        to[t] = to[left - 1];
    if (rules->begins_with_bos && bos >= 0)
        to[0] = bos;
    struct bs_scored scored =
        bs_protocol_scored(choice->protocol, window, count, out->tokens, choice->stride);
    out->spans[i] =
        (struct bs_span){.window = (int)i, .first = scored.first, .count = scored.count};
    out->num_scored += (size_t)scored.count;
}

enum bs_status bs_windows_cut(const struct bs_evaluation_choice *choice, const int32_t *ids,
                              size_t count, int32_t bos, struct bs_windows *out,
                              struct bs_error *err)
{
    const struct bs_protocol_rules *rules = &bs_protocols[choice->protocol];
    size_t found = bs_protocol_windows(choice->protocol, count, choice->tokens, choice->stride);
    int windows = choice->windows;
    out->tokens = choice->tokens;
    if (settle_windows(choice->text.text, count, found, choice->tokens, &windows, err))
        return err->status;
    if (found < (size_t)rules->least_windows)
        return bs_fail(err, BS_ECONFIG,
                       "%s has %zu tokens; protocol %s needs %d windows of %d at least",
                       choice->text.text, count, bs_protocol_names[choice->protocol],
                       rules->least_windows, choice->tokens);
    if (bs_protocol_scored(choice->protocol, 0, count, choice->tokens, choice->stride).count < 1)
        return bs_fail(err, BS_ECONFIG, "protocol %s scores nothing in windows of %d tokens",
                       bs_protocol_names[choice->protocol], choice->tokens);
    if (allocate(out, windows, err))
        return err->status;
    out->spans = bs_alloc((size_t)windows, sizeof *out->spans);
    if (!out->spans)
        return bs_fail_memory(err);
    out->num_spans = windows;
    out->all = found > INT32_MAX ? INT32_MAX : (int)found;
    out->pick = choice->pick == BS_PICK_AUTO && rules->takes_first ? BS_PICK_FIRST : choice->pick;
    if (out->pick == BS_PICK_AUTO)
        out->pick = BS_PICK_EVEN;
    if (windows == out->all)
        out->pick = BS_PICK_FIRST;
    for (size_t i = 0, all = (size_t)out->all; i < (size_t)windows; i++) {
        size_t window = out->pick == BS_PICK_EVEN ? bs_pick_even(all, (size_t)windows, i) : i;
        cut_window(choice, ids, count, bos, window, i, out);
    }
    return bs_windows_take_digest(out, err);
}

/* The ids of the text that is predicted, in new memory: the whole text's, or those of drawn windows
 * one after the other, as datautils.py hands them on. */
static enum bs_status evaluation_ids(const struct bs_tokenizer *tokenizer,
                                     const struct bs_evaluation_choice *choice,
                                     const struct bs_text *text, const struct bs_corpus_part *part,
                                     struct bs_windows *out, int32_t **ids, size_t *count,
                                     struct bs_error *err)
{
    size_t most = part ? (size_t)part->most_windows * (size_t)choice->tokens : 0;
    if (part && part->drawn) {
        struct bs_windows drawn = {.tokens = choice->tokens};
        enum bs_status status =
            draw(tokenizer, choice->text.text, text, 0, part->most_windows, &drawn, err);
        if (status) {
            bs_windows_release(&drawn);
            return status;
        }
        out->text = drawn.text;
        *ids = drawn.ids;
        *count = most;
        return BS_OK;
    }
    size_t size = text->size;
    if (bs_protocols[choice->protocol].drops_newline && size && text->bytes[size - 1] == '\n')
        size--;
    if (bs_sample_tokenize(tokenizer, text->bytes, size, ids, count, &out->text, err))
        return bs_fail_within(err, "%s", choice->text.text);
    if (most && *count > most)
        *count = most;
    return BS_OK;
}

enum bs_status bs_windows_evaluate(const struct bs_tokenizer *tokenizer,
                                   const struct bs_evaluation_choice *choice, int vocab_size,
                                   struct bs_windows *out, struct bs_error *err)
{
    assert(choice->tokens > 1 && choice->windows >= 0);
    *out = (struct bs_windows){.tokens = choice->tokens};
    struct bs_text text;
    const struct bs_corpus_part *part;
    int32_t *ids = NULL;
    size_t count;
    enum bs_status status = bs_corpus_read(&choice->text, BS_FOR_EVALUATION, &text, &part, err);
    if (!status)
        status = evaluation_ids(tokenizer, choice, &text, part, out, &ids, &count, err);
    if (!status)
        status = check_ids(choice->text.text, ids, count, vocab_size, err);
    struct bs_evaluation_choice cut = *choice;
    if (cut.pick == BS_PICK_AUTO && part && part->most_windows) /* datautils.py takes the first */
        cut.pick = BS_PICK_FIRST;
    if (!status)
        status = bs_windows_cut(&cut, ids, count, bs_tokenizer_bos(tokenizer), out, err);
    if (!status)
        out->text_digest = bs_text_digest(&text);
    bs_free(ids);
    bs_text_release(&text);
    if (status)
        bs_windows_release(out);
    return status;
}

void bs_windows_release(struct bs_windows *windows)
{
    bs_free(windows->ids);
    bs_free(windows->targets);
    bs_free(windows->lengths);
    bs_free(windows->spans);
    bs_free(windows->forks);
    bs_free(windows->branches);
    bs_free(windows->places);
    bs_answers_release(&windows->answers);
    bs_lines_release(&windows->notices);
    *windows = (struct bs_windows){0};
}

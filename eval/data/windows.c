#include "eval/data/windows.h"

#include "eval/base/mem.h"
#include "eval/data/random.h"

#include <assert.h>
#include <string.h>

static enum bs_status windows_check_ids(const char *path, const int32_t *ids, size_t count,
                                        int vocab_size, struct bs_error *err)
{
    for (size_t t = 0; t < count; t++)
        if (ids[t] < 0 || ids[t] >= vocab_size)
            return bs_fail(err, BS_EDATA,
                           "%s: token %zu has id %d, but the model has a vocabulary of %d: "
                           "tokenizer and model do not belong together",
                           path, t, (int)ids[t], vocab_size);
    return BS_OK;
}

/* How many windows are cut, once the text is known to hold them. */
static enum bs_status windows_count(const char *path, enum bs_sampling sampling, size_t text_tokens,
                                    int tokens, int *windows, struct bs_error *err)
{
    size_t whole = text_tokens / (size_t)tokens;
    if (sampling == BS_SAMPLING_GPTQ) {
        if (*windows < 1)
            return bs_fail(err, BS_ECONFIG, "windows is %d, expected at least 1 for gptq sampling",
                           *windows);
        /* start is at most text_tokens - tokens - 1: the published code never uses the last token
         */
        if (text_tokens <= (size_t)tokens)
            return bs_fail(err, BS_ECONFIG,
                           "%s has %zu tokens, too short for random windows of %d, which need %zu",
                           path, text_tokens, tokens, (size_t)tokens + 1);
        return BS_OK;
    }
    if (whole == 0)
        return bs_fail(err, BS_ECONFIG, "%s has %zu tokens, too short for a window of %d", path,
                       text_tokens, tokens);
    if (*windows == 0)
        *windows = whole > INT32_MAX ? INT32_MAX : (int)whole;
    if ((size_t)*windows > whole)
        return bs_fail(err, BS_ECONFIG,
                       "%s has %zu tokens, which make %zu windows of %d, but %d are asked for",
                       path, text_tokens, whole, tokens, *windows);
    return BS_OK;
}

static void windows_cut(struct bs_windows *out, enum bs_sampling sampling, int seed,
                        const int32_t *ids)
{
    struct bs_random random;
    bs_random_seed(&random, (uint32_t)seed);
    int64_t last_start = (int64_t)out->text_tokens - out->tokens - 1;
    for (int w = 0; w < out->windows; w++) {
        size_t start = sampling == BS_SAMPLING_GPTQ ? (size_t)bs_random_int(&random, 0, last_start)
                                                    : (size_t)w * (size_t)out->tokens;
        memcpy(out->ids + (size_t)w * (size_t)out->tokens, ids + start,
               (size_t)out->tokens * sizeof *ids);
    }
}

static enum bs_status windows_digest(struct bs_windows *out, struct bs_error *err)
{
    struct bs_digest_state *state = bs_digest_create();
    if (!state)
        return bs_fail_memory(err);
    int32_t shape[2] = {out->windows, out->tokens};
    bs_digest_add(state, shape, sizeof shape);
    bs_digest_add(state, out->ids, (size_t)out->windows * (size_t)out->tokens * sizeof *out->ids);
    out->digest = bs_digest_finish(state);
    return BS_OK;
}

enum bs_status bs_windows_load(const struct bs_tokenizer *tokenizer, const char *path,
                               enum bs_sampling sampling, int seed, int windows, int tokens,
                               int vocab_size, struct bs_windows *out, struct bs_error *err)
{
    assert(tokens > 0 && windows >= 0 && seed >= 0);
    *out = (struct bs_windows){.tokens = tokens};
    struct bs_map map;
    int32_t *ids = NULL;
    enum bs_status status = bs_map_open(path, &map, err);
    if (status)
        return status;

    status = bs_tokenizer_encode(tokenizer, (const char *)map.data, map.size, true, &ids,
                                 &out->text_tokens, err);
    if (status) {
        bs_fail_within(err, "%s", path);
        goto done;
    }
    status = windows_check_ids(path, ids, out->text_tokens, vocab_size, err);
    if (status)
        goto done;
    status = windows_count(path, sampling, out->text_tokens, tokens, &windows, err);
    if (status)
        goto done;

    out->windows = windows;
    out->ids = bs_alloc((size_t)windows * (size_t)tokens, sizeof *out->ids);
    if (!out->ids) {
        status = bs_fail_memory(err);
        goto done;
    }
    windows_cut(out, sampling, seed, ids);
    status = windows_digest(out, err);

done:
    bs_free(ids);
    bs_map_close(&map);
    if (status)
        bs_windows_release(out);
    return status;
}

void bs_windows_release(struct bs_windows *windows)
{
    bs_free(windows->ids);
    *windows = (struct bs_windows){0};
}

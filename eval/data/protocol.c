/* gptq: datautils.py and llama.py of IST-DASLab/gptq. llama.cpp: perplexity() of its tool
 * llama-perplexity, without --ppl-stride. sliding: the loop of Hugging Face's page "Perplexity of
 * fixed-length models", of which only the average differs: there each window's mean is weighted by
 * the number of its scored tokens less one, here every scored token counts the same. */
#include "eval/data/protocol.h"

#include <assert.h>

const struct bs_protocol_rules bs_protocols[BS_NUM_PROTOCOLS] = {
    [BS_PROTOCOL_GPTQ] = {.summary = "windows side by side, every prediction scored",
                          .least_windows = 1},
    [BS_PROTOCOL_LLAMA_CPP] = {.summary = "windows side by side, each begun with BOS where the "
                                          "tokenizer has one, the second half scored",
                               .drops_newline = true,
                               .begins_with_bos = true,
                               .second_half = true,
                               .takes_first = true,
                               .least_windows = 2},
    [BS_PROTOCOL_SLIDING] = {.summary = "a window every stride tokens, what none before has scored "
                                        "is scored, to the end of the text",
                             .slides = true,
                             .least_windows = 1},
};

const char *const bs_protocol_names[BS_NUM_PROTOCOLS + 1] = {
    [BS_PROTOCOL_GPTQ] = "gptq",
    [BS_PROTOCOL_LLAMA_CPP] = "llama.cpp",
    [BS_PROTOCOL_SLIDING] = "sliding",
};

size_t bs_protocol_windows(enum bs_protocol protocol, size_t text_tokens, int tokens, int stride)
{
    size_t length = (size_t)tokens, step = (size_t)stride;
    if (!bs_protocols[protocol].slides)
        return text_tokens / length;
    assert(stride >= 1 && stride <= tokens);
    if (text_tokens < 2)
        return 0;
    if (text_tokens <= length)
        return 1;
    size_t windows = 1 + (text_tokens - length + step - 1) / step;
    /* Without overlap a last window of one token has nothing to predict it from. */
    bool lonely = stride == tokens && text_tokens % length == 1;
    return windows - lonely;
}

size_t bs_protocol_begin(enum bs_protocol protocol, size_t window, int tokens, int stride)
{
    return window * (size_t)(bs_protocols[protocol].slides ? stride : tokens);
}

/* Of the tokens of window w those that no window before it held; a window's first token has nothing
 * before it to be predicted from. */
static struct bs_scored scored_sliding(size_t window, size_t text_tokens, int tokens, int stride)
{
    size_t begin = window * (size_t)stride, left = text_tokens - begin;
    int length = left < (size_t)tokens ? (int)left : tokens;
    int known = window ? tokens - stride : 0;
    int first = known > 1 ? known - 1 : 0;
    return (struct bs_scored){first, length - 1 - first};
}

struct bs_scored bs_protocol_scored(enum bs_protocol protocol, size_t window, size_t text_tokens,
                                    int tokens, int stride)
{
    if (bs_protocols[protocol].slides)
        return scored_sliding(window, text_tokens, tokens, stride);
    int first = bs_protocols[protocol].second_half ? tokens / 2 : 0;
    return (struct bs_scored){first, tokens - 1 - first};
}

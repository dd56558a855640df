/* Perplexity protocols: how a text becomes windows, and which of their predictions are scored. */
#ifndef BS_EVAL_DATA_PROTOCOL_H
#define BS_EVAL_DATA_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A row of the tables below. */
enum bs_protocol { BS_PROTOCOL_GPTQ, BS_PROTOCOL_LLAMA_CPP, BS_PROTOCOL_SLIDING, BS_NUM_PROTOCOLS };

/* What makes a protocol. */
struct bs_protocol_rules {
    const char *summary;
    bool drops_newline;   /* one newline at the end of the text is dropped */
    bool begins_with_bos; /* each window's first id is overwritten by BOS, where there is one */
    bool second_half;     /* only predictions from position tokens / 2 on are scored */
    bool slides;          /* a window every `stride` tokens, up to the text's end; scored is what no
                           * window before it has scored */
    bool takes_first; /* its own tool measures a text's first windows where not all are asked for */
    int least_windows; /* a text with fewer is refused */
};

/* The rules of each. */
extern const struct bs_protocol_rules bs_protocols[BS_NUM_PROTOCOLS];

/* Their names, NULL-terminated: the words of an option. */
extern const char *const bs_protocol_names[BS_NUM_PROTOCOLS + 1];

/* What is scored in a window: predictions first .. first + count - 1, where prediction p is made at
 * position p and is of the token at position p + 1. */
struct bs_scored {
    int32_t first, count;
};

/* Windows of `tokens` in `text_tokens` ids: whole ones, or for a protocol that slides also a last
 * shorter one. `stride` from 1 to tokens matters only there. */
size_t bs_protocol_windows(enum bs_protocol protocol, size_t text_tokens, int tokens, int stride);

/* The first id of window w. */
size_t bs_protocol_begin(enum bs_protocol protocol, size_t window, int tokens, int stride);

/* What is scored in window w of a text of so many tokens. */
struct bs_scored bs_protocol_scored(enum bs_protocol protocol, size_t window, size_t text_tokens,
                                    int tokens, int stride);

#endif

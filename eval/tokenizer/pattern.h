/* The regular expressions of tokenizers. */
#ifndef BS_EVAL_TOKENIZER_PATTERN_H
#define BS_EVAL_TOKENIZER_PATTERN_H

#include <stddef.h>

#include "eval/base/error.h"

struct bs_pattern;

/* How a pattern is written. */
enum bs_syntax {
    BS_SYNTAX_LITERAL,
    BS_SYNTAX_ONIGURUMA, /* as tokenizer.json writes patterns */
    BS_SYNTAX_PCRE2,     /* our own */
};

/* Compiles the pattern text[0 .. size), with a zero byte after it. `place` is for messages.
 * BS_EUNSUPPORTED for a construct that Oniguruma and PCRE2 read differently, and for a pattern that
 * matches the empty string; BS_EDATA for one that does not compile. */
enum bs_status bs_pattern_create(const char *place, const char *text, size_t size,
                                 enum bs_syntax syntax, struct bs_pattern **pattern,
                                 struct bs_error *err);
void bs_pattern_free(struct bs_pattern *pattern);

/* What a thread needs to match; serves every pattern. The work that patterns may do with it beyond
 * a little for each match is in proportion to `bytes`, the length of the text that they cut. NULL
 * when memory runs out. */
struct bs_matcher;
struct bs_matcher *bs_matcher_create(size_t bytes);
void bs_matcher_free(struct bs_matcher *matcher);

/* The first match in text[from .. size), valid UTF-8, as [*begin, *end); *begin = *end = size where
 * there is none. BS_EDATA, naming the pattern, when the matcher's work is used up; BS_ENOMEM. */
enum bs_status bs_pattern_next(const struct bs_pattern *pattern, struct bs_matcher *matcher,
                               const char *text, size_t size, size_t from, size_t *begin,
                               size_t *end, struct bs_error *err);

#endif

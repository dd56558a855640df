/* Keys and values as a cache holds them. */
#ifndef BS_EVAL_MODEL_CACHE_H
#define BS_EVAL_MODEL_CACHE_H

#include "eval/model/model.h"

/* How many channels of a head of keys, or of values, a Hadamard matrix turns together, as
 * llama.cpp's build_input_k_rot and build_input_v_rot have it: the largest power of two that
 * divides the head, of values at most 64. (Heads that 64 does not divide it leaves alone.) */
int bs_cache_turned(int head, bool values);

/* Replaces keys or values [rows] of whole heads by what a cache by this setting gives back: turned
 * by a Hadamard matrix first, and back afterwards, where it says so; `paired` heads in llama.cpp's
 * order. The draws are counted from the first-th value on. Scratch: bs_cache_floats. */
void bs_cache_round(const struct bs_site_setting *site, const struct bs_values *values,
                    uint64_t first, struct bs_scratch *scratch);

/* Whether llama.cpp multiplies keys of such heads, stored by this setting, by queries in blocks of
 * 8 bits: of GGUF's types that a cache may have (ggml-org/llama.cpp ggml/src/ggml-cpu/ops.cpp,
 * flash_attn_ext; type_traits_cpu). */
bool bs_cache_meets_blocks(const struct bs_setting *keys, int head);

/* Rounds queries [rows] of whole heads to what they are there: turned as the keys are, in blocks of
 * Q8_0, and back. Nothing where the keys' `blocks` is false. Q8_1, beside types with a least value,
 * has the sum of a block in half precision too, of which this knows nothing. */
void bs_cache_round_query(const struct bs_site_setting *keys, const struct bs_values *queries,
                          struct bs_scratch *scratch);
size_t bs_cache_floats(int rows, int width);

/* Tokens before this one are in the cache as it stores them when the query at a position looks: 0
 * up to the position, beside the first few that stay. */
int bs_cache_until(const struct bs_setting *setting, int position);

/* Of `tokens` tokens those that are stored by the setting, all but those that stay as they are. */
int bs_cache_count(const struct bs_setting *setting, int tokens);

/* Bits of `tokens` tokens' keys or values, of this width and so many heads: the setting's, and 16
 * for each value that stays as it is. One that is kept beside the codes takes 32, for its place
 * too. */
double bs_cache_bits(const struct bs_setting *setting, int tokens, int width, int heads);

#endif

/* A BPE model as bpe_read.c makes it and bpe.c uses it. */
#ifndef BS_EVAL_TOKENIZER_BPE_INTERNAL_H
#define BS_EVAL_TOKENIZER_BPE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/utf8.h"
#include "eval/tokenizer/word_model.h"

/* Characters of one or two bytes are looked up in an array. */
enum { BS_DIRECT_CHARACTERS = 0x800 };

/* A slot of the hash table of merges; empty when result is -1. */
struct bs_merge {
    uint64_t pair; /* left id << 32 | right id */
    uint32_t rank;
    int32_t result;
};

/* A set of pairs of ids: those of symbols that some merge may join. Empty slots hold BS_NO_PAIR. */
struct bs_pair_set {
    uint64_t *slots;
    size_t mask, count;
};

#define BS_NO_PAIR UINT64_MAX

/* The model. */
struct bs_bpe {
    struct bs_merge *merges;
    size_t merges_mask; /* slots - 1, a power of two less one */
    struct bs_pair_set joins;
    int32_t direct[BS_DIRECT_CHARACTERS];
    int32_t byte_tokens[256]; /* where byte_fallback is set */
    int32_t unknown;          /* the id of unk_token, -1 where it is not in the vocabulary */
    bool has_unknown, fuse_unknown, byte_fallback;
    bool ignore_merges; /* a word that is in the vocabulary is not merged */
};

/* word_model.h's read and free. */
enum bs_status bs_bpe_read(const char *place, json_t *model, void **state,
                           struct bs_vocabulary **vocabulary, struct bs_error *err);
void bs_bpe_free(void *state);

/* A pair of ids as a number. */
static inline uint64_t bs_bpe_pair(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* Where the tables begin to look for it. */
static inline size_t bs_bpe_hash_pair(uint64_t pair)
{
    uint64_t hash = (pair ^ pair >> 32) * 0x9e3779b97f4a7c15u;
    return (size_t)(hash >> 32);
}

/* The pair's slot among the merges, or the empty one where it would stand. */
static inline struct bs_merge *bs_bpe_merge_slot(const struct bs_bpe *bpe, uint64_t pair)
{
    size_t i = bs_bpe_hash_pair(pair) & bpe->merges_mask;
    while (bpe->merges[i].result >= 0 && bpe->merges[i].pair != pair)
        i = (i + 1) & bpe->merges_mask;
    return &bpe->merges[i];
}

/* The same in a set. */
static inline uint64_t *bs_bpe_join_slot(const struct bs_pair_set *set, uint64_t pair)
{
    size_t i = bs_bpe_hash_pair(pair) & set->mask;
    while (set->slots[i] != BS_NO_PAIR && set->slots[i] != pair)
        i = (i + 1) & set->mask;
    return &set->slots[i];
}

/* The symbol of a character, -1 where the vocabulary has none. */
static inline int32_t bs_bpe_symbol_of(const struct bs_bpe *bpe,
                                       const struct bs_vocabulary *vocabulary,
                                       const char *character, size_t bytes)
{
    if (bytes <= 2)
        return bpe->direct[bs_utf8_decode(character)];
    return bs_vocabulary_id(vocabulary, character, bytes);
}

#endif

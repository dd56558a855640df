/* The tokenizer that the metadata of a GGUF file hold, as the tokenizer.json that it was made from
 * would have it. */
#ifndef BS_EVAL_TOKENIZER_GGUF_TOKENIZER_H
#define BS_EVAL_TOKENIZER_GGUF_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "eval/base/error.h"

/* The root of a tokenizer.json made from the file's metadata, in a new reference: byte-level BPE
 * (tokenizer.ggml.model gpt2) with the way of cutting words that tokenizer.ggml.pre names, or
 * SentencePiece's BPE (llama), whose merges are made of its scores. `config` gets bos_token and
 * eos_token, where the file names such. BS_EDATA naming file and key; BS_EUNSUPPORTED for other
 * models and ways of cutting. */
enum bs_status bs_gguf_tokenizer(const char *file, json_t **root, json_t *config,
                                 struct bs_error *err);

/* How words are cut by the name that tokenizer.ggml.pre has for it. */
struct bs_gguf_cut {
    const char *names;   /* with a blank between */
    const char *pattern; /* NULL: GPT-2's, which ByteLevel has by itself */
    bool digits;         /* each digit is a word, before the rest is cut */
    bool nfc;            /* texts are normalized to form C */
    bool ignore_merges;  /* a word that is a token is that, whatever merges make of it */
    bool add_bos;        /* where the metadata do not say */
};

/* The row that has this name, or NULL. */
const struct bs_gguf_cut *bs_gguf_cut_find(const char *name);

/* The pre_tokenizer of a tokenizer.json, in a new reference; NULL when memory runs out. */
json_t *bs_gguf_cut_json(const struct bs_gguf_cut *cut);

/* The first name of the row by which a byte-level tokenizer cuts: of a tokenizer.json's
 * pre_tokenizer, whether it normalizes to form C, and its model's ignore_merges. NULL where there
 * is none, or memory runs out. */
const char *bs_gguf_cut_of(const json_t *pre_tokenizer, bool nfc, bool ignore_merges);

/* A token of a SentencePiece model. */
struct bs_gguf_piece {
    const char *text;
    size_t size;
    float score;
};

/* The merges, "left right" each, of the pieces, in the order in which they are made: those whose
 * result has the highest score first (transformers' convert_slow_tokenizer.py, generate_merges). A
 * piece of size 0 takes no part. *merges is a new reference. BS_ENOMEM. */
enum bs_status bs_gguf_merges(const struct bs_gguf_piece *pieces, size_t count, json_t **merges,
                              struct bs_error *err);

#endif

/* The class that transformers opens a tokenizer with, and what that class makes of its files. */
#ifndef BS_EVAL_TOKENIZER_TOKENIZER_CLASS_H
#define BS_EVAL_TOKENIZER_TOKENIZER_CLASS_H

#include <stdbool.h>

#include <jansson.h>

#include "eval/base/error.h"

/* The special tokens that every class knows by name, in the order in which they are added. */
enum { BS_SPECIAL_TOKENS = 7 };
extern const char *const bs_special_keys[BS_SPECIAL_TOKENS + 1]; /* NULL-terminated */

/* Where the option add_prefix_space goes. */
enum bs_prefix { BS_PREFIX_NONE, BS_PREFIX_BYTE_LEVEL, BS_PREFIX_METASPACE };

/* A class of transformers 5. Most take the whole pipeline from tokenizer.json; one with a `model`
 * builds its own around the file's vocabulary, merges and post_processor. */
struct bs_tokenizer_class {
    const char *name;                        /* without the ending "Fast" */
    const char *specials[BS_SPECIAL_TOKENS]; /* the tokens where no file names them, or NULL */
    const char *const *more; /* further tokens: a name and a spelling in turn; NULL for none */

    const char *model; /* JSON: the options of its BPE; NULL where the file's pipeline counts */
    const char *normalizer, *pre_tokenizer; /* JSON */
    enum bs_prefix prefix;
    bool adds_prefix; /* add_prefix_space where no file says */

    bool vocab_files;   /* it also reads vocab.json with merges.txt */
    bool sets_template; /* it puts BOS and EOS around by its options, whatever the file says */
    bool add_bos;       /* one of those options where it is not set */
    bool adds_again;    /* it adds its special tokens anew, which changes their flags */
    bool keeps_flags;   /* then: those that a file says; else plain ones */
};

/* Finds the class as AutoTokenizer does: from tokenizer_config.json, config.json (either may be
 * NULL) and whether tokenizer.json speaks of "ByteLevel". BS_EUNSUPPORTED, naming the file and the
 * class, for one that builds a pipeline that is not known here, or that does not go with such a
 * file, and for a repository's own code. */
enum bs_status bs_tokenizer_class_find(const char *directory, const json_t *config,
                                       const json_t *model_config, bool byte_level,
                                       const struct bs_tokenizer_class **class,
                                       struct bs_error *err);

/* Replaces the pipeline in `root`, an object of tokenizer.json's form, by that of the class, with
 * the options in `config`. Nothing where the class has none of its own. BS_EUNSUPPORTED where the
 * file's model is no BPE. */
enum bs_status bs_tokenizer_class_build(const struct bs_tokenizer_class *class, const char *place,
                                        const json_t *config, json_t *root, struct bs_error *err);

#endif

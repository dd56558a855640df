/* The files of a model directory that make up its tokenizer. */
#ifndef BS_EVAL_TOKENIZER_TOKENIZER_FILES_H
#define BS_EVAL_TOKENIZER_TOKENIZER_FILES_H

#include <stdbool.h>

#include <jansson.h>

#include "eval/base/error.h"

/* A directory's tokenizer. */
struct bs_tokenizer_files {
    json_t *root;   /* of tokenizer.json's form */
    json_t *config; /* tokenizer_config.json, with older files merged into it */
    char *place;    /* the file, for messages; also there after an error that comes later */
    bool split_special_tokens;
};

/* Reads the tokenizer of `directory` as AutoTokenizer of transformers 5.24 does: tokenizer.json, or
 * vocab.json and merges.txt, as the class (eval/tokenizer/tokenizer_class.h) takes them, with the
 * tokens that tokenizer_config.json, special_tokens_map.json and added_tokens.json add. BS_EIO
 * where there are no such files, with what to do about it; BS_EDATA naming what is damaged;
 * BS_EUNSUPPORTED naming an option that is not honoured. Release it in any case. */
enum bs_status bs_tokenizer_files_read(const char *directory, struct bs_tokenizer_files *files,
                                       struct bs_error *err);
void bs_tokenizer_files_release(struct bs_tokenizer_files *files);

#endif

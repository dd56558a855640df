/* The files of a model directory that make up its tokenizer. */
#ifndef BS_EVAL_DATA_TOKENIZER_FILES_H
#define BS_EVAL_DATA_TOKENIZER_FILES_H

#include <jansson.h>

#include "eval/base/error.h"

/* Reads the tokenizer of `directory` as one object of tokenizer.json's form, freed with json_decref;
 * *place names the file for messages, freed with bs_free (both also there after an error, or NULL).
 *
 * The object is tokenizer.json, or else what transformers makes from vocab.json and merges.txt.
 * Where there is a tokenizer_config.json it is changed as transformers 4.57 changes it after
 * loading. BS_EIO where there are no such files, with what to do about it. */
enum bs_status bs_tokenizer_files_read(const char *directory, json_t **object, char **place,
                                       struct bs_error *err);

#endif

/* The metadata of a GGUF file that is written: those of the file that the model was read from, or
 * such as are made from its config.json, tokenizer.json and what stands beside them (ggml-org/ggml
 * docs/gguf.md; llama.cpp's conversion/). */
#ifndef BS_EVAL_EXPORT_GGUF_METADATA_H
#define BS_EVAL_EXPORT_GGUF_METADATA_H

#include "eval/base/lines.h"
#include "eval/gguf/gguf_write.h"
#include "eval/model/gguf_target.h"

/* Takes over all values of the file at `path` but those that say how its tensors are written.
 * BS_EDATA, BS_EIO, BS_ENOMEM. */
enum bs_status bs_gguf_copy_metadata(const char *path, struct bs_gguf_writer *writer,
                                     struct bs_error *err);

/* The numbers of the architecture. BS_EUNSUPPORTED where llama.cpp has no word for what the model
 * computes; BS_ENOMEM. */
enum bs_status bs_gguf_put_architecture(const struct bs_gguf_target *target,
                                        struct bs_gguf_writer *writer, struct bs_error *err);

/* Factors of the frequencies that stand in tensors of their own, as the model's own GGUF file has
 * them or as such a file of it would: "rope_freqs.weight", or
 * "rope_factors_short.weight" and "rope_factors_long.weight"; *count each, 0 where there are
 * none. */
struct bs_gguf_factors {
    int count;
    bool both; /* short and long */
    float near[BS_MAX_ROPE_PAIRS], far[BS_MAX_ROPE_PAIRS];
};
void bs_gguf_find_factors(const struct bs_model *model, const struct bs_architecture *architecture,
                          struct bs_gguf_factors *factors);

/* Tokens, merges or scores, and what texts begin with, of the tokenizer in a model's folder;
 * nothing where it has none. `vocab_size`: rows of the embedding, up to which unused tokens are
 * added; an added token beyond them is left out and named in `notes` (NULL: nobody asks).
 * BS_EUNSUPPORTED for tokenizers that llama.cpp has no name for; BS_EDATA, BS_EIO, BS_ENOMEM. */
enum bs_status bs_gguf_put_tokenizer(const char *folder, int vocab_size,
                                     struct bs_gguf_writer *writer, struct bs_lines *notes,
                                     struct bs_error *err);

#endif

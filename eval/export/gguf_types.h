/* Which type each matrix of a GGUF file is written in, and what the whole file is called by it. */
#ifndef BS_EVAL_EXPORT_GGUF_TYPES_H
#define BS_EVAL_EXPORT_GGUF_TYPES_H

#include "eval/export/writer.h"
#include "eval/model/gguf_target.h"
#include "eval/recipe/assign.h"

/* Numbers of the types of plain numbers. */
enum { BS_GGML_F32 = 0, BS_GGML_F16 = 1, BS_GGML_BF16 = 30 };

/* What a config or a command line sets. */
enum bs_gguf_plain { BS_GGUF_PLAIN_AUTO, BS_GGUF_PLAIN_F32, BS_GGUF_PLAIN_F16, BS_GGUF_PLAIN_BF16 };
extern const char *const bs_gguf_plain_words[]; /* by enum bs_gguf_plain, NULL-terminated */
struct bs_gguf_options {
    int plain; /* enum bs_gguf_plain */
};

/* Whether a step of the recipe rewrites weights before any are rounded. */
bool bs_gguf_rewrites(const struct bs_recipe *recipe);

/* The type of a matrix of a layer; NULL after bs_fail (BS_EUNSUPPORTED). `tensor` is where the
 * checkpoint has its first linear. */
const struct bs_gguf_type *bs_gguf_matrix_type(const struct bs_export *export, int layer,
                                               const struct bs_assignment *at,
                                               const struct bs_gguf_matrix *matrix,
                                               const struct bs_tensor *tensor,
                                               struct bs_error *err);

/* Of the embedding or the head, which no step but those that turn the model rewrites; *setting is
 * what quantizes it. As above. */
const struct bs_gguf_type *bs_gguf_outer_type(const struct bs_export *export, enum bs_outer which,
                                              const struct bs_setting **setting,
                                              struct bs_error *err);

/* general.file_type: the mix that the recipe gives out, else the type of most of the blocks' values
 * (llama.cpp include/llama.h, enum llama_ftype; of types that several mixes have most of, the one
 * that it guesses itself). */
uint32_t bs_gguf_file_type(const struct bs_export *export);

#endif

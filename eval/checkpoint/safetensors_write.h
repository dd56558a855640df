/* safetensors written as they come: tensors go to the file one after another, and a further file is
 * begun where one would become too large. */
#ifndef BS_EVAL_CHECKPOINT_SAFETENSORS_WRITE_H
#define BS_EVAL_CHECKPOINT_SAFETENSORS_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"

struct bs_safetensors;

/* Writes into `folder`, files of at most `most` bytes unless one tensor has more. Room for `header`
 * bytes of names, types and shapes is kept at the beginning of each; where they become more, a
 * further file is begun. BS_ENOMEM. */
enum bs_status bs_safetensors_create(const char *folder, size_t header, size_t most,
                                     struct bs_safetensors **writer, struct bs_error *err);

/* Adds a tensor; dtype as safetensors spell it ("I32"). Its bytes come next, in as many pieces as
 * one likes. BS_EIO naming the file, BS_ENOMEM. */
enum bs_status bs_safetensors_begin(struct bs_safetensors *writer, const char *name,
                                    const char *dtype, int rank, const int64_t *shape,
                                    struct bs_error *err);
enum bs_status bs_safetensors_put(struct bs_safetensors *writer, const void *data, size_t bytes,
                                  struct bs_error *err);

/* Both at once. */
enum bs_status bs_safetensors_add(struct bs_safetensors *writer, const char *name,
                                  const char *dtype, int rank, const int64_t *shape,
                                  const void *data, struct bs_error *err);

/* Ends the files, durable, under the names that transformers looks for: model.safetensors, or
 * numbered ones and their index. BS_EIO, BS_ENOMEM. */
enum bs_status bs_safetensors_end(struct bs_safetensors *writer, struct bs_error *err);
void bs_safetensors_free(struct bs_safetensors *writer);

#endif

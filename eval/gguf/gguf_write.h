/* GGUF files written as they come (version 3): metadata and the list of tensors first, then the
 * tensors' bytes in that order. Nothing but the list is kept in memory. */
#ifndef BS_EVAL_GGUF_GGUF_WRITE_H
#define BS_EVAL_GGUF_GGUF_WRITE_H

#include "eval/gguf/gguf.h"

struct bs_gguf_writer;

/* A writer without a file yet; NULL when memory runs out. */
struct bs_gguf_writer *bs_gguf_writer_create(void);
void bs_gguf_writer_free(struct bs_gguf_writer *writer);

/* Adds a value of the metadata under a key that is not there yet, `value` as JSON has it: an
 * integer or a real for numbers of any type, a truth value, a text, or a list of such. A list may
 * be empty. BS_ENOMEM; BS_EDATA where the value is none of this type. */
enum bs_status bs_gguf_put(struct bs_gguf_writer *writer, const char *key, enum bs_gguf_kind kind,
                           const json_t *value, struct bs_error *err);

/* Shorter: numbers of type u32 and f32, a truth value, a text. */
enum bs_status bs_gguf_put_count(struct bs_gguf_writer *writer, const char *key, uint32_t value,
                                 struct bs_error *err);
enum bs_status bs_gguf_put_float(struct bs_gguf_writer *writer, const char *key, double value,
                                 struct bs_error *err);
enum bs_status bs_gguf_put_switch(struct bs_gguf_writer *writer, const char *key, bool value,
                                  struct bs_error *err);
enum bs_status bs_gguf_put_text(struct bs_gguf_writer *writer, const char *key, const char *text,
                                struct bs_error *err);

/* A value of another file, with its key, byte for byte. BS_ENOMEM. */
enum bs_status bs_gguf_put_value(struct bs_gguf_writer *writer, const struct bs_gguf_value *value,
                                 struct bs_error *err);

/* Whether there is a value of this key. */
bool bs_gguf_has(const struct bs_gguf_writer *writer, const char *key);

/* Adds a tensor to the list; the first of `dims` is the one whose values follow one another, a
 * whole number of the type's blocks. BS_ENOMEM; BS_EUNSUPPORTED where the name is longer than ggml
 * takes. */
enum bs_status bs_gguf_add(struct bs_gguf_writer *writer, const char *name,
                           const struct bs_gguf_type *type, int rank, const int64_t *dims,
                           struct bs_error *err);

/* Begins the file with all that was added: nothing can be added any more. It has its whole size
 * from then on, and can be read but for the tensors' bytes, which are zeros. BS_EIO, BS_ENOMEM. */
enum bs_status bs_gguf_begin(struct bs_gguf_writer *writer, const char *path, struct bs_error *err);

/* The next bytes of the tensors, in the order of the list, in as many pieces as one likes; no piece
 * has bytes of two tensors. BS_EIO. */
enum bs_status bs_gguf_data(struct bs_gguf_writer *writer, const void *data, size_t bytes,
                            struct bs_error *err);

/* Ends the file, durable, when all bytes were given. BS_EIO. */
enum bs_status bs_gguf_end(struct bs_gguf_writer *writer, struct bs_error *err);

#endif

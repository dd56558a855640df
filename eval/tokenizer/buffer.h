/* Memory that grows: bytes of text, and lists of ids. Both start as {0} and own what they hold. */
#ifndef BS_EVAL_TOKENIZER_BUFFER_H
#define BS_EVAL_TOKENIZER_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"

/* Bytes that grow in number. */
struct bs_buffer {
    char *text; /* not terminated */
    size_t size, capacity;
};

/* Makes room for `more` further bytes. BS_ENOMEM. */
enum bs_status bs_buffer_reserve(struct bs_buffer *buffer, size_t more, struct bs_error *err);
enum bs_status bs_buffer_append(struct bs_buffer *buffer, const char *text, size_t size,
                                struct bs_error *err);
void bs_buffer_release(struct bs_buffer *buffer);

/* Ids that grow in number. */
struct bs_ids {
    int32_t *ids;
    size_t count, capacity;
};

/* Makes room for `more` further ids. BS_ENOMEM. */
enum bs_status bs_ids_reserve(struct bs_ids *list, size_t more, struct bs_error *err);
enum bs_status bs_ids_append(struct bs_ids *list, int32_t id, struct bs_error *err);
void bs_ids_release(struct bs_ids *list);

#endif

#include "eval/tokenizer/buffer.h"

#include "eval/base/mem.h"

#include <string.h>

/* Grows *memory of `size` bytes an element so that `more` fit after `count`. */
static enum bs_status grow(void **memory, size_t count, size_t *capacity, size_t more, size_t size,
                           struct bs_error *err)
{
    size_t wanted = *capacity + *capacity / 2 + more + 64;
    void *grown = wanted < more ? NULL : bs_realloc(*memory, count, wanted, size);
    if (!grown)
        return bs_fail_memory(err);
    *memory = grown;
    *capacity = wanted;
    return BS_OK;
}

enum bs_status bs_buffer_reserve(struct bs_buffer *buffer, size_t more, struct bs_error *err)
{
    if (more <= buffer->capacity - buffer->size)
        return BS_OK;
    void *memory = buffer->text;
    enum bs_status status = grow(&memory, buffer->size, &buffer->capacity, more, 1, err);
    buffer->text = memory;
    return status;
}

enum bs_status bs_buffer_append(struct bs_buffer *buffer, const char *text, size_t size,
                                struct bs_error *err)
{
    if (bs_buffer_reserve(buffer, size, err))
        return err->status;
    if (size)
        memcpy(buffer->text + buffer->size, text, size);
    buffer->size += size;
    return BS_OK;
}

void bs_buffer_release(struct bs_buffer *buffer)
{
    bs_free(buffer->text);
    *buffer = (struct bs_buffer){0};
}

enum bs_status bs_ids_reserve(struct bs_ids *list, size_t more, struct bs_error *err)
{
    if (more <= list->capacity - list->count)
        return BS_OK;
    void *memory = list->ids;
    enum bs_status status =
        grow(&memory, list->count, &list->capacity, more, sizeof *list->ids, err);
    list->ids = memory;
    return status;
}

enum bs_status bs_ids_append(struct bs_ids *list, int32_t id, struct bs_error *err)
{
    if (bs_ids_reserve(list, 1, err))
        return err->status;
    list->ids[list->count++] = id;
    return BS_OK;
}

void bs_ids_release(struct bs_ids *list)
{
    bs_free(list->ids);
    *list = (struct bs_ids){0};
}

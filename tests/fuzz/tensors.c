#include "tests/fuzz/checkpoint.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "tests/fuzz/target.h"

enum { MOST_DATA = 1 << 16 };

/* The bytes that a tensor of this shape takes, or more than there is room for. */
static size_t bytes_of(const json_t *tensor)
{
    const char *dtype = json_string_value(json_object_get(tensor, "dtype"));
    const json_t *shape = json_object_get(tensor, "shape");
    size_t bytes = dtype ? bs_dtype_find(dtype)->bytes : 0;
    for (size_t d = 0; d < json_array_size(shape); d++) {
        json_int_t extent = json_integer_value(json_array_get(shape, d));
        if (extent < 0 || (bytes && extent > MOST_DATA) || bytes > MOST_DATA)
            return MOST_DATA + 1;
        bytes *= (size_t)extent;
    }
    return bytes;
}

/* Small numbers, so that some of them are groups and sizes. */
static void fill(const json_t *tensor, unsigned char *data, size_t bytes)
{
    const char *text = json_string_value(json_object_get(tensor, "text"));
    size_t length = text ? strlen(text) : 0;
    memset(data, 0, bytes);
    for (size_t i = 0; i < bytes && !length; i += 4)
        data[i] = (unsigned char)(i / 4 % 3);
    memcpy(data, text ? text : "", length < bytes ? length : bytes);
}

void fuzz_put_tensors(const char *file, const json_t *tensors)
{
    static unsigned char bytes_of_file[MOST_DATA + 16384];
    unsigned char *data = bs_calloc(MOST_DATA, 1);
    json_t *header = json_object(), *tensor;
    size_t used = 0;
    const char *name;
    if (!data || !header)
        abort();
    json_object_foreach((json_t *)(uintptr_t)tensors, name, tensor)
    {
        size_t bytes = bytes_of(tensor);
        if (bytes > MOST_DATA - used)
            continue;
        fill(tensor, data + used, bytes);
        json_object_set_new(header, name,
                            json_pack("{s:O?, s:O?, s:[I, I]}", "dtype",
                                      json_object_get(tensor, "dtype"), "shape",
                                      json_object_get(tensor, "shape"), "data_offsets",
                                      (json_int_t)used, (json_int_t)(used + bytes)));
        used += bytes;
    }
    uint64_t length = json_dumpb(header, (char *)bytes_of_file + 8, 16384 - 8, JSON_COMPACT);
    json_decref(header);
    if (length > 16384 - 8)
        length = 0;
    memcpy(bytes_of_file, &length, sizeof length);
    memcpy(bytes_of_file + 8 + length, data, used);
    fuzz_put(file, bytes_of_file, 8 + (size_t)length + used);
    bs_free(data);
}

void fuzz_read_tensors(struct bs_checkpoint *checkpoint)
{
    struct bs_error err = {0};
    const char *name;
    for (size_t at = 0; (name = bs_checkpoint_unused(checkpoint, &at, NULL));) {
        const struct bs_tensor *tensor = bs_checkpoint_find(checkpoint, name);
        if (tensor)
            fuzz_check(
                bs_checkpoint_require(checkpoint, name, tensor->rank, tensor->shape, &tensor, &err),
                &err, name);
    }
    struct bs_digest_state *digest = bs_digest_create();
    if (!digest)
        abort();
    fuzz_check(bs_checkpoint_digest(checkpoint, digest, &err), &err, fuzz_folder());
    bs_digest_finish(digest);
}

/* model.safetensors: the header and what it says of the data that follow. */
#include "tests/fuzz/target.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "tests/fuzz/checkpoint.h"

enum { LENGTH_BYTES = 8 };

static void run(const unsigned char *data, size_t size)
{
    fuzz_put("model.safetensors", data, size);
    fuzz_read_checkpoint();
}

/* Changes the header as JSON, or the data, and sets the length that stands in front. */
static size_t mutate(unsigned char *data, size_t size, size_t max_size, unsigned seed,
                     fuzz_mutator *blind)
{
    unsigned state = seed;
    uint64_t length = 0;
    if (size >= LENGTH_BYTES)
        memcpy(&length, data, LENGTH_BYTES);
    if (size < LENGTH_BYTES || length > size - LENGTH_BYTES || fuzz_random(&state) % 8 == 0)
        return blind(data, size, max_size);
    size_t rest = size - LENGTH_BYTES - (size_t)length;
    unsigned char *values = bs_alloc(rest, 1);
    if (!values)
        abort();
    memcpy(values, data + LENGTH_BYTES + length, rest);
    size_t room = max_size - LENGTH_BYTES, used = (size_t)length;
    if (fuzz_random(&state) % 8)
        used = fuzz_mutate_json(data + LENGTH_BYTES, used, room, fuzz_random(&state), blind);
    else if (rest)
        rest = blind(values, rest, rest);
    if (rest > room - used)
        rest = room - used;
    memcpy(data + LENGTH_BYTES + used, values, rest);
    bs_free(values);
    length = used;
    memcpy(data, &length, LENGTH_BYTES);
    return LENGTH_BYTES + used + rest;
}

const struct fuzz_target fuzz_safetensors = {
    .name = "safetensors",
    .dictionary = "json",
    .max_bytes = 4096,
    .run = run,
    .mutate = mutate,
};

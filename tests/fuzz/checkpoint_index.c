/* model.safetensors.index.json, beside two shards that are in order. */
#include "tests/fuzz/target.h"

#include <string.h>
#include <unistd.h>

#include "tests/fuzz/checkpoint.h"

/* `header` with its length in front and `values` float32 zeros after. */
static void put_shard(const char *name, const char *header, size_t values)
{
    unsigned char file[512] = {(unsigned char)strlen(header)};
    memcpy(file + 8, header, strlen(header));
    fuzz_put(name, file, 8 + strlen(header) + 4 * values);
}

static void run(const unsigned char *data, size_t size)
{
    put_shard("1.safetensors",
              "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
              "\"b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[24,40]}}",
              10);
    put_shard("2.safetensors", "{\"c\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}",
              3);
    fuzz_put("model.safetensors.index.json", data, size);
    fuzz_read_checkpoint();
}

const struct fuzz_target fuzz_checkpoint_index = {
    .name = "checkpoint_index",
    .dictionary = "json",
    .max_bytes = 2048,
    .run = run,
    .mutate = fuzz_mutate_json,
};

/* Items files: Parquet, whose bytes are hardest to read, and a CSV of the same bytes. */
#include "tests/fuzz/target.h"

#include "eval/data/items.h"

static void read_as(const char *name, const unsigned char *data, size_t size)
{
    struct bs_items items;
    struct bs_error err = {0};
    fuzz_put(name, data, size);
    enum bs_status status = bs_items_read(fuzz_path(name), NULL, &items, &err);
    fuzz_check(status, &err, name);
    if (!status)
        bs_items_release(&items);
}

static void run(const unsigned char *data, size_t size)
{
    read_as("items.parquet", data, size);
    read_as("items.csv", data, size);
}

const struct fuzz_target fuzz_items = {
    .name = "items",
    .dictionary = "json",
    .max_bytes = 16384,
    .run = run,
};

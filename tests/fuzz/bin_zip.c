/* pytorch_model.bin: the archive around the pickle and the storages. */
#include "tests/fuzz/target.h"

#include "tests/fuzz/checkpoint.h"
#include "tests/fuzz/zip.h"

static void run(const unsigned char *data, size_t size)
{
    fuzz_put("pytorch_model.bin", data, size);
    fuzz_read_checkpoint();
}

static size_t mutate(unsigned char *data, size_t size, size_t max_size, unsigned seed,
                     fuzz_mutator *blind)
{
    size_t changed = blind(data, size, max_size);
    if (seed % 8)
        zip_mend(data, changed);
    return changed;
}

const struct fuzz_target fuzz_bin_zip = {
    .name = "bin_zip",
    .dictionary = "pickle",
    .max_bytes = 4096,
    .run = run,
    .mutate = mutate,
};

/* The pickle of a pytorch_model.bin, in an archive that is in order. */
#include "tests/fuzz/target.h"

#include "tests/fuzz/checkpoint.h"
#include "tests/fuzz/zip.h"

enum { MAX_BYTES = 4096 };

static void run(const unsigned char *data, size_t size)
{
    static unsigned char zip[MAX_BYTES + 2048];
    static const float values[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    if (size > MAX_BYTES)
        return;
    const struct zip_entry entries[] = {
        {"archive/data.pkl", data, size}, {"archive/byteorder", "little", 6},
        {"archive/data/0", values, 24},   {"archive/data/1", values, 16},
        {"archive/version", "3\n", 2},
    };
    fuzz_put("pytorch_model.bin", zip, zip_write(entries, 5, zip, sizeof zip));
    fuzz_read_checkpoint();
}

const struct fuzz_target fuzz_bin_pickle = {
    .name = "bin_pickle",
    .dictionary = "pickle",
    .max_bytes = MAX_BYTES,
    .run = run,
};

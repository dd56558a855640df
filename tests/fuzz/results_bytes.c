/* A result file, byte for byte. */
#include "tests/fuzz/target.h"

#include "tests/fuzz/results.h"

static void run(const unsigned char *data, size_t size)
{
    fuzz_put("r.h5", data, size);
    fuzz_read_results(fuzz_path("r.h5"), FUZZ_EVERYTHING);
}

const struct fuzz_target fuzz_results_bytes = {
    .name = "results_bytes",
    .dictionary = "results",
    .max_bytes = 32768,
    .run = run,
};

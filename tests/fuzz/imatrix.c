/* An importance matrix, in GGUF or in the layout before that: its first bytes say which. */
#include "tests/fuzz/target.h"

#include <math.h>

#include "eval/base/mem.h"
#include "eval/gguf/imatrix.h"

/* What quantizing looks at: numbers, whatever the counts are. */
static void read_means(const struct bs_imatrix *imatrix)
{
    for (size_t i = 0; i < imatrix->count; i++) {
        const struct bs_imatrix_entry *entry = &imatrix->entries[i];
        size_t count = entry->columns * entry->matrices;
        float *means = bs_alloc(count, sizeof *means);
        if (!means)
            continue;
        bs_imatrix_means(imatrix, entry, means);
        for (size_t j = 0; j < count; j++)
            if (isnan(means[j]))
                __builtin_trap();
        bs_free(means);
    }
}

static void run(const unsigned char *data, size_t size)
{
    struct bs_error err = {0};
    struct bs_imatrix imatrix;
    fuzz_put("some.imatrix", data, size);
    const char *path = fuzz_path("some.imatrix");
    enum bs_status status = bs_imatrix_read(path, &imatrix, &err);
    fuzz_check(status, &err, path);
    if (status)
        return;
    read_means(&imatrix);
    bs_imatrix_release(&imatrix);
}

const struct fuzz_target fuzz_imatrix = {
    .name = "imatrix",
    .dictionary = "gguf",
    .max_bytes = 8192,
    .run = run,
};

#include "tests/fuzz/checkpoint.h"

#include <stdint.h>
#include <stdlib.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/checkpoint/checkpoint.h"
#include "tests/fuzz/target.h"

/* Asks for a tensor as a model does: by name and shape, a row at a time. */
static void read_tensor(struct bs_checkpoint *checkpoint, const char *name)
{
    struct bs_error err = {0};
    const struct bs_tensor *tensor;
    int64_t shape[BS_MAX_RANK] = {2, 3};
    fuzz_check(bs_checkpoint_require(checkpoint, name, 2, shape, &tensor, &err), &err, name);
    tensor = bs_checkpoint_find(checkpoint, name);
    if (!tensor)
        return;
    float values[64];
    for (size_t first = 0; first < tensor->count; first += 64) {
        size_t left = tensor->count - first;
        bs_tensor_read(tensor, first, left < 64 ? left : 64, values);
    }
    fuzz_check(bs_checkpoint_require(checkpoint, name, tensor->rank, tensor->shape, &tensor, &err),
               &err, name);
}

void fuzz_read_checkpoint(void)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    struct bs_error err = {0};
    struct bs_checkpoint *checkpoint;
    enum bs_status status = bs_checkpoint_open(fuzz_folder(), &checkpoint, &err);
    fuzz_check(status, &err, fuzz_folder());
    if (status)
        return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        read_tensor(checkpoint, names[i]);
    struct bs_digest_state *digest = bs_digest_create();
    if (!digest)
        abort();
    fuzz_check(bs_checkpoint_digest(checkpoint, digest, &err), &err, fuzz_folder());
    bs_digest_finish(digest);
    bs_checkpoint_free(checkpoint);
}

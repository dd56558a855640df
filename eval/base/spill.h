/* Arrays that need not fit into memory: they are files of a scratch directory, mapped. */
#ifndef BS_EVAL_BASE_SPILL_H
#define BS_EVAL_BASE_SPILL_H

#include <stddef.h>

#include "eval/base/error.h"

/* A writable map of a file that has no name, so that it is gone with the process whatever ends it.
 * data NULL: there is none. */
struct bs_spill {
    void *data; /* aligned to a page, zero until written */
    size_t size;
};

/* Room for `size` bytes (more than none) is set aside in the directory, so that a full disk is met
 * here and not on the way. BS_EIO naming the directory and the system's reason; BS_ENOMEM. */
enum bs_status bs_spill_create(const char *directory, size_t size, struct bs_spill *spill,
                               struct bs_error *err);
void bs_spill_free(struct bs_spill *spill);

/* Takes the bytes off the process's resident memory; they are kept, in the file or in the system's
 * cache of it. Other threads may be at work on bytes nearby. */
void bs_spill_forget(const struct bs_spill *spill, const void *data, size_t size);

/* How many bytes the directory has room for. BS_EIO naming it where no file can be made in it. */
enum bs_status bs_spill_room(const char *directory, double *bytes, struct bs_error *err);

#endif

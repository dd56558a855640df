/* The seal of a file: its first BS_SEAL_BYTES bytes hold a line of text that says what it is and a
 * digest of every byte after them. A result file's stands in what HDF5 leaves to whoever makes the
 * file (its user block):
 *
 *     bitsweep result file, HDF5 from byte 512 on
 *     xxh3-128 0123456789abcdef0123456789abcdef
 *
 * and zeros. HDF5's library crashes, hangs or loses memory over some damaged files, so that ours
 * are handed to it only after their bytes were found to be those that were written. The digest
 * tells damage, not forgery. */
#ifndef BS_EVAL_STORE_SEAL_H
#define BS_EVAL_STORE_SEAL_H

#include "eval/base/error.h"
#include "eval/base/file.h"

enum { BS_SEAL_BYTES = 512 };

/* The seal of a file of this first line (with its end) and this digest of what follows. */
void bs_seal_print(const char *first_line, const struct bs_digest *digest,
                   char seal[BS_SEAL_BYTES]);

/* Checks the seal of a result file, which messages call `name`. BS_EIO where it cannot be read,
 * BS_EDATA where it has no seal or is damaged. */
enum bs_status bs_seal_check(const char *file, const char *name, struct bs_error *err);

/* Seals a result file, whose first BS_SEAL_BYTES bytes are free, as it now is. BS_EIO. */
enum bs_status bs_seal_write(const char *file, const char *name, struct bs_error *err);

#endif

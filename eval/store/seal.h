/* The seal of a result file: its first BS_SEAL_BYTES bytes, which HDF5 leaves to whoever makes the
 * file (its user block), hold a line of text and a digest of every byte behind them:
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

enum { BS_SEAL_BYTES = 512 };

/* Checks the seal of `file`, which messages call `name`. BS_EIO where it cannot be read, BS_EDATA
 * where it has no seal or is damaged. */
enum bs_status bs_seal_check(const char *file, const char *name, struct bs_error *err);

/* Seals `file`, whose first BS_SEAL_BYTES bytes are free, as it now is. BS_EIO. */
enum bs_status bs_seal_write(const char *file, const char *name, struct bs_error *err);

#endif

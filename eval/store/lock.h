/* The lock of a result file: one run writes it at a time. */
#ifndef BS_EVAL_STORE_LOCK_H
#define BS_EVAL_STORE_LOCK_H

#include "eval/base/error.h"

/* Takes the file's lock, so that one run writes it at a time, and checks that its folder can be
 * written. BS_EIO where another run holds it or the place cannot be written. The lock goes with the
 * process, or with bs_results_unlock. */
struct bs_results_lock;
enum bs_status bs_results_lock_take(const char *path, struct bs_results_lock **lock,
                                    struct bs_error *err);
void bs_results_unlock(struct bs_results_lock *lock);

#endif

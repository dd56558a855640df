/* Locks: one run writes a result file at a time, one export a model. */
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

/* Opens `path`, makes it where it is not there, and locks it until *fd is closed or the process
 * ends; `what` is written there ("out", for messages). BS_EIO where another process has it locked
 * or it cannot be made. */
enum bs_status bs_file_lock(const char *path, const char *what, int *fd, struct bs_error *err);

#endif

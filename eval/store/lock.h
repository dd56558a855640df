/* Locks: one run writes a result file at a time, on whichever machine, and one export a model.
 *
 * Beside a result file stands <file>.lock, which the run that holds it locks (flock) and in which
 * stand the machine, its boot and the process. A shared file system may lack such locks, or have
 * them within a machine alone. So the holder also changes the lock file's time every few seconds,
 * and who finds another machine's name in it watches for a while whether it does. */
#ifndef BS_EVAL_STORE_LOCK_H
#define BS_EVAL_STORE_LOCK_H

#include "eval/base/error.h"

struct bs_results_lock;

/* Takes the file's lock and checks that its folder can be written. A lock of another machine that
 * is not renewed within 35 seconds is one of a run that is dead, and is taken over; that is waited
 * for with a line on stderr. BS_EIO where another run holds it or the place cannot be written. The
 * lock goes with the process, or with bs_results_unlock. */
enum bs_status bs_results_lock_take(const char *path, struct bs_results_lock **lock,
                                    struct bs_error *err);
void bs_results_unlock(struct bs_results_lock *lock);

/* The same with other times, in seconds: from one renewal to the next, and that it is watched. */
enum bs_status bs_results_lock_watch(const char *path, double renewal, double watched,
                                     struct bs_results_lock **lock, struct bs_error *err);

/* Opens `path`, makes it where it is not there, and locks it until *fd is closed or the process
 * ends; `what` is written there ("out", for messages). BS_EIO where another process has it locked
 * or it cannot be made. */
enum bs_status bs_file_lock(const char *path, const char *what, int *fd, struct bs_error *err);

#endif

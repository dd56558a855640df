/* A task's record in a YAML file of its own. */
#ifndef BS_EVAL_CONFIG_TASK_H
#define BS_EVAL_CONFIG_TASK_H

#include "eval/tasks/task.h"

/* Reads and checks the record in the file at `path`, which is named by the file; its own files are
 * as seen from its folder. BS_ECONFIG with every error, a line each; BS_EIO, BS_ENOMEM. */
enum bs_status bs_task_read(const char *path, struct bs_task **task, struct bs_error *err);

/* Frees what bs_task_read made; NULL is fine. */
void bs_task_free(struct bs_task *task);

#endif

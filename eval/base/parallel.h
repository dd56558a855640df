/* Parallel loops: one level, independent iterations, the same bits at any thread count. */
#ifndef BS_EVAL_BASE_PARALLEL_H
#define BS_EVAL_BASE_PARALLEL_H

#include <stddef.h>

#include "eval/base/error.h"

/* One iteration. It may write only what belongs to `index`; `thread` (0 .. bs_threads() - 1) picks
 * a buffer of the thread's own. */
typedef enum bs_status bs_task(void *context, int index, int thread, struct bs_error *err);

/* Runs task for index 0 .. count-1 on all threads. Every iteration runs even when one fails; the
 * failure of the lowest index is the one reported. */
enum bs_status bs_parallel(int count, bs_task *task, void *context, struct bs_error *err);

/* How many jobs of `tasks` equal tasks to run side by side, so that threads seldom wait for the
 * last: 1 where the tasks are many or share out evenly, at most `most`. */
int bs_side_by_side(int tasks, int most);

/* How many threads bs_parallel uses; bs_set_threads(0) means one per available core. */
int bs_threads(void);
void bs_set_threads(int threads);

/* Seconds of a monotonic clock. */
double bs_seconds(void);

/* A thread's working memory, taken from the front and given back by mark. */
struct bs_scratch {
    float *data;
    size_t capacity, used; /* floats */
};

/* One scratch per thread, each of `floats`; NULL when memory runs out. */
struct bs_scratch *bs_scratch_create(int threads, size_t floats);
void bs_scratch_free(struct bs_scratch *scratch, int threads);

/* `count` floats, 64-byte aligned, contents undefined. The capacity was computed beforehand: asking
 * for more than there is, is a mistake of ours and asserts. */
float *bs_scratch_take(struct bs_scratch *scratch, size_t count);

/* Floats that bs_scratch_take(count) uses up, its alignment included. */
size_t bs_scratch_floats(size_t count);

#endif

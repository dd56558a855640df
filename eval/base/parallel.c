#include "eval/base/parallel.h"

#include <assert.h>
#include <omp.h>
#include <time.h>

#include "eval/base/mem.h"

enum bs_status bs_parallel(int count, bs_task *task, void *context, struct bs_error *err)
{
    int failed = count;
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < count; i++) {
        struct bs_error own;
        if (!task(context, i, omp_get_thread_num(), &own))
            continue;
#pragma omp critical(bs_parallel_failed)
        if (i < failed) {
            failed = i;
            *err = own;
        }
    }
    return failed < count ? err->status : BS_OK;
}

int bs_side_by_side(int tasks, int most)
{
    enum { MANY = 4 }; /* for each thread */
    int threads = bs_threads(), jobs = 1;
    while (jobs < most && jobs * tasks % threads && jobs * tasks < MANY * threads)
        jobs++;
    return jobs;
}

int bs_threads(void) { return omp_get_max_threads(); }

void bs_set_threads(int threads)
{
    omp_set_num_threads(threads > 0 ? threads : omp_get_num_procs());
}

double bs_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

size_t bs_scratch_floats(size_t count) { return (count + 15) / 16 * 16; }

struct bs_scratch *bs_scratch_create(int threads, size_t floats)
{
    struct bs_scratch *scratch = bs_calloc((size_t)threads, sizeof *scratch);
    if (!scratch)
        return NULL;
    for (int i = 0; i < threads; i++) {
        scratch[i].capacity = bs_scratch_floats(floats);
        scratch[i].data = bs_alloc(scratch[i].capacity, sizeof(float));
        if (!scratch[i].data) {
            bs_scratch_free(scratch, threads);
            return NULL;
        }
    }
    return scratch;
}

void bs_scratch_free(struct bs_scratch *scratch, int threads)
{
    for (int i = 0; scratch && i < threads; i++)
        bs_free(scratch[i].data);
    bs_free(scratch);
}

float *bs_scratch_take(struct bs_scratch *scratch, size_t count)
{
    size_t start = scratch->used;
    scratch->used += bs_scratch_floats(count);
    assert(scratch->used <= scratch->capacity);
    return scratch->data + start;
}

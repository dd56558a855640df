/* Every allocation of the program: checked for overflow, aligned for vector loads, and able to fail
 * on purpose so that tests can walk each failure path. */
#ifndef BS_EVAL_BASE_MEM_H
#define BS_EVAL_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

/* count * size bytes, 64-byte aligned, contents undefined; NULL when memory runs out or the product
 * overflows. A size of zero gives a valid pointer. 4 MiB and more are aligned to 2 MiB and ask for
 * huge pages. Freed with bs_free. */
void *bs_alloc(size_t count, size_t size) __attribute__((warn_unused_result));

/* As bs_alloc, filled with zero. */
void *bs_calloc(size_t count, size_t size) __attribute__((warn_unused_result));

/* Grows (or shrinks) to new_count elements, keeping the first old_count; on failure returns NULL
 * and leaves the old memory as it was. */
void *bs_realloc(void *memory, size_t old_count, size_t new_count, size_t size)
    __attribute__((warn_unused_result));

/* A copy of text, NULL when memory runs out. Freed with bs_free. */
char *bs_strdup(const char *text) __attribute__((warn_unused_result));

/* A printed string in new memory, NULL when memory runs out. Freed with bs_free. */
char *bs_printf(const char *format, ...) __attribute__((format(printf, 1, 2), warn_unused_result));

/* The same from a va_list. */
char *bs_vprintf(const char *format, va_list args)
    __attribute__((format(printf, 1, 0), warn_unused_result));

/* Frees what the functions above returned; NULL is fine. */
void bs_free(void *memory);

/* For tests: makes the n-th allocation from now fail (1 = the next), and every one after it work
 * again; 0 switches this off. Returns the number of allocations made since the last call. */
long bs_alloc_fail_at(long n);

#endif

#define _DEFAULT_SOURCE /* madvise */
#include "eval/base/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Large memory begins and ends with a huge page, and asks for them: matrices are read along both
 * sides, and with small pages their addresses are looked up anew all the time. */
enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20, LARGE = 2 * HUGE_PAGE };

/* The only mutable globals of the library: they exist for tests and never change a result. */
static atomic_long allocations;
static atomic_long fail_at;

static bool told_to_fail(void)
{
    long n = atomic_fetch_add(&allocations, 1) + 1;
    return n == atomic_load(&fail_at);
}

void *bs_alloc(size_t count, size_t size)
{
    if (told_to_fail())
        return NULL;
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - HUGE_PAGE)
        return NULL;
    size_t alignment = bytes < LARGE ? ALIGNMENT : HUGE_PAGE;
    size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void *memory = aligned_alloc(alignment, rounded ? rounded : alignment);
    if (memory && bytes >= LARGE)
        madvise(memory, rounded, MADV_HUGEPAGE); /* advice: no matter if it is not taken */
    return memory;
}

void *bs_calloc(size_t count, size_t size)
{
    void *memory = bs_alloc(count, size);
    if (memory)
        memset(memory, 0, count * size);
    return memory;
}

void *bs_realloc(void *memory, size_t old_count, size_t new_count, size_t size)
{
    void *grown = bs_alloc(new_count, size);
    if (!grown)
        return NULL;
    size_t kept = old_count < new_count ? old_count : new_count;
    if (memory && kept)
        memcpy(grown, memory, kept * size);
    bs_free(memory);
    return grown;
}

char *bs_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = bs_alloc(bytes, 1);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

char *bs_vprintf(const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = length < 0 ? NULL : bs_alloc((size_t)length + 1, 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, args);
    return text;
}

char *bs_printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = bs_vprintf(format, args);
    va_end(args);
    return text;
}

void bs_free(void *memory) { free(memory); }

long bs_alloc_fail_at(long n)
{
    long made = atomic_exchange(&allocations, 0);
    atomic_store(&fail_at, n);
    return made;
}

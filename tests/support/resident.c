#include "tests/support/resident.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

int resident_pages(const void *start)
{
    /* Of a shared map mincore tells what the system's cache holds, so that /proc it is. */
    char line[512], first[32];
    long kilobytes = -1;
    bool within = false;
    snprintf(first, sizeof first, "%lx-", (unsigned long)(uintptr_t)start);
    FILE *file = fopen("/proc/self/smaps", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (!strncmp(line, first, strlen(first)))
            within = true;
        if (within && kilobytes < 0 && !strncmp(line, "Rss:", 4))
            kilobytes = strtol(line + 4, NULL, 10);
    }
    fclose(file);
    assert_true(kilobytes >= 0);
    return (int)(kilobytes * 1024 / sysconf(_SC_PAGESIZE));
}

#include "eval/command/address_space.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "eval/command/command.h"

/* Bytes of address space that are mapped, from /proc/self/statm; 0 where that cannot be read. */
static size_t mapped_bytes(void)
{
    char text[64] = "";
    size_t pages = 0;
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    for (const char *c = text; length > 0 && *c >= '0' && *c <= '9'; c++)
        pages = 10 * pages + (size_t)(*c - '0');
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

void bs_address_space_check(size_t buffers)
{
    static const char message[] =
        "bitsweep: the address space allowed (ulimit -v) is too small for the buffers of OpenBLAS, "
        "128 MB a thread: allow more, or set OMP_NUM_THREADS to fewer\n";
    const size_t buffer = (size_t)128 << 20, slack = (size_t)16 << 20;
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return;
    size_t mapped = mapped_bytes();
    if (limit.rlim_cur > mapped && limit.rlim_cur - mapped >= buffers * buffer + slack)
        return;
    if (write(STDERR_FILENO, message, sizeof message - 1) > 0)
        _exit(BS_EXIT_INPUT);
    _exit(BS_EXIT_INPUT);
}

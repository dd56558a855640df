#define _DEFAULT_SOURCE /* TIOCGWINSZ */

#include "eval/base/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool is_terminal(FILE *stream)
{
    int fd = fileno(stream); /* -1 for a stream in memory */
    return fd >= 0 && isatty(fd) == 1;
}

bool bs_terminal_takes_codes(FILE *stream)
{
    const char *kind = getenv("TERM");
    return is_terminal(stream) && kind && *kind && strcmp(kind, "dumb");
}

/* The number that COLUMNS holds, 0 where it holds none. */
static long columns_set(void)
{
    const char *text = getenv("COLUMNS");
    char *end = NULL;
    long columns = text && *text ? strtol(text, &end, 10) : 0;
    return columns > 0 && !*end ? columns : 0;
}

int bs_terminal_limit(FILE *stream)
{
    return columns_set() || is_terminal(stream) ? bs_terminal_width(stream) : 0;
}

int bs_terminal_width(FILE *stream)
{
    struct winsize size;
    long width = columns_set();
    if (!width && is_terminal(stream) && !ioctl(fileno(stream), TIOCGWINSZ, &size))
        width = size.ws_col;
    if (!width)
        width = BS_PLAIN_WIDTH;
    return (int)(width < BS_LEAST_WIDTH  ? BS_LEAST_WIDTH
                 : width > BS_MOST_WIDTH ? BS_MOST_WIDTH
                                         : width);
}

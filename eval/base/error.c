#include "eval/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum bs_status bs_fail(struct bs_error *err, enum bs_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    err->status = status;
    return status;
}

enum bs_status bs_fail_within(struct bs_error *err, const char *format, ...)
{
    char inner[sizeof err->message];
    memcpy(inner, err->message, sizeof inner);
    va_list args;
    va_start(args, format);
    int used = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (used < 0 || (size_t)used >= sizeof err->message)
        return err->status;
    size_t left = sizeof err->message - (size_t)used;
    snprintf(err->message + used, left, ": %.*s", (int)left, inner);
    return err->status;
}

enum bs_status bs_fail_memory(struct bs_error *err)
{
    return bs_fail(err, BS_ENOMEM, "out of memory");
}

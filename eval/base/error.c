#include "eval/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/printable.h"

/* Formats and escapes: what messages quote came from outside. */
static __attribute__((format(printf, 3, 0))) size_t print_message(char *out, size_t size,
                                                                  const char *format, va_list args)
{
    char raw[sizeof((struct bs_error *)0)->message];
    vsnprintf(raw, sizeof raw, format, args);
    return bs_escape(raw, out, size);
}

enum bs_status bs_fail(struct bs_error *err, enum bs_status status, const char *format, ...)
{
    char message[sizeof err->message]; /* what is formatted may quote the old one */
    va_list args;
    va_start(args, format);
    print_message(message, sizeof message, format, args);
    va_end(args);
    memcpy(err->message, message, strlen(message) + 1);
    err->status = status;
    return status;
}

enum bs_status bs_fail_within(struct bs_error *err, const char *format, ...)
{
    char inner[sizeof err->message];
    memcpy(inner, err->message, sizeof inner);
    va_list args;
    va_start(args, format);
    size_t used = print_message(err->message, sizeof err->message, format, args);
    va_end(args);
    if (used >= sizeof err->message)
        return err->status;
    size_t left = sizeof err->message - used;
    snprintf(err->message + used, left, ": %.*s", (int)left, inner);
    return err->status;
}

enum bs_status bs_fail_memory(struct bs_error *err)
{
    return bs_fail(err, BS_ENOMEM, "out of memory");
}

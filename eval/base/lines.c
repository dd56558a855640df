#include "eval/base/lines.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"

enum bs_status bs_lines_add(struct bs_lines *lines, struct bs_error *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    size_t count = (size_t)lines->count;
    char *line = bs_alloc((size_t)length + 1, 1);
    char **grown = line ? bs_realloc(lines->lines, count, count + 1, sizeof *grown) : NULL;
    if (!grown) {
        bs_free(line);
        return bs_fail_memory(err);
    }
    va_start(arguments, format);
    vsnprintf(line, (size_t)length + 1, format, arguments);
    va_end(arguments);
    lines->lines = grown;
    lines->lines[lines->count++] = line;
    return BS_OK;
}

bool bs_lines_have(const struct bs_lines *lines, const char *line)
{
    for (int i = 0; lines && i < lines->count; i++)
        if (!strcmp(lines->lines[i], line))
            return true;
    return false;
}

void bs_lines_release(struct bs_lines *lines)
{
    for (int i = 0; i < lines->count; i++)
        bs_free(lines->lines[i]);
    bs_free(lines->lines);
    *lines = (struct bs_lines){0};
}

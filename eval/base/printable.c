#include "eval/base/printable.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/utf8.h"

bool bs_is_printable(uint32_t letter)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {
        {0, 0x1f},        {0x7f, 0x9f},     {0x61c, 0x61c},   {0x200e, 0x200f}, {0x2028, 0x202e},
        {0x2066, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe007f},
    };
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (letter >= hidden[i].first && letter <= hidden[i].last)
            return false;
    return true;
}

enum { ESCAPE_TEXT = 12 };

/* What stands for the letter (of `bytes` bytes at `text`, 0 = no letter). Returns its length, 0
 * where it stands for itself. */
static size_t print_escape(const char *text, size_t bytes, uint32_t letter, char *out)
{
    if (bytes && bs_is_printable(letter))
        return 0;
    const char *known = bytes && letter == '\n'   ? "\\n"
                        : bytes && letter == '\t' ? "\\t"
                        : bytes && letter == '\r' ? "\\r"
                                                  : NULL;
    int length;
    if (known)
        length = snprintf(out, ESCAPE_TEXT, "%s", known);
    else if (!bytes || letter < 0x80)
        length = snprintf(out, ESCAPE_TEXT, "\\x%02x", (unsigned)(unsigned char)*text);
    else
        length =
            snprintf(out, ESCAPE_TEXT, letter > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)letter);
    return (size_t)length;
}

size_t bs_escape(const char *text, char *out, size_t size)
{
    size_t used = 0, left = strlen(text);
    bool full = size == 0;
    if (size > 0)
        out[0] = '\0';
    while (left > 0) {
        char escape[ESCAPE_TEXT];
        uint32_t letter;
        size_t bytes = bs_utf8_letter(text, left, &letter);
        size_t length = print_escape(text, bytes, letter, escape), step = bytes ? bytes : 1;
        const char *from = length ? escape : text;
        length = length ? length : step;
        if (used + length >= size)
            full = true;
        if (!full) {
            memcpy(out + used, from, length);
            out[used + length] = '\0';
        }
        used += length;
        text += step;
        left -= step;
    }
    return used;
}

/* Every escape is longer than what it stands for. */
bool bs_is_plain(const char *text) { return bs_escape(text, NULL, 0) == strlen(text); }

char *bs_escaped(const char *text)
{
    size_t size = bs_escape(text, NULL, 0) + 1;
    char *out = bs_alloc(size, 1);
    if (out)
        bs_escape(text, out, size);
    return out;
}

char *bs_print_escaped(const char *format, va_list args)
{
    char *text = bs_vprintf(format, args), *escaped = text ? bs_escaped(text) : NULL;
    bs_free(text);
    return escaped;
}

void bs_print_line(FILE *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *line = bs_print_escaped(format, args);
    va_end(args);
    fprintf(out, "%s\n", line ? line : "(out of memory)");
    bs_free(line);
}

void bs_print_folded(FILE *out, int width, const char *format, ...)
{
    enum { INDENT = 2 };
    va_list args;
    va_start(args, format);
    char *text = bs_print_escaped(format, args);
    va_end(args);
    if (!text || !*text)
        fprintf(out, "%s\n", text ? "" : "(out of memory)");
    int indent = 0;
    for (const char *line = text; line && *line; indent = INDENT) {
        size_t bytes = width ? bs_line_bytes(line, width - indent) : strlen(line);
        fprintf(out, "%*s%.*s\n", indent, "", (int)bytes, line);
        line += bytes;
        line += strspn(line, " ");
    }
    bs_free(text);
}

int bs_cut(const char *text, int most)
{
    size_t used = 0, left = strlen(text);
    while (left > 0) {
        uint32_t letter;
        size_t bytes = bs_utf8_letter(text + used, left, &letter), step = bytes ? bytes : 1;
        if (used + step > (size_t)most)
            break;
        used += step;
        left -= step;
    }
    return (int)used;
}

int bs_letter_width(uint32_t letter)
{
    static const struct {
        uint32_t first, last;
        int width;
    } ranges[] = {
        {0x300, 0x36f, 0},   {0x200b, 0x200d, 0}, {0xfe00, 0xfe0f, 0},   {0x1100, 0x115f, 2},
        {0x2e80, 0xa4cf, 2}, {0xac00, 0xd7a3, 2}, {0xf900, 0xfaff, 2},   {0xfe30, 0xfe6f, 2},
        {0xff00, 0xff60, 2}, {0xffe0, 0xffe6, 2}, {0x1f300, 0x1faff, 2}, {0x20000, 0x3fffd, 2},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (letter >= ranges[i].first && letter <= ranges[i].last)
            return ranges[i].width;
    return 1;
}

int bs_text_width(const char *text, size_t bytes)
{
    int width = 0;
    for (size_t i = 0, step; i < bytes; i += step) {
        uint32_t letter;
        step = bs_utf8_letter(text + i, bytes - i, &letter);
        width += step ? bs_letter_width(letter) : 1;
        step = step ? step : 1;
    }
    return width;
}

size_t bs_line_bytes(const char *text, int width)
{
    size_t length = strlen(text), at = 0, blank = 0, sign = 0, step;
    int used = 0;
    for (; at < length; at += step) {
        uint32_t letter;
        step = bs_utf8_letter(text + at, length - at, &letter);
        used += step ? bs_letter_width(letter) : 1;
        step = step ? step : 1;
        if (text[at] == ' ' && at > 0)
            blank = at;
        if (used > width)
            break;
        if (strchr("+/-_,", text[at]))
            sign = at + 1;
    }
    if (at >= length)
        return length;
    return blank ? blank : sign ? sign : at ? at : step;
}

size_t bs_shorten(const char *text, int columns, char *out, size_t size)
{
    static const char mark[] = "\xe2\x80\xa6";
    size_t length = strlen(text), head = 0, tail = length, step;
    uint32_t letter;
    if (bs_text_width(text, length) <= columns)
        return (size_t)snprintf(out, size, "%s", text);
    for (int used = 0; head < length; head += step) {
        step = bs_utf8_letter(text + head, length - head, &letter);
        used += step ? bs_letter_width(letter) : 1;
        step = step ? step : 1;
        if (used > (columns - 1) / 2)
            break;
    }
    for (int used = bs_text_width(text, head); tail > head;) {
        size_t before = tail - 1;
        while (before > head && ((unsigned char)text[before] & 0xc0) == 0x80)
            before--;
        used += bs_text_width(text + before, tail - before);
        if (used > columns - 1)
            break;
        tail = before;
    }
    return (size_t)snprintf(out, size, "%.*s%s%s", (int)head, text, mark, text + tail);
}

#include "eval/base/utf8.h"

#include <stdbool.h>

size_t bs_utf8_letter(const char *text, size_t size, uint32_t *letter)
{
    const unsigned char *bytes = (const unsigned char *)text;
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t first = bytes[0];
    *letter = first;
    if (first < 0x80)
        return 1;
    size_t count = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || size < count)
        return 0;
    uint32_t code = first & (0x7fu >> count);
    for (size_t i = 1; i < count; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (bytes[i] & 0x3fu);
    }
    *letter = code;
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < smallest[count] || surrogate || code > 0x10ffff ? 0 : count;
}

enum bs_status bs_utf8_check(const char *text, size_t size, struct bs_error *err)
{
    uint32_t letter;
    for (size_t i = 0, step; i < size; i += step) {
        step = bs_utf8_letter(text + i, size - i, &letter);
        if (!step)
            return bs_fail(err, BS_EDATA, "text is not UTF-8: byte offset %zu holds 0x%02x", i,
                           (unsigned char)text[i]);
    }
    return BS_OK;
}

size_t bs_utf8_bytes(char first)
{
    unsigned char byte = (unsigned char)first;
    return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

uint32_t bs_utf8_decode(const char *text)
{
    const unsigned char *bytes = (const unsigned char *)text;
    if (bytes[0] < 0x80)
        return bytes[0];
    if (bytes[0] < 0xe0)
        return (uint32_t)(bytes[0] & 0x1f) << 6 | (bytes[1] & 0x3f);
    if (bytes[0] < 0xf0)
        return (uint32_t)(bytes[0] & 0x0f) << 12 | (uint32_t)(bytes[1] & 0x3f) << 6 |
               (bytes[2] & 0x3f);
    return (uint32_t)(bytes[0] & 0x07) << 18 | (uint32_t)(bytes[1] & 0x3f) << 12 |
           (uint32_t)(bytes[2] & 0x3f) << 6 | (bytes[3] & 0x3f);
}

size_t bs_utf8_encode(uint32_t character, char *out)
{
    if (character < 0x80) {
        out[0] = (char)character;
        return 1;
    }
    size_t bytes = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = bytes - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (character & 0x3f));
        character >>= 6;
    }
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[bytes] | character);
    return bytes;
}

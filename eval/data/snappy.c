#include "eval/data/snappy.h"

#include <stdint.h>
#include <string.h>

/* What is left to read, and how much is written. */
struct unpacking {
    const unsigned char *at, *end;
    unsigned char *out;
    size_t done, room;
};

/* The next `bytes` (at most 4) as a number, the low one first; false where they are not there. */
static bool take(struct unpacking *u, int bytes, size_t *number)
{
    if (u->end - u->at < bytes)
        return false;
    *number = 0;
    for (int i = 0; i < bytes; i++)
        *number |= (size_t)*u->at++ << 8 * i;
    return true;
}

static bool read_length(struct unpacking *u, size_t *length)
{
    *length = 0;
    for (int shift = 0; shift < 35 && u->at < u->end; shift += 7) {
        unsigned char byte = *u->at++;
        *length |= (size_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool put_literal(struct unpacking *u, unsigned tag)
{
    enum { IN_TAG = 60 }; /* beyond it so many bytes hold the length */
    size_t length = tag >> 2;
    if (length >= IN_TAG && !take(u, (int)(length - IN_TAG) + 1, &length))
        return false;
    length++;
    if (length > (size_t)(u->end - u->at) || length > u->room - u->done)
        return false;
    memcpy(u->out + u->done, u->at, length);
    u->at += length;
    u->done += length;
    return true;
}

/* Bytes that were written before once more; they may overlap those that they become. */
static bool put_copy(struct unpacking *u, unsigned tag)
{
    size_t length, offset;
    int kind = tag & 3;
    if (!take(u, kind == 1 ? 1 : kind == 2 ? 2 : 4, &offset))
        return false;
    length = kind == 1 ? (tag >> 2 & 7) + 4 : (tag >> 2) + 1;
    offset |= kind == 1 ? (size_t)(tag >> 5) << 8 : 0;
    if (!offset || offset > u->done || length > u->room - u->done)
        return false;
    for (size_t i = 0; i < length; i++, u->done++)
        u->out[u->done] = u->out[u->done - offset];
    return true;
}

bool bs_snappy_unpack(const unsigned char *packed, size_t size, unsigned char *out, size_t room)
{
    struct unpacking u = {.at = packed, .end = packed + size, .out = out, .room = room};
    size_t length;
    if (!read_length(&u, &length) || length != room)
        return false;
    while (u.at < u.end) {
        unsigned tag = *u.at++;
        if (!(tag & 3 ? put_copy(&u, tag) : put_literal(&u, tag)))
            return false;
    }
    return u.done == room;
}

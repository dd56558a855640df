#include "tests/fuzz/zip.h"

#include <stdlib.h>
#include <string.h>

/* Sizes of the fixed parts, and places in them (PKWARE's APPNOTE 4.3). */
enum { LOCAL = 30, CENTRAL = 46, END = 22 };
enum { LOCAL_CRC = 14, LOCAL_SIZES = 18, LOCAL_NAME = 26, LOCAL_EXTRA = 28 };
enum { CENTRAL_CRC = 16, CENTRAL_SIZES = 20, CENTRAL_NAME = 28, CENTRAL_OFFSET = 42 };

static uint32_t crc32_of(const unsigned char *data, size_t size)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static void put16(unsigned char *at, size_t value)
{
    at[0] = (unsigned char)value;
    at[1] = (unsigned char)(value >> 8);
}

static void put32(unsigned char *at, size_t value)
{
    put16(at, value);
    put16(at + 2, value >> 16);
}

static size_t get16(const unsigned char *at) { return at[0] | (size_t)at[1] << 8; }
static size_t get32(const unsigned char *at) { return get16(at) | get16(at + 2) << 16; }

size_t zip_write(const struct zip_entry *entries, int count, unsigned char *out, size_t room)
{
    size_t used = 0, offsets[16], directory = 0;
    for (int i = 0; i < count; i++)
        directory += LOCAL + CENTRAL + 2 * strlen(entries[i].name) + entries[i].size;
    if (count > 16 || directory + END > room)
        abort();
    memset(out, 0, directory + END);
    for (int i = 0; i < count; i++) {
        unsigned char *local = out + used;
        offsets[i] = used;
        memcpy(local, "PK\3\4\12", 5);
        put32(local + LOCAL_CRC, crc32_of(entries[i].data, entries[i].size));
        put32(local + LOCAL_SIZES, entries[i].size);
        put32(local + LOCAL_SIZES + 4, entries[i].size);
        put16(local + LOCAL_NAME, strlen(entries[i].name));
        memcpy(local + LOCAL, entries[i].name, strlen(entries[i].name));
        used += LOCAL + strlen(entries[i].name);
        memcpy(out + used, entries[i].data, entries[i].size);
        used += entries[i].size;
    }
    directory = used;
    for (int i = 0; i < count; i++) {
        unsigned char *central = out + used, *local = out + offsets[i];
        memcpy(central, "PK\1\2\12\0\12", 7);
        memcpy(central + CENTRAL_CRC, local + LOCAL_CRC, LOCAL_NAME + 2 - LOCAL_CRC);
        put32(central + CENTRAL_OFFSET, offsets[i]);
        memcpy(central + CENTRAL, entries[i].name, strlen(entries[i].name));
        used += CENTRAL + strlen(entries[i].name);
    }
    unsigned char *end = out + used;
    memcpy(end, "PK\5\6", 4);
    put16(end + 8, (size_t)count);
    put16(end + 10, (size_t)count);
    put32(end + 12, used - directory);
    put32(end + 16, directory);
    return used + END;
}

void zip_mend(unsigned char *zip, size_t size)
{
    for (size_t at = 0; at + CENTRAL <= size; at++) {
        unsigned char *central = zip + at;
        if (memcmp(central, "PK\1\2", 4))
            continue;
        size_t offset = get32(central + CENTRAL_OFFSET), bytes = get32(central + CENTRAL_SIZES);
        if (offset > size || size - offset < LOCAL)
            continue;
        unsigned char *local = zip + offset;
        size_t start = offset + LOCAL + get16(local + LOCAL_NAME) + get16(local + LOCAL_EXTRA);
        if (start > size || bytes > size - start)
            continue;
        size_t crc = crc32_of(zip + start, bytes);
        put32(central + CENTRAL_CRC, crc);
        put32(local + LOCAL_CRC, crc);
    }
}

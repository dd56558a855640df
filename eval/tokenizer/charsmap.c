/* The trie's units, from the top bit down (darts-clone): of a node 22 bits of offset, one that
 * multiplies it by 256, one that says a value follows, and the byte that leads here; a value has
 * the top bit set and is a place among the replacements. Every step is checked against the array's
 * end. */
#include "eval/tokenizer/charsmap.h"

#include "eval/base/mem.h"
#include "eval/base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

enum { LONGEST_GRAPHEME = 5 };

struct bs_charsmap {
    uint32_t *units;
    size_t num_units;
    char *replacements; /* ends with a zero byte */
    size_t size;
};

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Bytes written to out, which has room for 3 of every 4 characters; SIZE_MAX for damage. */
static size_t base64_decode(const char *text, unsigned char *out)
{
    size_t length = strlen(text), size = 0;
    while (length > 0 && text[length - 1] == '=')
        length--;
    unsigned bits = 0;
    int have = 0;
    for (size_t i = 0; i < length; i++) {
        int value = base64_value(text[i]);
        if (value < 0)
            return SIZE_MAX;
        bits = (bits << 6 | (unsigned)value) & 0xffffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[size++] = (unsigned char)(bits >> have);
        }
    }
    return size;
}

static uint32_t little_endian(const unsigned char *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static enum bs_status charsmap_read(const char *place, const unsigned char *bytes, size_t size,
                                    struct bs_charsmap *charsmap, struct bs_error *err)
{
    uint32_t trie = size >= 4 && size < SIZE_MAX ? little_endian(bytes) : 0;
    if (trie < 4 || trie % 4 || trie > size - 4)
        return bs_fail(err, BS_EDATA,
                       "%s: normalizer Precompiled: precompiled_charsmap is missing or damaged",
                       place);
    charsmap->num_units = trie / 4;
    charsmap->size = size - 4 - trie;
    charsmap->units = bs_alloc(charsmap->num_units, sizeof *charsmap->units);
    charsmap->replacements = bs_alloc(charsmap->size + 1, 1);
    if (!charsmap->units || !charsmap->replacements)
        return bs_fail_memory(err);
    for (size_t i = 0; i < charsmap->num_units; i++)
        charsmap->units[i] = little_endian(bytes + 4 + 4 * i);
    memcpy(charsmap->replacements, bytes + 4 + trie, charsmap->size);
    charsmap->replacements[charsmap->size] = '\0';
    if (bs_utf8_check(charsmap->replacements, charsmap->size, err))
        return bs_fail_within(err, "%s: normalizer Precompiled", place);
    return BS_OK;
}

enum bs_status bs_charsmap_create(const char *place, const char *base64,
                                  struct bs_charsmap **charsmap, struct bs_error *err)
{
    *charsmap = NULL;
    struct bs_charsmap *created = bs_calloc(1, sizeof *created);
    unsigned char *bytes = bs_alloc(strlen(base64) / 4 + 1, 3);
    enum bs_status status = created && bytes ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = charsmap_read(place, bytes, base64_decode(base64, bytes), created, err);
    bs_free(bytes);
    if (status)
        bs_charsmap_free(created);
    else
        *charsmap = created;
    return status;
}

void bs_charsmap_free(struct bs_charsmap *charsmap)
{
    if (!charsmap)
        return;
    bs_free(charsmap->units);
    bs_free(charsmap->replacements);
    bs_free(charsmap);
}

static uint32_t unit_offset(uint32_t unit) { return unit >> 10 << ((unit & (1u << 9)) >> 6); }

/* What the shortest beginning of text[0 .. size) that the map has is rewritten to, or NULL. */
static const char *find(const struct bs_charsmap *charsmap, const char *text, size_t size)
{
    uint32_t at = unit_offset(charsmap->units[0]);
    for (size_t i = 0; i < size && text[i]; i++) {
        at ^= (unsigned char)text[i];
        if (at >= charsmap->num_units)
            return NULL;
        uint32_t unit = charsmap->units[at];
        if ((unit & (1u << 31 | 0xff)) != (unsigned char)text[i])
            return NULL;
        at ^= unit_offset(unit);
        if (at >= charsmap->num_units)
            return NULL;
        if (unit >> 8 & 1) {
            uint32_t place = charsmap->units[at] & ((1u << 31) - 1);
            bool character = place < charsmap->size &&
                             ((unsigned char)charsmap->replacements[place] & 0xc0) != 0x80;
            return character ? charsmap->replacements + place : "";
        }
    }
    return NULL;
}

static enum bs_status rewrite(const struct bs_charsmap *charsmap, const char *text, size_t size,
                              struct bs_buffer *out, struct bs_error *err)
{
    const char *whole = size <= LONGEST_GRAPHEME ? find(charsmap, text, size) : NULL;
    if (whole)
        return bs_buffer_append(out, whole, strlen(whole), err);
    for (size_t i = 0, bytes; i < size; i += bytes) {
        bytes = bs_utf8_bytes(text[i]);
        const char *one = find(charsmap, text + i, bytes);
        if (bs_buffer_append(out, one ? one : text + i, one ? strlen(one) : bytes, err))
            return err->status;
    }
    return BS_OK;
}

enum bs_status bs_charsmap_run(const struct bs_charsmap *charsmap, const char *text, size_t size,
                               struct bs_buffer *out, struct bs_error *err)
{
    utf8proc_int32_t state = 0;
    for (size_t begin = 0, end; begin < size; begin = end) {
        end = begin + bs_utf8_bytes(text[begin]);
        uint32_t before = bs_utf8_decode(text + begin);
        for (; end < size; end += bs_utf8_bytes(text[end])) {
            uint32_t next = bs_utf8_decode(text + end);
            if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)before, (utf8proc_int32_t)next,
                                                 &state))
                break;
            before = next;
        }
        if (rewrite(charsmap, text + begin, end - begin, out, err))
            return err->status;
    }
    return BS_OK;
}

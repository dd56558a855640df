#include "eval/data/parquet_column.h"

#include <math.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include "eval/base/mem.h"
#include "eval/base/utf8.h"
#include "eval/data/snappy.h"

enum { MOST_PAGE = 1 << 30, MOST_LEVEL = 255 };

/* Bytes on their way. */
struct bytes {
    const unsigned char *at, *end;
};

static size_t left(const struct bytes *b) { return (size_t)(b->end - b->at); }

/* The next 1 to 8 bytes as a number, the low one first; false where they are not there. */
static bool take(struct bytes *b, int size, uint64_t *number)
{
    *number = 0;
    if (left(b) < (size_t)size)
        return false;
    for (int i = 0; i < size; i++)
        *number |= (uint64_t)*b->at++ << 8 * i;
    return true;
}

static enum bs_status damaged(struct bs_error *err, const char *what)
{
    return bs_fail(err, BS_EDATA, "%s is damaged", what);
}

/* ---- packing ---- */

static bool gunzip(const unsigned char *packed, size_t size, unsigned char *out, size_t room)
{
    enum { GZIP_OR_ZLIB = 32 };
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)packed,
                  .avail_in = (unsigned)size,
                  .next_out = out,
                  .avail_out = (unsigned)room};
    if (inflateInit2(&z, MAX_WBITS + GZIP_OR_ZLIB) != Z_OK)
        return false;
    int end = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return end == Z_STREAM_END && z.avail_out == 0;
}

/* What is packed in packed[0 .. size) into out[0 .. room), all of it. */
static enum bs_status unpack(int codec, const unsigned char *packed, size_t size,
                             unsigned char *out, size_t room, struct bs_error *err)
{
    bool whole = false;
    if (codec == BS_PARQUET_PLAIN_BYTES)
        whole = size == room;
    else if (codec == BS_PARQUET_SNAPPY)
        whole = bs_snappy_unpack(packed, size, out, room);
    else if (codec == BS_PARQUET_GZIP)
        whole = gunzip(packed, size, out, room);
    else if (codec == BS_PARQUET_ZSTD)
        whole = ZSTD_decompress(out, room, packed, size) == room;
    else
        return bs_fail(err, BS_EUNSUPPORTED,
                       "packed by codec %d, expected none, snappy, gzip or zstd", codec);
    if (whole && codec == BS_PARQUET_PLAIN_BYTES)
        memcpy(out, packed, room);
    return whole ? BS_OK : damaged(err, "what is packed");
}

/* ---- runs of small numbers ---- */

/* Numbers of `width` bits: runs of one, or of eight at a time side by side. */
struct runs {
    struct bytes bytes;
    int width;
    uint64_t repeat, packed; /* how many are left of the run at hand */
    uint64_t value;          /* that is repeated */
    uint64_t bits;           /* of those side by side, not yet taken */
    int num_bits;
};

static bool begin_run(struct runs *r)
{
    uint64_t head = 0, byte = 0x80;
    for (int shift = 0; byte >= 0x80; shift += 7) {
        if (shift > 28 || !take(&r->bytes, 1, &byte))
            return false;
        head |= (byte & 0x7f) << shift;
    }
    r->num_bits = 0;
    r->bits = 0;
    if (head & 1) {
        r->packed = (head >> 1) * 8;
        return r->packed > 0;
    }
    r->repeat = head >> 1;
    return r->repeat > 0 && take(&r->bytes, (r->width + 7) / 8, &r->value);
}

static bool next_number(struct runs *r, uint32_t *number)
{
    if (!r->repeat && !r->packed && !begin_run(r))
        return false;
    if (r->repeat) {
        r->repeat--;
        *number = (uint32_t)r->value;
        return true;
    }
    while (r->num_bits < r->width) {
        uint64_t byte;
        if (!take(&r->bytes, 1, &byte))
            return false;
        r->bits |= byte << r->num_bits;
        r->num_bits += 8;
    }
    *number = (uint32_t)(r->bits & ((1ull << r->width) - 1));
    r->bits >>= r->width;
    r->num_bits -= r->width;
    r->packed--;
    return true;
}

static int bits_of(int most)
{
    int bits = 0;
    while (most >> bits)
        bits++;
    return bits;
}

/* ---- values ---- */

/* A chunk on its way. */
struct reading {
    const struct bs_parquet_leaf *leaf;
    int codec;
    struct bs_parquet_column *column;
    size_t dictionary_size;
    json_t **dictionary;
    bool no_text; /* bytes came that are none */
    struct bs_error *err;
};

static json_t *text_value(struct reading *r, struct bytes *b)
{
    uint64_t length;
    struct bs_error bad;
    if (!take(b, 4, &length) || length > left(b))
        return NULL;
    if (bs_utf8_check((const char *)b->at, (size_t)length, &bad)) {
        r->no_text = true;
        return NULL;
    }
    json_t *value = json_stringn((const char *)b->at, (size_t)length);
    b->at += length;
    return value;
}

/* A number that is not finite is none for JSON. */
static json_t *real_value(double x) { return isfinite(x) ? json_real(x) : json_null(); }

/* The next plain value; *bit counts truth values, eight of which share a byte. */
static json_t *plain_value(struct reading *r, struct bytes *b, int *bit)
{
    int type = r->leaf->type;
    uint64_t bits;
    float single;
    double wide;
    if (type == BS_PARQUET_BYTES)
        return text_value(r, b);
    if (type == BS_PARQUET_BOOLEAN) {
        if (b->at == b->end)
            return NULL;
        bool yes = *b->at >> *bit & 1;
        *bit = (*bit + 1) % 8;
        b->at += *bit == 0;
        return json_boolean(yes);
    }
    if (!take(b, type == BS_PARQUET_INT32 || type == BS_PARQUET_FLOAT ? 4 : 8, &bits))
        return NULL;
    if (type == BS_PARQUET_INT32)
        return json_integer((int32_t)bits);
    if (type == BS_PARQUET_INT64)
        return json_integer((int64_t)bits);
    uint32_t low = (uint32_t)bits;
    memcpy(&single, &low, sizeof single);
    memcpy(&wide, &bits, sizeof wide);
    return real_value(type == BS_PARQUET_FLOAT ? (double)single : wide);
}

/* Why there was none. */
static enum bs_status no_value(const struct reading *r, const char *what)
{
    return r->no_text ? bs_fail(r->err, BS_EUNSUPPORTED, "bytes that are no UTF-8 text")
                      : damaged(r->err, what);
}

static enum bs_status read_dictionary(struct reading *r, const struct bs_parquet_header *header,
                                      struct bytes b)
{
    int bit = 0;
    if (r->dictionary || header->num_values > header->unpacked ||
        header->num_values > BS_PARQUET_VALUES)
        return damaged(r->err, "its dictionary");
    r->dictionary = bs_calloc((size_t)header->num_values, sizeof(json_t *));
    if (!r->dictionary)
        return bs_fail_memory(r->err);
    for (int64_t i = 0; i < header->num_values; i++) {
        json_t *value = plain_value(r, &b, &bit);
        if (!value)
            return no_value(r, "its dictionary");
        r->dictionary[r->dictionary_size++] = value;
    }
    return BS_OK;
}

/* Room for `more` values. */
static enum bs_status make_room(struct bs_parquet_column *c, size_t more, struct bs_error *err)
{
    size_t room = c->capacity ? c->capacity : 1024;
    while (room < c->count + more)
        room *= 2;
    if (room == c->capacity)
        return BS_OK;
    unsigned char *repetitions = bs_realloc(c->repetitions, c->count, room, 1);
    c->repetitions = repetitions ? repetitions : c->repetitions;
    unsigned char *definitions = bs_realloc(c->definitions, c->count, room, 1);
    c->definitions = definitions ? definitions : c->definitions;
    json_t **values = bs_realloc(c->values, c->count, room, sizeof(json_t *));
    c->values = values ? values : c->values;
    if (!repetitions || !definitions || !values)
        return bs_fail_memory(err);
    c->capacity = room;
    return BS_OK;
}

/* The levels of a page's values into out [count]. */
static bool read_levels(struct bytes b, int most, unsigned char *out, size_t count)
{
    struct runs runs = {.bytes = b, .width = bits_of(most)};
    for (size_t i = 0; i < count; i++) {
        uint32_t level = 0;
        if (most && (!next_number(&runs, &level) || level > (uint32_t)most))
            return false;
        out[i] = (unsigned char)level;
    }
    return true;
}

/* The values of a page whose levels stand in the column already. */
static enum bs_status read_values(struct reading *r, int encoding, struct bytes b, size_t count)
{
    struct bs_parquet_column *c = r->column;
    bool indexed = encoding == BS_PARQUET_PLAIN_DICTIONARY || encoding == BS_PARQUET_RLE_DICTIONARY;
    bool truths = encoding == BS_PARQUET_RLE && r->leaf->type == BS_PARQUET_BOOLEAN;
    struct runs runs = {.width = 1};
    uint64_t number = 0;
    int bit = 0;
    if (!indexed && !truths && encoding != BS_PARQUET_PLAIN)
        return bs_fail(r->err, BS_EUNSUPPORTED,
                       "values of encoding %d, expected plain or of a dictionary", encoding);
    if (indexed && b.at < b.end)
        take(&b, 1, &number), runs.width = (int)number;
    if (truths && !take(&b, 4, &number)) /* the bytes that follow */
        return damaged(r->err, "a page");
    runs.bytes = b;
    if (runs.width > 32)
        return damaged(r->err, "a page");
    for (size_t i = 0; i < count; i++, c->count++) {
        uint32_t index = 0;
        c->values[c->count] = NULL;
        if (c->definitions[c->count] < r->leaf->most_definitions)
            continue;
        if ((indexed || truths) && !next_number(&runs, &index))
            return damaged(r->err, "a page");
        if (indexed && index >= r->dictionary_size)
            return damaged(r->err, "a page");
        json_t *value = indexed  ? json_incref(r->dictionary[index])
                        : truths ? json_boolean(index)
                                 : plain_value(r, &b, &bit);
        if (!value)
            return no_value(r, "a page");
        c->values[c->count] = value;
    }
    return BS_OK;
}

/* The levels that a page of the older kind begins with: their length, and they. */
static bool take_levels(struct bytes *b, int most, struct bytes *levels)
{
    uint64_t length = 0;
    *levels = *b;
    if (!most)
        return true;
    if (!take(b, 4, &length) || length > left(b))
        return false;
    *levels = (struct bytes){b->at, b->at + length};
    b->at += length;
    return true;
}

static enum bs_status read_data(struct reading *r, const struct bs_parquet_header *header,
                                struct bytes repetitions, struct bytes definitions,
                                struct bytes values)
{
    struct bs_parquet_column *c = r->column;
    size_t count = (size_t)header->num_values;
    if (make_room(c, count, r->err))
        return r->err->status;
    if (!read_levels(repetitions, r->leaf->most_repetitions, c->repetitions + c->count, count) ||
        !read_levels(definitions, r->leaf->most_definitions, c->definitions + c->count, count))
        return damaged(r->err, "a page");
    return read_values(r, header->encoding, values, count);
}

/* A page of the older kind, unpacked: levels and values. */
static enum bs_status read_older(struct reading *r, const struct bs_parquet_header *header,
                                 struct bytes b)
{
    struct bytes repetitions, definitions;
    if (!take_levels(&b, r->leaf->most_repetitions, &repetitions) ||
        !take_levels(&b, r->leaf->most_definitions, &definitions))
        return damaged(r->err, "a page");
    return read_data(r, header, repetitions, definitions, b);
}

/* Unpacks a page, whose first `levels` bytes are not packed, into new memory and reads it. */
static enum bs_status read_page(struct reading *r, const struct bs_parquet_header *header,
                                const unsigned char *at)
{
    bool newer = header->type == BS_PARQUET_DATA_V2;
    int64_t levels = newer ? header->definitions + header->repetitions : 0;
    if (levels > header->packed || levels > header->unpacked || header->unpacked > MOST_PAGE)
        return damaged(r->err, "a page");
    size_t whole = (size_t)header->unpacked, before = (size_t)levels;
    unsigned char *page = bs_alloc(whole + 1, 1);
    if (!page)
        return bs_fail_memory(r->err);
    memcpy(page, at, before);
    int codec = header->is_packed ? r->codec : BS_PARQUET_PLAIN_BYTES;
    enum bs_status status = BS_OK;
    if (whole > before || (size_t)header->packed > before) /* no values need no packing */
        status = unpack(codec, at + before, (size_t)header->packed - before, page + before,
                        whole - before, r->err);
    struct bytes b = {page, page + whole};
    if (!status && header->type == BS_PARQUET_DICTIONARY) {
        status = read_dictionary(r, header, b);
    } else if (!status && !newer) {
        status = read_older(r, header, b);
    } else if (!status) {
        const unsigned char *second = page + header->repetitions, *values = page + before;
        status = read_data(r, header, (struct bytes){page, second}, (struct bytes){second, values},
                           (struct bytes){values, b.end});
    }
    bs_free(page);
    return status;
}

static enum bs_status read_pages(struct reading *r, struct bytes b, int64_t wanted)
{
    size_t begin = r->column->count;
    while ((int64_t)(r->column->count - begin) < wanted) {
        struct bs_parquet_header header;
        size_t taken = bs_parquet_read_header(b.at, left(&b), &header);
        if (!taken || (size_t)header.packed > left(&b) - taken)
            return damaged(r->err, "the header of a page");
        bool known = header.type == BS_PARQUET_DATA || header.type == BS_PARQUET_DICTIONARY ||
                     header.type == BS_PARQUET_DATA_V2;
        bool data = known && header.type != BS_PARQUET_DICTIONARY;
        if (data && (!header.num_values ||
                     header.num_values > wanted - (int64_t)(r->column->count - begin)))
            return damaged(r->err, "the header of a page");
        b.at += taken;
        if (known && read_page(r, &header, b.at))
            return r->err->status;
        b.at += header.packed;
    }
    return BS_OK;
}

enum bs_status bs_parquet_read_chunk(const unsigned char *data, size_t size,
                                     const struct bs_parquet_leaf *leaf,
                                     const struct bs_parquet_chunk *chunk,
                                     struct bs_parquet_column *column, struct bs_error *err)
{
    int64_t begin = chunk->dictionary_offset && chunk->dictionary_offset < chunk->data_offset
                        ? chunk->dictionary_offset
                        : chunk->data_offset;
    if (begin > (int64_t)size || chunk->compressed > (int64_t)size - begin)
        return damaged(err, "its footer");
    if (leaf->type == BS_PARQUET_INT96 || leaf->type == BS_PARQUET_FIXED)
        return bs_fail(err, BS_EUNSUPPORTED, "values of a type that is no text and no number");
    if (leaf->most_definitions > MOST_LEVEL || leaf->most_repetitions > 1)
        return bs_fail(err, BS_EUNSUPPORTED, "lists within lists are not read");
    struct reading r = {.leaf = leaf, .codec = chunk->codec, .column = column, .err = err};
    const struct bytes b = {data + begin, data + begin + chunk->compressed};
    enum bs_status status = read_pages(&r, b, chunk->num_values);
    for (size_t i = 0; i < r.dictionary_size; i++)
        json_decref(r.dictionary[i]);
    bs_free(r.dictionary);
    return status;
}

void bs_parquet_release_column(struct bs_parquet_column *column)
{
    for (size_t i = 0; i < column->count; i++)
        json_decref(column->values[i]);
    bs_free(column->values);
    bs_free(column->repetitions);
    bs_free(column->definitions);
    *column = (struct bs_parquet_column){0};
}

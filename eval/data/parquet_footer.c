/* Thrift's compact protocol (apache/thrift thrift-compact-protocol.md), as far as Parquet needs
 * it. */
#include "eval/data/parquet_footer.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/utf8.h"

enum {
    STOP = 0,
    TRUE = 1,
    FALSE = 2,
    BYTE = 3,
    I16 = 4,
    I32 = 5,
    I64 = 6,
    DOUBLE = 7,
    BINARY = 8,
    LIST = 9,
    SET = 10,
    MAP = 11,
    STRUCT = 12,
    MOST_DEPTH = 16
};

/* Bytes on their way; after a failure nothing more is read. */
struct thrift {
    const unsigned char *at, *end;
    bool broken;
};

static unsigned read_byte(struct thrift *t)
{
    if (t->broken || t->at == t->end) {
        t->broken = true;
        return 0;
    }
    return *t->at++;
}

static uint64_t read_varint(struct thrift *t)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        unsigned byte = read_byte(t);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    t->broken = true;
    return 0;
}

static int64_t read_number(struct thrift *t)
{
    uint64_t value = read_varint(t);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* A number that must lie in 0 .. most. */
static int64_t read_count(struct thrift *t, int64_t most)
{
    int64_t value = read_number(t);
    t->broken |= value < 0 || value > most;
    return t->broken ? 0 : value;
}

static const unsigned char *read_bytes(struct thrift *t, size_t *size)
{
    uint64_t length = read_varint(t);
    const unsigned char *bytes = t->at;
    if (t->broken || length > (uint64_t)(t->end - t->at)) {
        t->broken = true;
        length = 0;
    }
    t->at += length;
    *size = (size_t)length;
    return bytes;
}

/* The next field of a struct: its type, STOP at its end; *id goes on from field to field. */
static int read_field(struct thrift *t, int *id)
{
    unsigned byte = read_byte(t);
    if (t->broken || !(byte & 0xf))
        return STOP;
    *id = byte >> 4 ? *id + (int)(byte >> 4) : (int)read_number(t);
    return (int)(byte & 0xf);
}

/* A list's head: how many of what. */
static int64_t read_list(struct thrift *t, int *type)
{
    unsigned byte = read_byte(t);
    uint64_t count = byte >> 4;
    *type = (int)(byte & 0xf);
    if (count == 15)
        count = read_varint(t);
    /* each takes a byte at least */
    t->broken |= count > (uint64_t)(t->end - t->at);
    return t->broken ? 0 : (int64_t)count;
}

static void skip(struct thrift *t, int type, int depth);

static void skip_all(struct thrift *t, int type, int64_t count, int depth)
{
    for (int64_t i = 0; i < count && !t->broken; i++)
        if (type == TRUE || type == FALSE)
            read_byte(t); /* in a list a truth value takes a byte */
        else
            skip(t, type, depth);
}

static void skip_struct(struct thrift *t, int depth)
{
    int id = 0, type;
    while ((type = read_field(t, &id)) != STOP)
        skip(t, type, depth);
}

static void skip_map(struct thrift *t, int depth)
{
    uint64_t count = read_varint(t);
    unsigned types = count ? read_byte(t) : 0;
    t->broken |= count > (uint64_t)(t->end - t->at);
    for (uint64_t i = 0; i < count && !t->broken; i++) {
        skip(t, (int)(types >> 4), depth);
        skip(t, (int)(types & 0xf), depth);
    }
}

static void skip(struct thrift *t, int type, int depth)
{
    size_t size;
    int element;
    if (depth > MOST_DEPTH) {
        t->broken = true;
    } else if (type == BYTE) {
        read_byte(t);
    } else if (type == I16 || type == I32 || type == I64) {
        read_varint(t);
    } else if (type == DOUBLE) {
        for (int i = 0; i < 8; i++)
            read_byte(t);
    } else if (type == BINARY) {
        read_bytes(t, &size);
    } else if (type == LIST || type == SET) {
        int64_t count = read_list(t, &element);
        skip_all(t, element, count, depth + 1);
    } else if (type == MAP) {
        skip_map(t, depth + 1);
    } else if (type == STRUCT) {
        skip_struct(t, depth + 1);
    } else {
        t->broken |= type != TRUE && type != FALSE;
    }
}

/* ---- the schema ---- */

/* The field of a union that is set. */
static int read_union(struct thrift *t)
{
    int id = 0, first = 0, type;
    while ((type = read_field(t, &id)) != STOP) {
        first = first ? first : id;
        skip(t, type, 1);
    }
    return first;
}

static void read_node(struct thrift *t, struct bs_parquet_node *node)
{
    enum { OLD_LIST = 3, NEW_LIST = 3, MOST = 1 << 20 };
    int id = 0, type;
    size_t size;
    *node = (struct bs_parquet_node){.type = -1, .parent = -1};
    while ((type = read_field(t, &id)) != STOP) {
        if (id == 1 && type == I32) {
            node->type = (int)read_count(t, BS_PARQUET_FIXED);
        } else if (id == 3 && type == I32) {
            node->repetition = (int)read_count(t, BS_PARQUET_REPEATED);
        } else if (id == 4 && type == BINARY) {
            const unsigned char *name = read_bytes(t, &size);
            struct bs_error ignored;
            t->broken |= size >= sizeof node->name || memchr(name, 0, size) ||
                         bs_utf8_check((const char *)name, size, &ignored);
            memcpy(node->name, name, t->broken ? 0 : size);
        } else if (id == 5 && type == I32) {
            node->num_children = (int)read_count(t, MOST);
        } else if (id == 6 && type == I32) {
            node->is_list |= read_number(t) == OLD_LIST;
        } else if (id == 10 && type == STRUCT) {
            node->is_list |= read_union(t) == NEW_LIST;
        } else {
            skip(t, type, 1);
        }
    }
}

/* Parents of the nodes that follow `at`, its children; returns the node after its last. */
static int find_parents(struct bs_parquet_footer *footer, int at, int depth)
{
    int next = at + 1;
    for (int i = 0; i < footer->nodes[at].num_children && depth < MOST_DEPTH; i++) {
        if (next >= footer->num_nodes)
            return footer->num_nodes + 1;
        footer->nodes[next].parent = at;
        next = find_parents(footer, next, depth + 1);
    }
    return depth < MOST_DEPTH ? next : footer->num_nodes + 1;
}

static enum bs_status read_schema(struct thrift *t, struct bs_parquet_footer *footer,
                                  struct bs_error *err)
{
    int type;
    int64_t count = read_list(t, &type);
    if (footer->nodes || type != STRUCT || count < 1 || count > BS_PARQUET_NODES) {
        t->broken = true;
        return BS_OK;
    }
    footer->nodes = bs_calloc((size_t)count, sizeof *footer->nodes);
    if (!footer->nodes)
        return bs_fail_memory(err);
    footer->num_nodes = (int)count;
    for (int i = 0; i < count; i++)
        read_node(t, &footer->nodes[i]);
    footer->nodes[0].is_list = false; /* it is the row */
    t->broken = t->broken || find_parents(footer, 0, 0) != footer->num_nodes;
    for (int i = 1; i < count && !t->broken; i++) {
        bool is_group = footer->nodes[i].type < 0;
        t->broken |= is_group != (footer->nodes[i].num_children > 0);
        if (!is_group)
            footer->leaves[footer->num_leaves++] = i;
    }
    return BS_OK;
}

/* ---- where the values are ---- */

static void read_chunk_facts(struct thrift *t, struct bs_parquet_chunk *chunk)
{
    int id = 0, type;
    while ((type = read_field(t, &id)) != STOP) {
        if (id == 4 && type == I32)
            chunk->codec = (int)read_count(t, 255);
        else if (id == 5 && type == I64)
            chunk->num_values = read_count(t, INT64_MAX / 2);
        else if (id == 7 && type == I64)
            chunk->compressed = read_count(t, INT64_MAX / 2);
        else if (id == 9 && type == I64)
            chunk->data_offset = read_count(t, INT64_MAX / 2);
        else if (id == 11 && type == I64)
            chunk->dictionary_offset = read_count(t, INT64_MAX / 2);
        else
            skip(t, type, 1);
    }
}

static void read_chunk(struct thrift *t, struct bs_parquet_chunk *chunk)
{
    int id = 0, type;
    while ((type = read_field(t, &id)) != STOP)
        if (id == 3 && type == STRUCT)
            read_chunk_facts(t, chunk);
        else if (id == 1)
            t->broken = true; /* its values are in another file */
        else
            skip(t, type, 1);
}

static void read_group(struct thrift *t, struct bs_parquet_footer *footer, int group)
{
    int id = 0, type, element;
    bool columns = false;
    while ((type = read_field(t, &id)) != STOP) {
        if (id == 1 && type == LIST) {
            columns = read_list(t, &element) == footer->num_leaves && element == STRUCT;
            t->broken |= !columns;
            for (int c = 0; c < footer->num_leaves && !t->broken; c++)
                read_chunk(t, &footer->chunks[group * footer->num_leaves + c]);
        } else if (id == 3 && type == I64) {
            footer->group_rows[group] = read_count(t, INT32_MAX);
        } else {
            skip(t, type, 1);
        }
    }
    t->broken |= !columns;
}

static enum bs_status read_groups(struct thrift *t, struct bs_parquet_footer *footer,
                                  struct bs_error *err)
{
    enum { MOST_CHUNKS = 1 << 20 };
    int type;
    int64_t count = read_list(t, &type);
    if (footer->chunks || !footer->num_leaves || (count && type != STRUCT) ||
        count > MOST_CHUNKS / footer->num_leaves) {
        t->broken = true;
        return BS_OK;
    }
    footer->num_groups = (int)count;
    footer->group_rows = bs_calloc((size_t)count, sizeof *footer->group_rows);
    footer->chunks = bs_calloc((size_t)count, (size_t)footer->num_leaves * sizeof *footer->chunks);
    if (!footer->group_rows || !footer->chunks)
        return bs_fail_memory(err);
    for (int g = 0; g < count && !t->broken; g++)
        read_group(t, footer, g);
    return BS_OK;
}

enum bs_status bs_parquet_read_footer(const unsigned char *data, size_t size,
                                      struct bs_parquet_footer *footer, struct bs_error *err)
{
    *footer = (struct bs_parquet_footer){0};
    if (size < 12 || memcmp(data, "PAR1", 4) || memcmp(data + size - 4, "PAR1", 4))
        return bs_fail(err, BS_EDATA, "no Parquet file, or cut short");
    const unsigned char *tail = data + size - 8;
    size_t length = tail[0] | (size_t)tail[1] << 8 | (size_t)tail[2] << 16 | (size_t)tail[3] << 24;
    if (length > size - 12)
        return bs_fail(err, BS_EDATA, "its footer is said to be longer than the file");
    struct thrift t = {tail - length, tail, false};
    int id = 0, type;
    enum bs_status status = BS_OK;
    while (!status && (type = read_field(&t, &id)) != STOP) {
        if (id == 2 && type == LIST)
            status = read_schema(&t, footer, err);
        else if (id == 3 && type == I64)
            footer->num_rows = read_count(&t, INT32_MAX);
        else if (id == 4 && type == LIST)
            status = read_groups(&t, footer, err);
        else
            skip(&t, type, 0);
    }
    if (!status && (t.broken || !footer->num_leaves || !footer->chunks))
        status = bs_fail(err, BS_EDATA, "its footer is damaged");
    return status;
}

void bs_parquet_release_footer(struct bs_parquet_footer *footer)
{
    bs_free(footer->nodes);
    bs_free(footer->group_rows);
    bs_free(footer->chunks);
    *footer = (struct bs_parquet_footer){0};
}

/* ---- pages ---- */

/* The header of either kind of data page, or of a dictionary, field for field alike but for the
 * levels of the newer kind. */
static void read_page(struct thrift *t, struct bs_parquet_header *header, bool newer)
{
    int id = 0, type;
    header->is_packed = true;
    while ((type = read_field(t, &id)) != STOP) {
        if (id == 1 && type == I32)
            header->num_values = read_count(t, INT32_MAX);
        else if (id == (newer ? 4 : 2) && type == I32)
            header->encoding = (int)read_count(t, 255);
        else if (newer && id == 5 && type == I32)
            header->definitions = read_count(t, INT32_MAX);
        else if (newer && id == 6 && type == I32)
            header->repetitions = read_count(t, INT32_MAX);
        else if (newer && id == 7)
            header->is_packed = type == TRUE;
        else
            skip(t, type, 1);
    }
}

size_t bs_parquet_read_header(const unsigned char *data, size_t size,
                              struct bs_parquet_header *header)
{
    struct thrift t = {data, data + size, false};
    int id = 0, type;
    *header = (struct bs_parquet_header){.type = -1};
    while ((type = read_field(&t, &id)) != STOP) {
        if (id == 1 && type == I32)
            header->type = (int)read_count(&t, 255);
        else if (id == 2 && type == I32)
            header->unpacked = read_count(&t, INT32_MAX);
        else if (id == 3 && type == I32)
            header->packed = read_count(&t, INT32_MAX);
        else if ((id == 5 || id == 7 || id == 8) && type == STRUCT)
            read_page(&t, header, id == 8);
        else
            skip(&t, type, 1);
    }
    return t.broken || header->type < 0 ? 0 : (size_t)(t.at - data);
}

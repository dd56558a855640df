/* What a Parquet file says of itself (apache/parquet-format, parquet.thrift): its schema, where the
 * values of each column are, and the headers of its pages. For the reader alone. */
#ifndef BS_EVAL_DATA_PARQUET_FOOTER_H
#define BS_EVAL_DATA_PARQUET_FOOTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"

/* Numbers of the format: what values are, ... */
enum bs_parquet_type {
    BS_PARQUET_BOOLEAN,
    BS_PARQUET_INT32,
    BS_PARQUET_INT64,
    BS_PARQUET_INT96,
    BS_PARQUET_FLOAT,
    BS_PARQUET_DOUBLE,
    BS_PARQUET_BYTES,
    BS_PARQUET_FIXED
};

/* ... how often a node is there, how pages are packed, what is in them. */
enum bs_parquet_repetition { BS_PARQUET_REQUIRED, BS_PARQUET_OPTIONAL, BS_PARQUET_REPEATED };
enum bs_parquet_codec {
    BS_PARQUET_PLAIN_BYTES = 0,
    BS_PARQUET_SNAPPY = 1,
    BS_PARQUET_GZIP = 2,
    BS_PARQUET_ZSTD = 6
};
enum bs_parquet_encoding {
    BS_PARQUET_PLAIN = 0,
    BS_PARQUET_PLAIN_DICTIONARY = 2,
    BS_PARQUET_RLE = 3,
    BS_PARQUET_RLE_DICTIONARY = 8
};
enum bs_parquet_page {
    BS_PARQUET_DATA = 0,
    BS_PARQUET_INDEX = 1,
    BS_PARQUET_DICTIONARY = 2,
    BS_PARQUET_DATA_V2 = 3
};

enum { BS_PARQUET_NODES = 256, BS_PARQUET_NAME = 128, BS_PARQUET_VALUES = 1 << 26 };

/* A node of the schema, in the order of the file: a group before its children. */
struct bs_parquet_node {
    char name[BS_PARQUET_NAME];
    int type; /* -1: a group */
    int repetition, num_children, parent;
    bool is_list;
};

/* One column of one row group. */
struct bs_parquet_chunk {
    int codec;
    int64_t num_values, compressed, data_offset, dictionary_offset; /* 0 = none */
};

/* The footer. */
struct bs_parquet_footer {
    int num_nodes;
    struct bs_parquet_node *nodes; /* the first is the root */
    int num_leaves;
    int leaves[BS_PARQUET_NODES]; /* nodes that hold values */
    int64_t num_rows;
    int num_groups;
    int64_t *group_rows;             /* [num_groups] */
    struct bs_parquet_chunk *chunks; /* [num_groups][num_leaves] */
};

/* Reads the footer of the file's bytes. BS_EDATA, without the file's name, where it is damaged;
 * BS_ENOMEM. Released in any case. */
enum bs_status bs_parquet_read_footer(const unsigned char *data, size_t size,
                                      struct bs_parquet_footer *footer, struct bs_error *err);
void bs_parquet_release_footer(struct bs_parquet_footer *footer);

/* A page's header. */
struct bs_parquet_header {
    int type, encoding;
    int64_t unpacked, packed, num_values;
    int64_t definitions, repetitions; /* bytes of the levels, of DATA_V2 */
    bool is_packed;                   /* of DATA_V2 */
};

/* Reads the header at data[0 .. size); the bytes that it takes, 0 where it is damaged. */
size_t bs_parquet_read_header(const unsigned char *data, size_t size,
                              struct bs_parquet_header *header);

#endif

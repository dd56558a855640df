/* A column of a Parquet file: its pages unpacked, and what is in them. For the reader alone. */
#ifndef BS_EVAL_DATA_PARQUET_COLUMN_H
#define BS_EVAL_DATA_PARQUET_COLUMN_H

#include <jansson.h>

#include "eval/data/parquet_footer.h"

/* Of each value how often it repeats and how much of its path is there (Dremel's levels; Melnik et
 * al. 2010), and the value, NULL where not all of the path is there. */
struct bs_parquet_column {
    size_t count, capacity;
    unsigned char *repetitions, *definitions;
    json_t **values;
};

/* What a column is, of its path in the schema. */
struct bs_parquet_leaf {
    int type;
    int most_repetitions, most_definitions;
};

/* Adds the values of one chunk. BS_EDATA where it is damaged, BS_EUNSUPPORTED for a way to pack or
 * encode it that is not known; BS_ENOMEM. Release the column in any case. */
enum bs_status bs_parquet_read_chunk(const unsigned char *data, size_t size,
                                     const struct bs_parquet_leaf *leaf,
                                     const struct bs_parquet_chunk *chunk,
                                     struct bs_parquet_column *column, struct bs_error *err);
void bs_parquet_release_column(struct bs_parquet_column *column);

#endif

/* Snappy's raw format (google/snappy format_description.txt), as pages of Parquet are packed in. */
#ifndef BS_EVAL_DATA_SNAPPY_H
#define BS_EVAL_DATA_SNAPPY_H

#include <stdbool.h>
#include <stddef.h>

/* Unpacks packed[0 .. size) into out[0 .. room), which it must fill to the end. False where it is
 * damaged or says another length. */
bool bs_snappy_unpack(const unsigned char *packed, size_t size, unsigned char *out, size_t room);

#endif

/* The bytes of a file, whatever it is packed in, read piece by piece. */
#ifndef BS_EVAL_DATA_INPUT_H
#define BS_EVAL_DATA_INPUT_H

#include <stddef.h>

#include "eval/base/error.h"

struct bs_input;

/* Opens `path` to read: a name ending in .gz is gzip, in .zst Zstandard; with `member` not NULL the
 * file is a zip archive and that member is read. Both names must live as long as the input. BS_EIO
 * where it cannot be opened, BS_EDATA where it is no such archive or lacks the member. */
enum bs_status bs_input_open(const char *path, const char *member, struct bs_input **input,
                             struct bs_error *err);

/* Reads up to `room` bytes; *got is 0 at the end only. BS_EIO, or BS_EDATA where what is packed is
 * damaged or ends early. */
enum bs_status bs_input_read(struct bs_input *input, void *bytes, size_t room, size_t *got,
                             struct bs_error *err);

/* Closes the file; NULL is fine. */
void bs_input_close(struct bs_input *input);

#endif

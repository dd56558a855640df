/* Writes and mends zip files as PyTorch lays them out: stored entries and a central directory. */
#ifndef BS_TESTS_FUZZ_ZIP_H
#define BS_TESTS_FUZZ_ZIP_H

#include <stddef.h>
#include <stdint.h>

struct zip_entry {
    const char *name;
    const void *data;
    size_t size;
};

/* Writes the archive to out and returns its size; aborts where `room` bytes are too few. */
size_t zip_write(const struct zip_entry *entries, int count, unsigned char *out, size_t room);

/* Sets the CRC of every stored entry of a damaged archive to that of its data, as far as its
 * directory can be followed. */
void zip_mend(unsigned char *zip, size_t size);

#endif

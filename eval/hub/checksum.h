/* The checksums that the hub gives its files, by OpenSSL's libcrypto. */
#ifndef BS_EVAL_HUB_CHECKSUM_H
#define BS_EVAL_HUB_CHECKSUM_H

#include <stdbool.h>

#include "eval/base/error.h"

/* The two kinds of checksum that the hub gives of a file. */
enum bs_checksum_kind {
    BS_SHA256,   /* of the content: large files (LFS) and whatever else has one */
    BS_GIT_SHA1, /* of "blob <size>" and a zero byte before the content: git's name of a file */
};

/* 64 or 40 hexadecimal digits and a zero byte. */
struct bs_checksum {
    char hex[65];
};

/* True where `text` has the form of a checksum of 64 or 40 lower-case digits, with its kind. */
bool bs_checksum_kind_of(const char *text, enum bs_checksum_kind *kind);

/* Of a whole file. BS_EIO where it cannot be read. */
enum bs_status bs_checksum_file(const char *path, enum bs_checksum_kind kind,
                                struct bs_checksum *checksum, struct bs_error *err);

#endif

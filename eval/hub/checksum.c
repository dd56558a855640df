#include "eval/hub/checksum.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "eval/base/mem.h"
#include "eval/hub/layout.h"

enum { CHUNK = 1 << 20 };

bool bs_checksum_kind_of(const char *text, enum bs_checksum_kind *kind)
{
    *kind = bs_hub_is_hex(text, 64) ? BS_SHA256 : BS_GIT_SHA1;
    return *kind == BS_SHA256 || bs_hub_is_hex(text, 40);
}

/* Reads on from where the file is. */
static enum bs_status digest_rest(int fd, const char *path, EVP_MD_CTX *digest,
                                  struct bs_error *err)
{
    unsigned char *buffer = bs_alloc(CHUNK, 1);
    if (!buffer)
        return bs_fail_memory(err);
    ssize_t got;
    int reason = 0;
    while ((got = read(fd, buffer, CHUNK)) != 0 && !reason)
        if (got > 0)
            EVP_DigestUpdate(digest, buffer, (size_t)got);
        else if (errno != EINTR)
            reason = errno;
    bs_free(buffer);
    return reason ? bs_fail(err, BS_EIO, "cannot read '%s': %s", path, strerror(reason)) : BS_OK;
}

static void print_digest(EVP_MD_CTX *digest, struct bs_checksum *checksum)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_DigestFinal_ex(digest, bytes, &length);
    for (unsigned i = 0; i < length && 2 * i + 2 < sizeof checksum->hex; i++)
        snprintf(checksum->hex + 2 * i, 3, "%02x", bytes[i]);
}

static enum bs_status digest_file(int fd, const char *path, enum bs_checksum_kind kind,
                                  struct bs_checksum *checksum, struct bs_error *err)
{
    struct stat info;
    char head[64];
    if (fstat(fd, &info))
        return bs_fail(err, BS_EIO, "cannot read '%s': %s", path, strerror(errno));
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (!digest ||
        !EVP_DigestInit_ex(digest, kind == BS_SHA256 ? EVP_sha256() : EVP_sha1(), NULL)) {
        EVP_MD_CTX_free(digest);
        return bs_fail_memory(err);
    }
    int length = snprintf(head, sizeof head, "blob %lld", (long long)info.st_size);
    if (kind == BS_GIT_SHA1)
        EVP_DigestUpdate(digest, head, (size_t)length + 1);
    enum bs_status status = digest_rest(fd, path, digest, err);
    if (!status)
        print_digest(digest, checksum);
    EVP_MD_CTX_free(digest);
    return status;
}

enum bs_status bs_checksum_file(const char *path, enum bs_checksum_kind kind,
                                struct bs_checksum *checksum, struct bs_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return bs_fail(err, BS_EIO, "cannot open '%s': %s", path, strerror(errno));
    enum bs_status status = digest_file(fd, path, kind, checksum, err);
    close(fd);
    return status;
}

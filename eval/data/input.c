#include "eval/data/input.h"

#include "eval/base/file.h"
#include "eval/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <zip.h>
#include <zlib.h>
#include <zstd.h>

/* How one kind of packing is opened, read and closed. */
struct packing {
    enum bs_status (*open)(struct bs_input *input, struct bs_error *err);
    enum bs_status (*read)(struct bs_input *input, void *bytes, size_t room, size_t *got,
                           struct bs_error *err);
    void (*close)(struct bs_input *input);
};

struct bs_input {
    const struct packing *packing;
    const char *path, *member; /* borrowed */
    int fd;
    char *packed; /* what is still to be unpacked */
    bool within;  /* a gzip member or a zstd frame: the file must not end here */
    z_stream gzip;
    bool gzip_ready, padded;
    ZSTD_DStream *zstd;
    ZSTD_inBuffer waiting;
    zip_t *archive;
    zip_file_t *file;
};

enum { PIECE = 1 << 17, MOST_AT_ONCE = 1 << 30 };

static enum bs_status plain_open(struct bs_input *input, struct bs_error *err)
{
    input->fd = open(input->path, O_RDONLY | O_CLOEXEC);
    if (input->fd < 0)
        return bs_fail(err, BS_EIO, "cannot open '%s': %s", input->path, strerror(errno));
    return BS_OK;
}

static enum bs_status plain_read(struct bs_input *input, void *bytes, size_t room, size_t *got,
                                 struct bs_error *err)
{
    ssize_t done;
    do
        done = read(input->fd, bytes, room);
    while (done < 0 && errno == EINTR);
    if (done < 0)
        return bs_fail(err, BS_EIO, "cannot read '%s': %s", input->path, strerror(errno));
    *got = (size_t)done;
    return BS_OK;
}

static void plain_close(struct bs_input *input)
{
    if (input->fd >= 0)
        close(input->fd);
}

static const struct packing plain = {plain_open, plain_read, plain_close};

static enum bs_status gzip_open(struct bs_input *input, struct bs_error *err)
{
    if (plain_open(input, err))
        return err->status;
    input->packed = bs_alloc(PIECE, 1);
    input->within = true; /* a file has one member at least */
    enum { GZIP_ONLY = 16 };
    if (!input->packed || inflateInit2(&input->gzip, MAX_WBITS + GZIP_ONLY) != Z_OK)
        return bs_fail_memory(err);
    input->gzip_ready = true;
    return BS_OK;
}

/* Fills gzip.next_in; nothing is there when the file has ended. */
static enum bs_status gzip_fill(struct bs_input *input, struct bs_error *err)
{
    size_t got = 0;
    if (input->gzip.avail_in)
        return BS_OK;
    if (plain_read(input, input->packed, PIECE, &got, err))
        return err->status;
    input->gzip.next_in = (unsigned char *)input->packed;
    input->gzip.avail_in = (unsigned)got;
    return BS_OK;
}

/* Between two members: true in *more where another one follows. Zero bytes may fill up the end, as
 * tapes have them. */
static enum bs_status gzip_next_member(struct bs_input *input, bool *more, struct bs_error *err)
{
    z_stream *gzip = &input->gzip;
    *more = false;
    for (;;) {
        if (gzip_fill(input, err))
            return err->status;
        if (!gzip->avail_in)
            return BS_OK;
        if (*gzip->next_in)
            break;
        input->padded = true;
        gzip->next_in++;
        gzip->avail_in--;
    }
    if (*gzip->next_in != 0x1f || input->padded)
        return bs_fail(err, BS_EDATA, "%s: something that is not gzip follows the packed text",
                       input->path);
    inflateReset(gzip);
    *more = input->within = true;
    return BS_OK;
}

static enum bs_status gzip_read(struct bs_input *input, void *bytes, size_t room, size_t *got,
                                struct bs_error *err)
{
    z_stream *gzip = &input->gzip;
    bool more = true;
    gzip->next_out = bytes;
    gzip->avail_out = (unsigned)room;
    while (gzip->avail_out == room) {
        if (!input->within && gzip_next_member(input, &more, err))
            return err->status;
        if (!more)
            break;
        if (gzip_fill(input, err))
            return err->status;
        if (!gzip->avail_in)
            return bs_fail(err, BS_EDATA, "%s: the gzip file ends early", input->path);
        bool first = !gzip->total_in;
        int code = inflate(gzip, Z_NO_FLUSH);
        if (code == Z_MEM_ERROR)
            return bs_fail_memory(err);
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
            return bs_fail(err, BS_EDATA, "%s: %s: %s", input->path,
                           first ? "not a gzip file, or damaged" : "damaged gzip file",
                           gzip->msg ? gzip->msg : zError(code));
        input->within = code != Z_STREAM_END;
    }
    *got = room - gzip->avail_out;
    return BS_OK;
}

static void gzip_close(struct bs_input *input)
{
    if (input->gzip_ready)
        inflateEnd(&input->gzip);
    bs_free(input->packed);
    plain_close(input);
}

static const struct packing gzip = {gzip_open, gzip_read, gzip_close};

static enum bs_status zstd_open(struct bs_input *input, struct bs_error *err)
{
    if (plain_open(input, err))
        return err->status;
    input->zstd = ZSTD_createDStream();
    input->packed = bs_alloc(PIECE, 1);
    input->waiting.src = input->packed;
    input->within = true; /* a file has one frame at least */
    return input->zstd && input->packed ? BS_OK : bs_fail_memory(err);
}

static enum bs_status zstd_read(struct bs_input *input, void *bytes, size_t room, size_t *got,
                                struct bs_error *err)
{
    ZSTD_outBuffer out = {.dst = bytes, .size = room};
    while (!out.pos) {
        if (input->waiting.pos == input->waiting.size) {
            input->waiting.pos = 0;
            if (plain_read(input, input->packed, PIECE, &input->waiting.size, err))
                return err->status;
            if (!input->waiting.size && input->within)
                return bs_fail(err, BS_EDATA, "%s: the zstd file ends early", input->path);
            if (!input->waiting.size)
                break;
        }
        size_t code = ZSTD_decompressStream(input->zstd, &out, &input->waiting);
        if (ZSTD_isError(code))
            return bs_fail(err, BS_EDATA, "%s: not a zstd file, or damaged: %s", input->path,
                           ZSTD_getErrorName(code));
        input->within = code != 0;
    }
    *got = out.pos;
    return BS_OK;
}

static void zstd_close(struct bs_input *input)
{
    ZSTD_freeDStream(input->zstd);
    bs_free(input->packed);
    plain_close(input);
}

static const struct packing zstd = {zstd_open, zstd_read, zstd_close};

static enum bs_status zip_member_open(struct bs_input *input, struct bs_error *err)
{
    int code;
    input->archive = zip_open(input->path, ZIP_RDONLY, &code);
    if (!input->archive) {
        zip_error_t why;
        zip_error_init_with_code(&why, code);
        enum bs_status status =
            code == ZIP_ER_OPEN || code == ZIP_ER_NOENT || code == ZIP_ER_READ ? BS_EIO : BS_EDATA;
        status = bs_fail(err, status, "cannot open the archive '%s': %s", input->path,
                         zip_error_strerror(&why));
        zip_error_fini(&why);
        return status;
    }
    input->file = zip_fopen(input->archive, input->member, 0);
    if (!input->file)
        return bs_fail(err, BS_EDATA, "%s: member %s: %s", input->path, input->member,
                       zip_strerror(input->archive));
    return BS_OK;
}

static enum bs_status zip_member_read(struct bs_input *input, void *bytes, size_t room, size_t *got,
                                      struct bs_error *err)
{
    zip_int64_t done = zip_fread(input->file, bytes, room);
    if (done < 0)
        return bs_fail(err, BS_EDATA, "%s: member %s is damaged: %s", input->path, input->member,
                       zip_file_strerror(input->file));
    *got = (size_t)done;
    return BS_OK;
}

static void zip_member_close(struct bs_input *input)
{
    if (input->file)
        zip_fclose(input->file);
    if (input->archive)
        zip_discard(input->archive);
}

static const struct packing zip_member = {zip_member_open, zip_member_read, zip_member_close};

enum bs_status bs_input_open(const char *path, const char *member, struct bs_input **input,
                             struct bs_error *err)
{
    *input = NULL;
    if (bs_file_check(path, err))
        return err->status;
    *input = bs_calloc(1, sizeof **input);
    if (!*input)
        return bs_fail_memory(err);
    **input = (struct bs_input){.path = path, .member = member, .fd = -1};
    (*input)->packing = member                     ? &zip_member
                        : bs_ends_in(path, ".gz")  ? &gzip
                        : bs_ends_in(path, ".zst") ? &zstd
                                                   : &plain;
    enum bs_status status = (*input)->packing->open(*input, err);
    if (status) {
        bs_input_close(*input);
        *input = NULL;
    }
    return status;
}

enum bs_status bs_input_read(struct bs_input *input, void *bytes, size_t room, size_t *got,
                             struct bs_error *err)
{
    *got = 0;
    return input->packing->read(input, bytes, room < MOST_AT_ONCE ? room : MOST_AT_ONCE, got, err);
}

void bs_input_close(struct bs_input *input)
{
    if (!input)
        return;
    input->packing->close(input);
    bs_free(input);
}

/* A zip archive is a row of entries, each a local header and the data; then the central directory,
 * which names the entries once more and says where they stand; then a record that says where the
 * central directory stands. Where a number does not fit its 32 bits it is all ones and a zip64
 * extra field or record holds it. PKWARE's APPNOTE.TXT, version 6.3, sections 4.3 to 4.5, says it
 * all; torch.save stores without compressing, in one folder, with the data aligned to 64 bytes.
 *
 * Nothing in a file is trusted: each number is checked against the size of the map before it is
 * used, and no sum can wrap. The CRCs are not looked at: torch.save can be told to write none. */
#include "eval/checkpoint/torch_zip.h"

#include "eval/base/mem.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    LOCAL_SIGNATURE = 0x04034b50,
    CENTRAL_SIGNATURE = 0x02014b50,
    END_SIGNATURE = 0x06054b50,
    END64_SIGNATURE = 0x06064b50,
    LOCATOR_SIGNATURE = 0x07064b50,
    FLAG_ENCRYPTED = 1,
    FLAG_SIZES_FOLLOW = 8, /* the local header was written before the sizes were known */
    ZIP64_FIELD = 1,
};

/* The names of an archive in messages are cut to this. */
enum { NAME_SHOWN = 200 };

struct reader {
    const char *path;
    const struct bs_map *map;
    size_t central, central_end; /* of the central directory */
    size_t count;                /* of entries */
};

static uint16_t get16(const unsigned char *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t get32(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t get64(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static int shown(size_t length) { return length < NAME_SHOWN ? (int)length : NAME_SHOWN; }

static enum bs_status fail_entry(const struct reader *r, const struct bs_zip_entry *entry,
                                 enum bs_status status, const char *what, struct bs_error *err)
{
    return bs_fail(err, status, "%s: entry '%.*s': %s", r->path, shown(entry->name_length),
                   (const char *)entry->name, what);
}

/* The end record stands last; only its comment follows. */
static const unsigned char *find_end(const struct bs_map *map)
{
    if (map->size < END_BYTES)
        return NULL;
    const unsigned char *last = map->data + map->size - END_BYTES;
    size_t most = map->size - END_BYTES < UINT16_MAX ? map->size - END_BYTES : UINT16_MAX;
    for (size_t comment = 0; comment <= most; comment++)
        if (get32(last - comment) == END_SIGNATURE && get16(last - comment + 20) == comment)
            return last - comment;
    return NULL;
}

/* The zip64 record that the locator in front of the end record leads to, where there is one. */
static enum bs_status find_end64(const struct reader *r, size_t end, const unsigned char **end64,
                                 struct bs_error *err)
{
    *end64 = NULL;
    if (end < LOCATOR_BYTES || get32(r->map->data + end - LOCATOR_BYTES) != LOCATOR_SIGNATURE)
        return BS_OK;
    uint64_t at = get64(r->map->data + end - LOCATOR_BYTES + 8);
    if (end - LOCATOR_BYTES < END64_BYTES || at > end - LOCATOR_BYTES - END64_BYTES ||
        get32(r->map->data + at) != END64_SIGNATURE)
        return bs_fail(err, BS_EDATA, "%s: the zip64 record is not where it should be", r->path);
    *end64 = r->map->data + at;
    return BS_OK;
}

/* Where the central directory stands, and how many entries it has. */
static enum bs_status find_central(struct reader *r, struct bs_error *err)
{
    const unsigned char *end = find_end(r->map), *end64;
    if (!end)
        return bs_fail(
            err, BS_EDATA,
            "%s: no PyTorch checkpoint: a zip archive's end is missing (was the file cut "
            "short?)",
            r->path);
    size_t limit = (size_t)(end - r->map->data);
    if (find_end64(r, limit, &end64, err))
        return err->status;
    uint64_t count = get16(end + 10), bytes = get32(end + 12), offset = get32(end + 16);
    bool one_disk = get16(end + 4) == 0 && get16(end + 8) == count;
    if (end64) {
        limit = (size_t)(end64 - r->map->data);
        count = get64(end64 + 32);
        bytes = get64(end64 + 40);
        offset = get64(end64 + 48);
        one_disk = get32(end64 + 16) == 0 && get64(end64 + 24) == count;
    }
    if (!one_disk)
        return bs_fail(err, BS_EUNSUPPORTED, "%s: one part of a zip archive in several", r->path);
    if (offset > limit || bytes > limit - offset || count > bytes / CENTRAL_BYTES)
        return bs_fail(err, BS_EDATA,
                       "%s: the zip archive's directory, %llu entries in %llu bytes at %llu, does "
                       "not fit the file's %zu bytes",
                       r->path, (unsigned long long)count, (unsigned long long)bytes,
                       (unsigned long long)offset, r->map->size);
    r->central = (size_t)offset;
    r->central_end = (size_t)(offset + bytes);
    r->count = (size_t)count;
    return BS_OK;
}

/* Replaces those of the numbers that are all ones, in order, from the zip64 field among the extra
 * ones. False where it is missing or too short. */
static bool widen(const unsigned char *extra, size_t length, uint64_t *const *numbers, int count)
{
    const unsigned char *field = NULL;
    size_t left = 0;
    while (length >= 4 && !field) {
        size_t size = get16(extra + 2);
        if (size > length - 4)
            break;
        if (get16(extra) == ZIP64_FIELD) {
            field = extra + 4;
            left = size;
        }
        extra += 4 + size;
        length -= 4 + size;
    }
    for (int i = 0; i < count; i++) {
        if (*numbers[i] != UINT32_MAX)
            continue;
        if (left < 8)
            return false;
        *numbers[i] = get64(field);
        field += 8;
        left -= 8;
    }
    return true;
}

/* Compares the local header with what the central directory said, and finds the data. */
static enum bs_status read_local(const struct reader *r, struct bs_zip_entry *entry,
                                 struct bs_error *err)
{
    if (r->central < LOCAL_BYTES || entry->header > r->central - LOCAL_BYTES)
        return fail_entry(r, entry, BS_EDATA, "its place is not in front of the directory", err);
    const unsigned char *local = r->map->data + entry->header;
    size_t room = r->central - entry->header - LOCAL_BYTES;
    size_t name = get16(local + 26), extra = get16(local + 28);
    if (get32(local) != LOCAL_SIGNATURE)
        return fail_entry(r, entry, BS_EDATA, "no header stands in its place", err);
    if (name + extra > room || entry->size > room - name - extra)
        return fail_entry(r, entry, BS_EDATA, "it reaches into the directory", err);
    const unsigned char *text = local + LOCAL_BYTES;
    if (name != entry->name_length || memcmp(text, entry->name, name))
        return fail_entry(r, entry, BS_EDATA, "its own header gives another name", err);
    uint64_t size = get32(local + 22), stored = get32(local + 18);
    if (get16(local + 8) != 0)
        return fail_entry(r, entry, BS_EDATA, "its own header says that it is compressed", err);
    if (!(get16(local + 6) & FLAG_SIZES_FOLLOW) &&
        (!widen(text + name, extra, (uint64_t *[]){&size, &stored}, 2) || size != entry->size ||
         stored != entry->size))
        return fail_entry(r, entry, BS_EDATA, "its own header gives another size", err);
    entry->data = text + name + extra;
    return BS_OK;
}

/* The entry at *at of the central directory; *at moves to the next. */
static enum bs_status read_central(const struct reader *r, size_t *at, struct bs_zip_entry *entry,
                                   struct bs_error *err)
{
    const unsigned char *central = r->map->data + *at;
    size_t left = r->central_end - *at;
    if (left < CENTRAL_BYTES || get32(central) != CENTRAL_SIGNATURE)
        return bs_fail(err, BS_EDATA, "%s: the zip archive's directory is damaged at byte %zu",
                       r->path, *at);
    size_t name = get16(central + 28), extra = get16(central + 30), comment = get16(central + 32);
    if (name + extra + comment > left - CENTRAL_BYTES)
        return bs_fail(err, BS_EDATA, "%s: the zip archive's directory is cut short at byte %zu",
                       r->path, *at);
    *at += CENTRAL_BYTES + name + extra + comment;
    entry->name = central + CENTRAL_BYTES;
    entry->name_length = name;
    if (get16(central + 8) & FLAG_ENCRYPTED)
        return fail_entry(r, entry, BS_EUNSUPPORTED, "it is encrypted", err);
    if (get16(central + 10) != 0)
        return fail_entry(r, entry, BS_EUNSUPPORTED,
                          "it is compressed; torch.save stores without compressing", err);
    uint64_t stored = get32(central + 20), size = get32(central + 24), header = get32(central + 42);
    if (!widen(entry->name + name, extra, (uint64_t *[]){&size, &stored, &header}, 3))
        return fail_entry(r, entry, BS_EDATA, "its zip64 field is missing or too short", err);
    if (size != stored)
        return fail_entry(r, entry, BS_EDATA, "it is stored, but its two sizes differ", err);
    entry->size = (size_t)size;
    entry->header = (size_t)header;
    return read_local(r, entry, err);
}

static int compare_places(const void *left, const void *right)
{
    const struct bs_zip_entry *a = left, *b = right;
    return (a->header > b->header) - (a->header < b->header);
}

static int compare_names(const void *left, const void *right)
{
    const struct bs_zip_entry *a = left, *b = right;
    size_t common = a->name_length < b->name_length ? a->name_length : b->name_length;
    int order = memcmp(a->name, b->name, common);
    return order ? order : (a->name_length > b->name_length) - (a->name_length < b->name_length);
}

/* No two entries share bytes; leaves them in the order in which they stand. */
static enum bs_status check_overlap(const struct reader *r, const struct bs_zip *zip,
                                    struct bs_error *err)
{
    qsort(zip->entries, zip->count, sizeof *zip->entries, compare_places);
    for (size_t i = 1; i < zip->count; i++) {
        const struct bs_zip_entry *e = &zip->entries[i];
        if (e[-1].data + e[-1].size > r->map->data + e->header)
            return fail_entry(r, e, BS_EDATA, "it overlaps the entry in front of it", err);
    }
    return BS_OK;
}

/* The folder is that of the first entry in the file, as for torch.load. What stands outside of it,
 * say what a packing program adds, is left out. */
static enum bs_status enter_folder(const struct reader *r, struct bs_zip *zip, struct bs_error *err)
{
    struct bs_zip_entry folder = zip->entries[0];
    const unsigned char *slash = memchr(folder.name, '/', folder.name_length);
    if (!slash)
        return fail_entry(r, &folder, BS_EDATA,
                          "it is in no folder: no archive of torch.save (format of 1.6 or later)",
                          err);
    size_t prefix = (size_t)(slash - folder.name) + 1, kept = 0;
    for (size_t i = 0; i < zip->count; i++) {
        struct bs_zip_entry e = zip->entries[i];
        if (e.name_length < prefix || memcmp(e.name, folder.name, prefix))
            continue;
        e.name += prefix;
        e.name_length -= prefix;
        zip->entries[kept++] = e;
    }
    zip->count = kept;
    return BS_OK;
}

enum bs_status bs_zip_open(const char *path, const struct bs_map *map, struct bs_zip *zip,
                           struct bs_error *err)
{
    *zip = (struct bs_zip){0};
    struct reader r = {.path = path, .map = map};
    if (find_central(&r, err))
        return err->status;
    if (!r.count)
        return bs_fail(err, BS_EDATA, "%s: the zip archive is empty", path);
    zip->entries = bs_calloc(r.count, sizeof *zip->entries);
    if (!zip->entries)
        return bs_fail_memory(err);
    for (size_t at = r.central; zip->count < r.count; zip->count++)
        if (read_central(&r, &at, &zip->entries[zip->count], err))
            return err->status;
    if (check_overlap(&r, zip, err) || enter_folder(&r, zip, err))
        return err->status;
    qsort(zip->entries, zip->count, sizeof *zip->entries, compare_names);
    for (size_t i = 1; i < zip->count; i++)
        if (!compare_names(&zip->entries[i - 1], &zip->entries[i]))
            return fail_entry(&r, &zip->entries[i], BS_EDATA, "it is there twice", err);
    return BS_OK;
}

void bs_zip_close(struct bs_zip *zip)
{
    bs_free(zip->entries);
    *zip = (struct bs_zip){0};
}

const struct bs_zip_entry *bs_zip_find(const struct bs_zip *zip, const char *name)
{
    struct bs_zip_entry key = {.name = (const unsigned char *)name, .name_length = strlen(name)};
    return bsearch(&key, zip->entries, zip->count, sizeof key, compare_names);
}

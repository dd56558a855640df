/* The table of contents of a zip archive as torch.save writes it, over a map of the file. */
#ifndef BS_EVAL_CHECKPOINT_TORCH_ZIP_H
#define BS_EVAL_CHECKPOINT_TORCH_ZIP_H

#include <stddef.h>

#include "eval/base/error.h"
#include "eval/base/file.h"

/* A file of the archive; name (not terminated) and data point into the map. */
struct bs_zip_entry {
    const unsigned char *name;
    size_t name_length;
    size_t header;             /* where its local header stands in the file */
    const unsigned char *data; /* stored as it is, not compressed */
    size_t size;
};

/* An archive's entries. */
struct bs_zip {
    struct bs_zip_entry *entries; /* by name */
    size_t count;
};

/* Reads and checks the central directory and every local header: entries are stored, not compressed
 * or encrypted, lie inside the file without overlap, are named alike in both places, and no name
 * stands twice. Archives and entries beyond 4 GiB (zip64) are understood. The one folder that holds
 * everything is taken off the names. `path` is for messages. BS_EDATA or BS_EUNSUPPORTED; the zip
 * is to be closed either way. */
enum bs_status bs_zip_open(const char *path, const struct bs_map *map, struct bs_zip *zip,
                           struct bs_error *err);
void bs_zip_close(struct bs_zip *zip);

/* The entry with this name, or NULL. */
const struct bs_zip_entry *bs_zip_find(const struct bs_zip *zip, const char *name);

#endif

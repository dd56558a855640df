#include "eval/base/json.h"

#include "eval/base/file.h"
#include "eval/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum bs_status bs_json_read(const char *path, json_t **object, struct bs_error *err)
{
    *object = NULL;
    struct bs_map map;
    enum bs_status status = bs_map_open(path, &map, err);
    if (!status)
        status = bs_json_parse(path, NULL, (const char *)map.data, map.size, object, err);
    bs_map_close(&map);
    return status;
}

enum bs_status bs_json_write(const char *path, const json_t *value, struct bs_error *err)
{
    int file;
    if (bs_file_create(path, &file, err))
        return err->status;
    errno = ENOMEM; /* unless a write says what else it was */
    bool failed =
        json_dumpfd(value, file, JSON_INDENT(2)) || write(file, "\n", 1) != 1 || fsync(file);
    int reason = errno;
    close(file);
    return failed ? bs_fail(err, BS_EIO, "cannot write '%s': %s", path, strerror(reason)) : BS_OK;
}

void bs_json_excerpt(const json_t *value, char *out, size_t size)
{
    static const char cut[] = "...";
    if (!value) {
        snprintf(out, size, "missing");
        return;
    }
    size_t used = json_dumpb(value, out, size - 1, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    if (used < size) {
        out[used] = '\0';
    } else if (size > sizeof cut) { /* json_dumpb filled what there is and told the full length */
        memcpy(out + size - sizeof cut, cut, sizeof cut);
    } else {
        out[0] = '\0';
    }
}

enum bs_status bs_json_check_keys(const char *place, json_t *object, const char *const *known,
                                  struct bs_error *err)
{
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i))
        if (strlen(json_object_iter_key(i)) != json_object_iter_key_len(i) ||
            !bs_word_in(json_object_iter_key(i), known))
            return bs_fail(err, BS_EUNSUPPORTED,
                           "%s: '%.200s' is not known to bitsweep and may change the result", place,
                           json_object_iter_key(i));
    return BS_OK;
}

bool bs_word_in(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(word, *words))
            return true;
    return false;
}

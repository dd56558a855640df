#include "eval/base/json.h"

#include "eval/base/file.h"
#include "eval/base/mem.h"

#include <stdio.h>
#include <string.h>

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

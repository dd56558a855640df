/* Adding a reader is its file and one line here. */
#include "eval/checkpoint/reader.h"

#include <string.h>

#include "eval/base/file.h"

#ifndef BS_MORE_READERS /* of a test: tests/plugins */
#define BS_MORE_READERS(X)
#endif

/* In the order in which transformers looks for them. */
#define READERS(X)                                                                                 \
    X(safetensors)                                                                                 \
    X(torch)                                                                                       \
    X(gguf)                                                                                        \
    BS_MORE_READERS(X)

#define DECLARE(r) extern const struct bs_reader bs_reader_##r;
#define ENTRY(r) &bs_reader_##r.plugin,

READERS(DECLARE)

static const struct bs_plugin *const rows[] = {READERS(ENTRY) NULL};

const struct bs_registry bs_reader_registry = {
    .kind = "reader",
    .summary = "the formats that weights are read from",
    .rows = rows,
};

const struct bs_reader *bs_reader_at(int i) { return (const struct bs_reader *)rows[i]; }

const struct bs_reader *bs_reader_of(const char *name)
{
    const struct bs_reader *found = NULL, *reader;
    size_t longest = 0;
    for (int r = 0; (reader = bs_reader_at(r)); r++)
        for (int e = 0; reader->endings[e]; e++) {
            size_t length = strlen(reader->endings[e]);
            if (!bs_ends_in(name, reader->endings[e]) || (found && length <= longest))
                continue;
            found = reader;
            longest = length;
        }
    return found;
}

/* Adding a writer is its file and one line here. */
#include "eval/export/writer.h"

#include <stdio.h>

#define WRITERS(X)                                                                                 \
    X(compressed_tensors)                                                                          \
    X(gptq)                                                                                        \
    X(gptq_v2)                                                                                     \
    X(gptq_p)                                                                                      \
    X(awq)                                                                                         \
    X(bitsandbytes)                                                                                \
    X(gguf)                                                                                        \
    X(dequantized)

#define DECLARE(w) extern const struct bs_writer bs_writer_##w;
#define ENTRY(w) &bs_writer_##w.plugin,

WRITERS(DECLARE)

static const struct bs_plugin *const rows[] = {WRITERS(ENTRY) NULL};

const struct bs_registry bs_writer_registry = {
    .kind = "writer",
    .summary = "how `bitsweep export` writes a quantized model",
    .rows = rows,
};

const struct bs_writer *bs_writer_find(const char *text)
{
    char name[64];
    snprintf(name, sizeof name, "%s", text);
    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : *c;
    return (const struct bs_writer *)bs_registry_find(&bs_writer_registry, name);
}

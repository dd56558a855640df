/* Adding a layout is its file and one line here. */
#include "eval/checkpoint/layout.h"

#define LAYOUTS(X)                                                                                 \
    X(autogptq)                                                                                    \
    X(autoawq)                                                                                     \
    X(compressed_tensors)                                                                          \
    X(bitsandbytes)                                                                                \
    X(float8)                                                                                      \
    X(gpt_oss)

#define DECLARE(l) extern const struct bs_layout bs_layout_##l;
#define ENTRY(l) &bs_layout_##l.plugin,

LAYOUTS(DECLARE)

static const struct bs_plugin *const rows[] = {LAYOUTS(ENTRY) NULL};

const struct bs_registry bs_layout_registry = {
    .kind = "layout",
    .summary = "how quantized weights stand in a checkpoint that is read",
    .rows = rows,
};

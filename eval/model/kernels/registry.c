/* Adding a kernel is its file and one line here, before those that suit more linears. */
#include "eval/model/kernel.h"

#ifndef BS_MORE_KERNELS /* of a test: tests/plugins */
#define BS_MORE_KERNELS(X)
#endif

#define KERNELS(X)                                                                                 \
    BS_MORE_KERNELS(X)                                                                             \
    X(llama_cpp)                                                                                   \
    X(int8)                                                                                        \
    X(bfloat16)                                                                                    \
    X(float32)

#define DECLARE(k) extern const struct bs_kernel bs_kernel_##k;
#define ENTRY(k) &bs_kernel_##k.plugin,

KERNELS(DECLARE)

static const struct bs_plugin *const rows[] = {KERNELS(ENTRY) NULL};

const struct bs_registry bs_kernel_registry = {
    .kind = "kernel",
    .summary = "how a linear is multiplied: the first that suits it and its input",
    .rows = rows,
};

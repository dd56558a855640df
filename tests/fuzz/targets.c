#include "tests/fuzz/target.h"

/* Adding a target is its file, a line here, and a folder of seeds. */
#define TARGETS(X)                                                                                 \
    X(safetensors)                                                                                 \
    X(layouts)                                                                                     \
    X(lora)                                                                                        \
    X(gguf)                                                                                        \
    X(imatrix)                                                                                     \
    X(checkpoint_index)                                                                            \
    X(bin_zip)                                                                                     \
    X(bin_pickle)                                                                                  \
    X(model_config)                                                                                \
    X(tokenizer)                                                                                   \
    X(vocab_files)                                                                                 \
    X(text_files)                                                                                  \
    X(items)                                                                                       \
    X(sweep_config)                                                                                \
    X(results_bytes)                                                                               \
    X(results_contents)
#define DECLARE(name) extern const struct fuzz_target fuzz_##name;
#define ENTRY(name) &fuzz_##name,

TARGETS(DECLARE)
const struct fuzz_target *const fuzz_targets[] = {TARGETS(ENTRY) NULL};

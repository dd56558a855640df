/* A GGUF file: metadata, tensors, blocks and tokenizer. */
#include "tests/fuzz/target.h"

#include "eval/base/mem.h"
#include "eval/model/model.h"
#include "eval/tokenizer/tokenizer.h"

static void read_tokenizer(const char *path)
{
    static const char text[] = "Hello,  world's 12345 \xc3\xa9\n<|end|> \xe4\xb8\xad";
    struct bs_error err = {0};
    struct bs_tokenizer *tokenizer;
    enum bs_status status = bs_tokenizer_open(path, &tokenizer, &err);
    fuzz_check(status, &err, path);
    if (status)
        return;
    int32_t *ids = NULL;
    size_t count = 0;
    status = bs_tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids, &count, &err);
    fuzz_check(status, &err, NULL);
    for (size_t i = 0; !status && i < count; i++)
        if (ids[i] < 0 || ids[i] >= bs_tokenizer_vocab_size(tokenizer))
            __builtin_trap(); /* an embedding row that is not there */
    if (!status)
        bs_free(ids);
    bs_tokenizer_free(tokenizer);
}

/* Weights of every layer: of experts, each its part of a tensor. */
static void read_blocks(const struct bs_model *model)
{
    for (int i = 0; i < bs_model_architecture(model)->num_layers; i++) {
        struct bs_error err = {0};
        struct bs_block block = {.architecture = NULL};
        fuzz_check(bs_block_load(model, i, &block, &err), &err, NULL);
        bs_block_release(&block);
    }
}

static void run(const unsigned char *data, size_t size)
{
    struct bs_error err = {0};
    struct bs_model *model;
    fuzz_put("model.gguf", data, size);
    const char *path = fuzz_path("model.gguf");
    enum bs_status status = bs_model_open(path, NULL, &model, &err);
    fuzz_check(status, &err, path);
    if (!status) {
        read_blocks(model);
        bs_model_free(model);
    }
    read_tokenizer(path);
}

const struct fuzz_target fuzz_gguf = {
    .name = "gguf",
    .dictionary = "gguf",
    .max_bytes = 20480,
    .run = run,
};

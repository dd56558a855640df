/* The small files around a tokenizer: the input is split at bytes 0x1e into the files below; an
 * empty part is a file that is not there. What opens must tokenize a text. */
#include "tests/fuzz/target.h"

#include <string.h>
#include <unistd.h>

static const char text[] =
    "Hello,  world's   'LL 12345 \n\n\t x\xc2\xa0 e\xcc\x81 \xe4\xb8\xad\xe6\x96\x87 <s></s>"
    "<|endoftext|> aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0000000000 .";

static const char *const names[] = {
    "config.json", "tokenizer_config.json",   "tokenizer.json",    "vocab.json",
    "merges.txt",  "special_tokens_map.json", "added_tokens.json", NULL};

static void put_files(const unsigned char *data, size_t size)
{
    for (int i = 0; names[i]; i++) {
        const unsigned char *end = size ? memchr(data, 0x1e, size) : NULL;
        size_t part = end ? (size_t)(end - data) : size;
        if (part)
            fuzz_put(names[i], data, part);
        else
            unlink(fuzz_path(names[i]));
        data += part + (end != NULL);
        size -= part + (end != NULL);
    }
}

static void run(const unsigned char *data, size_t size)
{
    put_files(data, size);
    fuzz_tokenize(text, sizeof text - 1);
}

const struct fuzz_target fuzz_vocab_files = {
    .name = "vocab_files",
    .dictionary = "json",
    .max_bytes = 8192,
    .run = run,
};

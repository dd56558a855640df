/* tokenizer.json, and with what opens a text that is hard to tokenize. */
#include "tests/fuzz/target.h"

#include "eval/base/mem.h"
#include "eval/tokenizer/tokenizer.h"

/* Runs of blanks, digits, contractions, combining marks, CJK, right-to-left, emoji with joiners,
 * control characters, a special token, a long run of one letter. */
static const char text[] =
    "Hello,  world's   'LL 12345 3.14e-10\n\n\t x\r\n \xc2\xa0\xe3\x80\x80 e\xcc\x81\xcc\xa3 "
    "\xc3\xa9"
    " \xe4\xb8\xad\xe6\x96\x87\xe5\xad\x97 \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d "
    "\xd8\xb3\xd9\x84\xd8\xa7\xd9\x85"
    " \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb \xf0\x9f\x87\xa9\xf0\x9f\x87\xaa \x01\x02\x7f "
    "<s></s>"
    "<|endoftext|> \xef\xac\x81 \xe2\x84\xab \xef\xbc\xa1 \xe2\x96\x81_ \xef\xbf\xbd"
    " aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0000000000000000000000                    .";

void fuzz_tokenize(const char *sample, size_t size)
{
    struct bs_error err = {0};
    struct bs_tokenizer *tokenizer;
    enum bs_status status = bs_tokenizer_open(fuzz_folder(), &tokenizer, &err);
    fuzz_check(status, &err, fuzz_folder());
    if (status)
        return;
    int32_t *ids;
    size_t count;
    status = bs_tokenizer_encode(tokenizer, sample, size, true, &ids, &count, &err);
    fuzz_check(status, &err, NULL);
    for (size_t i = 0; !status && i < count; i++)
        if (ids[i] < 0 || ids[i] >= bs_tokenizer_vocab_size(tokenizer))
            __builtin_trap(); /* an embedding row that is not there */
    if (!status)
        bs_free(ids);
    if (bs_tokenizer_bos(tokenizer) >= bs_tokenizer_vocab_size(tokenizer))
        __builtin_trap();
    bs_tokenizer_free(tokenizer);
}

static void run(const unsigned char *data, size_t size)
{
    fuzz_put("tokenizer.json", data, size);
    fuzz_tokenize(text, sizeof text - 1);
}

const struct fuzz_target fuzz_tokenizer = {
    .name = "tokenizer",
    .dictionary = "json",
    .max_bytes = 16384,
    .run = run,
    .mutate = fuzz_mutate_json,
};

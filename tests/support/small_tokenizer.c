#include "tests/support/small_tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/folder.h"

json_t *small_model(void)
{
    static const char *const tokens[] = {"th", "the", "\xc4\xa0t", "\xc4\xa0the",
                                         "12", "ab",  "bc",        "abc"};
    json_t *vocab = json_object();
    unsigned next = 256;
    for (unsigned b = 0; b < 256; b++) {
        bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        unsigned c = printable ? b : next++;
        char name[3] = {(char)(c < 0x80 ? c : 0xc0 | c >> 6),
                        (char)(c < 0x80 ? 0 : 0x80 | (c & 63))};
        json_object_set_new(vocab, name, json_integer(b));
    }
    for (int i = 0; i < 8; i++)
        json_object_set_new(vocab, tokens[i], json_integer(TH + i));
    return json_pack("{s:s, s:o, s:[s,s,s,s,s,s,s]}", "type", "BPE", "vocab", vocab, "merges",
                     "t h", "th e", "\xc4\xa0 t", "1 2", "b c", "a b", "a bc");
}

json_t *small_root(const char *pre, json_t *model)
{
    return json_pack("{s:n, s:o, s:o, s:[]}", "normalizer", "pre_tokenizer",
                     json_loads(pre, 0, NULL), "model", model, "added_tokens");
}

enum bs_status open_root(json_t *root, struct bs_tokenizer **tokenizer, struct bs_error *err)
{
    assert_non_null(root);
    assert_int_equal(json_dump_file(root, folder_file(&folder, "tokenizer.json"), 0), 0);
    json_decref(root);
    return bs_tokenizer_open(folder.path, tokenizer, err);
}

json_t *small_added(const char *content, int id, bool normalized)
{
    return json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id, "content", content,
                     "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", (int)normalized,
                     "special", 1);
}

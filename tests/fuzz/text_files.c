/* Texts in every packing: the first byte chooses the file's name, the second how it is read. */
#include "tests/fuzz/target.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/data/text.h"

/* Every document lies in the stream, in order, and what counts words and strips goes no further. */
static void check_text(const struct bs_text *text)
{
    size_t at = 0;
    for (size_t d = 0; d < text->num_documents; d++) {
        size_t size;
        const char *document = bs_text_document(text, d, &size);
        if (size && (document < text->bytes + at || document + size > text->bytes + text->size))
            __builtin_trap();
        at += size;
        bs_count_words(document, size);
        bs_strip(document, &size);
    }
    if (at + text->join_size * (text->num_documents ? text->num_documents - 1 : 0) != text->size)
        __builtin_trap();
    bs_text_digest(text);
}

static void run(const unsigned char *data, size_t size)
{
    static const char *const names[] = {"t.txt",     "t.jsonl", "t.jsonl.gz", "t.json",
                                        "t.txt.zst", "t.zip",   "t.txt.gz",   "t.json.zst"};
    if (size < 2)
        return;
    const char *name = names[data[0] % (sizeof names / sizeof *names)];
    const struct bs_text_format format = {
        .documents = strstr(name, "json") ? BS_DOCUMENT_JSON : (enum bs_documents)(data[1] % 4),
        .field = "text",
        .join = data[1] & 8 ? "\n\n" : "",
        .member = strstr(name, "zip") ? "a.txt" : NULL,
        .most_documents = data[1] >> 6,
        .most_bytes = 1 << 20,
    };
    struct bs_error err = {0};
    struct bs_text text;
    fuzz_put(name, data + 2, size - 2);
    enum bs_status status = bs_text_read(fuzz_path(name), &format, &text, &err);
    fuzz_check(status, &err, fuzz_folder());
    if (status)
        return;
    check_text(&text);
    bs_text_release(&text);
}

const struct fuzz_target fuzz_text_files = {
    .name = "text_files",
    .dictionary = "json",
    .max_bytes = 8192,
    .run = run,
};

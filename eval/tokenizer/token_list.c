#include "eval/tokenizer/token_list.h"

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/base/file.h"
#include "eval/base/utf8.h"
#include "eval/tokenizer/buffer.h"
#include "eval/tokenizer/tokenizer.h"

#include <errno.h>
#include <string.h>

/* Reads to the end; a pipe has no size to ask for. */
static enum bs_status read_all(const char *path, struct bs_buffer *text, struct bs_error *err)
{
    enum { CHUNK = 1 << 16 };
    if (bs_file_check(path, err))
        return err->status;
    /* Standard input is read as it is open: a named pipe, opened again, would be waited for. */
    FILE *file = strcmp(path, "/dev/stdin") ? fopen(path, "rb") : stdin;
    if (!file)
        return bs_fail(err, BS_EIO, "cannot open '%s': %s", path, strerror(errno));
    enum bs_status status = BS_OK;
    size_t got = 1;
    while (got > 0 && !status) {
        status = bs_buffer_reserve(text, CHUNK, err);
        got = status ? 0 : fread(text->text + text->size, 1, CHUNK, file);
        text->size += got;
    }
    if (!status && ferror(file))
        status = bs_fail(err, BS_EIO, "cannot read '%s': %s", path, strerror(errno));
    if (file != stdin)
        fclose(file);
    return status;
}

/* A spelling as JSON would quote it, so that each stays on its line. */
static void print_piece(const char *piece, size_t size, FILE *out)
{
    fputc('"', out);
    for (size_t i = 0, step; i < size; i += step) {
        uint32_t letter;
        size_t bytes = bs_utf8_letter(piece + i, size - i, &letter);
        step = bytes ? bytes : 1;
        if (letter == '"' || letter == '\\')
            fprintf(out, "\\%c", (int)letter);
        else if (letter == '\n')
            fputs("\\n", out);
        else if (bytes && bs_is_printable(letter))
            fwrite(piece + i, 1, bytes, out);
        else if (!bytes || letter < 0x10000)
            fprintf(out, "\\u%04x", bytes ? (unsigned)letter : (unsigned char)piece[i]);
        else
            fprintf(out, "\\u%04x\\u%04x", 0xd800 + ((unsigned)letter - 0x10000) / 0x400,
                    0xdc00 + ((unsigned)letter - 0x10000) % 0x400);
    }
    fputs("\"\n", out);
}

static void print_tokens(const struct bs_tokenizer *tokenizer, const int32_t *ids, size_t count,
                         enum bs_token_style style, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = 0;
        if (style == BS_TOKENS_IDS) {
            fprintf(out, "%s%d", i ? " " : "", (int)ids[i]);
            continue;
        }
        const char *piece = bs_tokenizer_piece(tokenizer, ids[i], &size);
        fprintf(out, "%6d ", (int)ids[i]);
        print_piece(piece ? piece : "", size, out);
    }
    if (style == BS_TOKENS_IDS)
        fputc('\n', out);
}

enum bs_status bs_tokens_print(const char *directory, const char *path, bool add_special_tokens,
                               enum bs_token_style style, FILE *out, struct bs_error *err)
{
    struct bs_tokenizer *tokenizer;
    struct bs_buffer text = {0};
    int32_t *ids = NULL;
    size_t count;
    if (bs_tokenizer_open(directory, &tokenizer, err))
        return err->status;
    enum bs_status status = read_all(path, &text, err);
    if (!status &&
        bs_tokenizer_encode(tokenizer, text.text, text.size, add_special_tokens, &ids, &count, err))
        status = bs_fail_within(err, "%s", path);
    if (!status)
        print_tokens(tokenizer, ids, count, style, out);
    bs_free(ids);
    bs_buffer_release(&text);
    bs_tokenizer_free(tokenizer);
    return status;
}

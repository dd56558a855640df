#include "eval/data/sampling.h"

#include "eval/base/mem.h"
#include "eval/data/random.h"

#include <string.h>

/* Special tokens that the tokenizer adds to a text, whatever it says. */
static enum bs_status count_special(const struct bs_tokenizer *tokenizer, size_t *count,
                                    struct bs_error *err)
{
    int32_t *ids;
    enum bs_status status = bs_tokenizer_encode(tokenizer, "", 0, true, &ids, count, err);
    if (!status)
        bs_free(ids);
    return status;
}

enum bs_status bs_sample_tokenize(const struct bs_tokenizer *tokenizer, const char *text,
                                  size_t size, int32_t **ids, size_t *count,
                                  struct bs_text_size *sizes, struct bs_error *err)
{
    size_t special;
    if (count_special(tokenizer, &special, err) ||
        bs_tokenizer_encode(tokenizer, text, size, true, ids, count, err))
        return err->status;
    sizes->tokens += *count - special;
    sizes->words += bs_count_words(text, size);
    sizes->bytes += size;
    return BS_OK;
}

/* Documents being drawn. */
struct drawing {
    const struct bs_tokenizer *tokenizer;
    const struct bs_text *text;
    struct bs_random random;
    int tokens;
    bool *is_short; /* [num_documents], what has been found too short */
    size_t num_short;
    struct bs_text_size *sizes;
    struct bs_error *err;
};

static enum bs_status draw_window(struct drawing *drawing, int32_t *window)
{
    const struct bs_text *text = drawing->text;
    size_t tokens = (size_t)drawing->tokens;
    while (drawing->num_short < text->num_documents) {
        size_t d = (size_t)bs_random_int(&drawing->random, 0, (int64_t)text->num_documents - 1);
        if (drawing->is_short[d])
            continue;
        size_t size, count;
        const char *document = bs_text_document(text, d, &size);
        int32_t *ids;
        struct bs_text_size sizes = *drawing->sizes;
        if (bs_sample_tokenize(drawing->tokenizer, document, size, &ids, &count, &sizes,
                               drawing->err))
            return bs_fail_within(drawing->err, "document %zu", d + 1);
        bool is_short = count <= tokens;
        if (is_short) {
            drawing->is_short[d] = true;
            drawing->num_short++;
        } else {
            int64_t start = bs_random_int(&drawing->random, 0, (int64_t)(count - tokens - 1));
            memcpy(window, ids + start, tokens * sizeof *ids);
            *drawing->sizes = sizes;
        }
        bs_free(ids);
        if (!is_short)
            return BS_OK;
    }
    return bs_fail(drawing->err, BS_ECONFIG,
                   "none of %zu documents has more than %d tokens, which a window needs",
                   text->num_documents, drawing->tokens);
}

enum bs_status bs_sample_documents(const struct bs_tokenizer *tokenizer, const struct bs_text *text,
                                   int seed, int windows, int tokens, int32_t *ids,
                                   struct bs_text_size *sizes, struct bs_error *err)
{
    struct drawing drawing = {
        .tokenizer = tokenizer, .text = text, .tokens = tokens, .sizes = sizes, .err = err};
    drawing.is_short = bs_calloc(text->num_documents, sizeof *drawing.is_short);
    if (!drawing.is_short)
        return bs_fail_memory(err);
    bs_random_seed(&drawing.random, (uint32_t)seed);
    enum bs_status status = BS_OK;
    for (int w = 0; w < windows && !status; w++)
        status = draw_window(&drawing, ids + (size_t)w * (size_t)tokens);
    bs_free(drawing.is_short);
    return status;
}

/* Documents being put together. */
struct pile {
    int32_t *ids;
    size_t count, capacity;
    int documents;
};

static enum bs_status pile_add(struct pile *pile, const int32_t *ids, size_t count,
                               struct bs_error *err)
{
    if (pile->count + count > pile->capacity) {
        size_t larger = 2 * (pile->count + count);
        int32_t *grown = bs_realloc(pile->ids, pile->capacity, larger, sizeof *grown);
        if (!grown)
            return bs_fail_memory(err);
        pile->ids = grown;
        pile->capacity = larger;
    }
    memcpy(pile->ids + pile->count, ids, count * sizeof *ids);
    pile->count += count;
    pile->documents++;
    return BS_OK;
}

/* Adds the document to the pile, unless it is too long or has no token at all. */
static enum bs_status pile_document(struct pile *pile, const struct bs_tokenizer *tokenizer,
                                    const struct bs_text *text, size_t d, int tokens,
                                    struct bs_text_size *sizes, struct bs_error *err)
{
    size_t size, count = 0;
    const char *document = bs_text_document(text, d, &size);
    document = bs_strip(document, &size);
    struct bs_text_size with = *sizes;
    int32_t *ids = NULL;
    if (bs_sample_tokenize(tokenizer, document, size, &ids, &count, &with, err))
        return bs_fail_within(err, "document %zu", d + 1);
    enum bs_status status = BS_OK;
    if (count && count <= (size_t)tokens) {
        status = pile_add(pile, ids, count, err);
        *sizes = with;
    }
    bs_free(ids);
    return status;
}

enum bs_status bs_sample_blocks(const struct bs_tokenizer *tokenizer, const struct bs_text *text,
                                int seed, int documents, int tokens, int32_t **ids, int *windows,
                                struct bs_text_size *sizes, struct bs_error *err)
{
    struct pile pile = {.ids = NULL};
    uint32_t num = (uint32_t)text->num_documents;
    uint32_t *order = bs_alloc(num, sizeof *order);
    enum bs_status status = order ? BS_OK : bs_fail_memory(err);
    if (!status)
        bs_permutation((uint32_t)seed, order, num);
    for (uint32_t i = 0; i < num && pile.documents < documents && !status; i++)
        status = pile_document(&pile, tokenizer, text, order[i], tokens, sizes, err);
    bs_free(order);
    if (!status && pile.count < (size_t)tokens)
        status =
            bs_fail(err, BS_ECONFIG,
                    "of %zu documents %d have 1 to %d tokens, together %zu: not one block of %d",
                    text->num_documents, pile.documents, tokens, pile.count, tokens);
    if (status) {
        bs_free(pile.ids);
        return status;
    }
    *ids = pile.ids;
    *windows = (int)(pile.count / (size_t)tokens);
    return BS_OK;
}

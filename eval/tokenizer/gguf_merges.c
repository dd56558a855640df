/* The merges of a SentencePiece model of BPE, whose file has scores instead. */
#include "eval/tokenizer/gguf_tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/utf8.h"
#include "eval/tokenizer/vocabulary.h"

/* A piece that two others make. */
struct merge {
    int32_t whole, left, right; /* indices of pieces */
    float score;
    unsigned short left_letters, right_letters;
};

struct merges {
    struct merge *items;
    size_t count, capacity;
};

/* Highest scores first; of equal ones the longest left part, the longest right one, and then the
 * order of the pieces. */
static int compare(const void *first, const void *second)
{
    const struct merge *a = first, *b = second;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    if (a->left_letters != b->left_letters)
        return a->left_letters > b->left_letters ? -1 : 1;
    if (a->right_letters != b->right_letters)
        return a->right_letters > b->right_letters ? -1 : 1;
    if (a->whole != b->whole)
        return a->whole < b->whole ? -1 : 1;
    return (a->left > b->left) - (a->left < b->left);
}

static bool add(struct merges *merges, struct merge merge)
{
    if (merges->count == merges->capacity) {
        size_t more = merges->capacity ? 2 * merges->capacity : 1024;
        struct merge *grown = bs_realloc(merges->items, merges->count, more, sizeof *merges->items);
        if (!grown)
            return false;
        merges->items = grown;
        merges->capacity = more;
    }
    merges->items[merges->count++] = merge;
    return true;
}

static size_t count_letters(const char *text, size_t size)
{
    size_t letters = 0;
    for (size_t i = 0; i < size; i++)
        letters += ((unsigned char)text[i] & 0xc0) != 0x80;
    return letters;
}

/* All ways to make the piece of two. */
static bool add_all(const struct bs_vocabulary *known, const struct bs_gguf_piece *pieces,
                    int32_t whole, struct merges *merges)
{
    const struct bs_gguf_piece *piece = &pieces[whole];
    size_t letters = count_letters(piece->text, piece->size), before = 0;
    for (size_t i = 1; i < piece->size; i++) {
        if (((unsigned char)piece->text[i] & 0xc0) == 0x80)
            continue;
        before++;
        int32_t left = bs_vocabulary_id(known, piece->text, i);
        int32_t right = left < 0 ? -1 : bs_vocabulary_id(known, piece->text + i, piece->size - i);
        const struct merge merge = {whole,
                                    left,
                                    right,
                                    piece->score,
                                    (unsigned short)before,
                                    (unsigned short)(letters - before)};
        if (right >= 0 && !add(merges, merge))
            return false;
    }
    return true;
}

static json_t *list(const struct bs_gguf_piece *pieces, const struct merges *merges)
{
    json_t *json = json_array();
    for (size_t i = 0; json && i < merges->count; i++) {
        const struct bs_gguf_piece *left = &pieces[merges->items[i].left];
        const struct bs_gguf_piece *right = &pieces[merges->items[i].right];
        if (json_array_append_new(
                json, json_pack("[s%, s%]", left->text, left->size, right->text, right->size))) {
            json_decref(json);
            json = NULL;
        }
    }
    return json;
}

enum bs_status bs_gguf_merges(const struct bs_gguf_piece *pieces, size_t count, json_t **merges,
                              struct bs_error *err)
{
    size_t bytes = 0, known_pieces = 0;
    struct merges found = {0};
    *merges = NULL;
    for (size_t i = 0; i < count; i++) {
        bytes += pieces[i].size;
        known_pieces += pieces[i].size > 0;
    }
    struct bs_vocabulary *known = bs_vocabulary_create(known_pieces, bytes);
    if (!known)
        return bs_fail_memory(err);
    for (size_t i = 0; i < count; i++)
        if (pieces[i].size)
            bs_vocabulary_add(known, pieces[i].text, pieces[i].size, (int32_t)i);
    enum bs_status status = bs_vocabulary_finish(known, err);
    for (size_t i = 0; i < count && !status; i++)
        if (!add_all(known, pieces, (int32_t)i, &found))
            status = bs_fail_memory(err);
    if (!status && found.count)
        qsort(found.items, found.count, sizeof *found.items, compare);
    if (!status && !(*merges = list(pieces, &found)))
        status = bs_fail_memory(err);
    bs_free(found.items);
    bs_vocabulary_free(known);
    return status;
}

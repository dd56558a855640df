#include "eval/tokenizer/trie.h"

#include "eval/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* The keys below one node: [low, high) of the sorted list, which share `depth` bytes. */
struct range {
    size_t low, high, depth;
};

static int compare_keys(const void *left, const void *right)
{
    const struct bs_trie_key *a = left, *b = right;
    int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
    if (order)
        return order;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return (a->value > b->value) - (a->value < b->value);
}

/* Nodes of the trie: the root, and for each key the bytes it does not share with the one before. */
static size_t count_nodes(const struct bs_trie_key *keys, size_t count)
{
    size_t nodes = 1;
    for (size_t i = 0; i < count; i++) {
        size_t shared = 0;
        while (i > 0 && shared < keys[i].size && shared < keys[i - 1].size &&
               keys[i].text[shared] == keys[i - 1].text[shared])
            shared++;
        nodes += keys[i].size - shared;
    }
    return nodes;
}

/* Fills the nodes; ranges[n] belongs to node n, and `open` has room for all of them. What is below
 * one child comes before what is below the next, so that a walk along a word finds the nodes near
 * each other. */
static void fill(struct bs_trie *trie, const struct bs_trie_key *keys, struct range *ranges,
                 uint32_t *open)
{
    size_t made = 1, num_open = 1;
    open[0] = 0;
    while (num_open > 0) {
        uint32_t n = open[--num_open];
        struct range range = ranges[n];
        struct bs_trie_node *node = &trie->nodes[n];
        *node = (struct bs_trie_node){.value = -1, .first_child = (uint32_t)made};
        for (; range.low < range.high && keys[range.low].size == range.depth; range.low++)
            if (node->value < 0 && range.depth > 0)
                node->value = keys[range.low].value;
        while (range.low < range.high) {
            char byte = keys[range.low].text[range.depth];
            size_t low = range.low;
            while (range.low < range.high && keys[range.low].text[range.depth] == byte)
                range.low++;
            ranges[made] = (struct range){low, range.low, range.depth + 1};
            trie->bytes[made++] = (unsigned char)byte;
            node->num_children++;
        }
        for (uint32_t i = node->num_children; i > 0; i--)
            open[num_open++] = node->first_child + i - 1;
    }
    const struct bs_trie_node *root = &trie->nodes[0];
    for (uint32_t i = 0; i < root->num_children; i++)
        trie->by_byte[trie->bytes[root->first_child + i]] = root->first_child + i;
}

struct bs_trie *bs_trie_create(struct bs_trie_key *keys, size_t count)
{
    qsort(keys, count, sizeof *keys, compare_keys);
    size_t nodes = count_nodes(keys, count);
    struct bs_trie *trie = nodes > UINT32_MAX ? NULL : bs_calloc(1, sizeof *trie);
    if (!trie)
        return NULL;
    struct range *ranges = bs_alloc(nodes, sizeof *ranges);
    uint32_t *open = bs_alloc(nodes, sizeof *open);
    trie->nodes = bs_alloc(nodes, sizeof *trie->nodes);
    trie->bytes = bs_alloc(nodes, 1);
    if (!ranges || !open || !trie->nodes || !trie->bytes) {
        bs_free(ranges);
        bs_free(open);
        bs_trie_free(trie);
        return NULL;
    }
    ranges[0] = (struct range){0, count, 0};
    fill(trie, keys, ranges, open);
    bs_free(ranges);
    bs_free(open);
    return trie;
}

void bs_trie_free(struct bs_trie *trie)
{
    if (!trie)
        return;
    bs_free(trie->nodes);
    bs_free(trie->bytes);
    bs_free(trie);
}

/* A trie over byte strings: which of them begin at a place in a text. */
#ifndef BS_EVAL_TOKENIZER_TRIE_H
#define BS_EVAL_TOKENIZER_TRIE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What the trie finds: a text, and the value it stands for. */
struct bs_trie_key {
    const char *text;
    size_t size;
    int32_t value; /* >= 0 */
};

/* A node; its children stand side by side, in the order of their bytes. */
struct bs_trie_node {
    uint32_t first_child;
    int32_t value; /* of the key that ends here, -1 where none does */
    uint32_t num_children;
};

/* Finds the keys that a text begins with, byte by byte. */
struct bs_trie {
    struct bs_trie_node *nodes; /* the root is node 0 */
    unsigned char *bytes;       /* [nodes]: the byte that leads to each */
    uint32_t by_byte[256];      /* the root's children, 0 where there is none */
};

/* Sorts the keys and builds the trie; of equal keys the one with the least value counts, empty ones
 * are passed over. NULL when memory runs out, or where there are more than 2^32 nodes. */
struct bs_trie *bs_trie_create(struct bs_trie_key *keys, size_t count);
void bs_trie_free(struct bs_trie *trie);

/* The child of `node` for a byte, 0 where there is none. */
static inline uint32_t bs_trie_child(const struct bs_trie *trie, uint32_t node, char byte)
{
    if (node == 0)
        return trie->by_byte[(unsigned char)byte];
    const struct bs_trie_node *parent = &trie->nodes[node];
    const unsigned char *first = trie->bytes + parent->first_child;
    const unsigned char *found = memchr(first, (unsigned char)byte, parent->num_children);
    return found ? (uint32_t)(found - trie->bytes) : 0;
}

#endif

#include "tests/fuzz/target.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

/* A place in the tree: the item of an array or the member of an object. */
struct slot {
    json_t *parent;
    size_t index; /* of an array */
    const char *key;
    json_t *value;
};

/* Counts the slots below `parent`; fills *found with number `wanted`. */
static size_t visit(json_t *parent, size_t count, size_t wanted, struct slot *found)
{
    size_t index;
    const char *key;
    json_t *value;
    json_array_foreach(parent, index, value)
    {
        if (count++ == wanted)
            *found = (struct slot){parent, index, NULL, value};
        count = visit(value, count, wanted, found);
    }
    json_object_foreach(parent, key, value)
    {
        if (count++ == wanted)
            *found = (struct slot){parent, 0, key, value};
        count = visit(value, count, wanted, found);
    }
    return count;
}

static struct slot pick(json_t *root, size_t count, unsigned *state)
{
    struct slot slot = {0};
    visit(root, 0, fuzz_random(state) % count, &slot);
    return slot;
}

/* Values that readers tend to forget. */
static json_t *hostile_value(unsigned *state)
{
    static const json_int_t integers[] = {0,
                                          -1,
                                          1,
                                          2,
                                          3,
                                          255,
                                          256,
                                          INT32_MAX,
                                          (json_int_t)1 << 31,
                                          UINT32_MAX,
                                          INT32_MIN,
                                          INT64_MAX,
                                          INT64_MIN,
                                          (json_int_t)1 << 62};
    static const double reals[] = {0.0, -0.0, 0.5, 1e-320, 1e308, -1.5, 2147483648.0, 1e19};
    static const char *const strings[] = {
        "",     "/",        "..",     "a/../b",       "\xef\xbf\xbf",
        "%s%n", "\xc2\xa0", "<0x00>", "\xe2\x96\x81", "F32"};
    switch (fuzz_random(state) % 8) {
    case 0:
    case 1:
        return json_integer(integers[fuzz_random(state) % (sizeof integers / sizeof *integers)]);
    case 2:
        return json_real(reals[fuzz_random(state) % (sizeof reals / sizeof *reals)]);
    case 3:
        return json_string(strings[fuzz_random(state) % (sizeof strings / sizeof *strings)]);
    case 4:
        return json_boolean((int)(fuzz_random(state) % 2));
    case 5:
        return json_array();
    case 6:
        return json_object();
    default:
        return json_null();
    }
}

static json_t *change_string(json_t *value, unsigned *state, fuzz_mutator *blind)
{
    enum { ROOM = 256 };
    unsigned char text[2 * ROOM];
    size_t size = json_string_length(value);
    size = size < ROOM ? size : ROOM;
    memcpy(text, json_string_value(value), size);
    for (unsigned turns = 1 + fuzz_random(state) % 3; turns; turns--)
        size = blind(text, size, sizeof text);
    json_t *changed = json_stringn((const char *)text, size); /* NULL where it is no UTF-8 */
    return changed ? changed : hostile_value(state);
}

static json_t *change_integer(json_t *value, unsigned *state)
{
    uint64_t number = (uint64_t)json_integer_value(value);
    switch (fuzz_random(state) % 4) {
    case 0:
        return json_integer((json_int_t)(number + 1 + fuzz_random(state) % 8));
    case 1:
        return json_integer((json_int_t)(number - 1 - fuzz_random(state) % 8));
    case 2:
        return json_integer((json_int_t)(number * 2));
    default:
        return json_integer((json_int_t)(number ^ (uint64_t)1 << fuzz_random(state) % 64));
    }
}

static json_t *nest(json_t *value, unsigned *state)
{
    unsigned depth = 1u << fuzz_random(state) % 12;
    json_t *outer = json_deep_copy(value);
    for (unsigned i = 0; i < depth; i++) {
        json_t *inner = outer;
        outer = i % 2 ? json_array() : json_object();
        if (i % 2)
            json_array_append_new(outer, inner);
        else
            json_object_set_new(outer, "x", inner);
    }
    return outer;
}

/* What takes the slot's place, NULL to remove it. */
static json_t *changed_value(json_t *root, size_t count, const struct slot *slot, unsigned *state,
                             fuzz_mutator *blind)
{
    switch (fuzz_random(state) % 8) {
    case 0:
        return NULL;
    case 1:
        return json_deep_copy(pick(root, count, state).value);
    case 2:
        return fuzz_random(state) % 8 ? hostile_value(state) : nest(slot->value, state);
    case 3:
        return hostile_value(state);
    default:
        if (json_is_string(slot->value))
            return change_string(slot->value, state, blind);
        if (json_is_integer(slot->value))
            return change_integer(slot->value, state);
        return hostile_value(state);
    }
}

static void put(const struct slot *slot, json_t *value)
{
    if (slot->key && value)
        json_object_set_new(slot->parent, slot->key, value);
    else if (slot->key)
        json_object_del(slot->parent, slot->key);
    else if (value)
        json_array_set_new(slot->parent, slot->index, value);
    else
        json_array_remove(slot->parent, slot->index);
}

/* Adds a copy of some value somewhere else: a longer list, a further or renamed key. */
static void add(json_t *root, size_t count, unsigned *state)
{
    struct slot from = pick(root, count, state), to = pick(root, count, state);
    json_t *copy = json_deep_copy(from.value);
    if (to.key)
        json_object_set_new(to.parent, from.key ? from.key : "x", copy);
    else
        json_array_insert_new(to.parent, to.index, copy);
}

size_t fuzz_mutate_json(unsigned char *data, size_t size, size_t max_size, unsigned seed,
                        fuzz_mutator *blind)
{
    unsigned state = seed;
    json_t *root = NULL;
    if (fuzz_random(&state) % 4)
        root = json_loadb((const char *)data, size, 0, NULL);
    struct slot none = {0};
    size_t count = root ? visit(root, 0, SIZE_MAX, &none) : 0;
    if (!count) {
        json_decref(root);
        return blind(data, size, max_size);
    }
    for (unsigned turns = 1 + fuzz_random(&state) % 3; turns && count; turns--) {
        if (fuzz_random(&state) % 8 == 0) {
            add(root, count, &state);
        } else {
            struct slot slot = pick(root, count, &state);
            put(&slot, changed_value(root, count, &slot, &state, blind));
        }
        count = visit(root, 0, SIZE_MAX, &none);
    }
    size_t length = json_dumpb(root, (char *)data, max_size, JSON_COMPACT);
    json_decref(root);
    if (!length) /* what cannot be dumped leaves the old bytes */
        return blind(data, size, max_size);
    return length < max_size ? length : max_size; /* cut short is an input too */
}

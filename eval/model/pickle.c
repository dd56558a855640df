/* A pickle is a program for a machine with a stack and a memo (Python's Lib/pickletools.py says what
 * each opcode does). Python's own machine calls whatever functions a pickle names; this one knows
 * the few that a state dict needs and calls none: it keeps a tensor as the arguments with which torch
 * would rebuild it (torch/_utils.py), and a storage as its persistent id (torch/serialization.py):
 *
 *   _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)
 *   _rebuild_tensor_v3(the same, dtype)    for the element types without a storage class
 *   _rebuild_parameter(tensor, requires_grad, hooks)
 *   ('storage', class, key, location, elements)
 *
 * What a state dict does not need (floats, lists, None ...) is one opaque value. Nothing recurses, each
 * opcode takes at least a byte, and an opcode makes at most a value for each value that it takes, so
 * that time and memory are linear in the pickle's size. */
#include "eval/model/pickle.h"

#include "eval/base/mem.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_PICKLE_BYTES = 64 << 20, /* some 200 are spent on a tensor */
    MAX_STACK = 1 << 20,
    MAX_RANK = 64, /* torch's */
    LOWEST_PROTOCOL = 2,
    HIGHEST_PROTOCOL = 5,
};

enum kind {
    OPAQUE,
    MARK,
    INTEGER,      /* number */
    TEXT,         /* text, count bytes */
    TUPLE,        /* count values in items, from index */
    DICT,         /* index into dicts */
    FUNCTION,     /* index: enum function */
    STORAGE_TYPE, /* index into bs_dtypes; the last row's stands for bytes of no type */
    DTYPE,        /* index into bs_dtypes */
    STORAGE,      /* the persistent id: as TUPLE */
    TENSOR,       /* the arguments of the rebuilding: as TUPLE */
};

enum function { ORDERED_DICT, REBUILD_TENSOR_V2, REBUILD_TENSOR_V3, REBUILD_PARAMETER };

struct value {
    unsigned char kind;
    uint32_t count;
    union {
        int64_t number;
        size_t index;
        const unsigned char *text;
    };
};

struct values {
    struct value *items;
    size_t count, capacity;
};

/* What is kept of a dict are its tensors and dicts under a text. Three values in pairs for each: the
 * dict it is in, the key, the value. */
enum { PAIR = 3 };

struct bs_pickle {
    const char *place;
    const unsigned char *data;
    size_t size, at; /* the next byte */
    struct values stack, memo, items, pairs;
    struct values dicts;   /* count: how many tensors each holds; text and number: nothing */
    size_t state_dict;     /* index into dicts */
    size_t tensors, bytes; /* what it holds, and their names' length */
};

/* An opcode's argument. */
struct argument {
    uint64_t number;
    const unsigned char *text;
    size_t length;
    struct bs_text lines[2];
};

static enum bs_status push_value(struct values *values, struct value value, struct bs_error *err)
{
    if (values->count == values->capacity) {
        size_t capacity = values->capacity ? 2 * values->capacity : 64;
        struct value *grown =
            bs_realloc(values->items, values->count, capacity, sizeof *values->items);
        if (!grown)
            return bs_fail_memory(err);
        values->items = grown;
        values->capacity = capacity;
    }
    values->items[values->count++] = value;
    return BS_OK;
}

static enum bs_status push(struct bs_pickle *p, struct value value, struct bs_error *err)
{
    if (p->stack.count == MAX_STACK)
        return bs_fail(err, BS_EDATA, "more than %d values on the stack", MAX_STACK);
    return push_value(&p->stack, value, err);
}

static enum bs_status fail_operand(struct bs_error *err)
{
    return bs_fail(err, BS_EDATA, "the opcode's operand is missing or of another kind");
}

/* Takes the topmost value, which a mark is not. */
static enum bs_status pop(struct bs_pickle *p, struct value *value, struct bs_error *err)
{
    *value = (struct value){0};
    if (!p->stack.count || p->stack.items[p->stack.count - 1].kind == MARK)
        return fail_operand(err);
    *value = p->stack.items[--p->stack.count];
    return BS_OK;
}

static enum bs_status pop_kind(struct bs_pickle *p, enum kind kind, struct value *value,
                               struct bs_error *err)
{
    if (pop(p, value, err))
        return err->status;
    return value->kind == kind ? BS_OK : fail_operand(err);
}

/* Takes the values above the topmost mark, and it. They stay where they are until the next push. */
static enum bs_status pop_to_mark(struct bs_pickle *p, const struct value **values, size_t *count,
                                  struct bs_error *err)
{
    size_t first = p->stack.count;
    *values = NULL;
    *count = 0;
    while (first && p->stack.items[first - 1].kind != MARK)
        first--;
    if (!first)
        return fail_operand(err);
    *values = p->stack.items + first;
    *count = p->stack.count - first;
    p->stack.count = first - 1;
    return BS_OK;
}

static bool text_is(struct bs_text text, const char *word)
{
    return text.length == strlen(word) && !memcmp(text.bytes, word, text.length);
}

static struct bs_text value_text(const struct value *value)
{
    return (struct bs_text){value->text, value->count};
}

/* ---- values without operands ---- */

static enum bs_status op_proto(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)p;
    if (a->number < LOWEST_PROTOCOL || a->number > HIGHEST_PROTOCOL)
        return bs_fail(err, BS_EUNSUPPORTED, "pickle protocol %llu, expected %d to %d",
                       (unsigned long long)a->number, LOWEST_PROTOCOL, HIGHEST_PROTOCOL);
    return BS_OK;
}

/* A frame groups opcodes for reading them ahead, and has no other meaning. */
static enum bs_status op_frame(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    if (a->number > p->size - p->at)
        return bs_fail(err, BS_EDATA, "a frame reaches beyond the end");
    return BS_OK;
}

static enum bs_status op_mark(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    return push(p, (struct value){.kind = MARK}, err);
}

static enum bs_status op_opaque(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    return push(p, (struct value){.kind = OPAQUE}, err);
}

static enum bs_status op_unsigned(struct bs_pickle *p, const struct argument *a,
                                  struct bs_error *err)
{
    return push(p, (struct value){.kind = INTEGER, .number = (int64_t)a->number}, err);
}

static enum bs_status op_int32(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    return push(p, (struct value){.kind = INTEGER, .number = (int32_t)(uint32_t)a->number}, err);
}

/* Two's complement, as many bytes as it takes. One of more than 64 bits is no size of anything. */
static enum bs_status op_long(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    if (a->length > sizeof(int64_t))
        return op_opaque(p, a, err);
    bool negative = a->length && a->text[a->length - 1] & 0x80;
    int64_t number = negative ? -1 : 0;
    memcpy(&number, a->text, a->length);
    return push(p, (struct value){.kind = INTEGER, .number = number}, err);
}

static enum bs_status op_text(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    struct value value = {.kind = TEXT, .count = (uint32_t)a->length, .text = a->text};
    return push(p, value, err);
}

static enum bs_status op_dict(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    struct value value = {.kind = DICT, .index = p->dicts.count};
    if (push_value(&p->dicts, (struct value){.kind = OPAQUE}, err))
        return err->status;
    return push(p, value, err);
}

/* ---- the stack and the memo ---- */

static enum bs_status op_pop(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    if (!p->stack.count)
        return fail_operand(err);
    p->stack.count--; /* a mark too */
    return BS_OK;
}

static enum bs_status op_pop_mark(struct bs_pickle *p, const struct argument *a,
                                  struct bs_error *err)
{
    (void)a;
    const struct value *values;
    size_t count;
    return pop_to_mark(p, &values, &count, err);
}

static enum bs_status op_dup(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    struct value value;
    if (pop(p, &value, err) || push(p, value, err))
        return err->status;
    return push(p, value, err);
}

/* Numbers of the memo count up, so that none reaches the number of bytes. */
static enum bs_status op_put(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    struct value value;
    if (pop(p, &value, err) || push(p, value, err))
        return err->status;
    if (a->number >= p->size)
        return bs_fail(err, BS_EDATA, "number %llu of the memo, in a pickle of %zu bytes",
                       (unsigned long long)a->number, p->size);
    while (p->memo.count <= a->number)
        if (push_value(&p->memo, (struct value){.kind = MARK}, err)) /* none yet */
            return err->status;
    p->memo.items[a->number] = value;
    return BS_OK;
}

static enum bs_status op_memoize(struct bs_pickle *p, const struct argument *a,
                                 struct bs_error *err)
{
    (void)a;
    return op_put(p, &(struct argument){.number = p->memo.count}, err);
}

static enum bs_status op_get(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    if (a->number >= p->memo.count || p->memo.items[a->number].kind == MARK)
        return bs_fail(err, BS_EDATA, "nothing has number %llu in the memo",
                       (unsigned long long)a->number);
    return push(p, p->memo.items[a->number], err);
}

/* ---- containers ---- */

static enum bs_status push_tuple(struct bs_pickle *p, const struct value *values, size_t count,
                                 struct bs_error *err)
{
    struct value tuple = {.kind = TUPLE, .count = (uint32_t)count, .index = p->items.count};
    for (size_t i = 0; i < count; i++)
        if (push_value(&p->items, values[i], err))
            return err->status;
    return push(p, tuple, err);
}

static enum bs_status op_tuple(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    const struct value *values;
    size_t count;
    if (pop_to_mark(p, &values, &count, err))
        return err->status;
    return push_tuple(p, values, count, err);
}

static enum bs_status tuple_of(struct bs_pickle *p, size_t count, struct bs_error *err)
{
    struct value values[3];
    for (size_t i = count; i-- > 0;)
        if (pop(p, &values[i], err))
            return err->status;
    return push_tuple(p, values, count, err);
}

static enum bs_status op_tuple0(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    return tuple_of(p, 0, err);
}

static enum bs_status op_tuple1(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    return tuple_of(p, 1, err);
}

static enum bs_status op_tuple2(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    return tuple_of(p, 2, err);
}

static enum bs_status op_tuple3(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    return tuple_of(p, 3, err);
}

/* What a list holds is no part of a state dict. */
static enum bs_status op_append(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    struct value item, list;
    if (pop(p, &item, err) || pop_kind(p, OPAQUE, &list, err))
        return err->status;
    return push(p, list, err);
}

static enum bs_status op_appends(struct bs_pickle *p, const struct argument *a,
                                 struct bs_error *err)
{
    struct value list;
    if (op_pop_mark(p, a, err) || pop_kind(p, OPAQUE, &list, err))
        return err->status;
    return push(p, list, err);
}

static enum bs_status set_item(struct bs_pickle *p, struct value dict, struct value key,
                               struct value value, struct bs_error *err)
{
    if (key.kind != TEXT || (value.kind != TENSOR && value.kind != DICT))
        return BS_OK;
    if (value.kind == TENSOR)
        p->dicts.items[dict.index].count++;
    if (push_value(&p->pairs, dict, err) || push_value(&p->pairs, key, err))
        return err->status;
    return push_value(&p->pairs, value, err);
}

static enum bs_status op_setitem(struct bs_pickle *p, const struct argument *a,
                                 struct bs_error *err)
{
    (void)a;
    struct value dict, key, value;
    if (pop(p, &value, err) || pop(p, &key, err) || pop_kind(p, DICT, &dict, err) ||
        set_item(p, dict, key, value, err))
        return err->status;
    return push(p, dict, err);
}

static enum bs_status op_setitems(struct bs_pickle *p, const struct argument *a,
                                  struct bs_error *err)
{
    (void)a;
    struct value dict;
    const struct value *values;
    size_t count;
    if (pop_to_mark(p, &values, &count, err) || pop_kind(p, DICT, &dict, err))
        return err->status;
    if (count % 2)
        return fail_operand(err);
    for (size_t i = 0; i < count; i += 2)
        if (set_item(p, dict, values[i], values[i + 1], err))
            return err->status;
    return push(p, dict, err);
}

/* Attributes of an OrderedDict: torch hangs the versions of the modules there. */
static enum bs_status op_build(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    struct value state, dict;
    if (pop(p, &state, err) || pop_kind(p, DICT, &dict, err))
        return err->status;
    return push(p, dict, err);
}

/* ---- globals ---- */

static bool find_function(struct bs_text module, struct bs_text name, struct value *value)
{
    static const struct {
        const char *module, *name;
        enum function function;
    } functions[] = {
        {"collections", "OrderedDict", ORDERED_DICT},
        {"torch._utils", "_rebuild_tensor_v2", REBUILD_TENSOR_V2},
        {"torch._utils", "_rebuild_tensor_v3", REBUILD_TENSOR_V3},
        {"torch._utils", "_rebuild_parameter", REBUILD_PARAMETER},
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (!text_is(module, functions[i].module) || !text_is(name, functions[i].name))
            continue;
        *value = (struct value){.kind = FUNCTION, .index = functions[i].function};
        return true;
    }
    return false;
}

static bool find_type(struct bs_text module, struct bs_text name, struct value *value)
{
    bool untyped = text_is(module, "torch.storage") && text_is(name, "UntypedStorage");
    bool torch = text_is(module, "torch");
    for (size_t i = 0;; i++) {
        const struct bs_dtype_info *info = &bs_dtypes[i];
        if (!info->name) {
            *value = (struct value){.kind = STORAGE_TYPE, .index = i};
            return untyped;
        }
        bool storage = info->storage && text_is(name, info->storage);
        if (!torch || (!storage && !text_is(name, info->torch)))
            continue;
        *value = (struct value){.kind = storage ? STORAGE_TYPE : DTYPE, .index = i};
        return true;
    }
}

/* What can be printed of a text that comes from a file of any origin. */
static const char *printable(struct bs_text text, char out[64])
{
    size_t length = text.length < 63 ? text.length : 63;
    for (size_t i = 0; i < length; i++)
        out[i] = text.bytes[i] >= ' ' && text.bytes[i] <= '~' ? (char)text.bytes[i] : '?';
    out[length] = '\0';
    return out;
}

static enum bs_status push_global(struct bs_pickle *p, struct bs_text module, struct bs_text name,
                                  struct bs_error *err)
{
    struct value value;
    char shown[2][64];
    if (find_function(module, name, &value) || find_type(module, name, &value))
        return push(p, value, err);
    return bs_fail(err, BS_EUNSUPPORTED,
                   "asks for '%s.%s', which a dict of tensors does not need (nothing was executed)",
                   printable(module, shown[0]), printable(name, shown[1]));
}

static enum bs_status op_global(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    return push_global(p, a->lines[0], a->lines[1], err);
}

static enum bs_status op_stack_global(struct bs_pickle *p, const struct argument *a,
                                      struct bs_error *err)
{
    (void)a;
    struct value module = {0}, name;
    if (pop_kind(p, TEXT, &name, err) || pop_kind(p, TEXT, &module, err))
        return err->status;
    return push_global(p, value_text(&module), value_text(&name), err);
}

/* ---- storages and tensors ---- */

static enum bs_status op_binpersid(struct bs_pickle *p, const struct argument *a,
                                   struct bs_error *err)
{
    (void)a;
    struct value id;
    if (pop_kind(p, TUPLE, &id, err))
        return err->status;
    const struct value *part = p->items.items + id.index;
    if (id.count != 5 || part[0].kind != TEXT || !text_is(value_text(&part[0]), "storage") ||
        part[1].kind != STORAGE_TYPE || part[2].kind != TEXT || part[4].kind != INTEGER ||
        part[4].number < 0)
        return bs_fail(err, BS_EDATA, "a persistent id that is no storage's");
    id.kind = STORAGE;
    return push(p, id, err);
}

/* A tuple of sizes or strides. */
static bool is_extents(const struct bs_pickle *p, const struct value *value)
{
    if (value->kind != TUPLE || value->count > MAX_RANK)
        return false;
    for (size_t d = 0; d < value->count; d++) {
        const struct value *extent = &p->items.items[value->index + d];
        if (extent->kind != INTEGER || extent->number < 0)
            return false;
    }
    return true;
}

static enum bs_status push_tensor(struct bs_pickle *p, struct value arguments, bool has_dtype,
                                  struct bs_error *err)
{
    const struct value *part = p->items.items + arguments.index;
    if (arguments.count != (has_dtype ? 7u : 6u) || part[0].kind != STORAGE ||
        part[1].kind != INTEGER || part[1].number < 0 || !is_extents(p, &part[2]) ||
        !is_extents(p, &part[3]) || part[2].count != part[3].count)
        return bs_fail(err, BS_EDATA, "a tensor is not described as torch does it");
    const struct value *type = &p->items.items[part[0].index + 1];
    if (has_dtype ? part[6].kind != DTYPE : !bs_dtypes[type->index].name)
        return bs_fail(err, BS_EDATA, "a tensor of no element type");
    arguments.kind = TENSOR;
    return push(p, arguments, err);
}

static enum bs_status op_reduce(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    struct value arguments, function = {0};
    if (pop_kind(p, TUPLE, &arguments, err) || pop_kind(p, FUNCTION, &function, err))
        return err->status;
    switch ((enum function)function.index) {
    case REBUILD_TENSOR_V2:
        return push_tensor(p, arguments, false, err);
    case REBUILD_TENSOR_V3:
        return push_tensor(p, arguments, true, err);
    case REBUILD_PARAMETER:
        if (arguments.count != 3 || p->items.items[arguments.index].kind != TENSOR)
            return bs_fail(err, BS_EDATA, "a parameter is not described as torch does it");
        return push(p, p->items.items[arguments.index], err);
    case ORDERED_DICT:
        break;
    }
    if (arguments.count)
        return fail_operand(err);
    return op_dict(p, a, err);
}

/* ---- the machine ---- */

/* What follows an opcode: a number of so many bytes, a text behind its length in so many, or two
 * lines. */
enum layout {
    NOTHING = 0,
    NUMBER1 = 1,
    NUMBER2 = 2,
    NUMBER4 = 4,
    NUMBER8 = 8,
    COUNTED = 16,
    COUNTED1 = COUNTED | 1,
    COUNTED4 = COUNTED | 4,
    COUNTED8 = COUNTED | 8,
    LINES = 32,
};

enum { STOP = '.', PROTO = 0x80 };

static const struct {
    enum layout layout;
    enum bs_status (*run)(struct bs_pickle *p, const struct argument *a, struct bs_error *err);
} opcodes[UCHAR_MAX + 1] = {
    [PROTO] = {NUMBER1, op_proto},   [0x95] = {NUMBER8, op_frame},
    ['('] = {NOTHING, op_mark},      ['0'] = {NOTHING, op_pop},
    ['1'] = {NOTHING, op_pop_mark},  ['2'] = {NOTHING, op_dup},
    ['q'] = {NUMBER1, op_put},       ['r'] = {NUMBER4, op_put},
    [0x94] = {NOTHING, op_memoize},  ['h'] = {NUMBER1, op_get},
    ['j'] = {NUMBER4, op_get},       ['N'] = {NOTHING, op_opaque}, /* None */
    [0x88] = {NOTHING, op_opaque},                                 /* True */
    [0x89] = {NOTHING, op_opaque},                                 /* False */
    ['K'] = {NUMBER1, op_unsigned},  ['M'] = {NUMBER2, op_unsigned},
    ['J'] = {NUMBER4, op_int32},     [0x8a] = {COUNTED1, op_long},
    [0x8b] = {COUNTED4, op_long},    ['G'] = {NUMBER8, op_opaque}, /* a float */
    ['X'] = {COUNTED4, op_text},     [0x8c] = {COUNTED1, op_text},
    [0x8d] = {COUNTED8, op_text},    ['U'] = {COUNTED1, op_opaque}, /* bytes */
    ['T'] = {COUNTED4, op_opaque},   ['C'] = {COUNTED1, op_opaque},
    ['B'] = {COUNTED4, op_opaque},   [0x8e] = {COUNTED8, op_opaque},
    [0x96] = {COUNTED8, op_opaque},  [']'] = {NOTHING, op_opaque}, /* a list */
    ['a'] = {NOTHING, op_append},    ['e'] = {NOTHING, op_appends},
    [')'] = {NOTHING, op_tuple0},    [0x85] = {NOTHING, op_tuple1},
    [0x86] = {NOTHING, op_tuple2},   [0x87] = {NOTHING, op_tuple3},
    ['t'] = {NOTHING, op_tuple},     ['}'] = {NOTHING, op_dict},
    ['s'] = {NOTHING, op_setitem},   ['u'] = {NOTHING, op_setitems},
    ['c'] = {LINES, op_global},      [0x93] = {NOTHING, op_stack_global},
    ['R'] = {NOTHING, op_reduce},    ['b'] = {NOTHING, op_build},
    ['Q'] = {NOTHING, op_binpersid},
};

static enum bs_status fail_cut(struct bs_error *err)
{
    return bs_fail(err, BS_EDATA, "the pickle is cut short");
}

static enum bs_status read_line(struct bs_pickle *p, struct bs_text *line, struct bs_error *err)
{
    const unsigned char *start = p->data + p->at;
    const unsigned char *end = memchr(start, '\n', p->size - p->at);
    if (!end)
        return fail_cut(err);
    *line = (struct bs_text){start, (size_t)(end - start)};
    p->at += line->length + 1;
    return BS_OK;
}

static enum bs_status read_argument(struct bs_pickle *p, enum layout layout, struct argument *a,
                                    struct bs_error *err)
{
    *a = (struct argument){0};
    if (layout == LINES) {
        if (read_line(p, &a->lines[0], err))
            return err->status;
        return read_line(p, &a->lines[1], err);
    }
    size_t bytes = layout & (COUNTED - 1u);
    if (bytes > p->size - p->at)
        return fail_cut(err);
    memcpy(&a->number, p->data + p->at, bytes);
    p->at += bytes;
    if (!(layout & COUNTED))
        return BS_OK;
    if (a->number > p->size - p->at)
        return fail_cut(err);
    a->text = p->data + p->at;
    a->length = (size_t)a->number;
    p->at += a->length;
    return BS_OK;
}

/* One opcode. */
static enum bs_status step(struct bs_pickle *p, struct bs_error *err)
{
    size_t start = p->at;
    unsigned char code = p->data[p->at++];
    struct argument argument;
    if (!opcodes[code].run)
        bs_fail(err, BS_EUNSUPPORTED, "opcode 0x%02x, which a dict of tensors does not need", code);
    else if (!read_argument(p, opcodes[code].layout, &argument, err) &&
             !opcodes[code].run(p, &argument, err))
        return BS_OK;
    if (err->status == BS_ENOMEM)
        return err->status;
    return bs_fail_within(err, "%s: byte %zu", p->place, start);
}

static enum bs_status run(struct bs_pickle *p, struct value *result, struct bs_error *err)
{
    if (p->size > MAX_PICKLE_BYTES)
        return bs_fail(err, BS_EUNSUPPORTED, "%s: %zu bytes, expected at most %d", p->place,
                       p->size, MAX_PICKLE_BYTES);
    if (!p->size || p->data[0] != PROTO)
        return bs_fail(err, BS_EDATA, "%s: no pickle of protocol %d to %d", p->place,
                       LOWEST_PROTOCOL, HIGHEST_PROTOCOL);
    while (p->at < p->size && p->data[p->at] != STOP)
        if (step(p, err))
            return err->status;
    if (p->at == p->size)
        return bs_fail(err, BS_EDATA, "%s: the pickle is cut short", p->place);
    if (pop(p, result, err))
        return bs_fail(err, BS_EDATA, "%s: the pickle ends without an object", p->place);
    return BS_OK;
}

/* ---- the state dict ---- */

static enum bs_status fail_two(const struct bs_pickle *p, struct bs_text name, struct bs_error *err)
{
    char shown[64];
    return bs_fail(err, BS_EUNSUPPORTED,
                   "%s: tensors stand in '%s' and elsewhere: which is the model? save its state "
                   "dict alone",
                   p->place, printable(name, shown));
}

/* The object itself, or the one dict of tensors right inside of it. */
static enum bs_status find_state_dict(struct bs_pickle *p, const struct value *object,
                                      struct bs_error *err)
{
    if (object->kind != DICT)
        return bs_fail(err, BS_EUNSUPPORTED, "%s: the pickled object is no dict", p->place);
    p->state_dict = object->index;
    bool found = p->dicts.items[object->index].count > 0;
    for (size_t i = 0; i < p->pairs.count; i += PAIR) {
        const struct value *pair = p->pairs.items + i;
        size_t inner = pair[2].index;
        if (pair[0].index != object->index || pair[2].kind != DICT || !p->dicts.items[inner].count)
            continue;
        if (found && p->state_dict != inner)
            return fail_two(p, value_text(&pair[1]), err);
        p->state_dict = inner;
        found = true;
    }
    if (!found)
        return bs_fail(err, BS_EDATA, "%s: the pickled dict holds no tensors", p->place);
    return BS_OK;
}

static bool in_state_dict(const struct bs_pickle *p, size_t pair)
{
    return p->pairs.items[pair].index == p->state_dict && p->pairs.items[pair + 2].kind == TENSOR;
}

enum bs_status bs_pickle_open(const char *place, const unsigned char *data, size_t size,
                              struct bs_pickle **pickle, struct bs_error *err)
{
    *pickle = NULL;
    struct bs_pickle *p = bs_calloc(1, sizeof *p);
    if (!p)
        return bs_fail_memory(err);
    p->place = place;
    p->data = data;
    p->size = size;
    struct value object = {0};
    if (run(p, &object, err) || find_state_dict(p, &object, err)) {
        bs_pickle_free(p);
        return err->status;
    }
    for (size_t i = 0; i < p->pairs.count; i += PAIR) {
        if (!in_state_dict(p, i))
            continue;
        p->tensors++;
        p->bytes += p->pairs.items[i + 1].count;
    }
    *pickle = p;
    return BS_OK;
}

void bs_pickle_free(struct bs_pickle *pickle)
{
    if (!pickle)
        return;
    bs_free(pickle->stack.items);
    bs_free(pickle->memo.items);
    bs_free(pickle->items.items);
    bs_free(pickle->pairs.items);
    bs_free(pickle->dicts.items);
    bs_free(pickle);
}

size_t bs_pickle_count(const struct bs_pickle *pickle, size_t *name_bytes)
{
    *name_bytes = pickle->bytes;
    return pickle->tensors;
}

static enum bs_status read_storage(const struct bs_pickle *p, const struct value *storage,
                                   struct bs_pickled_tensor *tensor)
{
    const struct value *id = p->items.items + storage->index;
    const struct bs_dtype_info *type = &bs_dtypes[id[1].index];
    tensor->storage = value_text(&id[2]);
    tensor->dtype = type;
    size_t bytes = type->name ? type->bytes : 1;
    return __builtin_mul_overflow((size_t)id[4].number, bytes, &tensor->storage_bytes) ? BS_EDATA
                                                                                       : BS_OK;
}

/* Shape and strides: count, extent and order from all dimensions. */
static enum bs_status read_extents(const struct bs_pickle *p, const struct value *shape,
                                   const struct value *strides, struct bs_pickled_tensor *tensor)
{
    size_t reach = 0;
    bool wraps = false;
    tensor->rank = (int)shape->count;
    tensor->count = 1;
    for (int d = tensor->rank - 1; d >= 0; d--) {
        int64_t extent = p->items.items[shape->index + (size_t)d].number;
        int64_t stride = p->items.items[strides->index + (size_t)d].number;
        size_t span = 0;
        if (extent > 1) {
            tensor->strided |= (size_t)stride != tensor->count;
            wraps |= __builtin_mul_overflow((size_t)extent - 1, (size_t)stride, &span);
        }
        wraps |= __builtin_add_overflow(reach, span, &reach);
        wraps |= __builtin_mul_overflow(tensor->count, (size_t)extent, &tensor->count);
        if (d < BS_MAX_RANK) {
            tensor->shape[d] = extent;
            tensor->strides[d] = stride;
        }
    }
    wraps |= reach == SIZE_MAX;
    tensor->extent = tensor->count ? reach + 1 : 0;
    tensor->strided &= tensor->count > 0;
    return wraps ? BS_EDATA : BS_OK;
}

enum bs_status bs_pickle_next(const struct bs_pickle *pickle, size_t *cursor,
                              struct bs_pickled_tensor *tensor, struct bs_error *err)
{
    while (!in_state_dict(pickle, *cursor))
        *cursor += PAIR;
    const struct value *pair = pickle->pairs.items + *cursor;
    const struct value *part = pickle->items.items + pair[2].index;
    *cursor += PAIR;
    *tensor = (struct bs_pickled_tensor){.name = value_text(&pair[1])};
    tensor->offset = (size_t)part[1].number;
    if (read_storage(pickle, &part[0], tensor) ||
        read_extents(pickle, &part[2], &part[3], tensor)) {
        char shown[64];
        return bs_fail(err, BS_EDATA, "%s: tensor '%s': the product of its sizes overflows",
                       pickle->place, printable(tensor->name, shown));
    }
    if (pair[2].count == 7)
        tensor->dtype = &bs_dtypes[part[6].index];
    return BS_OK;
}

/* A pickle is a program for a machine with a stack and a memo (Python's Lib/pickletools.py says
 * what each opcode does). Python's own machine calls whatever functions a pickle names; this one
 * knows the few that a state dict needs and calls none: it keeps a tensor as the arguments with
 * which torch would rebuild it (torch/_utils.py), and a storage as its persistent id
 * (torch/serialization.py):
 *
 *   _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)
 *   _rebuild_tensor_v3(the same, dtype)    for the element types without a storage class
 *   _rebuild_parameter(tensor, requires_grad, hooks)
 *   ('storage', class, key, location, elements)
 *
 * What a state dict does not need (floats, lists, None ...) is one opaque value. Nothing recurses,
 * each opcode takes at least a byte, and an opcode makes at most a value for each value that it
 * takes, so that time and memory are linear in the pickle's size. */
#include "eval/checkpoint/pickle.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/checkpoint/pickle_internal.h"

enum {
    MAX_PICKLE_BYTES = 16 << 20, /* some 200 are spent on a tensor */
    MAX_STACK = 1 << 20,
    LOWEST_PROTOCOL = 2,
    HIGHEST_PROTOCOL = 5,
};

/* An opcode's argument. */
struct argument {
    uint64_t number;
    const unsigned char *text;
    size_t length;
    struct bs_text lines[2];
};

static enum bs_status push_value(struct bs_values *values, struct bs_value value,
                                 struct bs_error *err)
{
    if (values->count == values->capacity) {
        size_t capacity = values->capacity ? 2 * values->capacity : 64;
        struct bs_value *grown =
            bs_realloc(values->items, values->count, capacity, sizeof *values->items);
        if (!grown)
            return bs_fail_memory(err);
        values->items = grown;
        values->capacity = capacity;
    }
    values->items[values->count++] = value;
    return BS_OK;
}

static enum bs_status push(struct bs_pickle *p, struct bs_value value, struct bs_error *err)
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
static enum bs_status pop(struct bs_pickle *p, struct bs_value *value, struct bs_error *err)
{
    *value = (struct bs_value){0};
    if (!p->stack.count || p->stack.items[p->stack.count - 1].kind == BS_MARK)
        return fail_operand(err);
    *value = p->stack.items[--p->stack.count];
    return BS_OK;
}

static enum bs_status pop_kind(struct bs_pickle *p, enum bs_kind kind, struct bs_value *value,
                               struct bs_error *err)
{
    if (pop(p, value, err))
        return err->status;
    return value->kind == kind ? BS_OK : fail_operand(err);
}

/* Takes the values above the topmost mark, and it. They stay where they are until the next push. */
static enum bs_status pop_to_mark(struct bs_pickle *p, const struct bs_value **values,
                                  size_t *count, struct bs_error *err)
{
    size_t first = p->stack.count;
    *values = NULL;
    *count = 0;
    while (first && p->stack.items[first - 1].kind != BS_MARK)
        first--;
    if (!first)
        return fail_operand(err);
    *values = p->stack.items + first;
    *count = p->stack.count - first;
    p->stack.count = first - 1;
    return BS_OK;
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
    return push(p, (struct bs_value){.kind = BS_MARK}, err);
}

static enum bs_status op_opaque(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    return push(p, (struct bs_value){.kind = BS_OPAQUE}, err);
}

static enum bs_status op_unsigned(struct bs_pickle *p, const struct argument *a,
                                  struct bs_error *err)
{
    return push(p, (struct bs_value){.kind = BS_INTEGER, .number = (int64_t)a->number}, err);
}

static enum bs_status op_int32(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    return push(p, (struct bs_value){.kind = BS_INTEGER, .number = (int32_t)(uint32_t)a->number},
                err);
}

/* Two's complement, as many bytes as it takes. One of more than 64 bits is no size of anything. */
static enum bs_status op_long(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    if (a->length > sizeof(int64_t))
        return op_opaque(p, a, err);
    bool negative = a->length && a->text[a->length - 1] & 0x80;
    int64_t number = negative ? -1 : 0;
    memcpy(&number, a->text, a->length);
    return push(p, (struct bs_value){.kind = BS_INTEGER, .number = number}, err);
}

static enum bs_status op_text(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    struct bs_value value = {.kind = BS_TEXT, .count = (uint32_t)a->length, .text = a->text};
    return push(p, value, err);
}

static enum bs_status op_dict(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    struct bs_value value = {.kind = BS_DICT, .index = p->dicts.count};
    if (push_value(&p->dicts, (struct bs_value){.kind = BS_OPAQUE}, err))
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
    const struct bs_value *values;
    size_t count;
    return pop_to_mark(p, &values, &count, err);
}

static enum bs_status op_dup(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    struct bs_value value;
    if (pop(p, &value, err) || push(p, value, err))
        return err->status;
    return push(p, value, err);
}

/* Numbers of the memo count up, so that none reaches the number of bytes. */
static enum bs_status op_put(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    struct bs_value value;
    if (pop(p, &value, err) || push(p, value, err))
        return err->status;
    if (a->number >= p->size)
        return bs_fail(err, BS_EDATA, "number %llu of the memo, in a pickle of %zu bytes",
                       (unsigned long long)a->number, p->size);
    while (p->memo.count <= a->number)
        if (push_value(&p->memo, (struct bs_value){.kind = BS_MARK}, err)) /* none yet */
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
    if (a->number >= p->memo.count || p->memo.items[a->number].kind == BS_MARK)
        return bs_fail(err, BS_EDATA, "nothing has number %llu in the memo",
                       (unsigned long long)a->number);
    return push(p, p->memo.items[a->number], err);
}

/* ---- containers ---- */

static enum bs_status push_tuple(struct bs_pickle *p, const struct bs_value *values, size_t count,
                                 struct bs_error *err)
{
    struct bs_value tuple = {.kind = BS_TUPLE, .count = (uint32_t)count, .index = p->items.count};
    for (size_t i = 0; i < count; i++)
        if (push_value(&p->items, values[i], err))
            return err->status;
    return push(p, tuple, err);
}

static enum bs_status op_tuple(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    (void)a;
    const struct bs_value *values;
    size_t count;
    if (pop_to_mark(p, &values, &count, err))
        return err->status;
    return push_tuple(p, values, count, err);
}

static enum bs_status tuple_of(struct bs_pickle *p, size_t count, struct bs_error *err)
{
    struct bs_value values[3];
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
    struct bs_value item, list;
    if (pop(p, &item, err) || pop_kind(p, BS_OPAQUE, &list, err))
        return err->status;
    return push(p, list, err);
}

static enum bs_status op_appends(struct bs_pickle *p, const struct argument *a,
                                 struct bs_error *err)
{
    struct bs_value list;
    if (op_pop_mark(p, a, err) || pop_kind(p, BS_OPAQUE, &list, err))
        return err->status;
    return push(p, list, err);
}

static enum bs_status set_item(struct bs_pickle *p, struct bs_value dict, struct bs_value key,
                               struct bs_value value, struct bs_error *err)
{
    if (key.kind != BS_TEXT || (value.kind != BS_TENSOR && value.kind != BS_DICT))
        return BS_OK;
    if (value.kind == BS_TENSOR)
        p->dicts.items[dict.index].count++;
    if (push_value(&p->pairs, dict, err) || push_value(&p->pairs, key, err))
        return err->status;
    return push_value(&p->pairs, value, err);
}

static enum bs_status op_setitem(struct bs_pickle *p, const struct argument *a,
                                 struct bs_error *err)
{
    (void)a;
    struct bs_value dict, key, value;
    if (pop(p, &value, err) || pop(p, &key, err) || pop_kind(p, BS_DICT, &dict, err) ||
        set_item(p, dict, key, value, err))
        return err->status;
    return push(p, dict, err);
}

static enum bs_status op_setitems(struct bs_pickle *p, const struct argument *a,
                                  struct bs_error *err)
{
    (void)a;
    struct bs_value dict;
    const struct bs_value *values;
    size_t count;
    if (pop_to_mark(p, &values, &count, err) || pop_kind(p, BS_DICT, &dict, err))
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
    struct bs_value state, dict;
    if (pop(p, &state, err) || pop_kind(p, BS_DICT, &dict, err))
        return err->status;
    return push(p, dict, err);
}

/* ---- globals ---- */

static enum bs_status push_global(struct bs_pickle *p, struct bs_text module, struct bs_text name,
                                  struct bs_error *err)
{
    struct bs_value value;
    if (bs_pickle_global(module, name, &value, err))
        return err->status;
    return push(p, value, err);
}

static enum bs_status op_global(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    return push_global(p, a->lines[0], a->lines[1], err);
}

static enum bs_status op_stack_global(struct bs_pickle *p, const struct argument *a,
                                      struct bs_error *err)
{
    (void)a;
    struct bs_value module = {0}, name;
    if (pop_kind(p, BS_TEXT, &name, err) || pop_kind(p, BS_TEXT, &module, err))
        return err->status;
    return push_global(p, bs_value_text(&module), bs_value_text(&name), err);
}

/* ---- storages and tensors ---- */

static enum bs_status op_binpersid(struct bs_pickle *p, const struct argument *a,
                                   struct bs_error *err)
{
    (void)a;
    struct bs_value id, storage;
    if (pop_kind(p, BS_TUPLE, &id, err) || bs_pickle_storage(p, &id, &storage, err))
        return err->status;
    return push(p, storage, err);
}

static enum bs_status op_reduce(struct bs_pickle *p, const struct argument *a, struct bs_error *err)
{
    struct bs_value arguments, value, function = {0};
    if (pop_kind(p, BS_TUPLE, &arguments, err) || pop_kind(p, BS_FUNCTION, &function, err))
        return err->status;
    if (function.index == BS_ORDERED_DICT)
        return arguments.count ? fail_operand(err) : op_dict(p, a, err);
    if (bs_pickle_rebuild(p, (enum bs_function)function.index, &arguments, &value, err))
        return err->status;
    return push(p, value, err);
}

/* ---- the machine ---- */

/* What follows an opcode: a number of so many bytes, a text after its length in so many, or two
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

enum bs_status bs_pickle_run(struct bs_pickle *p, struct bs_value *result, struct bs_error *err)
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

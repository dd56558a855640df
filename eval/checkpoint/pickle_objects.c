/* What a pickle names and calls, as far as a state dict needs it: functions and types by their
 * names, a storage by its persistent id, a tensor as the arguments that rebuild it. */
#include "eval/checkpoint/pickle_internal.h"

#include <string.h>

enum { MAX_RANK = 64 }; /* torch's */

static bool text_is(struct bs_text text, const char *word)
{
    return text.length == strlen(word) && !memcmp(text.bytes, word, text.length);
}

static bool find_function(struct bs_text module, struct bs_text name, struct bs_value *value)
{
    static const struct {
        const char *module, *name;
        enum bs_function function;
    } functions[] = {
        {"collections", "OrderedDict", BS_ORDERED_DICT},
        {"torch._utils", "_rebuild_tensor_v2", BS_REBUILD_TENSOR_V2},
        {"torch._utils", "_rebuild_tensor_v3", BS_REBUILD_TENSOR_V3},
        {"torch._utils", "_rebuild_parameter", BS_REBUILD_PARAMETER},
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (!text_is(module, functions[i].module) || !text_is(name, functions[i].name))
            continue;
        *value = (struct bs_value){.kind = BS_FUNCTION, .index = functions[i].function};
        return true;
    }
    return false;
}

static bool find_type(struct bs_text module, struct bs_text name, struct bs_value *value)
{
    bool untyped = text_is(module, "torch.storage") && text_is(name, "UntypedStorage");
    bool torch = text_is(module, "torch");
    for (size_t i = 0;; i++) {
        const struct bs_dtype_info *info = &bs_dtypes[i];
        if (!info->name) {
            *value = (struct bs_value){.kind = BS_STORAGE_TYPE, .index = i};
            return untyped;
        }
        bool storage = info->storage && text_is(name, info->storage);
        if (!torch || (!storage && !text_is(name, info->torch)))
            continue;
        *value = (struct bs_value){.kind = storage ? BS_STORAGE_TYPE : BS_DTYPE, .index = i};
        return true;
    }
}

enum bs_status bs_pickle_global(struct bs_text module, struct bs_text name, struct bs_value *value,
                                struct bs_error *err)
{
    char shown[2][64];
    if (find_function(module, name, value) || find_type(module, name, value))
        return BS_OK;
    return bs_fail(err, BS_EUNSUPPORTED,
                   "asks for '%s.%s', which a dict of tensors does not need (nothing was executed)",
                   bs_text_printable(module, shown[0]), bs_text_printable(name, shown[1]));
}

enum bs_status bs_pickle_storage(const struct bs_pickle *p, const struct bs_value *id,
                                 struct bs_value *storage, struct bs_error *err)
{
    const struct bs_value *part = id->count == 5 ? p->items.items + id->index : NULL;
    if (!part || part[0].kind != BS_TEXT || !text_is(bs_value_text(&part[0]), "storage") ||
        part[1].kind != BS_STORAGE_TYPE || part[2].kind != BS_TEXT || part[4].kind != BS_INTEGER ||
        part[4].number < 0)
        return bs_fail(err, BS_EDATA, "a persistent id that is no storage's");
    *storage = *id;
    storage->kind = BS_STORAGE;
    return BS_OK;
}

/* A tuple of sizes or strides. */
static bool is_extents(const struct bs_pickle *p, const struct bs_value *value)
{
    if (value->kind != BS_TUPLE || value->count > MAX_RANK)
        return false;
    for (size_t d = 0; d < value->count; d++) {
        const struct bs_value *extent = &p->items.items[value->index + d];
        if (extent->kind != BS_INTEGER || extent->number < 0)
            return false;
    }
    return true;
}

static enum bs_status rebuild_tensor(const struct bs_pickle *p, const struct bs_value *arguments,
                                     bool has_dtype, struct bs_value *tensor, struct bs_error *err)
{
    bool complete = arguments->count == (has_dtype ? 7u : 6u);
    const struct bs_value *part = complete ? p->items.items + arguments->index : NULL;
    if (!part || part[0].kind != BS_STORAGE || part[1].kind != BS_INTEGER || part[1].number < 0 ||
        !is_extents(p, &part[2]) || !is_extents(p, &part[3]) || part[2].count != part[3].count)
        return bs_fail(err, BS_EDATA, "a tensor is not described as torch does it");
    const struct bs_value *type = &p->items.items[part[0].index + 1];
    if (has_dtype ? part[6].kind != BS_DTYPE : !bs_dtypes[type->index].name)
        return bs_fail(err, BS_EDATA, "a tensor of no element type");
    *tensor = *arguments;
    tensor->kind = BS_TENSOR;
    return BS_OK;
}

enum bs_status bs_pickle_rebuild(const struct bs_pickle *p, enum bs_function function,
                                 const struct bs_value *arguments, struct bs_value *value,
                                 struct bs_error *err)
{
    if (function != BS_REBUILD_PARAMETER)
        return rebuild_tensor(p, arguments, function == BS_REBUILD_TENSOR_V3, value, err);
    if (arguments->count != 3 || p->items.items[arguments->index].kind != BS_TENSOR)
        return bs_fail(err, BS_EDATA, "a parameter is not described as torch does it");
    *value = p->items.items[arguments->index];
    return BS_OK;
}

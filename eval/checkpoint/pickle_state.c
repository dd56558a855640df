/* Which of the pickled dicts is the state dict, and the numbers of its tensors. */
#include "eval/checkpoint/pickle_internal.h"

#include "eval/base/mem.h"

struct bs_text bs_value_text(const struct bs_value *value)
{
    return (struct bs_text){value->text, value->count};
}

const char *bs_text_printable(struct bs_text text, char out[64])
{
    size_t length = text.length < 63 ? text.length : 63;
    for (size_t i = 0; i < length; i++)
        out[i] = text.bytes[i] >= ' ' && text.bytes[i] <= '~' ? (char)text.bytes[i] : '?';
    out[length] = '\0';
    return out;
}

static enum bs_status fail_two(const struct bs_pickle *p, struct bs_text name, struct bs_error *err)
{
    char shown[64];
    return bs_fail(err, BS_EUNSUPPORTED,
                   "%s: tensors stand in '%s' and elsewhere: which is the model? save its state "
                   "dict alone",
                   p->place, bs_text_printable(name, shown));
}

/* The object itself, or the one dict of tensors right inside of it. */
static enum bs_status find_state_dict(struct bs_pickle *p, const struct bs_value *object,
                                      struct bs_error *err)
{
    if (object->kind != BS_DICT)
        return bs_fail(err, BS_EUNSUPPORTED, "%s: the pickled object is no dict", p->place);
    p->state_dict = object->index;
    bool found = p->dicts.items[object->index].count > 0;
    for (size_t i = 0; i < p->pairs.count; i += BS_PAIR) {
        const struct bs_value *pair = p->pairs.items + i;
        size_t inner = pair[2].index;
        if (pair[0].index != object->index || pair[2].kind != BS_DICT ||
            !p->dicts.items[inner].count)
            continue;
        if (found && p->state_dict != inner)
            return fail_two(p, bs_value_text(&pair[1]), err);
        p->state_dict = inner;
        found = true;
    }
    if (!found)
        return bs_fail(err, BS_EDATA, "%s: the pickled dict holds no tensors", p->place);
    return BS_OK;
}

static bool in_state_dict(const struct bs_pickle *p, size_t pair)
{
    return p->pairs.items[pair].index == p->state_dict &&
           p->pairs.items[pair + 2].kind == BS_TENSOR;
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
    struct bs_value object = {0};
    if (bs_pickle_run(p, &object, err) || find_state_dict(p, &object, err)) {
        bs_pickle_free(p);
        return err->status;
    }
    for (size_t i = 0; i < p->pairs.count; i += BS_PAIR) {
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

static enum bs_status read_storage(const struct bs_pickle *p, const struct bs_value *storage,
                                   struct bs_pickled_tensor *tensor)
{
    const struct bs_value *id = p->items.items + storage->index;
    const struct bs_dtype_info *type = &bs_dtypes[id[1].index];
    tensor->storage = bs_value_text(&id[2]);
    tensor->dtype = type;
    size_t bytes = type->name ? type->bytes : 1;
    return __builtin_mul_overflow((size_t)id[4].number, bytes, &tensor->storage_bytes) ? BS_EDATA
                                                                                       : BS_OK;
}

/* Shape and strides: count, extent and order from all dimensions. */
static enum bs_status read_extents(const struct bs_pickle *p, const struct bs_value *shape,
                                   const struct bs_value *strides, struct bs_pickled_tensor *tensor)
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
        *cursor += BS_PAIR;
    const struct bs_value *pair = pickle->pairs.items + *cursor;
    const struct bs_value *part = pickle->items.items + pair[2].index;
    *cursor += BS_PAIR;
    *tensor = (struct bs_pickled_tensor){.name = bs_value_text(&pair[1])};
    tensor->offset = (size_t)part[1].number;
    if (read_storage(pickle, &part[0], tensor) ||
        read_extents(pickle, &part[2], &part[3], tensor)) {
        char shown[64];
        return bs_fail(err, BS_EDATA, "%s: tensor '%s': the product of its sizes overflows",
                       pickle->place, bs_text_printable(tensor->name, shown));
    }
    if (pair[2].count == 7)
        tensor->dtype = &bs_dtypes[part[6].index];
    return BS_OK;
}

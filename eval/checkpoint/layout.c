#include "eval/checkpoint/layout.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "eval/base/file.h"
#include "eval/base/json.h"
#include "eval/base/mem.h"

enum { NAME_BYTES = 512 };

/* --- what config.json says --- */

static const struct bs_layout *layout_of(const char *method)
{
    for (int i = 0; bs_layout_registry.rows[i]; i++) {
        const struct bs_layout *layout = (const struct bs_layout *)bs_layout_registry.rows[i];
        if (bs_word_in(method, layout->methods))
            return layout;
    }
    return NULL;
}

static enum bs_status fail_unknown(const char *path, const char *key, const char *method,
                                   struct bs_error *err)
{
    char known[256];
    size_t used = 0;
    for (int i = 0; bs_layout_registry.rows[i] && used < sizeof known; i++) {
        const struct bs_layout *layout = (const struct bs_layout *)bs_layout_registry.rows[i];
        for (int m = 0; layout->methods[m] && used < sizeof known; m++)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "",
                                     layout->methods[m]);
    }
    return bs_fail(err, BS_EUNSUPPORTED,
                   "%s: %s: the weights are quantized already%s%.40s%s, in a layout that bitsweep "
                   "does not read; known are %s; or take the model that this one was made from",
                   path, key, method ? " (" : "", method ? method : "", method ? ")" : "", known);
}

enum bs_status bs_quantization_find(const char *path, const json_t *config,
                                    struct bs_quantization *found, struct bs_error *err)
{
    /* where it stands, and whose it is where the object does not say */
    static const struct {
        const char *key, *method;
    } places[] = {
        {"quantization_config", NULL}, {"compression_config", NULL}, {"quantization", "MLX"}};
    *found = (struct bs_quantization){.layout = NULL};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const json_t *settings = json_object_get(config, places[i].key);
        const char *method = bs_layout_word(settings, "quant_method", places[i].method);
        if (!json_object_size(settings))
            continue;
        *found =
            (struct bs_quantization){method ? layout_of(method) : NULL, settings, places[i].key};
        return found->layout ? BS_OK : fail_unknown(path, places[i].key, method, err);
    }
    return BS_OK;
}

const char *bs_layout_word(const json_t *object, const char *key, const char *missing)
{
    const char *word = json_string_value(json_object_get(object, key));
    return word ? word : missing;
}

bool bs_layout_true(const json_t *object, const char *key, bool missing)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : missing;
}

enum bs_status bs_layout_int(const struct bs_assembly *assembly, const json_t *object,
                             const char *key, int least, int most, int missing, int *value,
                             struct bs_error *err)
{
    const json_t *given = json_object_get(object, key);
    char found[80];
    bool absent = !given || json_is_null(given);
    *value = missing;
    if (absent && missing >= least)
        return BS_OK;
    json_int_t number = json_integer_value(given);
    *value = (int)number;
    if (json_is_integer(given) && number >= least && number <= most)
        return BS_OK;
    if (absent)
        snprintf(found, sizeof found, "missing");
    else
        bs_json_excerpt(given, found, sizeof found);
    return bs_fail(err, BS_EDATA, "%s: %s is %s, expected %d to %d", assembly->place, key, found,
                   least, most);
}

/* --- opening --- */

/* Reads directory/name where it is there: config.json of a folder without one is not missed here.
 */
static enum bs_status read_json(const char *directory, const char *name, char **path, json_t **json,
                                struct bs_error *err)
{
    struct stat info;
    *json = NULL;
    *path = bs_printf("%s/%s", directory, name);
    if (!*path)
        return bs_fail_memory(err);
    return stat(*path, &info) ? BS_OK : bs_json_read(*path, json, err);
}

/* quantize_config.json holds the settings and nothing else. */
static enum bs_status open_older(struct bs_assembly *assembly, const char *directory,
                                 struct bs_error *err)
{
    char *path;
    enum bs_status status =
        read_json(directory, "quantize_config.json", &path, &assembly->config, err);
    if (status || !assembly->config) {
        bs_free(path);
        return status;
    }
    const char *method = bs_layout_word(assembly->config, "quant_method", "gptq");
    assembly->place = path;
    assembly->settings = assembly->config;
    assembly->layout = layout_of(method);
    return assembly->layout ? BS_OK : fail_unknown(path, "quant_method", method, err);
}

enum bs_status bs_assembly_open(struct bs_assembly *assembly, const char *directory,
                                struct bs_error *err)
{
    struct bs_quantization found = {.layout = NULL};
    char *path;
    enum bs_status status = read_json(directory, "config.json", &path, &assembly->config, err);
    const json_t *text = json_object_get(assembly->config, "text_config");
    if (!status)
        status = bs_quantization_find(path, assembly->config, &found, err);
    if (!status && !found.layout)
        status = bs_quantization_find(path, text, &found, err);
    if (!status && found.layout && !(assembly->place = bs_printf("%s: %s", path, found.key)))
        status = bs_fail_memory(err);
    bs_free(path);
    assembly->layout = found.layout;
    assembly->settings = found.settings;
    if (!status && !found.layout) {
        json_decref(assembly->config);
        assembly->config = NULL;
        status = open_older(assembly, directory, err);
    }
    if (status)
        bs_assembly_close(assembly);
    return status;
}

void bs_assembly_close(struct bs_assembly *assembly)
{
    bs_entries_release(&assembly->made);
    json_decref(assembly->config);
    bs_free(assembly->place);
    bs_free(assembly->state);
    *assembly = (struct bs_assembly){.entries = assembly->entries, .notices = assembly->notices};
}

/* --- parts --- */

const struct bs_entry *bs_assembly_find(const struct bs_assembly *assembly, const char *module,
                                        const char *ending)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s%s", module, ending);
    return bs_entries_find(assembly->entries, name);
}

/* Whether the word is in a list that blanks divide. */
static bool in_list(const char *word, const char *list)
{
    size_t length = strlen(word);
    for (const char *at = list; *at; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == length && !strncmp(at, word, length))
            return true;
    return false;
}

static bool has_shape(const struct bs_tensor *tensor, int rank, const int64_t *shape)
{
    if (tensor->rank != rank)
        return false;
    for (int d = 0; d < rank; d++)
        if (shape[d] != BS_ANY_EXTENT && shape[d] != tensor->shape[d])
            return false;
    return true;
}

/* "[4096, any]" */
static void print_expected(int rank, const int64_t *shape, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (int d = 0; d < rank && used < size; d++)
        used += shape[d] == BS_ANY_EXTENT
                    ? (size_t)snprintf(out + used, size - used, "%sany", d ? ", " : "")
                    : (size_t)snprintf(out + used, size - used, "%s%lld", d ? ", " : "",
                                       (long long)shape[d]);
    if (used < size)
        snprintf(out + used, size - used, "]");
}

enum bs_status bs_assembly_need(const struct bs_assembly *assembly, const char *module,
                                const char *ending, const char *dtypes, int rank,
                                const int64_t *shape, const struct bs_entry **entry,
                                struct bs_error *err)
{
    char expected[128], found[128];
    *entry = bs_assembly_find(assembly, module, ending);
    if (*entry && (*entry)->defect == BS_HIGH_RANK) /* so may `rank` be, which then is its own */
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' has %d dimensions, expected at most %d",
                       (*entry)->tensor.file, (*entry)->tensor.name, (*entry)->tensor.rank,
                       BS_MAX_RANK);
    assert(rank <= BS_MAX_RANK);
    print_expected(rank, shape, expected, sizeof expected);
    if (!*entry)
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s%s' is missing, expected %s of shape %s",
                       assembly->place, module, ending, dtypes, expected);
    const struct bs_tensor *tensor = &(*entry)->tensor;
    bs_shape_print(tensor->rank, tensor->shape, found, sizeof found);
    if (!in_list((*entry)->dtype, dtypes))
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' has dtype %.40s, expected %s",
                       tensor->file, tensor->name, (*entry)->dtype, dtypes);
    if (!has_shape(tensor, rank, shape))
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' has shape %s, expected %s", tensor->file,
                       tensor->name, found, expected);
    if (tensor->strided || (*entry)->defect == BS_FEW_ELEMENTS)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: tensor '%.200s' is not contiguous; save it with .contiguous()",
                       tensor->file, tensor->name);
    return BS_OK;
}

enum bs_status bs_assembly_number(const struct bs_assembly *assembly, const char *module,
                                  const char *ending, const char *dtypes, float *value,
                                  struct bs_error *err)
{
    const struct bs_entry *entry = bs_assembly_find(assembly, module, ending);
    const int64_t one[] = {1};
    int rank = entry && entry->tensor.rank == 0 ? 0 : 1;
    if (bs_assembly_need(assembly, module, ending, dtypes, rank, one, &entry, err))
        return err->status;
    if (!strcmp(entry->dtype, "I8"))
        *value = (float)*(const signed char *)entry->tensor.data;
    else
        bs_tensor_read(&entry->tensor, 0, 1, value);
    return BS_OK;
}

enum bs_status bs_assembly_scale(const struct bs_assembly *assembly, const char *module,
                                 const char *ending, float *value, struct bs_error *err)
{
    if (bs_assembly_number(assembly, module, ending, "F32 BF16 F16", value, err))
        return err->status;
    return *value > 0
               ? BS_OK
               : bs_fail(err, BS_EDATA, "%s: tensor '%.200s%s' is %g, expected a number above 0",
                         assembly->place, module, ending, (double)*value);
}

/* --- putting together --- */

enum bs_status bs_assembly_put(struct bs_assembly *assembly, const char *module, const char *ending,
                               int rank, const int64_t *shape, struct bs_coded *coded,
                               const struct bs_entry *const *spent, int num_spent,
                               struct bs_error *err)
{
    int parts = 0;
    assert(coded->decode && *coded->scheme && num_spent <= BS_MOST_PARTS);
    struct bs_entry *made = bs_entries_grow(&assembly->made, 1);
    if (!made || !(made->named = bs_printf("%s%s", module, ending))) {
        bs_free(coded);
        return bs_fail_memory(err);
    }
    made->tensor = (struct bs_tensor){
        .name = made->named, .file = spent[0]->tensor.file, .rank = rank, .count = 1};
    for (int d = 0; d < rank; d++) {
        made->tensor.shape[d] = shape[d];
        made->tensor.count *= (size_t)shape[d];
    }
    for (int i = 0; i < num_spent; i++) {
        if (!spent[i])
            continue;
        size_t bytes = spent[i]->tensor.count * bs_dtype_find(spent[i]->dtype)->bytes;
        if (bytes)
            coded->parts[parts++] =
                (struct bs_file_part){&spent[i]->shard->map, spent[i]->tensor.data, bytes};
        coded->bits += 8 * (double)bytes;
        bs_assembly_drop(assembly, spent[i]);
    }
    made->tensor.coded = coded;
    made->dtype = "coded";
    made->shard = spent[0]->shard;
    assembly->made.count++;
    return BS_OK;
}

void bs_assembly_drop(struct bs_assembly *assembly, const struct bs_entry *entry)
{
    if (entry)
        assembly->entries->items[entry - assembly->entries->items].spent = true;
}

/* Makes what the tensor is the first of, where its name ends as one of the layout's. */
static enum bs_status make(struct bs_assembly *assembly, const struct bs_entry *entry,
                           struct bs_error *err)
{
    const struct bs_layout *layout = assembly->layout;
    char module[NAME_BYTES];
    for (int e = 0; layout->endings[e]; e++) {
        size_t length = strlen(entry->tensor.name), ending = strlen(layout->endings[e]);
        if (!bs_ends_in(entry->tensor.name, layout->endings[e]) || length - ending >= NAME_BYTES)
            continue;
        snprintf(module, sizeof module, "%.*s", (int)(length - ending), entry->tensor.name);
        return layout->make(assembly, module, entry, err);
    }
    return BS_OK;
}

/* The coded matrices join the table, and what they were made of leaves it. */
static enum bs_status merge(struct bs_assembly *assembly, struct bs_error *err)
{
    struct bs_entries *entries = assembly->entries;
    size_t kept = 0, made = assembly->made.count;
    if (!bs_entries_grow(entries, made))
        return bs_fail_memory(err);
    for (size_t i = 0; i < entries->count; i++)
        if (!entries->items[i].spent)
            entries->items[kept++] = entries->items[i];
    for (size_t i = 0; i < made; i++)
        entries->items[kept + i] = assembly->made.items[i];
    entries->count = kept + made;
    assembly->made.count = 0;
    return bs_entries_sort(entries, err);
}

enum bs_status bs_assembly_run(struct bs_assembly *assembly, struct bs_error *err)
{
    const struct bs_layout *layout = assembly->layout;
    if (!layout)
        return BS_OK;
    if (layout->state_bytes && !(assembly->state = bs_calloc(1, layout->state_bytes)))
        return bs_fail_memory(err);
    if (layout->read && layout->read(assembly, err))
        return err->status;
    for (size_t i = 0; i < assembly->entries->count; i++)
        if (!assembly->entries->items[i].spent && make(assembly, &assembly->entries->items[i], err))
            return err->status;
    return merge(assembly, err);
}

/* LoRA: W + s B A in place of W, as PEFT's merge_and_unload makes of a model in float32. The file
 * adapter_model.safetensors holds for a linear X [out][in]
 *   base_model.model.X.lora_A.weight [r][in], base_model.model.X.lora_B.weight [out][r]
 * and s is lora_alpha / r, or lora_alpha / sqrt(r) (use_rslora); and whole tensors,
 * base_model.model.NAME, in place of the model's (modules_to_save). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/checkpoint/layout.h"

#define PREFIX "base_model.model."

enum { NAME_BYTES = 512, RUN = 512 };

/* A matrix with its difference. */
struct adapted {
    struct bs_coded coded;
    struct bs_tensor base, a, b;
    float scale;
};

/* Columns [from, from + count) of row i of B A, times the scale, added to w. */
static void add_difference(const struct adapted *m, size_t i, size_t from, size_t count, float *w)
{
    float a[RUN], b;
    double sums[RUN] = {0};
    size_t in = (size_t)m->base.shape[1], rank = (size_t)m->a.shape[0];
    for (size_t k = 0; k < rank; k++) {
        bs_tensor_read(&m->b, i * rank + k, 1, &b);
        bs_tensor_read(&m->a, k * in + from, count, a);
        for (size_t j = 0; j < count; j++)
            sums[j] += (double)a[j] * (double)b;
    }
    for (size_t j = 0; j < count; j++)
        w[j] += (float)sums[j] * m->scale;
}

static void decode(const struct bs_coded *coded, size_t first, size_t count, float *out)
{
    const struct adapted *m = (const struct adapted *)coded;
    size_t in = (size_t)m->base.shape[1];
    for (size_t i = first; i < first + count; i++, out += in) {
        bs_tensor_read(&m->base, i * in, in, out);
        for (size_t from = 0; from < in; from += RUN)
            add_difference(m, i, from, in - from < RUN ? in - from : RUN, out + from);
    }
}

/* --- settings --- */

/* What the sum is made by, and what leaves it as it is: names, where and how the factors were
 * trained, and what they began with. */
static const char *const known[] = {"peft_type",
                                    "lora_alpha",
                                    "use_rslora",
                                    "r",
                                    "rank_pattern", /* each factor says its own */
                                    "bias",         /* the biases are tensors of the adapter's */
                                    "modules_to_save",
                                    "init_lora_weights",
                                    "eva_config",
                                    "corda_config",
                                    "loftq_config",
                                    "lora_ga_config",
                                    "velora_config",
                                    "lora_dropout",
                                    "target_modules",
                                    "exclude_modules",
                                    "layers_to_transform",
                                    "layers_pattern",
                                    "megatron_core",
                                    "qalora_group_size",
                                    "runtime_config",
                                    "inference_mode",
                                    "auto_mapping",
                                    "base_model_name_or_path",
                                    "revision",
                                    "peft_version",
                                    "task_type",
                                    NULL};

static bool is_off(const json_t *value)
{
    const char *word = json_string_value(value);
    return json_is_null(value) || json_is_false(value) || (word && !*word) ||
           (json_is_array(value) && !json_array_size(value)) ||
           (json_is_object(value) && !json_object_size(value));
}

/* What would change the sum, or might, is not understood. */
static enum bs_status check_settings(const char *path, json_t *config, struct bs_error *err)
{
    static const char *const starts[] = {"gaussian", "eva", "orthogonal", NULL};
    const char *key, *type = bs_layout_word(config, "peft_type", "");
    const json_t *start = json_object_get(config, "init_lora_weights");
    json_t *value;
    char found[80];
    if (strcmp(type, "LORA"))
        return bs_fail(err, BS_EUNSUPPORTED, "%s: peft_type is '%.40s', expected LORA", path, type);
    json_object_foreach(config, key, value)
    {
        if (bs_word_in(key, known) || is_off(value))
            continue;
        bs_json_excerpt(value, found, sizeof found);
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: %.80s is %s, which bitsweep does not merge; merge it with PEFT "
                       "(merge_and_unload) and save the model",
                       path, key, found);
    }
    if (json_is_string(start) && !bs_word_in(json_string_value(start), starts))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: init_lora_weights is '%.40s', with which the base is changed too", path,
                       json_string_value(start));
    return BS_OK;
}

/* lora_alpha, and what of r it is divided by. */
static enum bs_status read_scale(const char *path, const json_t *config, int64_t rank, float *scale,
                                 struct bs_error *err)
{
    const json_t *alpha = json_object_get(config, "lora_alpha");
    if (!json_is_number(alpha))
        return bs_fail(err, BS_EDATA, "%s: lora_alpha is missing or no number", path);
    double by = bs_layout_true(config, "use_rslora", false) ? sqrt((double)rank) : (double)rank;
    *scale = (float)(json_number_value(alpha) / by);
    return BS_OK;
}

/* --- tensors --- */

static enum bs_status fail_place(const struct bs_entry *entry, const char *why,
                                 struct bs_error *err)
{
    return bs_fail(err, BS_EUNSUPPORTED, "%s: tensor '%.200s' %s", entry->tensor.file,
                   entry->tensor.name, why);
}

/* The base's entry keeps its values under a name that nobody asks for. */
static enum bs_status set_aside(struct bs_entry *base, struct bs_error *err)
{
    char *aside = bs_printf("%s without its adapter", base->tensor.name);
    if (!aside)
        return bs_fail_memory(err);
    bs_free(base->named);
    base->named = aside;
    base->tensor.name = aside;
    base->used = base->aside = true;
    return BS_OK;
}

/* Adds an entry that stands for the base's. */
static enum bs_status add_entry(struct bs_entries *made, const struct bs_entry *like,
                                const char *name, struct bs_entry **added, struct bs_error *err)
{
    *added = bs_entries_grow(made, 1);
    char *named = bs_strdup(name);
    if (!*added || !named) {
        bs_free(named);
        return bs_fail_memory(err);
    }
    **added = *like;
    (*added)->named = named;
    (*added)->tensor.name = named;
    (*added)->used = (*added)->aside = false;
    made->count++;
    return BS_OK;
}

/* The two factors of a linear and the matrix that they are added to. */
struct pair {
    const struct bs_entry *a, *b;
    struct bs_entry *base;
};

static enum bs_status check_pair(const struct pair *pair, struct bs_error *err)
{
    const struct bs_tensor *a = &pair->a->tensor, *b = &pair->b->tensor;
    const struct bs_tensor *w = &pair->base->tensor;
    if (pair->a->defect || pair->b->defect || pair->base->defect || a->rank != 2 || b->rank != 2 ||
        w->rank != 2 || a->shape[0] != b->shape[1] || !a->shape[0] || a->shape[1] != w->shape[1] ||
        b->shape[0] != w->shape[0])
        return fail_place(pair->a, "does not fit the linear that it is of", err);
    return BS_OK;
}

static enum bs_status add_pair(const char *path, const json_t *config, const struct pair *pair,
                               struct bs_entries *made, struct bs_error *err)
{
    struct bs_entry *added;
    float scale = 0;
    if (check_pair(pair, err) || read_scale(path, config, pair->a->tensor.shape[0], &scale, err) ||
        add_entry(made, pair->base, pair->base->tensor.name, &added, err))
        return err->status;
    added->tensor.coded = NULL;
    if (set_aside(pair->base, err))
        return err->status;
    struct adapted *m = bs_calloc(1, sizeof *m);
    if (!m)
        return bs_fail_memory(err);
    const struct bs_entry *parts[] = {pair->a, pair->b};
    for (int p = 0; p < 2; p++)
        m->coded.parts[p] =
            (struct bs_file_part){&parts[p]->shard->map, parts[p]->tensor.data,
                                  parts[p]->tensor.count * bs_dtypes[parts[p]->tensor.dtype].bytes};
    m->base = pair->base->tensor;
    m->a = pair->a->tensor;
    m->b = pair->b->tensor;
    m->scale = scale;
    m->coded.decode = decode;
    snprintf(m->coded.scheme, sizeof m->coded.scheme, "LoRA of rank %lld, times %.9g",
             (long long)m->a.shape[0], (double)scale);
    added->tensor.coded = &m->coded;
    added->tensor.data = NULL;
    added->dtype = "coded";
    return BS_OK;
}

/* A whole tensor in place of the base's. */
static enum bs_status add_whole(const struct bs_entry *entry, struct bs_entry *base,
                                const char *name, struct bs_entries *made, struct bs_error *err)
{
    struct bs_entry *added;
    if (base && set_aside(base, err))
        return err->status;
    if (base)
        base->used = base->aside = false, base->spent = true;
    return add_entry(made, entry, name, &added, err);
}

/* An adapter on its way into the tensors of its base. */
struct adapting {
    const char *path; /* of adapter_config.json */
    const json_t *config;
    const struct bs_entries *adapter;
    struct bs_entries *base, made;
};

static enum bs_status add_tensor(struct adapting *to, const struct bs_entry *entry,
                                 struct bs_error *err)
{
    static const char first[] = ".lora_A.weight", second[] = ".lora_B.weight";
    char name[NAME_BYTES];
    const char *own = entry->tensor.name;
    size_t length = strlen(own);
    if (strncmp(own, PREFIX, sizeof PREFIX - 1) || length >= NAME_BYTES)
        return fail_place(entry, "is none of an adapter's (base_model.model.)", err);
    own += sizeof PREFIX - 1;
    if (bs_ends_in(own, second)) {
        snprintf(name, sizeof name, PREFIX "%.*s%s", (int)(strlen(own) - sizeof second + 1), own,
                 first);
        return bs_entries_find(to->adapter, name)
                   ? BS_OK /* with the first */
                   : fail_place(entry, "has no lora_A beside it", err);
    }
    snprintf(name, sizeof name, "%s", own);
    if (!bs_ends_in(own, first)) {
        if (strstr(own, "lora_"))
            return fail_place(entry, "is of a kind of adapter that bitsweep does not merge", err);
        return add_whole(entry, bs_entries_find(to->base, name), name, &to->made, err);
    }
    struct pair pair = {.a = entry};
    snprintf(name, sizeof name, PREFIX "%.*s%s", (int)(strlen(own) - sizeof first + 1), own,
             second);
    pair.b = bs_entries_find(to->adapter, name);
    snprintf(name, sizeof name, "%.*s.weight", (int)(strlen(own) - sizeof first + 1), own);
    pair.base = bs_entries_find(to->base, name);
    if (!pair.b)
        return fail_place(entry, "has no lora_B beside it", err);
    if (!pair.base)
        return fail_place(entry, "is of a linear that the base does not have", err);
    if (pair.base->tensor.coded && *pair.base->tensor.coded->inputs.setting)
        return fail_place(entry,
                          "is of a linear whose inputs the base quantizes, which the adapter "
                          "reads as they are",
                          err);
    return add_pair(to->path, to->config, &pair, &to->made, err);
}

/* The base's tensors that are left, and those that stand for others. */
static enum bs_status merge(struct adapting *to, struct bs_error *err)
{
    size_t kept = 0;
    if (!bs_entries_grow(to->base, to->made.count))
        return bs_fail_memory(err);
    for (size_t i = 0; i < to->base->count; i++) {
        struct bs_entry *entry = &to->base->items[i];
        if (entry->spent) {
            bs_free(entry->named);
            bs_free(entry->tensor.coded);
        } else {
            to->base->items[kept++] = *entry;
        }
    }
    for (size_t i = 0; i < to->made.count; i++)
        to->base->items[kept++] = to->made.items[i];
    to->base->count = kept;
    to->made.count = 0;
    return bs_entries_sort(to->base, err);
}

enum bs_status bs_entries_adapt(struct bs_entries *base, const struct bs_entries *adapter,
                                const char *directory, struct bs_error *err)
{
    struct adapting to = {.base = base, .adapter = adapter};
    json_t *config = NULL;
    char *path = bs_printf("%s/adapter_config.json", directory);
    if (!path)
        return bs_fail_memory(err);
    enum bs_status status = bs_json_read(path, &config, err);
    to.path = path;
    to.config = config;
    if (!status)
        status = check_settings(path, config, err);
    for (size_t i = 0; i < adapter->count && !status; i++)
        status = add_tensor(&to, &adapter->items[i], err);
    if (!status)
        status = merge(&to, err);
    bs_entries_release(&to.made);
    json_decref(config);
    bs_free(path);
    return status;
}

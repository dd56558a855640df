#include "eval/export/folder.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/export/mark.h"
#include "eval/model/gguf_target.h"

enum { CHUNK = 1 << 20, TENSORS_A_LINEAR = 6, HEADER_A_TENSOR = 300 };
static const size_t most_file_bytes = 5000000000u; /* of weights, as transformers has had it */

/* ---- before ---- */

/* Embedding and head where the layout has no codes for them. */
static enum bs_status check_outer(const struct bs_export_layout *layout,
                                  const struct bs_export_places *places, bool tied,
                                  struct bs_error *err)
{
    int embedding = places->outer[BS_EMBEDDING];
    const struct bs_export_place *head = &places->items[places->outer[BS_HEAD]];
    if (embedding >= 0 && layout->outer != BS_EXPORT_ALL_OUTER)
        return bs_export_refuse(&places->items[embedding], err,
                                "the recipe quantizes the embedding%s, for which the layout has no "
                                "codes: expected the layout dequantized, or gguf",
                                tied ? ", which is the head too" : "");
    if (head->weights && layout->outer == BS_EXPORT_NO_OUTER)
        return bs_export_refuse(head, err,
                                "the recipe quantizes the head, for which the layout has no codes: "
                                "expected another one, such as compressed_tensors or gguf");
    return BS_OK;
}

enum bs_status bs_export_folder_check(const struct bs_export *export,
                                      const struct bs_export_layout *layout, struct bs_error *err)
{
    const char *directory = bs_model_directory(export->model);
    struct bs_export_places places;
    if (bs_model_is_gguf(export->model))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: a folder needs a config.json and a tokenizer.json, and of a GGUF file "
                       "there are none: expected a model's folder",
                       directory);
    if (bs_model_architecture(export->model)->wrapper)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: the model is the text part of a larger one (model_type %s), of which a "
                       "folder would hold a part",
                       directory, bs_model_architecture(export->model)->wrapper);
    if (export->recipe->compute == BS_AS_LLAMA_CPP)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "the recipe multiplies as llama.cpp does, which runs GGUF files alone: "
                       "expected compute: float32, or the layout gguf");
    if (bs_export_places_list(export, &places, err))
        return err->status;
    enum bs_status status =
        check_outer(layout, &places, bs_model_architecture(export->model)->tied_head, err);
    bool any = !layout->settings; /* plain weights are a model whatever the recipe is */
    for (int i = 0; i < places.count && !status; i++) {
        any |= places.items[i].weights != NULL;
        if (places.items[i].weights || places.items[i].input)
            status = layout->check(export, &places.items[i], err);
    }
    if (!status && !any)
        status = bs_fail(err, BS_EUNSUPPORTED,
                         "the recipe quantizes no weights, and this layout is of quantized ones: "
                         "expected the layout dequantized");
    if (!status && layout->check_all)
        status = layout->check_all(export, &places, err);
    bs_export_places_release(&places);
    return status;
}

enum bs_status bs_export_folder_open(const struct bs_export *export,
                                     const struct bs_export_layout *layout, void **state,
                                     struct bs_error *err)
{
    struct bs_export_folder *folder = *state = bs_calloc(1, sizeof *folder);
    if (!folder)
        return bs_fail_memory(err);
    folder->export = export;
    folder->layout = layout;
    folder->list = bs_alloc(BS_MAX_SLOTS, sizeof *folder->list);
    if (!folder->list)
        return bs_fail_memory(err);
    if (bs_export_places_list(export, &folder->places, err))
        return err->status;
    size_t tensors = TENSORS_A_LINEAR * (size_t)folder->places.count;
    return bs_safetensors_create(export->path, HEADER_A_TENSOR * tensors, most_file_bytes,
                                 &folder->tensors, err);
}

void bs_export_folder_free(void *state)
{
    struct bs_export_folder *folder = state;
    if (!folder)
        return;
    bs_safetensors_free(folder->tensors);
    bs_export_places_release(&folder->places);
    bs_free(folder->list);
    bs_free(folder);
}

/* ---- tensors ---- */

enum bs_status bs_export_put(struct bs_export_folder *folder, const char *module,
                             const char *ending, const char *dtype, int rank, const int64_t *shape,
                             const void *data, struct bs_error *err)
{
    char name[BS_STORED_NAME_BYTES + 64];
    snprintf(name, sizeof name, "%s%s", module, ending);
    return bs_safetensors_add(folder->tensors, name, dtype, rank, shape, data, err);
}

/* As the model has it: the same bytes, or, of what is quantized there already, floats. */
static enum bs_status copy_tensor(struct bs_export_folder *folder, const struct bs_tensor *tensor,
                                  struct bs_error *err)
{
    bool coded = tensor->coded;
    size_t row = coded ? (size_t)tensor->shape[tensor->rank - 1] : 1;
    size_t bytes = coded ? sizeof(float) : bs_dtypes[tensor->dtype].bytes;
    size_t step = CHUNK > row ? CHUNK / row * row : row;
    unsigned char *room = bs_alloc(step < tensor->count ? step : tensor->count, bytes);
    if (!room)
        return bs_fail_memory(err);
    enum bs_status status = bs_safetensors_begin(folder->tensors, tensor->name,
                                                 coded ? "F32" : bs_dtypes[tensor->dtype].name,
                                                 tensor->rank, tensor->shape, err);
    for (size_t at = 0; at < tensor->count && !status; at += step) {
        size_t count = tensor->count - at < step ? tensor->count - at : step;
        const void *data = room;
        if (coded)
            bs_tensor_read(tensor, at, count, (float *)(void *)room);
        else
            data = bs_tensor_bytes(tensor, at, count, room);
        status = bs_safetensors_put(folder->tensors, data, count * bytes, err);
    }
    bs_stored_forget(folder->export->model, tensor);
    bs_free(room);
    return status;
}

static enum bs_status put_tensor(void *context, const struct bs_stored_tensor *tensor,
                                 struct bs_error *err)
{
    struct bs_export_folder *folder = context;
    const struct bs_tensor *t = tensor->source;
    if (!tensor->values)
        return copy_tensor(folder, t, err);
    return bs_safetensors_add(folder->tensors, t->name, "F32", t->rank, t->shape, tensor->values,
                              err);
}

/* Weights that are not quantized: as the model has them where nothing has changed them. */
static enum bs_status put_plain(struct bs_export_folder *folder, const struct bs_block *original,
                                const struct bs_block *block, const struct bs_stored_linear *stored,
                                struct bs_error *err)
{
    if (!bs_stored_weights_differ(original, block, stored))
        return copy_tensor(folder, stored->source, err);
    float *values = bs_alloc((size_t)stored->out * (size_t)stored->in, sizeof *values);
    if (!values)
        return bs_fail_memory(err);
    const int64_t shape[] = {stored->transposed ? stored->in : stored->out,
                             stored->transposed ? stored->out : stored->in};
    bs_stored_weights(block, stored, values);
    enum bs_status status =
        bs_export_put(folder, stored->module, stored->ending, "F32", 2, shape, values, err);
    bs_free(values);
    return status;
}

static enum bs_status put_coded(struct bs_export_folder *folder, const struct bs_block *block,
                                const struct bs_stored_linear *stored, struct bs_error *err)
{
    struct bs_codes room;
    const struct bs_codes *codes;
    if (bs_stored_codes(block, stored, &room, &codes, err))
        return err->status;
    struct bs_export_place *place = bs_export_places_find(&folder->places, stored->module);
    place->ordered = codes->group_index != NULL;
    enum bs_status status = folder->layout->matrix(folder, place, codes, err);
    bs_codes_release(&room);
    return status ? bs_fail_within(err, "%s", stored->module) : BS_OK;
}

enum bs_status bs_export_folder_block(void *state, const struct bs_block *original,
                                      const struct bs_block *block, struct bs_error *err)
{
    struct bs_export_folder *folder = state;
    const struct bs_model *model = folder->export->model;
    if (block->hidden_scale)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "layer %d: the recipe divides what the MLP's nonlinearity gives by factors, "
                       "which no checkpoint of this family has a place for",
                       block->index);
    int count = bs_stored_linears(model, block->index, folder->list);
    for (int k = 0; k < count; k++) {
        const struct bs_stored_linear *stored = &folder->list[k];
        if (bs_stored_is_coded(block, stored) ? put_coded(folder, block, stored, err)
                                              : put_plain(folder, original, block, stored, err))
            return err->status;
    }
    for (int s = 0; s < block->program->num_slots; s++)
        if (block->linears[s].damping > folder->damping)
            folder->damping = block->linears[s].damping;
    return bs_stored_norms(model, original, block, put_tensor, folder, err)
               ? err->status
               : bs_stored_all_biases(model, original, block, put_tensor, folder, err);
}

/* ---- the end ---- */

/* What dtype the numbers are right in, and how the weights are quantized. */
static enum bs_status edit_config(const struct bs_export_folder *folder, json_t *config,
                                  json_t *settings, struct bs_error *err)
{
    static const char *const dtype_keys[] = {"torch_dtype", "dtype"};
    static const char *const others[] = {"quantization_config", "compression_config"};
    bool newer = json_object_get(config, dtype_keys[1]);
    for (int k = 0; k < 2; k++) {
        json_object_del(config, dtype_keys[k]);
        json_object_del(config, others[k]);
    }
    if (json_object_set_new(config, dtype_keys[newer], json_string("float32")) ||
        (folder->layout->settings && json_object_set(config, others[0], settings)))
        return bs_fail_memory(err);
    return BS_OK;
}

static enum bs_status write_json(const struct bs_export_folder *folder, const char *name,
                                 const json_t *value, struct bs_error *err)
{
    char *path = bs_path_join(folder->export->path, name);
    enum bs_status status = path ? bs_json_write(path, value, err) : bs_fail_memory(err);
    bs_free(path);
    return status;
}

/* The model's config.json with what is other now. */
static enum bs_status write_config(const struct bs_export_folder *folder, struct bs_error *err)
{
    const struct bs_export_layout *layout = folder->layout;
    json_t *config = NULL, *settings = layout->settings ? layout->settings(folder) : NULL;
    char *from = bs_path_join(bs_model_directory(folder->export->model), "config.json");
    enum bs_status status = from && (settings || !layout->settings) ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = bs_json_read(from, &config, err);
    if (!status)
        status = edit_config(folder, config, settings, err);
    if (!status)
        status = write_json(folder, "config.json", config, err);
    if (!status && layout->also)
        status = write_json(folder, layout->also, settings, err);
    json_decref(config);
    json_decref(settings);
    bs_free(from);
    return status;
}

/* The whole of embedding or head as codes. */
static enum bs_status put_outer_codes(struct bs_export_folder *folder, enum bs_outer which,
                                      const struct bs_tensor *tensor, struct bs_error *err)
{
    struct bs_export_place *place = &folder->places.items[folder->places.outer[which]];
    const struct bs_export *export = folder->export;
    struct bs_outer_rounding rounding;
    struct bs_codes codes;
    if (bs_outer_rounding_init(export->model, which, place->weights,
                               export->outer_importance[which], NULL, &rounding, err))
        return err->status;
    float *values = bs_alloc(tensor->count, sizeof *values);
    enum bs_status status = values ? BS_OK : bs_fail_memory(err);
    if (!status) {
        bs_tensor_read(tensor, 0, tensor->count, values);
        bs_stored_forget(export->model, tensor);
        status = bs_outer_codes(&rounding, 0, place->out, values, &codes, err);
        bs_free(values);
        if (!status)
            status = folder->layout->matrix(folder, place, &codes, err);
        bs_codes_release(&codes);
    }
    bs_outer_rounding_release(&rounding);
    return status ? bs_fail_within(err, "%s", place->module) : BS_OK;
}

static enum bs_status put_outer(void *context, const struct bs_stored_tensor *tensor,
                                struct bs_error *err)
{
    struct bs_export_folder *folder = context;
    const struct bs_export_places *places = &folder->places;
    for (int w = 0; w < BS_NUM_OUTER; w++) {
        enum bs_outer which = (enum bs_outer)w;
        if (places->outer[w] >= 0 && places->items[places->outer[w]].weights &&
            tensor->source == bs_model_outer_tensor(folder->export->model, which))
            return put_outer_codes(folder, which, tensor->source, err);
    }
    return put_tensor(context, tensor, err);
}

enum bs_status bs_export_folder_close(void *state, struct bs_error *err)
{
    struct bs_export_folder *folder = state;
    const struct bs_export *export = folder->export;
    if (bs_stored_outer(export->model, put_outer, folder, err) ||
        bs_safetensors_end(folder->tensors, err) || write_config(folder, err) ||
        bs_export_mark_folder(export, err))
        return err->status;
    return bs_export_copy_files(bs_model_directory(export->model), export->path, err);
}

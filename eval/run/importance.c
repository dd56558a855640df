#include "eval/run/importance.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/model/gguf_config.h"

void bs_importance_close(struct bs_importance_files *files)
{
    for (int f = 0; f < files->count; f++) {
        struct bs_importance_file *file = &files->files[f];
        for (size_t i = 0; file->means && i < file->imatrix.count; i++)
            bs_free(file->means[i]);
        bs_free(file->means);
        bs_imatrix_release(&file->imatrix);
    }
    bs_free(files->files);
    *files = (struct bs_importance_files){.count = 0};
}

static const struct bs_importance_file *find(const struct bs_importance_files *files,
                                             const struct bs_setting *setting)
{
    for (int f = 0; files && setting->importance.word == BS_FROM_FILE && f < files->count; f++)
        if (!strcmp(files->files[f].imatrix.digest.hex, setting->importance.digest.hex))
            return &files->files[f];
    return NULL;
}

/* ---- what a file has of a matrix ---- */

/* The entry of this name, and its place; NULL where there is none. */
static const struct bs_imatrix_entry *entry_of(const struct bs_importance_file *file,
                                               const char *name, size_t *at)
{
    const struct bs_imatrix_entry *entry = bs_imatrix_find(&file->imatrix, name);
    *at = entry ? (size_t)(entry - file->imatrix.entries) : 0;
    return entry;
}

/* The values of a slot, [in]; NULL where the file has none. *entry: where they are, or are wanted
 * and of another number. */
static const float *values_of(const struct bs_importance_file *file,
                              const struct bs_architecture *a, int layer, int slot,
                              const struct bs_imatrix_entry **entry)
{
    const struct bs_program *p = bs_program_of(a, layer);
    const struct bs_slot *own = &p->slots[slot];
    struct bs_inputs_name matrix;
    *entry = NULL;
    for (int which = 0; bs_inputs_name_of(own, p->num_experts, layer, which, &matrix) && !*entry;
         which++) {
        size_t at, in = (size_t)own->in;
        *entry = entry_of(file, matrix.tensor, &at);
        if (*entry && (*entry)->columns * (*entry)->matrices == in * (size_t)matrix.matrices)
            return file->means[at] + (size_t)matrix.matrix * in;
    }
    return NULL;
}

const float *bs_importance_of(const struct bs_importance_files *files,
                              const struct bs_setting *setting, const struct bs_architecture *a,
                              int layer, int slot)
{
    const struct bs_importance_file *file = find(files, setting);
    const struct bs_imatrix_entry *entry;
    return file ? values_of(file, a, layer, slot, &entry) : NULL;
}

const float *bs_importance_of_outer(const struct bs_importance_files *files,
                                    const struct bs_setting *setting,
                                    const struct bs_architecture *a, enum bs_outer which)
{
    const struct bs_importance_file *file = find(files, setting);
    size_t at;
    const struct bs_imatrix_entry *entry =
        file ? entry_of(file, bs_gguf_outer_name(which, a->tied_head), &at) : NULL;
    bool fits = entry && entry->columns * entry->matrices == (size_t)a->embedding_size;
    return fits ? file->means[at] : NULL; /* llama-quantize passes over another one too */
}

/* ---- opening ---- */

/* Holds a file against the model's linears. */
static enum bs_status check_file(const struct bs_importance_file *file, const char *path,
                                 const struct bs_architecture *a, struct bs_lines *notices,
                                 struct bs_error *err)
{
    struct bs_inputs_name matrix, missing = {.tensor = "a linear without a name there"};
    int found = 0, absent = 0;
    for (int l = 0; l < a->num_layers; l++)
        for (int s = 0; s < bs_num_linears(a, l); s++) {
            const struct bs_program *p = bs_program_of(a, l);
            const struct bs_imatrix_entry *entry;
            bool named = bs_inputs_name_of(&p->slots[s], p->num_experts, l, 0, &matrix);
            bool there = values_of(file, a, l, s, &entry);
            if (entry && !there)
                return bs_fail(err, BS_EDATA,
                               "%s: entry '%s' has %zu values, and the model's tensor %d x %d: it "
                               "is of another model",
                               path, entry->name, entry->columns * entry->matrices, p->slots[s].in,
                               named ? matrix.matrices : 1);
            found += there;
            if (!there && !p->slots[s].routes && !absent++ && named)
                missing = matrix;
        }
    if (!found)
        return bs_fail(err, BS_EDATA,
                       "%s: no entry is of a linear of this model (%s and %d others)", path,
                       missing.tensor, absent - 1);
    return absent
               ? bs_lines_add(notices, err,
                              "importance: %s has nothing of %s%s: what it lacks is rounded as "
                              "if all columns counted alike",
                              bs_path_name(path), missing.tensor, absent > 1 ? " and others" : "")
               : BS_OK;
}

static enum bs_status fill_means(struct bs_importance_file *file, struct bs_error *err)
{
    const struct bs_imatrix *imatrix = &file->imatrix;
    file->means = bs_calloc(imatrix->count, sizeof *file->means);
    if (!file->means)
        return bs_fail_memory(err);
    for (size_t i = 0; i < imatrix->count; i++) {
        const struct bs_imatrix_entry *entry = &imatrix->entries[i];
        file->means[i] = bs_alloc(entry->columns * entry->matrices, sizeof **file->means);
        if (!file->means[i])
            return bs_fail_memory(err);
        bs_imatrix_means(imatrix, entry, file->means[i]);
    }
    return BS_OK;
}

static enum bs_status open_file(const struct bs_file_choice *choice,
                                const struct bs_architecture *a, struct bs_importance_files *files,
                                struct bs_lines *notices, struct bs_error *err)
{
    struct bs_importance_file *grown =
        bs_realloc(files->files, (size_t)files->count, (size_t)files->count + 1, sizeof *grown);
    if (!grown)
        return bs_fail_memory(err);
    files->files = grown;
    struct bs_importance_file *file = &grown[files->count];
    *file = (struct bs_importance_file){.means = NULL};
    if (bs_imatrix_read(choice->path, &file->imatrix, err))
        return err->status;
    files->count++;
    if (strcmp(file->imatrix.digest.hex, choice->digest.hex))
        return bs_fail(err, BS_EDATA, "%s: changed since the config was read", choice->path);
    if (fill_means(file, err))
        return err->status;
    return check_file(file, choice->path, a, notices, err);
}

static enum bs_status open_of(const struct bs_setting *setting, const struct bs_architecture *a,
                              struct bs_importance_files *files, struct bs_lines *notices,
                              struct bs_error *err)
{
    if (setting->importance.word != BS_FROM_FILE || find(files, setting))
        return BS_OK;
    return open_file(&setting->importance, a, files, notices, err);
}

enum bs_status bs_importance_open(const struct bs_recipe *recipe,
                                  const struct bs_architecture *architecture,
                                  struct bs_importance_files *files, struct bs_lines *notices,
                                  struct bs_error *err)
{
    enum bs_status status = open_of(&recipe->weights, architecture, files, notices, err);
    for (int r = 0; r < recipe->num_rules && !status; r++)
        status = open_of(&recipe->rules[r].setting, architecture, files, notices, err);
    return status;
}

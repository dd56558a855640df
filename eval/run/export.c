#include "eval/run/export.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/machine.h"
#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/base/stop.h"
#include "eval/config/report.h"
#include "eval/export/mark.h"
#include "eval/model/rope.h"
#include "eval/model/stored.h"
#include "eval/recipe/assign.h"
#include "eval/run/export_proof.h"
#include "eval/run/progress.h"
#include "eval/store/lock.h"

/* An export while it runs. */
struct exporting {
    struct bs_sweep *sweep;
    const struct bs_export_request *request;
    const struct bs_writer *writer;
    const struct bs_recipe *recipe;
    struct bs_export export;
    char *path;           /* the right name, without a slash at its end */
    char *partial;        /* the folder beside it that holds the two others meanwhile */
    char *written, *mark; /* what is written to; the file that says whose the folder is */
    char id[17];          /* of the export: what tells it from others */
    int lock;             /* that file, locked while the export runs; -1 = not yet */
    bool begun;           /* the folder is there, and ours */
    void *state;          /* the writer's */
    struct bs_export_proof proof;
    struct bs_variant variant; /* the recipe's, with its figures where they are compared */
    struct bs_limits limits;
    struct bs_lines notes; /* the writer's */
    FILE *out;
};

/* ---- which recipe ---- */

static enum bs_status fail_label(const struct bs_sweep *sweep, const char *label,
                                 struct bs_error *err)
{
    char list[512];
    struct bs_names names = {0};
    for (int i = 0; i < sweep->num_all; i++)
        if (sweep->all[i].recipe)
            bs_names_add(&names, sweep->all[i].recipe_label);
    bs_names_print(&names, label ? label : "", list, sizeof list);
    return label
               ? bs_fail(err, BS_ECONFIG, "no recipe is called '%.200s', expected %s", label, list)
               : bs_fail(err, BS_ECONFIG, "--recipe is missing, expected %s", list);
}

/* The digest of all that the files follow from. */
static enum bs_status name_id(struct exporting *e, const struct bs_trial *trial,
                              struct bs_error *err)
{
    const struct bs_choice *how = e->request->how;
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (!out)
        return bs_fail_memory(err);
    bs_trial_print_written(e->sweep, trial, out);
    fprintf(out, "writer: %s\n", how->plugin->name);
    bs_choice_print_all(how, "writer", out);
    char *canonical = bs_print_end(&printing);
    if (!canonical)
        return bs_fail_memory(err);
    snprintf(e->id, sizeof e->id, "%.16s", bs_digest_of(canonical, strlen(canonical)).hex);
    e->export.id = e->id;
    bs_free(canonical);
    return BS_OK;
}

/* The recipe of this label, and the calibration that it looks at, which is then selected. */
static enum bs_status choose_recipe(struct exporting *e, struct bs_error *err)
{
    struct bs_sweep *sweep = e->sweep;
    const char *label = e->request->label;
    const struct bs_trial *found = NULL;
    for (int i = 0; i < sweep->num_all; i++) {
        const struct bs_trial *trial = &sweep->all[i];
        if (!trial->recipe ||
            (label && strcmp(trial->recipe_label, label) && strcmp(trial->label, label)))
            continue;
        if (found && !label && found->recipe != trial->recipe)
            return fail_label(sweep, NULL, err);
        if (found && found->recipe == trial->recipe && found->calibration != trial->calibration)
            return bs_fail(
                err, BS_ECONFIG,
                "the recipe was calibrated in several ways, expected one of '%.150s' and "
                "'%.150s'",
                found->label, trial->label);
        found = found ? found : trial;
    }
    if (!found)
        return fail_label(sweep, label, err);
    bs_sweep_select(sweep, found->calibration);
    e->recipe = &sweep->config->recipes[found->recipe];
    e->export.label = found->recipe_label;
    if (bs_recipe_turns(e->recipe))
        return bs_fail(
            err, BS_EUNSUPPORTED,
            "'%s' turns the model's channels, some of them online: no layout has a place "
            "for that",
            found->recipe_label);
    if (bs_recipe_drops_codes(e->recipe))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "'%s' rounds linears in bases of their own: no layout has a place for these",
                       found->recipe_label);
    return name_id(e, found, err);
}

/* ---- names ---- */

/* What stands in OUT.partial beside what is written, and says whose the folder is. */
static const char mark[] = ".bitsweep-export";

static void remove_one(const char *path, int (*remove_it)(const char *path))
{
    if (remove_it(path) && errno != ENOENT)
        fprintf(stderr, "bitsweep: cannot remove '%s': %s\n", path, strerror(errno));
}

/* A folder's files, and itself, or a file. */
static void remove_written(const char *path)
{
    struct stat info;
    if (lstat(path, &info))
        return;
    DIR *folder = S_ISDIR(info.st_mode) ? opendir(path) : NULL;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char *name = bs_path_join(path, entry->d_name);
        if (name)
            unlink(name);
        bs_free(name);
    }
    if (folder)
        closedir(folder);
    remove_one(path, folder ? rmdir : unlink);
}

/* OUT.partial, which is ours; the mark goes last, so that a kill on the way leaves it. */
static void remove_partial(const struct exporting *e)
{
    remove_written(e->written);
    remove_one(e->mark, unlink);
    remove_one(e->partial, rmdir);
}

/* Makes OUT.partial with its mark. What an export that was killed has left there goes; what is
 * anybody else's stays, an export's that is still running too. */
static enum bs_status begin_partial(struct exporting *e, struct bs_error *err)
{
    struct stat info;
    bool marked = !lstat(e->mark, &info);
    if (!marked && mkdir(e->partial, 0777) && errno == EEXIST && rmdir(e->partial))
        return bs_fail(err, BS_ECONFIG,
                       "'%s' is there already and is no export that was ended: expected that name "
                       "to be free while '%s' is written",
                       e->partial, e->request->path);
    if (bs_make_directory(e->partial, err) ||
        bs_file_lock(e->mark, e->request->path, &e->lock, err))
        return err->status;
    e->begun = true;
    remove_written(e->written);
    return e->writer->ending ? BS_OK : bs_make_directory(e->written, err);
}

/* Whether what has the name already is this very export; anything else there is an error. */
static enum bs_status look(const struct exporting *e, bool *there, struct bs_error *err)
{
    const char *path = e->request->path, *ending = e->writer->ending;
    struct stat info;
    struct bs_export_mark found;
    *there = false;
    if (ending && !bs_ends_in(path, ending))
        return bs_fail(err, BS_ECONFIG, "'%s' is written as one file, expected a name in %s", path,
                       ending);
    if (lstat(path, &info))
        return BS_OK;
    if (bs_export_mark_read(path, &found, err))
        return err->status;
    bool same = found.id && !strcmp(found.id, e->id);
    *there = same && (found.verified || !e->request->verify);
    if (!*there && same)
        bs_fail(err, BS_ECONFIG,
                "'%s' is there already, written without being read back: expected no verify, or "
                "a name that is free",
                path);
    else if (!*there && found.id)
        bs_fail(err, BS_ECONFIG,
                "'%s' is there already, another export (of '%.200s'): expected a name that is free",
                path, found.recipe);
    else if (!*there)
        bs_fail(err, BS_ECONFIG, "'%s' is there already, expected a name that is free", path);
    bs_export_mark_release(&found);
    return *there ? BS_OK : err->status;
}

/* A folder beside the right name, in which it is written. */
static enum bs_status choose_name(struct exporting *e, struct bs_error *err)
{
    const char *path = e->request->path, *ending = e->writer->ending;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    e->path = bs_printf("%.*s", (int)length, path);
    e->partial = bs_printf("%.*s.partial", (int)length, path);
    e->written = bs_printf("%.*s.partial/model%s", (int)length, path, ending ? ending : "");
    e->mark = bs_printf("%.*s.partial/%s", (int)length, path, mark);
    if (!e->path || !e->partial || !e->written || !e->mark)
        return bs_fail_memory(err);
    e->export.path = e->written;
    return bs_make_parent(e->partial, err) ? err->status : begin_partial(e, err);
}

/* The right name, once all is there. */
static enum bs_status commit(const struct exporting *e, struct bs_error *err)
{
    return bs_file_commit(e->written, e->path, err);
}

/* ---- walks ---- */

static enum bs_status take_block(void *context, const struct bs_variant *variant,
                                 const struct bs_block *original, const struct bs_block *block,
                                 struct bs_error *err)
{
    (void)variant;
    struct exporting *e = context;
    if (bs_stop_asked())
        return bs_fail(err, BS_ESTOPPED, "asked to stop");
    if (e->writer->block(e->state, original, block, err))
        return err->status;
    return e->request->verify ? bs_export_proof_take(&e->proof, block, err) : BS_OK;
}

/* Ends a walk in which its only variant has failed. */
static enum bs_status stop_failed(void *context, int text, struct bs_error *err)
{
    (void)text;
    const struct bs_variant *variant = context;
    return variant->status ? bs_fail(err, variant->status, "%s", variant->message) : BS_OK;
}

/* A walk of one variant to the texts, or to none. */
static enum bs_status walk_one(struct exporting *e, struct bs_walk *walk,
                               struct bs_variant *variant, bool texts, struct bs_error *err)
{
    unsigned figures[BS_WALK_TEXTS];
    struct bs_progress progress;
    const struct bs_recipe *recipe = variant->recipe;
    if (!bs_recipe_needs_calibration(recipe))
        walk->calibration = NULL;
    walk->layer_error_windows = 0;
    walk->num_channel_sites = 0;
    walk->num_texts = texts ? walk->num_texts : 0;
    for (int t = 0; t < walk->num_texts; t++) {
        figures[t] = 1u << BS_NLL;
        variant->wanted[t] = true;
    }
    walk->figures = figures;
    walk->measured = stop_failed;
    walk->measured_context = variant;
    walk->progress = bs_progress_report;
    walk->progress_context = &progress;
    if (bs_sweep_place_streams(&e->limits, walk, &recipe, NULL, 1, err))
        return err->status;
    bs_progress_start(&progress, &(struct bs_telling){.quiet = e->request->quiet},
                      2 * (bs_model_architecture(walk->model)->num_layers + 1));
    enum bs_status status = bs_walk_run(walk, variant, 1, err);
    bs_progress_end(&progress);
    return status ? status : stop_failed(variant, -1, err);
}

/* A tensor of linears at a time is put together, in no more than the bytes of its floats; those
 * that stand the other way round are turned. */
static double writer_bytes(const struct bs_model *model)
{
    double most = 0;
    struct bs_stored_linear *list = bs_alloc(BS_MAX_SLOTS, sizeof *list);
    for (int l = 0; list && l < bs_model_architecture(model)->num_layers; l++) {
        int count = bs_stored_linears(model, l, list);
        for (int k = 0; k < count; k++) {
            double floats = (double)list[k].out * list[k].in * (list[k].transposed ? 2 : 1);
            most = fmax(most, floats * sizeof(float));
        }
    }
    bs_free(list);
    return most;
}

static enum bs_status write_model(struct exporting *e, struct bs_error *err)
{
    struct bs_walk walk = bs_sweep_walk(e->sweep);
    const struct bs_writer *writer = e->writer;
    walk.quantized_bytes = writer_bytes(e->sweep->model);
    walk.quantized = take_block;
    walk.quantized_context = e;
    e->variant = (struct bs_variant){.recipe = e->recipe};
    if (writer->open(&e->export, &e->state, err) ||
        walk_one(e, &walk, &e->variant, e->request->verify, err))
        return err->status;
    for (int i = 0; i < e->notes.count; i++)
        bs_print_line(e->out, "%s", e->notes.lines[i]);
    return writer->close(e->state, err);
}

/* ---- the proof ---- */

/* Why sums of the files differ in their last places from those of the recipe; NULL: they do not. */
static const char *why_inexact(const struct exporting *e, const struct bs_architecture *read)
{
    const struct bs_architecture *own = bs_model_architecture(e->sweep->model);
    if (e->proof.rounded)
        return "what reads them rounds the weights that it decodes";
    if (bs_recipe_quantizes_activations(e->recipe))
        return "the recipe multiplies codes, which sums otherwise";
    if (own->positions == BS_ROTARY && bs_rope_distance(&own->rope, &read->rope, own->rotary_dim))
        return "they divide rotary frequencies by factors in float32, which misses some by a last "
               "bit";
    return NULL;
}

/* One text of the model as it was measured and as it was read back. */
static enum bs_status compare_text(const struct exporting *e, const struct bs_variant *read,
                                   int text, const char *inexact, struct bs_error *err)
{
    const double tolerance = 1e-3;
    const struct bs_windows *windows = &e->sweep->texts[text];
    const char *name = e->sweep->config->evaluations[text].name;
    double was = bs_export_perplexity(&e->variant, windows, text);
    double is = bs_export_perplexity(read, windows, text);
    if (bs_export_same_nll(&e->variant, read, windows, text)) {
        bs_print_line(e->out,
                      "%s: perplexity %.6f of the recipe and of the files, every NLL alike to "
                      "the last bit",
                      name, was);
        return BS_OK;
    }
    if (!inexact || !(fabs(is - was) <= tolerance * was))
        return bs_fail(err, BS_EDATA,
                       "'%s': the recipe's perplexity is %.9g, that of what was written %.9g", name,
                       was, is);
    bs_print_line(e->out, "%s: perplexity %.6f of the recipe, %.6f of the files (%+.1e of it): %s",
                  name, was, is, (is - was) / was, inexact);
    return BS_OK;
}

static enum bs_status compare_texts(struct exporting *e, const struct bs_model *model,
                                    struct bs_error *err)
{
    struct bs_recipe recipe;
    struct bs_walk walk = bs_sweep_walk(e->sweep);
    if (bs_export_proof_recipe(e->recipe, &recipe, err)) {
        bs_recipe_release(&recipe);
        return err->status;
    }
    struct bs_variant read = {.recipe = &recipe};
    walk.model = model;
    const char *inexact = why_inexact(e, bs_model_architecture(model));
    enum bs_status status = walk_one(e, &walk, &read, true, err);
    for (int t = 0; t < e->sweep->config->num_evaluations && !status; t++)
        status = compare_text(e, &read, t, inexact, err);
    bs_variant_release(&read);
    bs_recipe_release(&recipe);
    return status;
}

/* Reads back what stands under the name that it has so far. */
static enum bs_status verify(struct exporting *e, struct bs_error *err)
{
    struct bs_model *model;
    if (bs_model_open(e->written, &e->sweep->config->accept_unknown, &model, err))
        return bs_fail_within(err, "read back");
    enum bs_status status = bs_export_proof_compare(&e->proof, model, err);
    if (!status)
        status = bs_export_proof_compare_outer(&e->proof, &e->export, model, err);
    if (!status)
        bs_print_line(
            e->out,
            "%d quantized matrices, and all that is beside them, are read back as they were%s",
            e->proof.matrices, e->proof.rounded ? ", rounded as what reads them does" : "");
    if (!status)
        status = compare_texts(e, model, err);
    bs_model_free(model);
    return status;
}

/* ---- all of it ---- */

/* What the recipe's file of importance has of embedding and head. */
static void name_importance(struct exporting *e)
{
    const struct bs_architecture *a = bs_model_architecture(e->sweep->model);
    struct bs_outer_assignment outer;
    bs_recipe_assign_outer(e->recipe, a, &outer);
    for (int w = 0; w < BS_NUM_OUTER; w++)
        e->export.outer_importance[w] =
            bs_importance_of_outer(&e->sweep->importance, outer.of[w], a, (enum bs_outer)w);
}

static enum bs_status run(struct exporting *e, struct bs_error *err)
{
    const struct bs_export_request *request = e->request;
    if (request->verify &&
        bs_export_proof_init(&e->proof, bs_model_architecture(e->sweep->model), e->writer, err))
        return err->status;
    if (choose_name(e, err) || write_model(e, err) || (request->verify && verify(e, err)))
        return err->status;
    return bs_stop_asked() ? bs_fail(err, BS_ESTOPPED, "asked to stop") : commit(e, err);
}

/* What is decided before any work. */
static enum bs_status prepare(struct exporting *e, struct bs_sweep *sweep,
                              const struct bs_export_request *request, bool *there,
                              struct bs_error *err)
{
    *e = (struct exporting){.sweep = sweep,
                            .request = request,
                            .writer = (const struct bs_writer *)request->how->plugin,
                            .lock = -1,
                            .export = {.model = sweep->model,
                                       .options = request->how->options,
                                       .verified = request->verify}};
    if (sweep->reference)
        return bs_fail(err, BS_ECONFIG,
                       "the config compares models as they are (reference), and has no recipe to "
                       "write");
    if (choose_recipe(e, err))
        return err->status;
    e->export.recipe = e->recipe;
    name_importance(e);
    return e->writer->check(&e->export, err) ? err->status : look(e, there, err);
}

enum bs_status bs_export_check(struct bs_sweep *sweep, const struct bs_export_request *request,
                               bool *there, struct bs_error *err)
{
    struct exporting e;
    return prepare(&e, sweep, request, there, err);
}

enum bs_status bs_export_run(struct bs_sweep *sweep, const struct bs_export_request *request,
                             const struct bs_limits *limits, FILE *out, struct bs_error *err)
{
    struct exporting e;
    bool there = false;
    if (prepare(&e, sweep, request, &there, err))
        return err->status;
    if (there) {
        bs_print_line(out, "%s: is there already, '%s' as %s: nothing is written", request->path,
                      e.export.label, e.writer->plugin.name);
        return BS_OK;
    }
    e.limits = *limits;
    e.out = out;
    e.export.notes = &e.notes;
    if (!e.limits.memory)
        e.limits.memory = bs_free_memory("") / 2;
    bs_stop_hold(true);
    enum bs_status status = run(&e, err);
    bs_stop_hold(false);
    e.writer->free(e.state);
    if (e.begun)
        remove_partial(&e);
    if (e.lock >= 0)
        close(e.lock);
    bs_variant_release(&e.variant);
    bs_export_proof_release(&e.proof);
    bs_lines_release(&e.notes);
    bs_free(e.path);
    bs_free(e.partial);
    bs_free(e.written);
    bs_free(e.mark);
    return status;
}

#define _XOPEN_SOURCE 700 /* realpath */
/* How the walks of a sweep are kept, and what of them is found again. */
#include "eval/run/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "eval/base/machine.h"
#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/numerics.h"
#include "eval/run/progress.h"

/* Beside the result file, or in the folder for checkpoints under a name that tells result files of
 * other folders apart. In new memory. */
static char *checkpoint_path(const char *path, const struct bs_limits *limits)
{
    if (!limits->checkpoints)
        return bs_printf("%s.checkpoint", path);
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    char *folder = slash ? bs_printf("%.*s/", (int)(slash - path), path) : bs_strdup(".");
    char *whole = folder ? realpath(folder, NULL) : NULL; /* a folder still to be made has none */
    const char *place = whole ? whole : folder ? folder : "";
    struct bs_digest digest = bs_digest_of(place, strlen(place));
    bs_free(folder);
    free(whole);
    return bs_printf("%s/%s-%.8s.checkpoint", limits->checkpoints, name, digest.hex);
}

enum bs_status bs_sweep_keeping(const struct bs_sweep *sweep, const char *path,
                                const struct bs_limits *limits, struct bs_keeping *keeping,
                                struct bs_error *err)
{
    struct bs_walk walk = bs_sweep_walk(sweep);
    char cpu[128], machine[320];
    *keeping = (struct bs_keeping){.interval = limits->checkpoint_interval};
    if (limits->no_checkpoints || sweep->reference) /* a comparison is short: no recipe rides */
        return BS_OK;
    bs_cpu_name(cpu, sizeof cpu);
    const struct bs_numerics *numerics = bs_numerics();
    if (numerics->same_everywhere)
        snprintf(machine, sizeof machine, "any, by %s numerics", numerics->plugin.name);
    else
        snprintf(machine, sizeof machine, "%s, %s", cpu, bs_blas_name());
    bs_keep_identify(keeping, &walk, machine);
    keeping->path = checkpoint_path(path, limits);
    return keeping->path ? BS_OK : bs_fail_memory(err);
}

void bs_sweep_open_ids(const struct bs_sweep *sweep, int recipe, const char *ids[BS_WALK_TEXTS])
{
    memset(ids, 0, BS_WALK_TEXTS * sizeof *ids);
    for (int i = 0; i < sweep->num_trials; i++)
        if (sweep->trials[i].recipe == recipe && !sweep->trials[i].done)
            ids[sweep->trials[i].text] = sweep->trials[i].id;
}

static void set_kept(struct bs_sweep *sweep, int recipe, bool kept)
{
    for (int i = 0; i < sweep->num_trials; i++)
        if (sweep->trials[i].recipe == recipe)
            sweep->trials[i].kept = kept && !sweep->trials[i].done;
}

/* The unquantized model's trials that go on with the recipes'; alone only where nothing else is
 * left to do, for every walk measures it anyway. */
static void mark_reference(struct bs_sweep *sweep, const struct bs_kept *kept, bool goes_on)
{
    for (int r = 1; r < sweep->config->num_recipes; r++)
        goes_on |= !bs_sweep_recipe_is_open(sweep, r) && r + 1 == sweep->config->num_recipes;
    for (int i = 0; i < sweep->num_trials; i++) {
        struct bs_trial *trial = &sweep->trials[i];
        const char *ids[BS_WALK_TEXTS] = {NULL};
        if (trial->recipe || trial->done)
            continue;
        ids[trial->text] = trial->id;
        trial->kept = goes_on && !bs_kept_find(kept, ids);
    }
}

int bs_sweep_kept_recipes(const struct bs_sweep *sweep, const struct bs_kept *kept,
                          const struct bs_recipe **recipes)
{
    int count = 0;
    for (int k = 1; k < kept->num_variants; k++)
        for (int i = 0; i < sweep->num_trials; i++) {
            const struct bs_trial *trial = &sweep->trials[i];
            const char *ids[BS_WALK_TEXTS];
            bs_sweep_open_ids(sweep, trial->recipe, ids);
            if (!trial->kept || bs_kept_find(kept, ids) != k)
                continue;
            recipes[count++] = &sweep->config->recipes[trial->recipe];
            break;
        }
    return count;
}

/* Marks the recipes that the checkpoint holds, then takes off the last of them until the others
 * have the memory that they need. */
static enum bs_status mark_recipes(struct bs_sweep *sweep, const struct bs_limits *limits,
                                   const struct bs_kept *kept, int *count, struct bs_error *err)
{
    const struct bs_recipe **recipes =
        bs_alloc((size_t)kept->num_variants, sizeof(const struct bs_recipe *));
    unsigned *texts = bs_calloc((size_t)kept->num_variants, sizeof *texts);
    if (!recipes || !texts) {
        bs_free(texts);
        bs_free(recipes);
        return bs_fail_memory(err);
    }
    for (int r = 1; r < sweep->config->num_recipes; r++) {
        const char *ids[BS_WALK_TEXTS];
        bs_sweep_open_ids(sweep, r, ids);
        set_kept(sweep, r, bs_kept_find(kept, ids) > 0);
    }
    *count = bs_sweep_kept_recipes(sweep, kept, recipes);
    for (int i = 0; i < *count; i++)
        texts[i] = bs_sweep_texts(sweep, recipes[i], true);
    for (; *count; --*count) {
        struct bs_walk walk = bs_sweep_walk(sweep);
        if (bs_sweep_place_streams(limits, &walk, recipes, texts, *count, err) != BS_ENOMEM)
            break;
        set_kept(sweep, (int)(recipes[*count - 1] - sweep->config->recipes), false);
    }
    bs_free(texts);
    bs_free(recipes);
    return BS_OK;
}

static int count_kept(const struct bs_sweep *sweep)
{
    int count = 0;
    for (int i = 0; i < sweep->num_trials; i++)
        count += sweep->trials[i].kept;
    return count;
}

bool bs_sweep_any_kept(const struct bs_sweep *sweep)
{
    for (int i = 0; i < sweep->num_all; i++)
        if (sweep->all[i].kept)
            return true;
    return false;
}

enum bs_status bs_sweep_print_checkpoint(const struct bs_sweep *sweep, const char *path,
                                         const struct bs_limits *limits,
                                         const struct bs_sweep_plan *plan, FILE *out,
                                         struct bs_error *err)
{
    struct bs_keeping keeping;
    if (bs_sweep_keeping(sweep, path, limits, &keeping, err))
        return err->status;
    if (keeping.path && plan->walks)
        bs_print_line(
            out,
            "checkpoint of a walk: at most %.0f MB, twice that while one replaces another, "
            "in %s",
            ceil(plan->checkpoint_bytes / 1e6), keeping.path);
    bs_free(keeping.path);
    return BS_OK;
}

enum bs_status bs_sweep_find_kept(struct bs_sweep *sweep, const struct bs_keeping *keeping,
                                  const struct bs_limits *limits, struct bs_kept *kept, FILE *out,
                                  struct bs_error *err)
{
    int recipes = 0;
    *kept = (struct bs_kept){.num_variants = 0};
    if (!keeping->path)
        return BS_OK;
    enum bs_status status = bs_kept_open(keeping, kept, err);
    if (!status && mark_recipes(sweep, limits, kept, &recipes, err))
        return err->status;
    if (!status) {
        const struct bs_walk_place *at = &kept->place;
        double layers = bs_model_architecture(sweep->model)->num_layers;
        sweep->kept_blocks = 1 - (at->block + (double)at->variant / kept->num_variants) / layers;
        mark_reference(sweep, kept, recipes > 0);
        if (!count_kept(sweep)) {
            bs_kept_close(kept);
            status = bs_fail(err, BS_EDATA, "%s: of other trials, or of trials that are done",
                             keeping->path);
        }
    }
    if (status && *err->message)
        bs_print_line(out, "bitsweep: a checkpoint is not used: %s", err->message);
    return BS_OK;
}

void bs_sweep_print_kept(const struct bs_sweep *sweep, const struct bs_keeping *keeping,
                         const struct bs_kept *kept, FILE *out)
{
    int layers = bs_model_architecture(sweep->model)->num_layers, trials = count_kept(sweep);
    struct stat info;
    char ago[32] = "";
    if (!kept->num_variants)
        return;
    if (!stat(keeping->path, &info))
        bs_print_seconds(difftime(time(NULL), info.st_mtime), ago, sizeof ago);
    char place[64] = "the head";
    if (kept->place.block < layers)
        snprintf(place, sizeof place, "block %d of %d", kept->place.block + 1, layers);
    bs_print_line(out, "%d trial%s from %s, as kept %s ago in %s", trials,
                  trials == 1 ? " goes on" : "s go on", place, ago, keeping->path);
}

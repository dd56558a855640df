#define _GNU_SOURCE /* environ */
/* submit: a sweep as jobs of a batch system, which decides when and where they run. */
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/command/opened.h"
#include "eval/command/slurm.h"

enum { MOST_SAID = 1024 };

/* Reads what a program says until it ends; the end of a long speech is dropped. */
static void listen_to(int from, char said[MOST_SAID])
{
    size_t used = 0;
    char more[256];
    for (ssize_t got; (got = read(from, more, sizeof more)) != 0;) {
        if (got < 0 && errno != EINTR)
            break;
        for (ssize_t i = 0; i < got && used < MOST_SAID - 1; i++)
            said[used++] = more[i];
    }
    said[used] = '\0';
}

/* Runs sbatch to its end; its own messages go to stderr. `said`: what it wrote to stdout. */
static enum bs_status run_sbatch(char *const *words, char said[MOST_SAID], struct bs_error *err)
{
    int ends[2], status = 0;
    pid_t child = 0;
    posix_spawn_file_actions_t actions;
    if (pipe(ends))
        return bs_fail(err, BS_EIO, "sbatch: %s", strerror(errno));
    int failed = posix_spawn_file_actions_init(&actions);
    if (!failed) {
        failed = posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        if (!failed)
            failed = posix_spawn_file_actions_addclose(&actions, ends[0]);
        if (!failed)
            failed = posix_spawnp(&child, words[0], &actions, NULL, words, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    if (!failed)
        listen_to(ends[0], said);
    close(ends[0]);
    if (failed)
        return bs_fail(err, BS_EIO,
                       "sbatch cannot be run: %s: expected a machine of a Slurm cluster; --dry-run "
                       "prints what would be submitted",
                       strerror(failed));
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && !WEXITSTATUS(status)
               ? BS_OK
               : bs_fail(err, BS_EIO, "sbatch: the job was not taken");
}

/* A script of the folder, written by `print`. */
static enum bs_status write_script(const struct bs_slurm *slurm, const char *path,
                                   void (*print)(const struct bs_slurm *slurm, FILE *out),
                                   struct bs_error *err)
{
    int fd;
    if (bs_file_create(path, &fd, err))
        return err->status;
    FILE *out = fdopen(fd, "w");
    if (!out) {
        close(fd);
        return bs_fail_memory(err);
    }
    print(slurm, out);
    bool failed = ferror(out);
    if (fclose(out) || failed)
        return bs_fail(err, BS_EIO, "%s: cannot be written: %s", path, strerror(errno));
    return BS_OK;
}

/* Submits a script after the job `after` (NULL = at once); `id` gets its job's. */
static enum bs_status submit_script(char *path, const char *after, char id[MOST_SAID],
                                    struct bs_error *err)
{
    char program[] = "sbatch", parsable[] = "--parsable";
    char *dependency = bs_printf("--dependency=afterany:%s", after ? after : "");
    if (!dependency)
        return bs_fail_memory(err);
    char *words[] = {program, parsable, path, NULL, NULL};
    if (after) {
        words[2] = dependency;
        words[3] = path;
    }
    enum bs_status status = run_sbatch(words, id, err);
    id[strcspn(id, ";\n")] = '\0'; /* "12;cluster" */
    bs_free(dependency);
    return status;
}

static enum bs_status submit(const struct bs_slurm *slurm, struct bs_error *err)
{
    char first[MOST_SAID], last[MOST_SAID];
    char *shards = bs_printf("%s/shards.sh", slurm->folder);
    char *merge = bs_printf("%s/merge.sh", slurm->folder);
    enum bs_status status = shards && merge ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = bs_make_directory(slurm->folder, err);
    if (!status)
        status = write_script(slurm, shards, bs_slurm_print_shards, err);
    if (!status)
        status = write_script(slurm, merge, bs_slurm_print_merge, err);
    if (!status)
        status = submit_script(shards, NULL, first, err);
    if (!status) {
        bs_print_line(stdout, "job %s: %d shard%s, as %s has it; logs in %s", first, slurm->shards,
                      slurm->shards == 1 ? "" : "s", shards, slurm->folder);
        fflush(stdout);
        status = submit_script(merge, first, last, err);
    }
    if (!status)
        bs_print_line(stdout, "job %s: merges them into %s when they have ended", last,
                      slurm->results);
    bs_free(shards);
    bs_free(merge);
    return status;
}

/* Both scripts, as they would be submitted. */
static void show(const struct bs_slurm *slurm)
{
    bs_print_line(stdout, "==> %s/shards.sh", slurm->folder);
    bs_slurm_print_shards(slurm, stdout);
    fputc('\n', stdout);
    bs_print_line(stdout, "==> %s/merge.sh, after that job", slurm->folder);
    bs_slurm_print_merge(slurm, stdout);
}

/* A line for sbatch, and a word of the shell, end where the line does. */
static enum bs_status check_names(const struct bs_slurm *slurm, struct bs_error *err)
{
    const char *names[] = {slurm->results, slurm->directory, slurm->program,
                           slurm->args->operands[0],
                           slurm->args->partition ? slurm->args->partition : ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strpbrk(names[i], "\n\r"))
            return bs_fail(err, BS_ECONFIG,
                           "'%s': a name with the end of a line in it cannot be "
                           "part of a batch script",
                           names[i]);
    return BS_OK;
}

static int units_of(const struct bs_opened *opened) { return opened->models.shards.num_units; }

static int submit_opened(const struct bs_arguments *args, const struct bs_opened *opened)
{
    struct bs_error err;
    char program[PATH_MAX] = "", directory[PATH_MAX] = "";
    const char *dot = strrchr(bs_path_name(opened->named), '.');
    size_t stem = dot && dot > bs_path_name(opened->named) ? (size_t)(dot - opened->named)
                                                           : strlen(opened->named);
    char *folder = bs_printf("%.*s.slurm", (int)stem, opened->named);
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    enum bs_status status = folder ? BS_OK : bs_fail_memory(&err);
    if (!status && (length < 0 || !getcwd(directory, sizeof directory)))
        status =
            bs_fail(&err, BS_EIO, "the program or the folder has no name: %s", strerror(errno));
    const struct bs_slurm slurm = {
        .args = args,
        .config = &opened->config,
        .program = program,
        .directory = directory,
        .results = opened->named,
        .folder = folder,
        .shards = args->shard.count < units_of(opened) ? args->shard.count : units_of(opened)};
    if (!status)
        status = check_names(&slurm, &err);
    if (!status && slurm.shards < args->shard.count)
        bs_print_line(stderr, "%d nodes are enough: there are no more recipes to share out",
                      slurm.shards);
    if (!status && args->dry_run)
        show(&slurm);
    else if (!status)
        status = submit(&slurm, &err);
    bs_free(folder);
    return status ? bs_fail_print(&err) : BS_EXIT_DONE;
}

static int command_submit(const struct bs_arguments *args)
{
    struct bs_opened opened;
    struct bs_arguments cut = *args;
    if (!args->slurm) {
        fputs("bitsweep submit: expected --slurm, the batch system\n", stderr);
        return BS_EXIT_INPUT;
    }
    cut.shard = (struct bs_shard){0, args->nodes ? args->nodes : 1};
    int code = bs_open_all(&cut, &cut.telling, &opened);
    if (!code)
        code = submit_opened(&cut, &opened);
    bs_close_all(&opened);
    return code;
}

const struct bs_command bs_command_submit = {
    .name = "submit",
    .operands = "CONFIG",
    .summary = "run a sweep on a cluster: a job a node, and one that merges what they leave",
    .min_operands = 1,
    .max_operands = 1,
    .details =
        "Writes two batch scripts into the folder results/CONFIG.slurm and submits them. The "
        "first is an array of as many tasks as there are to be nodes; each has a node, opens "
        "the models once and runs its shard of the sweep, as `run --shard` does. One that its "
        "time limit cuts keeps its walk and is queued again; so is one whose node fails. When "
        "all have ended the second merges their files into the one that a run would leave, "
        "prints the table and draws the charts. What the environment says to sbatch "
        "(SBATCH_ACCOUNT, SBATCH_QOS and others) holds.",
    .options = "slurm nodes time partition dry-run output set model accept-unknown memory scratch "
               "checkpoint threads numerics plots",
    .run = command_submit,
};

/* Writing the result file: copy aside, add, make durable, rename. */
#define _GNU_SOURCE /* copy_file_range, fallocate */
#include "eval/store/results.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/store/results_internal.h"
#include "eval/store/seal.h"

#ifndef BS_VERSION
#define BS_VERSION "unknown"
#endif
#ifndef BS_COMMIT
#define BS_COMMIT "unknown"
#endif

const char bs_program_version[] = BS_VERSION, bs_program_commit[] = BS_COMMIT;

static enum bs_status copy_by_hand(int from, int to, const char *path, struct bs_error *err)
{
    enum { BUFFER = 1 << 20 };
    char *buffer = bs_alloc(BUFFER, 1);
    if (!buffer)
        return bs_fail_memory(err);
    enum bs_status status = BS_OK;
    ssize_t got;
    while (!status && (got = read(from, buffer, BUFFER)) != 0) {
        if (got < 0 && errno != EINTR)
            status = bs_fail(err, BS_EIO, "%s: %s", path, strerror(errno));
        for (ssize_t done = 0; !status && done < got;) {
            ssize_t put = write(to, buffer + done, (size_t)(got - done));
            if (put < 0 && errno != EINTR)
                status = bs_fail(err, BS_EIO, "%s: its copy cannot be written: %s", path,
                                 strerror(errno));
            done += put > 0 ? put : 0;
        }
    }
    bs_free(buffer);
    return status;
}

/* Copies the whole file; both offsets are at 0 and move together, so that copying by hand may take
 * over at any point from a file system that cannot copy by itself. */
static enum bs_status copy_all(int from, int to, const char *path, struct bs_error *err)
{
    for (;;) {
        ssize_t done = copy_file_range(from, NULL, to, NULL, (size_t)1 << 30, 0);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) /* at the end too, as some kernels give 0 for a file they cannot copy */
            return copy_by_hand(from, to, path, err);
    }
}

static size_t record_bytes(const struct bs_trial_record *record)
{
    size_t predictions = (size_t)record->row.windows * (size_t)record->row.tokens, bytes = 0;
    for (int f = 0; record->figures && f < BS_NUM_FIGURES; f++)
        if (record->figures->of[f])
            bytes += predictions * bs_figure_bytes((enum bs_figure)f);
    bytes += (size_t)record->layers.num_rows * sizeof *record->layers.rows;
    for (int i = 0; record->channels && i < record->channels->count; i++)
        bytes += (size_t)record->channels->of[i].blocks * (size_t)record->channels->of[i].width *
                 sizeof(float);
    return bytes + strlen(record->canonical) + (record->notices ? strlen(record->notices) : 0) +
           ((size_t)1 << 15);
}

/* Bytes that the new data can need at most. Deflate may add a little to what it cannot compress;
 * groups, headers and indices take a few kilobytes each; the old tables give their space to the new
 * ones. */
static off_t most_bytes(const struct bs_commit *commit, const struct bs_trial_record *records,
                        int num_records, const struct bs_run_info *info)
{
    /* The new /trials is written before the old one's space is known to be enough for it. A label
     * may grow by what tells a calibration and a model apart. */
    enum { LABEL_MORE = 512 };
    struct bs_packing packing;
    bs_packing_of(&bs_row_type, commit->rows, (size_t)commit->num_rows, &packing);
    size_t row = packing.size + LABEL_MORE, values = 0;
    size_t bytes = ((size_t)1 << 17) + strlen(info->config);
    for (int i = 0; i < commit->num_rows; i++)
        values += (size_t)commit->rows[i].num_values;
    for (int i = 0; i < num_records; i++) {
        bytes += record_bytes(&records[i]);
        values += (size_t)records[i].row.num_values;
        bs_packing_of(&bs_row_type, &records[i].row, 1, &packing);
        row = packing.size + LABEL_MORE > row ? packing.size + LABEL_MORE : row;
    }
    bytes += 2 * row * (size_t)(commit->num_rows + num_records) +
             2 * values * sizeof(struct bs_value_row);
    return (off_t)(bytes + bytes / 64);
}

static enum bs_status copy_old(struct bs_commit *commit, int from, struct bs_error *err)
{
    struct stat old;
    if (fstat(from, &old) != 0 || !S_ISREG(old.st_mode))
        return bs_fail(err, BS_EIO, "%s: not a regular file", commit->path);
    int to;
    if (bs_file_create(commit->partial, &to, err))
        return err->status;
    commit->created = true;
    enum bs_status status = copy_all(from, to, commit->path, err);
    if (close(to) != 0 && !status)
        status = bs_fail(err, BS_EIO, "%s: %s", commit->partial, strerror(errno));
    return !status ? bs_seal_check(commit->partial, commit->path, err) : status;
}

/* An empty result file, closed again: made first and filled later, since creating truncates and
 * would give reserved space back. */
static enum bs_status make_empty(struct bs_commit *commit, struct bs_error *err)
{
    int to;
    if (bs_file_create(commit->partial, &to, err))
        return err->status;
    commit->created = true;
    if (close(to) != 0)
        return bs_fail(err, BS_EIO, "%s: %s", commit->partial, strerror(errno));
    enum bs_status status = BS_OK;
    hid_t access = bs_h5_access();
    hid_t create = H5Pcreate(H5P_FILE_CREATE), plain = H5Pcreate(H5P_GROUP_CREATE);
    hid_t file = H5I_INVALID_HID, trials = H5I_INVALID_HID;
    if (H5Pset_obj_track_times(create, false) < 0 || H5Pset_userblock(create, BS_SEAL_BYTES) < 0 ||
        H5Pset_obj_track_times(plain, false) < 0 ||
        (file = H5Fcreate(commit->partial, H5F_ACC_TRUNC, create, access)) < 0 ||
        (trials = H5Gcreate2(file, "trial", H5P_DEFAULT, plain, H5P_DEFAULT)) < 0 ||
        H5Fflush(file, H5F_SCOPE_GLOBAL) < 0)
        status = bs_h5_fail(err, BS_EIO, commit->path, "cannot be made");
    bs_h5_close(trials);
    bs_h5_close(file);
    bs_h5_close(plain);
    bs_h5_close(create);
    bs_h5_close(access);
    return status;
}

/* Room for `bytes` more after the partial file's end: a full disk is met here, before HDF5 has
 * touched the copy. A file system without this call reports a full disk later, through HDF5. */
static enum bs_status reserve(const struct bs_commit *commit, off_t bytes, struct bs_error *err)
{
    struct stat now;
    int fd = open(commit->partial, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &now) != 0) {
        enum bs_status status = bs_fail(err, BS_EIO, "%s: %s", commit->partial, strerror(errno));
        if (fd >= 0)
            close(fd);
        return status;
    }
    int done;
    do
        done = fallocate(fd, FALLOC_FL_KEEP_SIZE, now.st_size, bytes);
    while (done != 0 && errno == EINTR);
    int reason = done == 0 ? 0 : errno;
    close(fd);
    if (reason == 0 || reason == EOPNOTSUPP || reason == ENOSYS)
        return BS_OK;
    return bs_fail(err, BS_EIO, "%s: no room for %lld more bytes: %s", commit->path,
                   (long long)bytes, strerror(reason));
}

static enum bs_status open_partial(struct bs_commit *commit, unsigned mode, struct bs_error *err)
{
    hid_t access = bs_h5_access();
    commit->file = H5Fopen(commit->partial, mode, access);
    enum bs_status status =
        commit->file < 0 ? bs_h5_fail(err, BS_EDATA, commit->path, "not a result file, or damaged")
                         : BS_OK;
    bs_h5_close(access);
    return status;
}

/* Takes the records' rows among the file's; where one replaces a failed trial, what the file holds
 * of that goes. */
static enum bs_status merge_rows(struct bs_commit *commit, const struct bs_trial_record *records,
                                 int num_records, struct bs_error *err)
{
    struct bs_row *rows = bs_realloc(commit->rows, (size_t)commit->num_rows,
                                     (size_t)commit->num_rows + num_records, sizeof *rows);
    if (!rows)
        return bs_fail_memory(err);
    commit->rows = rows;
    for (int r = 0; r < num_records; r++) {
        const char *id = records[r].row.id;
        int i = 0;
        while (i < commit->num_rows && strcmp(rows[i].id, id))
            i++;
        if (i == commit->num_rows) {
            commit->num_rows++;
        } else if (strcmp(rows[i].status, "failed")) {
            return bs_fail(err, BS_EDATA, "%s: holds the finished trial %s already", commit->path,
                           id);
        } else {
            char place[64];
            snprintf(place, sizeof place, "trial/%s", id);
            if (H5Ldelete(commit->file, place, H5P_DEFAULT) < 0)
                return bs_h5_fail(err, BS_EDATA, commit->path, place);
            bs_free(rows[i].values);
            bs_record_release(&bs_row_type, &rows[i]);
        }
        rows[i] = records[r].row;
        if (!rows[i].version)
            rows[i].version = bs_program_version;
        if (!rows[i].commit)
            rows[i].commit = bs_program_commit;
        if (bs_row_take(&rows[i], err))
            return err->status;
    }
    return BS_OK;
}

/* Where a row belongs: its model's place, its own within `order`, its old one. */
struct place {
    int model, ordered;
    size_t old;
};

static int by_place(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    if (a->model != b->model)
        return a->model < b->model ? -1 : 1;
    if (a->ordered != b->ordered)
        return a->ordered < b->ordered ? -1 : 1;
    return (a->old > b->old) - (a->old < b->old);
}

/* The index of the row's model among the run's, num_models where it is none of them. */
static int model_place(const struct bs_run_info *info, const struct bs_row *row)
{
    int m = 0;
    while (m < info->num_models && strcmp(info->models[m], row->model))
        m++;
    return m;
}

/* Puts the rows in the order of models, and within a model those first that `order` names. */
static enum bs_status sort_rows(struct bs_commit *commit, const char *const *order, int num_order,
                                const struct bs_run_info *info, struct bs_error *err)
{
    size_t count = (size_t)commit->num_rows;
    struct bs_row *sorted = bs_alloc(count, sizeof *sorted);
    struct place *places = bs_alloc(count, sizeof *places);
    if (!sorted || !places) {
        bs_free(sorted);
        bs_free(places);
        return bs_fail_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        int o = 0;
        while (o < num_order && strcmp(commit->rows[i].id, order[o]))
            o++;
        places[i] = (struct place){model_place(info, &commit->rows[i]), o, i};
    }
    qsort(places, count, sizeof *places, by_place);
    for (size_t i = 0; i < count; i++)
        sorted[i] = commit->rows[places[i].old];
    bs_free(places);
    bs_free(commit->rows);
    commit->rows = sorted;
    return BS_OK;
}

/* Adds everything to the open copy and closes it. */
static enum bs_status fill(struct bs_commit *commit, const struct bs_trial_record *records,
                           int num_records, const char *const *order, int num_order,
                           const struct bs_run_info *info, struct bs_error *err)
{
    enum bs_status status = merge_rows(commit, records, num_records, err);
    if (!status)
        status = sort_rows(commit, order, num_order, info, err);
    if (!status)
        status = bs_rows_label(commit->rows, commit->num_rows, err);
    if (!status)
        status = bs_commit_write_rows(commit, err);
    for (int r = 0; !status && r < num_records; r++)
        status = bs_commit_write_trial(commit, &records[r], err);
    if (!status)
        status = bs_commit_write_attributes(commit, info, err);
    if (!status && H5Fflush(commit->file, H5F_SCOPE_GLOBAL) < 0)
        status = bs_h5_fail(err, BS_EIO, commit->path, "cannot be written");
    if (!status) {
        hid_t file = commit->file;
        commit->file = H5I_INVALID_HID;
        if (H5Fclose(file) < 0)
            status = bs_h5_fail(err, BS_EIO, commit->path, "cannot be written");
    }
    return status;
}

/* Gives back what was reserved and not used. Failing is no failure: the data is all there. */
static void trim(const char *partial)
{
    struct stat now;
    int fd = open(partial, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &now) == 0 && ftruncate(fd, now.st_size) != 0)
        errno = 0;
    if (fd >= 0)
        close(fd);
}

/* The rows of the copy, which is closed again. */
static enum bs_status read_old(struct bs_commit *commit, struct bs_error *err)
{
    enum bs_status status = open_partial(commit, H5F_ACC_RDONLY, err);
    if (!status)
        status = bs_h5_check_schema(commit->file, commit->path, err);
    if (!status)
        status = bs_h5_read_rows(commit->file, commit->path, &commit->rows, &commit->num_rows, err);
    bs_h5_close(commit->file);
    commit->file = H5I_INVALID_HID;
    return status;
}

/* The copy of an old file, or an empty one; open, with room for what comes. */
static enum bs_status begin(struct bs_commit *commit, const struct bs_trial_record *records,
                            int num_records, const struct bs_run_info *info, struct bs_error *err)
{
    int from = open(commit->path, O_RDONLY | O_CLOEXEC);
    if (from < 0 && errno != ENOENT)
        return bs_fail(err, BS_EIO, "%s: %s", commit->path, strerror(errno));
    bool is_new = from < 0;
    enum bs_status status = is_new ? make_empty(commit, err) : copy_old(commit, from, err);
    if (!is_new)
        close(from);
    if (!status && !is_new)
        status = read_old(commit, err);
    if (!status)
        status = reserve(commit, most_bytes(commit, records, num_records, info), err);
    if (!status)
        status = open_partial(commit, H5F_ACC_RDWR, err);
    return status;
}

/* ---- merging ---- */

/* A file that is merged. */
struct source {
    const char *path;
    hid_t file;
    int num_rows;
    struct bs_row *rows;
};

/* The place of the trial among those of the files before, -1 where it is in none. */
static int find_taken(const struct bs_commit *commit, const char *id)
{
    for (int i = 0; i < commit->num_rows; i++)
        if (!strcmp(commit->rows[i].id, id))
            return i;
    return -1;
}

/* Copies all that is stored of a trial; its row takes place `at`, or the next one. */
static enum bs_status take_trial(struct bs_commit *commit, const struct source *source,
                                 struct bs_row *row, int at, struct bs_error *err)
{
    char place[64];
    snprintf(place, sizeof place, "trial/%s", row->id);
    if (at >= 0 && H5Ldelete(commit->file, place, H5P_DEFAULT) < 0)
        return bs_h5_fail(err, BS_EIO, commit->path, place);
    if (H5Ocopy(source->file, place, commit->file, place, H5P_DEFAULT, H5P_DEFAULT) < 0)
        return bs_h5_fail(err, BS_EIO, commit->path, place);
    if (at >= 0) {
        bs_free(commit->rows[at].values);
        bs_record_release(&bs_row_type, &commit->rows[at]);
    } else {
        at = commit->num_rows++;
    }
    commit->rows[at] = *row;
    commit->rows[at].file = NULL; /* trials of one file from now on */
    return bs_row_take(&commit->rows[at], err);
}

/* Takes the trials of sources[s] that none before it has. */
static enum bs_status take_source(struct bs_commit *commit, struct source *sources, int s,
                                  struct bs_error *err)
{
    struct source *source = &sources[s];
    struct bs_row *rows =
        bs_realloc(commit->rows, (size_t)commit->num_rows,
                   (size_t)commit->num_rows + (size_t)source->num_rows, sizeof *rows);
    if (!rows)
        return bs_fail_memory(err);
    commit->rows = rows;
    for (int i = 0; i < source->num_rows; i++) {
        struct bs_row *row = &source->rows[i];
        int at = find_taken(commit, row->id);
        bool both_done = at >= 0 && bs_row_is_done(&rows[at]) && bs_row_is_done(row);
        for (int k = 0; k < s && both_done; k++)
            for (int r = 0; r < sources[k].num_rows; r++)
                if (!strcmp(sources[k].rows[r].id, row->id) &&
                    bs_row_is_done(&sources[k].rows[r]) &&
                    bs_rows_check_same(&sources[k].rows[r], row, err))
                    return err->status;
        if (at >= 0 && (both_done || !bs_row_is_done(row)))
            continue;
        if (take_trial(commit, source, row, at, err))
            return err->status;
    }
    return BS_OK;
}

/* The root attributes of the first file. */
static enum bs_status copy_attributes(const struct bs_commit *commit, const struct source *first,
                                      struct bs_error *err)
{
    static const char *const names[] = {"config", "host", "cpu", "blas", "started", "finished"};
    enum { NAMES = sizeof names / sizeof *names };
    char *texts[NAMES] = {NULL};
    enum bs_status status = BS_OK;
    for (int i = 0; i < NAMES && !status; i++)
        status = bs_h5_read_text(first->file, first->path, names[i], &texts[i], err);
    if (!status) {
        const struct bs_run_info info = {.config = texts[0],
                                         .host = texts[1],
                                         .cpu = texts[2],
                                         .blas = texts[3],
                                         .started = texts[4],
                                         .finished = texts[5],
                                         .threads = first->num_rows ? first->rows[0].threads : 0};
        status = bs_commit_write_attributes(commit, &info, err);
    }
    for (int i = 0; i < NAMES; i++)
        bs_free(texts[i]);
    return status;
}

static enum bs_status fill_merged(struct bs_commit *commit, struct source *sources, int count,
                                  const struct bs_merge_order *order, struct bs_error *err)
{
    const struct bs_run_info info = {.num_models = order->num_models, .models = order->models};
    enum bs_status status = BS_OK;
    for (int s = 0; s < count && !status; s++)
        status = take_source(commit, sources, s, err);
    if (!status)
        status = sort_rows(commit, order->ids, order->num_ids, &info, err);
    if (!status)
        status = bs_rows_label(commit->rows, commit->num_rows, err);
    if (!status)
        status = bs_commit_write_rows(commit, err);
    return status ? status : copy_attributes(commit, &sources[0], err);
}

/* All files to merge stay open, so that they are what they were read as. */
static enum bs_status open_sources(struct source *sources, const char *const *from, int count,
                                   struct bs_error *err)
{
    for (int s = 0; s < count; s++) {
        struct source *source = &sources[s];
        source->path = from[s];
        if (bs_h5_open(from[s], &source->file, err) ||
            bs_h5_check_schema(source->file, from[s], err) ||
            bs_h5_read_rows(source->file, from[s], &source->rows, &source->num_rows, err))
            return err->status;
        for (int i = 0; i < source->num_rows; i++)
            source->rows[i].file = from[s];
    }
    return BS_OK;
}

/* Closes what was filled and gives it its name. */
static enum bs_status finish(struct bs_commit *commit, struct bs_error *err)
{
    hid_t file = commit->file;
    if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0)
        return bs_h5_fail(err, BS_EIO, commit->path, "cannot be written");
    commit->file = H5I_INVALID_HID;
    if (H5Fclose(file) < 0)
        return bs_h5_fail(err, BS_EIO, commit->path, "cannot be written");
    if (bs_seal_write(commit->partial, commit->path, err))
        return err->status;
    return bs_file_commit(commit->partial, commit->path, err);
}

/* Gives back a commit; a copy that has not got its name goes. */
static void end_commit(struct bs_commit *commit, enum bs_status status)
{
    /* HDF5 still writes as it closes, and keeps the file half open where it cannot. On a full disk
     * an emptied copy makes the room for that. */
    if (commit->file > 0 && truncate(commit->partial, 0) != 0)
        errno = 0;
    bs_h5_close(commit->file);
    if (status && commit->created)
        unlink(commit->partial);
    bs_rows_free(commit->rows, commit->num_rows);
    bs_free(commit->partial);
}

enum bs_status bs_results_merge(const char *path, const char *const *from, int count,
                                const struct bs_merge_order *order, struct bs_error *err)
{
    bs_h5_begin();
    struct bs_commit commit = {.path = path, .file = H5I_INVALID_HID};
    commit.partial = bs_printf("%s.partial", path);
    struct source *sources = bs_calloc((size_t)count, sizeof *sources);
    enum bs_status status = commit.partial && sources ? BS_OK : bs_fail_memory(err);
    if (!status && !access(path, F_OK))
        status =
            bs_fail(err, BS_EIO, "%s: is there already; what is merged goes to a new file", path);
    if (!status)
        status = open_sources(sources, from, count, err);
    if (!status)
        status = make_empty(&commit, err);
    if (!status)
        status = open_partial(&commit, H5F_ACC_RDWR, err);
    if (!status)
        status = fill_merged(&commit, sources, count, order, err);
    if (!status)
        status = finish(&commit, err);
    for (int s = 0; s < count && sources; s++) {
        bs_h5_close(sources[s].file);
        bs_rows_free(sources[s].rows, sources[s].num_rows);
    }
    bs_free(sources);
    end_commit(&commit, status);
    return status;
}

enum bs_status bs_results_commit(const char *path, const struct bs_trial_record *records,
                                 int num_records, const char *const *order, int num_order,
                                 const struct bs_run_info *info, struct bs_error *err)
{
    bs_h5_begin();
    struct bs_commit commit = {.path = path, .file = H5I_INVALID_HID};
    commit.partial = bs_printf("%s.partial", path);
    if (!commit.partial)
        return bs_fail_memory(err);
    enum bs_status status = begin(&commit, records, num_records, info, err);
    if (!status)
        status = fill(&commit, records, num_records, order, num_order, info, err);
    if (!status) {
        trim(commit.partial);
        status = bs_seal_write(commit.partial, path, err);
    }
    if (!status)
        status = bs_file_commit(commit.partial, path, err);
    end_commit(&commit, status);
    return status;
}

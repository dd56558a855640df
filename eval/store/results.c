/* Writing the result file: copy aside, add, make durable, rename. */
#define _GNU_SOURCE /* copy_file_range, fallocate */
#include "eval/store/results.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
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

struct bs_results_lock {
    int fd;
    char *path; /* of the lock file */
};

/* True where `path` still names the file open as fd, false where its last owner has removed it
 * between our open and our flock. */
static bool still_named(int fd, const char *path)
{
    struct stat ours, theirs;
    return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
           ours.st_ino == theirs.st_ino;
}

static enum bs_status lock_open(const char *path, const char *lock_path, int *lock_fd,
                                struct bs_error *err)
{
    for (;;) {
        int fd = open(lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
        if (fd < 0) {
            const char *slash = strrchr(path, '/');
            return bs_fail(err, BS_EIO, "%.*s: results cannot be written here: %s",
                           slash ? (int)(slash - path + 1) : 1, slash ? path : ".",
                           strerror(errno));
        }
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int reason = errno;
            close(fd);
            if (reason == EINTR)
                continue;
            if (reason == EWOULDBLOCK)
                return bs_fail(err, BS_EIO, "%s: another run is writing this file", path);
            return bs_fail(err, BS_EIO, "%s: cannot be locked: %s", lock_path, strerror(reason));
        }
        if (still_named(fd, lock_path)) {
            *lock_fd = fd;
            return BS_OK;
        }
        close(fd);
    }
}

enum bs_status bs_results_lock_take(const char *path, struct bs_results_lock **lock,
                                    struct bs_error *err)
{
    *lock = NULL;
    enum bs_status status = bs_make_parent(path, err);
    if (status)
        return status;
    struct stat found;
    if (stat(path, &found) == 0 && !S_ISREG(found.st_mode))
        return bs_fail(err, BS_EIO, "%s: not a regular file", path);
    struct bs_results_lock *taken = bs_alloc(1, sizeof *taken);
    char *lock_path = bs_printf("%s.lock", path);
    int fd = -1;
    status = taken && lock_path ? lock_open(path, lock_path, &fd, err) : bs_fail_memory(err);
    if (status) {
        bs_free(lock_path);
        bs_free(taken);
        return status;
    }
    *taken = (struct bs_results_lock){fd, lock_path};
    *lock = taken;
    return BS_OK;
}

void bs_results_unlock(struct bs_results_lock *lock)
{
    if (!lock)
        return;
    unlink(lock->path); /* while it is still locked, so that nobody's new lock is removed */
    close(lock->fd);
    bs_free(lock->path);
    bs_free(lock);
}

/* A commit under way. */
struct commit {
    const char *path;
    char *partial;
    bool created; /* the partial file is ours to remove */
    hid_t file;
    int num_rows;
    struct bs_row *rows; /* what /trials will hold */
};

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

/* Bytes that the new data can need at most. Deflate may add a little to what it cannot compress;
 * groups, headers and indices take a few kilobytes each; the old /trials gives its space to the new
 * one. */
static off_t most_bytes(const struct commit *commit, const struct bs_trial_record *records,
                        int num_records, const struct bs_run_info *info)
{
    /* The new /trials is written before the old one's space is known to be enough for it. A label
     * may grow by what tells a calibration and a model apart. */
    enum { LABEL_MORE = 512 };
    struct bs_packing packing;
    bs_packing_of(&bs_row_type, commit->rows, (size_t)commit->num_rows, &packing);
    size_t row = packing.size + LABEL_MORE;
    size_t bytes = ((size_t)1 << 17) + strlen(info->config);
    for (int i = 0; i < num_records; i++) {
        const struct bs_trial_record *record = &records[i];
        size_t values = (size_t)record->row.windows * (size_t)record->row.tokens;
        bytes += values * ((record->nll ? sizeof(float) : 0) + (record->kld ? sizeof(float) : 0) +
                           (record->same_top ? 1 : 0));
        bytes += (size_t)record->num_layers * sizeof(struct bs_layer_row);
        bs_packing_of(&bs_row_type, &record->row, 1, &packing);
        row = packing.size + LABEL_MORE > row ? packing.size + LABEL_MORE : row;
        bytes += strlen(record->canonical) + (record->notices ? strlen(record->notices) : 0) +
                 ((size_t)1 << 15);
    }
    bytes += 2 * row * (size_t)(commit->num_rows + num_records);
    return (off_t)(bytes + bytes / 64);
}

static enum bs_status copy_old(struct commit *commit, int from, struct bs_error *err)
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
static enum bs_status make_empty(struct commit *commit, struct bs_error *err)
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

/* Room for `bytes` more behind the partial file's end: a full disk is met here, before HDF5 has
 * touched the copy. A file system without this call reports a full disk later, through HDF5. */
static enum bs_status reserve(const struct commit *commit, off_t bytes, struct bs_error *err)
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

static enum bs_status open_partial(struct commit *commit, unsigned mode, struct bs_error *err)
{
    hid_t access = bs_h5_access();
    commit->file = H5Fopen(commit->partial, mode, access);
    enum bs_status status =
        commit->file < 0 ? bs_h5_fail(err, BS_EDATA, commit->path, "not a result file, or damaged")
                         : BS_OK;
    bs_h5_close(access);
    return status;
}

/* Sets a text attribute anew. A fixed length keeps it inside the checksummed object header. */
static enum bs_status set_text(const struct commit *commit, hid_t object, const char *name,
                               const char *text, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR), attribute = H5I_INVALID_HID;
    if (H5Tset_size(type, strlen(text) + 1) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0 ||
        (H5Aexists(object, name) > 0 && H5Adelete(object, name) < 0) ||
        (attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT)) < 0 ||
        H5Awrite(attribute, type, text) < 0)
        status = bs_h5_fail(err, BS_EIO, commit->path, name);
    bs_h5_close(attribute);
    bs_h5_close(space);
    bs_h5_close(type);
    return status;
}

static enum bs_status set_int(const struct commit *commit, const char *name, int value,
                              struct bs_error *err)
{
    enum bs_status status = BS_OK;
    hid_t space = H5Screate(H5S_SCALAR), attribute = H5I_INVALID_HID;
    if ((H5Aexists(commit->file, name) > 0 && H5Adelete(commit->file, name) < 0) ||
        (attribute =
             H5Acreate2(commit->file, name, H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT)) < 0 ||
        H5Awrite(attribute, H5T_NATIVE_INT, &value) < 0)
        status = bs_h5_fail(err, BS_EIO, commit->path, name);
    bs_h5_close(attribute);
    bs_h5_close(space);
    return status;
}

static enum bs_status write_attributes(const struct commit *commit, const struct bs_run_info *info,
                                       struct bs_error *err)
{
    const struct {
        const char *name, *text;
    } texts[] = {
        {"bitsweep_version", BS_VERSION},
        {"commit", BS_COMMIT},
        {"config", info->config},
        {"host", info->host},
        {"cpu", info->cpu},
        {"blas", info->blas},
        {"finished", info->finished},
    };
    enum bs_status status = set_int(commit, "schema_version", BS_SCHEMA_VERSION, err);
    if (!status && info->threads)
        status = set_int(commit, "threads", info->threads, err);
    for (size_t i = 0; !status && i < sizeof texts / sizeof *texts; i++)
        if (texts[i].text)
            status = set_text(commit, commit->file, texts[i].name, texts[i].text, err);
    /* A run that continues a file does not change when the file was begun. */
    if (!status && info->started && H5Aexists(commit->file, "started") <= 0)
        status = set_text(commit, commit->file, "started", info->started, err);
    return status;
}

enum { DEFLATE_LEVEL = 4, CHUNK_VALUES = 1 << 16, CHUNK_TRIALS = 16, CHUNK_LAYERS = 1024 };

/* Writes a new dataset at `place` below `parent`. Each chunk has a checksum, so damage is noticed;
 * `deflate` for all but /trials, whose chunks keep one size so that the space of the old table is
 * used again by the new one. */
static enum bs_status write_dataset(const struct commit *commit, hid_t parent, const char *place,
                                    int rank, const hsize_t *dims, const hsize_t *chunk,
                                    bool deflate, hid_t file_type, hid_t memory_type,
                                    const void *data, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    hid_t space = H5Screate_simple(rank, dims, NULL), create = H5Pcreate(H5P_DATASET_CREATE);
    hid_t dataset = H5I_INVALID_HID;
    if (H5Pset_obj_track_times(create, false) < 0 ||
        (chunk && H5Pset_chunk(create, rank, chunk) < 0) ||
        (chunk && deflate &&
         (H5Pset_shuffle(create) < 0 || H5Pset_deflate(create, DEFLATE_LEVEL) < 0)) ||
        (chunk && H5Pset_fletcher32(create) < 0) ||
        (dataset = H5Dcreate2(parent, place, file_type, space, H5P_DEFAULT, create, H5P_DEFAULT)) <
            0 ||
        (chunk && H5Dwrite(dataset, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0))
        status = bs_h5_fail(err, BS_EIO, commit->path, place);
    if (dataset >= 0 && H5Dclose(dataset) < 0 && !status)
        status = bs_h5_fail(err, BS_EIO, commit->path, place);
    bs_h5_close(create);
    bs_h5_close(space);
    return status;
}

/* A compound table. An empty one has no chunks. */
static enum bs_status write_table(const struct commit *commit, hid_t parent, const char *place,
                                  const struct bs_record_type *record, const void *rows,
                                  int num_rows, bool deflate, struct bs_error *err)
{
    struct bs_packing packing;
    bs_packing_of(record, rows, (size_t)num_rows, &packing);
    hid_t file_type = bs_h5_type(record, &packing, true);
    hid_t memory_type = bs_h5_type(record, &packing, false);
    hsize_t count = (hsize_t)num_rows;
    char *data = bs_alloc((size_t)num_rows, packing.size);
    hsize_t chunk = deflate ? CHUNK_LAYERS : CHUNK_TRIALS;
    if (chunk > count)
        chunk = count;
    enum bs_status status = BS_OK;
    if (!data)
        status = bs_fail_memory(err);
    else if (file_type < 0 || memory_type < 0)
        status = bs_h5_fail(err, BS_EIO, commit->path, place);
    if (!status) {
        bs_pack(record, &packing, rows, (size_t)num_rows, data);
        status = write_dataset(commit, parent, place, 1, &count, count > 0 ? &chunk : NULL, deflate,
                               file_type, memory_type, data, err);
    }
    bs_free(data);
    bs_h5_close(memory_type);
    bs_h5_close(file_type);
    return status;
}

/* One per-token array; a chunk is one window or as many as make up 64 K values. */
static enum bs_status write_array(const struct commit *commit, hid_t group,
                                  const struct bs_row *row, const char *name, hid_t file_type,
                                  hid_t memory_type, const void *data, struct bs_error *err)
{
    if (!data)
        return BS_OK;
    hsize_t dims[2] = {(hsize_t)row->windows, (hsize_t)row->tokens - 1};
    hsize_t chunk[2] = {dims[1] < CHUNK_VALUES ? CHUNK_VALUES / dims[1] : 1, dims[1]};
    if (chunk[0] > dims[0])
        chunk[0] = dims[0];
    return write_dataset(commit, group, name, 2, dims, chunk, true, file_type, memory_type, data,
                         err);
}

static enum bs_status write_arrays(const struct commit *commit, hid_t trial,
                                   const struct bs_trial_record *record, hid_t create,
                                   struct bs_error *err)
{
    const struct bs_row *row = &record->row;
    assert(row->windows > 0 && row->tokens > 1 && row->text && !strchr(row->text, '/'));
    hid_t group = H5Gcreate2(trial, row->text, H5P_DEFAULT, create, H5P_DEFAULT);
    if (group < 0)
        return bs_h5_fail(err, BS_EIO, commit->path, row->text);
    enum bs_status status =
        write_array(commit, group, row, "nll", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, record->nll, err);
    if (!status)
        status = write_array(commit, group, row, "kld", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT,
                             record->kld, err);
    if (!status)
        status = write_array(commit, group, row, "same_top", H5T_STD_U8LE, H5T_NATIVE_UINT8,
                             record->same_top, err);
    bs_h5_close(group);
    return status;
}

/* /trial/<id> with all below it. */
static enum bs_status write_trial(const struct commit *commit, const struct bs_trial_record *record,
                                  struct bs_error *err)
{
    char place[64];
    snprintf(place, sizeof place, "trial/%s", record->row.id);
    enum bs_status status = BS_OK;
    hid_t trial = H5I_INVALID_HID;
    hid_t create = H5Pcreate(H5P_GROUP_CREATE);
    if (H5Pset_obj_track_times(create, false) < 0 ||
        (trial = H5Gcreate2(commit->file, place, H5P_DEFAULT, create, H5P_DEFAULT)) < 0)
        status = bs_h5_fail(err, BS_EIO, commit->path, place);
    if (!status)
        status = set_text(commit, trial, "canonical", record->canonical, err);
    if (!status && record->notices && *record->notices)
        status = set_text(commit, trial, "notices", record->notices, err);
    bool done = strcmp(record->row.status, "failed");
    if (!status && done) /* no rows for the unquantized model */
        status = write_table(commit, trial, "layers", &bs_layer_type, record->layers,
                             record->num_layers, true, err);
    if (!status && (record->nll || record->kld || record->same_top))
        status = write_arrays(commit, trial, record, create, err);
    bs_h5_close(trial);
    bs_h5_close(create);
    return status;
}

/* Takes the records' rows among the file's; where one replaces a failed trial, what the file holds
 * of that goes. */
static enum bs_status merge_rows(struct commit *commit, const struct bs_trial_record *records,
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
            bs_record_release(&bs_row_type, &rows[i]);
        }
        rows[i] = records[r].row;
        if (!rows[i].commit)
            rows[i].commit = BS_COMMIT;
        if (bs_record_take(&bs_row_type, &rows[i], err))
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
static enum bs_status sort_rows(struct commit *commit, const char *const *order, int num_order,
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

/* Adds everything to the open copy and closes it. The old /trials goes first and the new one comes
 * next, so that it takes the old one's space. */
static enum bs_status fill(struct commit *commit, const struct bs_trial_record *records,
                           int num_records, const char *const *order, int num_order,
                           const struct bs_run_info *info, struct bs_error *err)
{
    enum bs_status status = merge_rows(commit, records, num_records, err);
    if (!status)
        status = sort_rows(commit, order, num_order, info, err);
    if (!status)
        status = bs_rows_label(commit->rows, commit->num_rows, err);
    if (!status && H5Lexists(commit->file, "trials", H5P_DEFAULT) > 0 &&
        H5Ldelete(commit->file, "trials", H5P_DEFAULT) < 0)
        status = bs_h5_fail(err, BS_EIO, commit->path, "trials");
    if (!status)
        status = write_table(commit, commit->file, "trials", &bs_row_type, commit->rows,
                             commit->num_rows, false, err);
    for (int r = 0; !status && r < num_records; r++)
        status = write_trial(commit, &records[r], err);
    if (!status)
        status = write_attributes(commit, info, err);
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
static enum bs_status read_old(struct commit *commit, struct bs_error *err)
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
static enum bs_status begin(struct commit *commit, const struct bs_trial_record *records,
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

enum bs_status bs_results_commit(const char *path, const struct bs_trial_record *records,
                                 int num_records, const char *const *order, int num_order,
                                 const struct bs_run_info *info, struct bs_error *err)
{
    bs_h5_begin();
    struct commit commit = {.path = path, .file = H5I_INVALID_HID};
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
    /* HDF5 still writes as it closes, and keeps the file half open where it cannot. On a full disk
     * an emptied copy makes the room for that. */
    if (commit.file > 0 && truncate(commit.partial, 0) != 0)
        errno = 0;
    bs_h5_close(commit.file);
    if (status && commit.created)
        unlink(commit.partial);
    bs_rows_free(commit.rows, commit.num_rows);
    bs_free(commit.partial);
    return status;
}

#include "eval/run/walk_keep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/base/mem.h"
#include "eval/base/stop.h"
#include "eval/run/walk_state.h"
#include "eval/store/seal.h"

static const char first_line[] = "bitsweep checkpoint of a walk\n";

/* What is written of a variant besides its layers, figures and streams. */
struct variant_record {
    char ids[BS_WALK_TEXTS][17]; /* of the trials that are still to be measured */
    enum bs_status status;
    char message[512];
    int num_layers, is_apart, has_calibration, has_channels;
    double linear_bits, linear_weights, seconds_quantize, seconds_evaluate;
    struct bs_layer_totals totals;
};

/* The file on its way out or in: one function goes through all that a walk holds in both
 * directions. Going in, `data` NULL passes over the bytes. */
struct transfer {
    bool out;
    int fd;
    struct bs_digest_state *digest;
    const struct bs_map *map;
    size_t at;
    int reason; /* errno of what failed; the rest is left out */
};

static void transfer_out(struct transfer *t, const char *data, size_t size)
{
    bs_digest_add(t->digest, data, size);
    for (size_t done = 0; done < size && !t->reason;) {
        ssize_t put = write(t->fd, data + done, size - done);
        if (put < 0 && errno != EINTR)
            t->reason = errno;
        done += put > 0 ? (size_t)put : 0;
    }
}

static void transfer(struct transfer *t, void *data, size_t size)
{
    if (t->reason || !size)
        return;
    if (t->out) {
        transfer_out(t, data, size);
    } else if (size > t->map->size - t->at) {
        t->reason = EBADMSG; /* the digest is right, so that this is a mistake of ours */
        return;
    } else if (data) {
        memcpy(data, t->map->data + t->at, size);
        bs_map_forget(t->map, t->map->data + t->at, size);
    }
    t->at += size;
}

/* All windows, one after another, so that those in files do not stay in memory. NULL passes over
 * as many. */
static void transfer_stream(struct transfer *t, const struct bs_stream *stream,
                            const struct bs_windows *windows, int width)
{
    for (int w = 0; w < windows->windows && !t->reason; w++) {
        size_t tokens = (size_t)bs_windows_length(windows, w);
        size_t bytes = tokens * (size_t)width * sizeof *stream->data;
        transfer(t, stream ? bs_stream_window(stream, w) : NULL, bytes);
        if (stream)
            bs_stream_forget(stream, w);
    }
}

/* Those that are taken of the text. */
static void transfer_figures(struct transfer *t, const struct bs_figures *figures,
                             const struct bs_walk *walk, int text)
{
    const struct bs_windows *windows = &walk->texts[text];
    size_t count = (size_t)windows->windows * (size_t)(windows->tokens - 1);
    for (int f = 0; f < BS_NUM_FIGURES; f++)
        if (bs_walk_figures(walk, text) >> f & 1)
            transfer(t, figures ? figures->of[f] : NULL,
                     count * bs_figure_bytes((enum bs_figure)f));
}

/* Of a variant that is wanted of the first text; NULL passes over as many. */
static void transfer_channels(struct transfer *t, const struct bs_walk_state *s,
                              const struct bs_channel_list *list)
{
    for (int i = 0; i < s->walk->num_channel_sites; i++) {
        size_t width = (size_t)bs_channels_width(s->architecture, s->walk->channel_sites[i]);
        transfer(t, list && list->count ? list->of[i].largest : NULL,
                 (size_t)s->architecture->num_layers * width * sizeof(float));
    }
}

/* ---- which walk it is ---- */

static void identify_windows(struct bs_keeping *keeping, const char *name,
                             const struct bs_windows *windows)
{
    size_t used = strlen(keeping->identity);
    snprintf(keeping->identity + used, sizeof keeping->identity - used, "%s %d %d %zu %s\n", name,
             windows->windows, windows->tokens, windows->num_scored, windows->digest.hex);
}

static void identify_channels(struct bs_keeping *keeping, const struct bs_walk *walk)
{
    size_t used = strlen(keeping->identity), room = sizeof keeping->identity;
    for (int i = 0; i < walk->num_channel_sites && used < room; i++)
        used += (size_t)snprintf(keeping->identity + used, room - used, "channels %d %s\n",
                                 walk->channel_windows, walk->channel_sites[i]);
}

static void identify_figures(struct bs_keeping *keeping, unsigned figures)
{
    size_t used = strlen(keeping->identity);
    snprintf(keeping->identity + used, sizeof keeping->identity - used, "figures %x\n", figures);
}

void bs_keep_identify(struct bs_keeping *keeping, const struct bs_walk *walk, const char *machine)
{
    snprintf(keeping->identity, sizeof keeping->identity,
             "records %zu %zu\nmachine %.400s\nmodel %s\nlayer errors %d\n",
             sizeof(struct variant_record), sizeof(struct bs_layer_row), machine,
             bs_model_digest(walk->model).hex, walk->layer_error_windows);
    identify_channels(keeping, walk);
    if (walk->calibration)
        identify_windows(keeping, "calibration", walk->calibration);
    for (int t = 0; t < walk->num_texts; t++) {
        identify_windows(keeping, "text", &walk->texts[t]);
        identify_figures(keeping, bs_walk_figures(walk, t));
    }
}

/* ---- out ---- */

static bool in_blocks(const struct bs_walk_state *s)
{
    return s->at.block < s->architecture->num_layers;
}

/* Stream 0's calibration inputs are looked at in the first block, and on where a recipe wants
 * to. */
static bool has_reference_calibration(const struct bs_walk_state *s)
{
    return s->reference.calibration.data && in_blocks(s) &&
           (!s->at.block || bs_walk_awaits(s, s->at.block));
}

static bool still_wanted(const struct bs_walk_state *s, int i, int text)
{
    return s->variants[i].wanted[text] && text >= s->at.text;
}

static struct variant_record record_of(const struct bs_walk_state *s, int i)
{
    const struct bs_variant *variant = &s->variants[i];
    struct variant_record record;
    memset(&record, 0, sizeof record);
    for (int t = 0; t < s->walk->num_texts; t++)
        if (still_wanted(s, i, t)) /* the unquantized model's may be no trial of this walk */
            snprintf(record.ids[t], sizeof record.ids[t], "%s",
                     variant->ids[t] ? variant->ids[t] : "unquantized");
    record.status = variant->status;
    memcpy(record.message, variant->message, sizeof record.message);
    record.num_layers = variant->num_layers;
    record.has_channels = variant->channels.count > 0;
    record.is_apart = s->carried[i].apart;
    record.has_calibration = record.is_apart && s->carried[i].calibration.data && in_blocks(s);
    record.linear_bits = variant->linear_bits;
    record.linear_weights = variant->linear_weights;
    record.seconds_quantize = variant->seconds_quantize;
    record.seconds_evaluate = variant->seconds_evaluate;
    record.totals = variant->totals;
    return record;
}

static void put_variant(struct transfer *t, struct bs_walk_state *s, int i)
{
    struct bs_variant *variant = &s->variants[i];
    const struct bs_carried *carried = &s->carried[i];
    int width = s->architecture->hidden_size;
    struct variant_record record = record_of(s, i);
    transfer(t, variant->layers, (size_t)variant->num_layers * sizeof *variant->layers);
    if (variant->channels.count)
        transfer_channels(t, s, &variant->channels);
    if (variant->status)
        return;
    if (record.has_calibration)
        transfer_stream(t, &carried->calibration, s->walk->calibration, width);
    for (int text = s->at.text; text < s->walk->num_texts; text++) {
        if (!*record.ids[text])
            continue;
        if (record.is_apart)
            transfer_stream(t, &carried->texts[text], &s->walk->texts[text], width);
        if (text == s->at.text && s->at.window)
            transfer_figures(t, &variant->figures[text], s->walk, text);
    }
}

static void put_walk(struct transfer *t, struct bs_walk_state *s)
{
    int width = s->architecture->hidden_size, has_calibration = has_reference_calibration(s);
    transfer(t, &s->at, sizeof s->at);
    transfer(t, &s->num_variants, sizeof s->num_variants);
    for (int i = 0; i < s->num_variants; i++) {
        struct variant_record record = record_of(s, i);
        transfer(t, &record, sizeof record);
    }
    for (int i = 0; i < s->num_variants; i++)
        put_variant(t, s, i);
    transfer(t, &has_calibration, sizeof has_calibration);
    if (has_calibration)
        transfer_stream(t, &s->reference.calibration, s->walk->calibration, width);
    for (int text = s->at.text; text < s->walk->num_texts; text++)
        transfer_stream(t, &s->reference.texts[text], &s->walk->texts[text], width);
}

/* Everything into the open file. Returns errno of what failed, or 0. */
static int put_all(struct bs_walk_state *s, int fd)
{
    const struct bs_keeping *keeping = s->walk->keeping;
    char header[BS_SEAL_BYTES] = {0}, identity[BS_KEEP_IDENTITY] = {0};
    struct transfer t = {.out = true, .fd = fd, .digest = bs_digest_create()};
    if (!t.digest)
        return ENOMEM;
    if (write(fd, header, sizeof header) != (ssize_t)sizeof header)
        t.reason = errno ? errno : EIO;
    memcpy(identity, keeping->identity, strlen(keeping->identity));
    transfer(&t, identity, sizeof identity);
    put_walk(&t, s);
    struct bs_digest digest = bs_digest_finish(t.digest);
    bs_seal_print(first_line, &digest, header);
    if (!t.reason && pwrite(fd, header, sizeof header, 0) != (ssize_t)sizeof header)
        t.reason = errno ? errno : EIO;
    return t.reason;
}

static enum bs_status write_aside(struct bs_walk_state *s, const char *partial,
                                  struct bs_error *err)
{
    int fd;
    if (bs_file_create(partial, &fd, err))
        return err->status;
    int reason = put_all(s, fd);
    if (close(fd) && !reason)
        reason = errno;
    if (!reason)
        return bs_file_commit(partial, s->walk->keeping->path, err);
    return bs_fail(err, BS_EIO, "%s: %s", partial, strerror(reason));
}

static void keep(struct bs_walk_state *s)
{
    struct bs_keeping *keeping = s->walk->keeping;
    struct bs_error err;
    double start = bs_seconds();
    char *partial = bs_printf("%s.partial", keeping->path);
    enum bs_status status = partial ? write_aside(s, partial, &err) : bs_fail_memory(&err);
    if (status && partial)
        unlink(partial);
    bs_free(partial);
    keeping->ended = bs_seconds();
    keeping->cost = keeping->ended - start;
    keeping->fresh = !status;
    if (keeping->kept)
        keeping->kept(keeping->context, &s->at, status ? &err : NULL);
}

static bool is_due(const struct bs_keeping *keeping)
{
    double wait = keeping->interval;
    if (wait < 0) {
        wait = BS_KEEP_COST * keeping->cost;
        wait = wait > BS_KEEP_SECONDS ? wait : BS_KEEP_SECONDS;
    }
    return bs_seconds() - keeping->ended >= wait;
}

void bs_keep_begin(struct bs_keeping *keeping) { keeping->paused = keeping->ended = bs_seconds(); }

/* Seconds before the time limit in which no further step is begun: one that takes as long as the
 * longest so far (of the head's, which grow, twice that or ten more) and a checkpoint still fit. */
static double reserve(struct bs_keeping *keeping)
{
    const double growth = 10, least = 0.25;
    double step = bs_seconds() - keeping->paused;
    if (step > keeping->longest)
        keeping->longest = step;
    double more = keeping->longest < growth ? keeping->longest : growth;
    return 1.25 * keeping->longest + more + 2 * keeping->cost + least;
}

enum bs_status bs_walk_pause(struct bs_walk_state *s, struct bs_error *err)
{
    struct bs_keeping *keeping = s->walk->keeping;
    bool asked = keeping ? bs_stop_due(reserve(keeping)) : bs_stop_asked();
    if (s->at.text == s->walk->num_texts)
        return BS_OK;
    if (bs_model_check_files(s->walk->model, err)) /* what it has done may be of other weights */
        return err->status;
    if (keeping) {
        keeping->fresh = false;
        if (asked || is_due(keeping))
            keep(s);
        keeping->paused = bs_seconds();
    }
    return asked ? bs_fail(err, BS_ESTOPPED, "asked to stop") : BS_OK;
}

/* ---- in ---- */

static struct variant_record record_in(const struct bs_kept *kept, int k)
{
    struct variant_record record;
    memcpy(&record, kept->map.data + kept->records + (size_t)k * sizeof record, sizeof record);
    return record;
}

static bool same_ids(const struct variant_record *record, const char *const ids[BS_WALK_TEXTS])
{
    bool any = false;
    for (int t = 0; t < BS_WALK_TEXTS; t++) {
        if (!ids[t] || !*ids[t])
            continue;
        if (strcmp(ids[t], record->ids[t]))
            return false;
        any = true;
    }
    return any;
}

int bs_kept_find(const struct bs_kept *kept, const char *const ids[BS_WALK_TEXTS])
{
    for (int k = 0; k < kept->num_variants; k++) {
        struct variant_record record = record_in(kept, k);
        if (same_ids(&record, ids))
            return k;
    }
    return -1;
}

/* Passes over what the next variant holds besides its record, or brings it to variant i. */
static enum bs_status take_streams(struct transfer *t, struct bs_walk_state *s, int i,
                                   const struct variant_record *record, bool is_reference,
                                   struct bs_error *err)
{
    int width = s->architecture->hidden_size;
    if (record->status)
        return BS_OK;
    struct bs_carried *carried = i < 0 ? NULL : &s->carried[i];
    if (carried)
        carried->apart = record->is_apart;
    if (carried && !is_reference && bs_walk_own_streams(s, i, err))
        return err->status;
    if (record->has_calibration)
        transfer_stream(t, carried ? &carried->calibration : NULL, s->walk->calibration, width);
    for (int text = s->at.text; text < s->walk->num_texts; text++) {
        const struct bs_windows *windows = &s->walk->texts[text];
        if (!*record->ids[text])
            continue;
        bool wanted = carried && s->variants[i].wanted[text];
        if (record->is_apart)
            transfer_stream(t, wanted ? &carried->texts[text] : NULL, windows, width);
        if (text == s->at.text && s->at.window)
            transfer_figures(t, wanted ? &s->variants[i].figures[text] : NULL, s->walk, text);
    }
    return BS_OK;
}

static void take_record(struct bs_walk_state *s, int i, const struct variant_record *record)
{
    struct bs_variant *variant = &s->variants[i];
    variant->status = record->status;
    memcpy(variant->message, record->message, sizeof variant->message);
    variant->num_layers = record->num_layers;
    variant->linear_bits = record->linear_bits;
    variant->linear_weights = record->linear_weights;
    variant->seconds_quantize = record->seconds_quantize;
    variant->seconds_evaluate = record->seconds_evaluate;
    variant->totals = record->totals;
}

/* The variant that the file's k-th is, or -1. */
static int variant_of(const struct bs_walk_state *s, const struct bs_kept *kept, int k)
{
    if (!k)
        return 0; /* the unquantized model comes first, here and there */
    for (int i = 1; i < s->num_variants; i++) {
        const char *ids[BS_WALK_TEXTS] = {NULL};
        for (int t = 0; t < s->walk->num_texts; t++)
            ids[t] = s->variants[i].wanted[t] ? s->variants[i].ids[t] : NULL;
        if (bs_kept_find(kept, ids) == k)
            return i;
    }
    return -1;
}

/* The file's k-th variant. Counts those of ours that are past the block at hand. */
static enum bs_status take_variant(struct transfer *t, struct bs_walk_state *s,
                                   const struct bs_kept *kept, int k, struct bs_error *err)
{
    struct variant_record record = record_in(kept, k);
    int i = variant_of(s, kept, k);
    if (i >= 0) {
        take_record(s, i, &record);
        s->at.variant += k < kept->place.variant;
    }
    transfer(t, i < 0 ? NULL : s->variants[i].layers,
             (size_t)record.num_layers * sizeof *s->variants->layers);
    if (record.has_channels)
        transfer_channels(t, s, i < 0 ? NULL : &s->variants[i].channels);
    return take_streams(t, s, i, &record, !k, err);
}

static enum bs_status take_reference(struct transfer *t, struct bs_walk_state *s,
                                     struct bs_error *err)
{
    int width = s->architecture->hidden_size, has_calibration = 0;
    transfer(t, &has_calibration, sizeof has_calibration);
    if (has_calibration) {
        if (bs_walk_stream(s, s->walk->calibration, &s->reference.calibration, err))
            return err->status;
        transfer_stream(t, &s->reference.calibration, s->walk->calibration, width);
    }
    for (int text = s->at.text; text < s->walk->num_texts; text++) {
        const struct bs_windows *windows = &s->walk->texts[text];
        if (bs_walk_stream(s, windows, &s->reference.texts[text], err))
            return err->status;
        transfer_stream(t, &s->reference.texts[text], windows, width);
    }
    return BS_OK;
}

enum bs_status bs_walk_restore(struct bs_walk_state *s, const struct bs_kept *kept,
                               struct bs_error *err)
{
    size_t records = (size_t)kept->num_variants * sizeof(struct variant_record);
    struct transfer t = {.map = &kept->map, .at = kept->records + records};
    s->at = kept->place;
    s->at.variant = 0;
    for (int k = 0; k < kept->num_variants; k++)
        if (take_variant(&t, s, kept, k, err))
            return err->status;
    if (take_reference(&t, s, err))
        return err->status;
    if (t.reason)
        return bs_fail(err, BS_EDATA, "%s: %s", s->walk->keeping->path, strerror(t.reason));
    return BS_OK;
}

/* ---- found ---- */

static enum bs_status check_contents(const struct bs_keeping *keeping, struct bs_kept *kept,
                                     struct bs_error *err)
{
    const struct bs_map *map = &kept->map;
    const char *path = keeping->path;
    char header[BS_SEAL_BYTES], identity[BS_KEEP_IDENTITY];
    if (map->size < sizeof header + sizeof identity ||
        memcmp(map->data, first_line, sizeof first_line - 1))
        return bs_fail(err, BS_EDATA, "%s: no checkpoint of a walk, or cut short", path);
    struct bs_digest digest = bs_digest_of(map->data + sizeof header, map->size - sizeof header);
    bs_seal_print(first_line, &digest, header);
    if (memcmp(map->data, header, sizeof header))
        return bs_fail(err, BS_EDATA, "%s: damaged: its bytes do not match its digest", path);
    memcpy(identity, map->data + sizeof header, sizeof identity);
    if (strncmp(identity, keeping->identity, sizeof identity))
        return bs_fail(err, BS_EDATA,
                       "%s: of another model, of other texts, or by another program or other "
                       "numerics",
                       path);
    struct transfer t = {.map = map, .at = sizeof header + sizeof identity};
    transfer(&t, &kept->place, sizeof kept->place);
    transfer(&t, &kept->num_variants, sizeof kept->num_variants);
    kept->records = t.at;
    size_t records = (size_t)kept->num_variants * sizeof(struct variant_record);
    transfer(&t, NULL, records);
    return t.reason ? bs_fail(err, BS_EDATA, "%s: cut short", path) : BS_OK;
}

enum bs_status bs_kept_open(const struct bs_keeping *keeping, struct bs_kept *kept,
                            struct bs_error *err)
{
    struct stat info;
    *kept = (struct bs_kept){.num_variants = 0};
    if (lstat(keeping->path, &info)) {
        int reason = errno;
        bs_fail(err, BS_EIO, "%s", "");
        if (reason == ENOENT || reason == ENOTDIR)
            return err->status;
        return bs_fail(err, BS_EIO, "%s: %s", keeping->path, strerror(reason));
    }
    if (!S_ISREG(info.st_mode) || info.st_uid != geteuid())
        return bs_fail(err, BS_EDATA, "%s: no file of this user", keeping->path);
    enum bs_status status = bs_map_open(keeping->path, &kept->map, err);
    if (!status)
        status = check_contents(keeping, kept, err);
    if (!status)
        bs_map_forget(&kept->map, kept->map.data, kept->map.size);
    else
        bs_kept_close(kept);
    return status;
}

void bs_kept_close(struct bs_kept *kept)
{
    bs_map_close(&kept->map);
    *kept = (struct bs_kept){.num_variants = 0};
}

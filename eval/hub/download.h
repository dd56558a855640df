/* One file from the network to its place: locked, resumed, verified, renamed. */
#ifndef BS_EVAL_HUB_DOWNLOAD_H
#define BS_EVAL_HUB_DOWNLOAD_H

#include "eval/hub/session.h"

/* One file to be fetched. */
struct bs_download {
    const char *what; /* for messages: "config.json of org/name" */
    const char *url;
    const char *target;  /* its place; <target>.incomplete until it is whole */
    const char *lock;    /* the file whose flock keeps others from fetching the same */
    const char *sums[2]; /* checksums it must have, as bs_checksum_kind_of knows them; or NULL */
    long long size;      /* -1 = not known */
    /* The target is named by its content, so that an incomplete one can only be this file's
     * beginning. Otherwise <target>.validator says of which version it is one. */
    bool named_by_content;
    const char *if_range; /* of a target named by its content, the header's value, or NULL */
    const struct bs_subject *subject;  /* for refusals; NULL: `what` is no repository's */
    struct bs_fetch_progress progress; /* all but `done` and `size` */
};

/* BS_OK at once where the target is there. BS_EDATA where size or checksum come out wrong; the file
 * is then removed. */
enum bs_status bs_download(const struct bs_session *session, const struct bs_download *download,
                           struct bs_error *err);

/* The bytes that lie at <target>.incomplete. */
long long bs_download_lying(const char *target);

/* BS_EIO where the file system on which `path` is, or will be, lacks room for so many bytes. */
enum bs_status bs_download_check_room(const char *path, long long bytes, struct bs_error *err);

#endif

/* A conversation with the hub: its address, the token, and what its refusals mean. */
#ifndef BS_EVAL_HUB_SESSION_H
#define BS_EVAL_HUB_SESSION_H

#include "eval/hub/fetch.h"
#include "eval/hub/http.h"

/* What the requests to one hub share. */
struct bs_session {
    struct bs_http *http;
    char *endpoint;     /* HF_ENDPOINT, else https://huggingface.co; no slash at its end */
    char *token_source; /* "HF_TOKEN" or the file's path; NULL where there is no token */
    const struct bs_fetch_watch *watch;
};

/* The token is HF_TOKEN's, else what the file at HF_TOKEN_PATH, else <HF_HOME>/token, holds.
 * BS_ECONFIG where HF_HUB_OFFLINE forbids the network, or endpoint or token are malformed. */
enum bs_status bs_session_open(const struct bs_fetch_watch *watch, struct bs_session *session,
                               struct bs_error *err);
void bs_session_close(struct bs_session *session);

/* What was asked for, for messages. */
struct bs_subject {
    enum bs_repo_kind kind;
    const char *repository, *revision;
    const char *path; /* NULL: the repository itself */
};

/* BS_OK for a 2xx and for a HEAD that another host would answer; else BS_EIO saying what the answer
 * means: misspelt, private, gated, no such revision or file. */
enum bs_status bs_session_check(const struct bs_session *session, const struct bs_subject *subject,
                                const struct bs_http_answer *answer, struct bs_error *err);

#endif

/* HTTP by libcurl, with what a download needs around it: redirects that never carry the token to
 * another host, and retries with growing waits. TLS is always verified; proxies come from the
 * environment as libcurl reads it, certificates from CURL_CA_BUNDLE or SSL_CERT_FILE if set. */
#ifndef BS_EVAL_HUB_HTTP_H
#define BS_EVAL_HUB_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "eval/base/error.h"

struct bs_http;

/* Told before a wait: "the connection was dropped; again in 2 s". */
typedef void bs_http_notice(void *context, const char *text);

/* A session. The token (or NULL) goes to the origin of `endpoint` alone: scheme, host and port.
 * BS_ECONFIG where `endpoint` is no http or https address. Freed with bs_http_free. */
enum bs_status bs_http_create(const char *endpoint, const char *token, bs_http_notice *notice,
                              void *context, struct bs_http **http, struct bs_error *err);
void bs_http_free(struct bs_http *http);

enum { BS_HTTP_TEXT = 256 };

/* What a server said. Texts are empty where it said nothing, or something too long. */
struct bs_http_answer {
    long status;
    bool elsewhere;            /* another host has the content: a HEAD stops there */
    long long size;            /* of the content: X-Linked-Size, else Content-Length; -1 = untold */
    long long first, total;    /* of Content-Range, "bytes first-last/total"; -1 = untold */
    char commit[BS_HTTP_TEXT]; /* X-Repo-Commit */
    char etag[BS_HTTP_TEXT];   /* X-Linked-Etag, else ETag; without W/ and quotes */
    char strong[BS_HTTP_TEXT]; /* what If-Range takes: a strong ETag, quoted, else Last-Modified */
    char code[BS_HTTP_TEXT];   /* X-Error-Code */
    char message[BS_HTTP_TEXT]; /* X-Error-Message */
};

/* What a sink makes of an answer. */
enum bs_http_verdict {
    BS_HTTP_GO_ON,
    BS_HTTP_AGAIN, /* drop this answer and ask once more */
    BS_HTTP_STOP,  /* give up; err says why */
};

/* Where the content of a GET goes. */
struct bs_http_sink {
    /* Before each attempt: the first byte wanted, and the value of If-Range, "" for none. */
    long long (*start)(void *context, const char **if_range);
    /* At a 2xx, before its content, and at a 416. */
    enum bs_http_verdict (*accept)(void *context, const struct bs_http_answer *answer,
                                   struct bs_error *err);
    enum bs_http_verdict (*take)(void *context, const char *data, size_t size,
                                 struct bs_error *err);
    /* When the server has closed a whole answer. */
    enum bs_http_verdict (*end)(void *context, struct bs_error *err);
};

/* GET, with redirects followed and retries; BS_OK with any answer but 429 and 5xx, at which the
 * caller must look: the sink was fed at a 2xx only. BS_EIO where no answer comes or it breaks off
 * again and again without a byte gained. */
enum bs_status bs_http_get(struct bs_http *http, const char *url, const struct bs_http_sink *sink,
                           void *context, struct bs_http_answer *answer, struct bs_error *err);

/* The same into new memory with a zero byte at its end; *text is NULL at any status but a 2xx. */
enum bs_status bs_http_get_text(struct bs_http *http, const char *url, char **text, size_t *size,
                                struct bs_http_answer *answer, struct bs_error *err);

/* HEAD, following redirects as far as they stay at their origin. */
enum bs_status bs_http_head(struct bs_http *http, const char *url, struct bs_http_answer *answer,
                            struct bs_error *err);

/* The text percent-encoded as part of a URL, in new memory; '/' stays where `path` is true. */
char *bs_http_escape(struct bs_http *http, const char *text, bool path);

#endif

#include "eval/hub/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "eval/base/mem.h"
#include "eval/hub/layout.h"

enum {
    CONNECT_SECONDS = 15,
    STALL_SECONDS = 30, /* without a byte: the connection counts as dropped */
    MOST_HOPS = 10,     /* redirects in a row */
    MOST_RETRIES = 5,   /* without a byte gained in between */
    LONGEST_BODY = 64 << 20,
    LONGEST_WAIT = 300, /* seconds; a server that asks for more is told of instead */
};
static const double first_wait = 0.5; /* seconds; twice as long each time */

struct bs_http {
    CURL *curl;
    char *endpoint, *token;
    bs_http_notice *notice;
    void *context;
    bool answered;             /* by anyone, since the session began */
    char why[CURL_ERROR_SIZE]; /* libcurl's own words for the last failure; "" = it has none */
};

/* One request, through its redirects and retries. */
struct request {
    struct bs_http *http;
    const char *url;
    const struct bs_http_sink *sink; /* NULL: HEAD */
    void *context;
    struct bs_http_answer *answer;
    struct bs_error *err;
    /* of the attempt at hand */
    long long position; /* of the next byte */
    bool accepted;
    enum bs_http_verdict verdict;
};

/* ---- the session ---- */

enum bs_status bs_http_create(const char *endpoint, const char *token, bs_http_notice *notice,
                              void *context, struct bs_http **http, struct bs_error *err)
{
    *http = NULL;
    if (strncmp(endpoint, "http://", 7) && strncmp(endpoint, "https://", 8))
        return bs_fail(err, BS_ECONFIG, "'%s' is no http or https address", endpoint);
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return bs_fail_memory(err);
    struct bs_http *made = bs_calloc(1, sizeof *made);
    if (!made) {
        curl_global_cleanup();
        return bs_fail_memory(err);
    }
    made->notice = notice;
    made->context = context;
    made->curl = curl_easy_init();
    made->endpoint = bs_strdup(endpoint);
    made->token = token ? bs_strdup(token) : NULL;
    if (!made->curl || !made->endpoint || (token && !made->token)) {
        bs_http_free(made);
        return bs_fail_memory(err);
    }
    *http = made;
    return BS_OK;
}

void bs_http_free(struct bs_http *http)
{
    if (!http)
        return;
    curl_easy_cleanup(http->curl);
    bs_free(http->endpoint);
    bs_free(http->token);
    bs_free(http);
    curl_global_cleanup();
}

/* ---- addresses ---- */

char *bs_http_escape(struct bs_http *http, const char *text, bool path)
{
    char *out = bs_strdup("");
    while (out && *text) {
        size_t length = path ? strcspn(text, "/") : strlen(text);
        char *part = length ? curl_easy_escape(http->curl, text, (int)length) : NULL;
        bool slash = text[length] == '/';
        char *longer =
            part || !length ? bs_printf("%s%s%s", out, part ? part : "", slash ? "/" : "") : NULL;
        curl_free(part);
        bs_free(out);
        out = longer;
        text += length + slash;
    }
    return out;
}

static char *part_of(const char *url, CURLUPart part)
{
    char *text = NULL;
    CURLU *parsed = curl_url();
    if (parsed && !curl_url_set(parsed, CURLUPART_URL, url, 0))
        curl_url_get(parsed, part, &text, CURLU_DEFAULT_PORT);
    curl_url_cleanup(parsed);
    return text;
}

static bool same_part(const char *a, const char *b, CURLUPart part)
{
    char *x = part_of(a, part), *y = part_of(b, part);
    bool same = x && y && !strcasecmp(x, y);
    curl_free(x);
    curl_free(y);
    return same;
}

static bool same_origin(const char *a, const char *b)
{
    return same_part(a, b, CURLUPART_SCHEME) && same_part(a, b, CURLUPART_HOST) &&
           same_part(a, b, CURLUPART_PORT);
}

/* A URL's host for messages; the rest of a redirect's address may hold a signature. */
static void print_host(const char *url, char *out, size_t size)
{
    char *host = part_of(url, CURLUPART_HOST);
    snprintf(out, size, "%s", host ? host : "the server");
    curl_free(host);
}

/* ---- what the server says ---- */

/* A header's value; empty where it is not there or does not fit. */
static void take_header(CURL *curl, const char *name, char out[BS_HTTP_TEXT])
{
    struct curl_header *header;
    out[0] = 0;
    if (!curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &header) &&
        strlen(header->value) < BS_HTTP_TEXT)
        snprintf(out, BS_HTTP_TEXT, "%s", header->value);
}

static void strip_etag(const char *raw, char out[BS_HTTP_TEXT])
{
    if (!strncmp(raw, "W/", 2))
        raw += 2;
    size_t length = strlen(raw);
    bool quoted = length >= 2 && raw[0] == '"' && raw[length - 1] == '"';
    snprintf(out, BS_HTTP_TEXT, "%.*s", (int)(quoted ? length - 2 : length), raw + quoted);
}

/* The whole number at the text's beginning, -1 where there is none; *end is after it. */
static long long parse_number(const char *text, char **end)
{
    errno = 0;
    long long value = strtoll(text, end, 10);
    return *text < '0' || *text > '9' || errno ? -1 : value;
}

/* "bytes 100-199/200" */
static void parse_range(const char *text, struct bs_http_answer *answer)
{
    char *end;
    answer->first = answer->total = -1;
    if (strncasecmp(text, "bytes ", 6))
        return;
    answer->first = parse_number(text + 6, &end);
    const char *slash = strchr(end, '/');
    if (slash)
        answer->total = parse_number(slash + 1, &end);
}

/* What an earlier redirect has said of commit and checksum stays: it speaks for the repository, and
 * the host it leads to for a file store. */
static void take_answer(CURL *curl, struct bs_http_answer *answer)
{
    char text[BS_HTTP_TEXT], *end;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    bool redirect = answer->status >= 300 && answer->status < 400;
    take_header(curl, "X-Error-Code", answer->code);
    take_header(curl, "X-Error-Message", answer->message);
    if (!answer->commit[0])
        take_header(curl, "X-Repo-Commit", answer->commit);
    take_header(curl, "X-Linked-Etag", text);
    if (!text[0] && !redirect)
        take_header(curl, "ETag", text);
    if (!answer->etag[0])
        strip_etag(text, answer->etag);
    take_header(curl, "X-Linked-Size", text);
    if (!text[0] && !redirect)
        take_header(curl, "Content-Length", text);
    if (answer->size < 0)
        answer->size = parse_number(text, &end);
    take_header(curl, "ETag", answer->strong);
    if (answer->strong[0] != '"')
        take_header(curl, "Last-Modified", answer->strong);
    take_header(curl, "Content-Range", text);
    parse_range(text, answer);
}

static bool is_success(long status) { return status >= 200 && status < 300; }

/* Whether another try may end better: the server is busy or broken. */
static bool is_passing(long status)
{
    return status == 408 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

/* ---- one attempt ---- */

/* The sink learns of the answer before the first byte of its content, once. */
static bool accept_once(struct request *r)
{
    if (r->accepted)
        return true;
    r->accepted = true;
    take_answer(r->http->curl, r->answer);
    r->verdict = r->sink->accept(r->context, r->answer, r->err);
    if (r->answer->status == 200)
        r->position = 0;
    return r->verdict == BS_HTTP_GO_ON;
}

static size_t on_data(char *data, size_t one, size_t count, void *context)
{
    struct request *r = context;
    long status = 0;
    curl_easy_getinfo(r->http->curl, CURLINFO_RESPONSE_CODE, &status);
    if (!is_success(status))
        return one * count; /* a page for people */
    if (!accept_once(r))
        return CURL_WRITEFUNC_ERROR;
    r->verdict = r->sink->take(r->context, data, one * count, r->err);
    r->position += (long long)(one * count);
    return r->verdict == BS_HTTP_GO_ON ? one * count : CURL_WRITEFUNC_ERROR;
}

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    char *line = bs_printf("%s: %s", name, value);
    struct curl_slist *longer = line ? curl_slist_append(*list, line) : NULL;
    bs_free(line);
    if (longer)
        *list = longer;
    return longer;
}

static bool add_headers(const struct request *r, const char *url, const char *if_range,
                        struct curl_slist **list)
{
    const struct bs_http *http = r->http;
    char range[64];
    snprintf(range, sizeof range, "bytes=%lld-", r->position);
    bool fine = add_header(list, "Accept-Encoding", "identity");
    if (r->position)
        fine = fine && add_header(list, "Range", range);
    if (r->position && if_range[0])
        fine = fine && add_header(list, "If-Range", if_range);
    if (!http->token || !same_origin(url, http->endpoint))
        return fine;
    char *bearer = bs_printf("Bearer %s", http->token);
    fine = fine && bearer && add_header(list, "Authorization", bearer);
    bs_free(bearer);
    return fine;
}

/* Another file of certificates, as other programs take it from the environment. */
static const char *certificates(void)
{
    const char *bundle = bs_hub_variable("CURL_CA_BUNDLE");
    return bundle ? bundle : bs_hub_variable("SSL_CERT_FILE");
}

/* One exchange with one host. */
static CURLcode exchange(struct request *r, const char *url, const char *if_range)
{
    CURL *curl = r->http->curl;
    struct curl_slist *headers = NULL;
    curl_easy_reset(curl);
    if (!add_headers(r, url, if_range, &headers)) {
        curl_slist_free_all(headers);
        return CURLE_OUT_OF_MEMORY;
    }
    r->http->why[0] = 0;
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, r->http->why);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "bitsweep/" BS_VERSION);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
    curl_easy_setopt(curl, CURLOPT_NOBODY, r->sink ? 0L : 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, (void *)r);
    if (certificates())
        curl_easy_setopt(curl, CURLOPT_CAINFO, certificates());
    CURLcode code = curl_easy_perform(curl);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    r->http->answered = r->http->answered || status;
    if (code == CURLE_OK && r->sink && (is_success(status) || status == 416))
        accept_once(r); /* an empty content */
    else if (code == CURLE_OK)
        take_answer(curl, r->answer);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    return code;
}

static enum bs_status fail_redirect(const struct request *r, const char *url, const char *why)
{
    char host[BS_HTTP_TEXT];
    print_host(url, host, sizeof host);
    return bs_fail(r->err, BS_EIO, "%s redirects %s", host, why);
}

/* Where the answer redirects to, in *url in new memory; NULL where it does not, or a HEAD would
 * leave its origin. */
static enum bs_status next_hop(struct request *r, const char *from, char **url)
{
    char *target = NULL;
    *url = NULL;
    long status = r->answer->status;
    bool redirects =
        status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    if (redirects)
        curl_easy_getinfo(r->http->curl, CURLINFO_REDIRECT_URL, &target);
    if (!target)
        return redirects ? fail_redirect(r, from, "to nowhere") : BS_OK;
    if (!strncasecmp(from, "https:", 6) && strncasecmp(target, "https:", 6))
        return fail_redirect(r, from, "from https to a connection that is not encrypted");
    r->answer->elsewhere = !same_origin(from, target);
    if (!r->sink && r->answer->elsewhere)
        return BS_OK;
    *url = bs_strdup(target);
    return *url ? BS_OK : bs_fail_memory(r->err);
}

/* The request from its first host to its last. */
static enum bs_status attempt(struct request *r, CURLcode *code)
{
    const char *if_range = "";
    *r->answer = (struct bs_http_answer){.size = -1, .first = -1, .total = -1};
    r->accepted = false;
    r->verdict = BS_HTTP_GO_ON;
    r->position = r->sink ? r->sink->start(r->context, &if_range) : 0;
    char *url = bs_strdup(r->url);
    enum bs_status status = url ? BS_OK : bs_fail_memory(r->err);
    *code = CURLE_OK;
    for (int hop = 0; !status && url; hop++) {
        char *next = NULL;
        if (hop == MOST_HOPS)
            status = fail_redirect(r, url, "in a circle");
        else
            *code = exchange(r, url, if_range);
        if (!status && *code == CURLE_OK)
            status = next_hop(r, url, &next);
        bs_free(url);
        url = next;
    }
    bs_free(url);
    if (*code == CURLE_OUT_OF_MEMORY)
        return bs_fail_memory(r->err);
    return status;
}

/* ---- attempts until one succeeds ---- */

/* What failed, and whether it may pass. "" where nothing failed. */
static bool print_failure(struct request *r, CURLcode code, char *out, size_t size)
{
    char host[BS_HTTP_TEXT];
    print_host(r->url, host, sizeof host);
    out[0] = 0;
    if (r->verdict == BS_HTTP_AGAIN) {
        snprintf(out, size, "%s sent not what it was asked for, or not all of it", host);
        return true;
    }
    if (code == CURLE_OK && !is_passing(r->answer->status))
        return false;
    if (code == CURLE_OK) {
        snprintf(out, size, "%s answers %ld%s%s", host, r->answer->status,
                 r->answer->message[0] ? ": " : "", r->answer->message);
        return true;
    }
    snprintf(out, size, "%s: %s", host, r->http->why[0] ? r->http->why : curl_easy_strerror(code));
    switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return false;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return r->http->answered; /* else the network is not there, and waiting is no help */
    default:
        return true;
    }
}

/* Seconds to the next attempt: what the server asks for, else twice as long each time. */
static double seconds_to_wait(const struct request *r, CURLcode code, int retry)
{
    struct curl_header *header;
    curl_off_t asked = 0;
    CURL *curl = r->http->curl;
    if (code == CURLE_OK && is_passing(r->answer->status) &&
        !curl_easy_header(curl, "Retry-After", 0, CURLH_HEADER, -1, &header) &&
        !curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &asked))
        return (double)asked;
    return ldexp(first_wait, retry);
}

static void wait_for(const struct bs_http *http, const char *why, double seconds)
{
    char text[3 * BS_HTTP_TEXT + 32];
    snprintf(text, sizeof text, "%s; again in %.3g s", why, seconds);
    if (http->notice)
        http->notice(http->context, text);
    struct timespec left = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};
    while (nanosleep(&left, &left) && errno == EINTR)
        continue;
}

static enum bs_status perform(struct request *r)
{
    long long furthest = 0;
    char why[3 * BS_HTTP_TEXT];
    for (int retry = 0;; retry++) {
        CURLcode code;
        if (attempt(r, &code))
            return r->err->status;
        if (code == CURLE_OK && r->sink && is_success(r->answer->status) &&
            r->verdict == BS_HTTP_GO_ON)
            r->verdict = r->sink->end(r->context, r->err);
        if (r->verdict == BS_HTTP_STOP)
            return r->err->status;
        bool passing = print_failure(r, code, why, sizeof why);
        if (!why[0])
            return BS_OK;
        if (r->position > furthest) {
            furthest = r->position;
            retry = 0;
        }
        double seconds = seconds_to_wait(r, code, retry);
        if (!passing || retry == MOST_RETRIES)
            return bs_fail(r->err, BS_EIO, "%s", why);
        if (seconds > LONGEST_WAIT)
            return bs_fail(r->err, BS_EIO, "%s, and asks to come again in %.0f s", why, seconds);
        wait_for(r->http, why, seconds);
    }
}

enum bs_status bs_http_get(struct bs_http *http, const char *url, const struct bs_http_sink *sink,
                           void *context, struct bs_http_answer *answer, struct bs_error *err)
{
    struct request r = {
        .http = http, .url = url, .sink = sink, .context = context, .answer = answer, .err = err};
    return perform(&r);
}

enum bs_status bs_http_head(struct bs_http *http, const char *url, struct bs_http_answer *answer,
                            struct bs_error *err)
{
    return bs_http_get(http, url, NULL, NULL, answer, err);
}

/* ---- into memory ---- */

struct body {
    char *text;
    size_t used, capacity;
};

static long long body_start(void *context, const char **if_range)
{
    struct body *body = context;
    body->used = 0;
    *if_range = "";
    return 0;
}

static enum bs_http_verdict body_accept(void *context, const struct bs_http_answer *answer,
                                        struct bs_error *err)
{
    (void)context, (void)answer, (void)err;
    return BS_HTTP_GO_ON;
}

static enum bs_http_verdict body_take(void *context, const char *data, size_t size,
                                      struct bs_error *err)
{
    struct body *body = context;
    size_t needed = body->used + size + 1;
    if (needed > LONGEST_BODY) {
        bs_fail(err, BS_EDATA, "the answer is longer than %d MB", LONGEST_BODY >> 20);
        return BS_HTTP_STOP;
    }
    if (needed > body->capacity) {
        size_t larger = 2 * needed;
        char *grown = bs_realloc(body->text, body->used, larger, 1);
        if (!grown) {
            bs_fail_memory(err);
            return BS_HTTP_STOP;
        }
        body->text = grown;
        body->capacity = larger;
    }
    memcpy(body->text + body->used, data, size);
    body->used += size;
    body->text[body->used] = 0;
    return BS_HTTP_GO_ON;
}

/* An empty body is a text as well. */
static enum bs_http_verdict body_end(void *context, struct bs_error *err)
{
    return body_take(context, "", 0, err);
}

enum bs_status bs_http_get_text(struct bs_http *http, const char *url, char **text, size_t *size,
                                struct bs_http_answer *answer, struct bs_error *err)
{
    static const struct bs_http_sink sink = {body_start, body_accept, body_take, body_end};
    struct body body = {.text = NULL};
    enum bs_status status = bs_http_get(http, url, &sink, &body, answer, err);
    bool whole = !status && is_success(answer->status);
    if (!whole)
        bs_free(body.text);
    *text = whole ? body.text : NULL;
    *size = whole ? body.used : 0;
    return status;
}

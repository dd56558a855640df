#include "eval/hub/session.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/hub/layout.h"

static const char default_endpoint[] = "https://huggingface.co";

static bool is_on(const char *variable)
{
    static const char *const words[] = {"1", "on", "yes", "true", NULL};
    const char *value = bs_hub_variable(variable);
    for (int i = 0; value && words[i]; i++)
        if (!strcasecmp(value, words[i]))
            return true;
    return false;
}

/* Cuts blanks and line ends off both ends. BS_ECONFIG where something is within that would end the
 * header or begin another. */
static enum bs_status clean_token(const char *raw, const char *source, char **token,
                                  struct bs_error *err)
{
    static const char blanks[] = " \t\r\n";
    raw += strspn(raw, blanks);
    size_t length = strlen(raw);
    while (length && strchr(blanks, raw[length - 1]))
        length--;
    for (size_t i = 0; i < length; i++)
        if (raw[i] <= ' ' || raw[i] == 0x7f)
            return bs_fail(err, BS_ECONFIG, "the token of %s has a character no token has", source);
    *token = bs_printf("%.*s", (int)length, raw);
    return *token ? BS_OK : bs_fail_memory(err);
}

static enum bs_status token_file(char **path, struct bs_error *err)
{
    const char *named = bs_hub_variable("HF_TOKEN_PATH");
    if (named) {
        *path = bs_strdup(named);
        return *path ? BS_OK : bs_fail_memory(err);
    }
    char *home;
    enum bs_status status = bs_hub_home(&home, err);
    if (status)
        return status;
    *path = bs_printf("%s/token", home);
    bs_free(home);
    return *path ? BS_OK : bs_fail_memory(err);
}

/* The token and where it is from; both NULL where there is none. */
static enum bs_status find_token(char **token, char **source, struct bs_error *err)
{
    const char *variable = bs_hub_variable("HF_TOKEN");
    char *text = NULL;
    size_t size;
    enum bs_status status = BS_OK;
    *token = *source = NULL;
    if (variable) {
        *source = bs_strdup("HF_TOKEN");
        status = *source ? clean_token(variable, *source, token, err) : bs_fail_memory(err);
    } else {
        status = token_file(source, err);
        if (!status && !access(*source, F_OK))
            status = bs_file_read(*source, &text, &size, err);
        if (!status && text)
            status = clean_token(text, *source, token, err);
        bs_free(text);
    }
    if (!status && *token && **token)
        return BS_OK;
    bs_free(*token);
    bs_free(*source);
    *token = *source = NULL;
    return status;
}

static enum bs_status find_endpoint(char **endpoint, struct bs_error *err)
{
    const char *named = bs_hub_variable("HF_ENDPOINT");
    *endpoint = bs_strdup(named ? named : default_endpoint);
    if (!*endpoint)
        return bs_fail_memory(err);
    for (size_t n = strlen(*endpoint); n && (*endpoint)[n - 1] == '/'; n--)
        (*endpoint)[n - 1] = 0;
    return BS_OK;
}

enum bs_status bs_session_open(const struct bs_fetch_watch *watch, struct bs_session *session,
                               struct bs_error *err)
{
    *session = (struct bs_session){.watch = watch};
    if (is_on("HF_HUB_OFFLINE") || is_on("TRANSFORMERS_OFFLINE"))
        return bs_fail(err, BS_ECONFIG, "cannot fetch: %s forbids the network",
                       is_on("HF_HUB_OFFLINE") ? "HF_HUB_OFFLINE" : "TRANSFORMERS_OFFLINE");
    char *token = NULL;
    enum bs_status status = find_endpoint(&session->endpoint, err);
    if (!status)
        status = find_token(&token, &session->token_source, err);
    if (!status && (status = bs_http_create(session->endpoint, token, watch->notice, watch->context,
                                            &session->http, err)) == BS_ECONFIG)
        bs_fail_within(err, "HF_ENDPOINT");
    bs_free(token);
    if (status)
        bs_session_close(session);
    return status;
}

void bs_session_close(struct bs_session *session)
{
    bs_http_free(session->http);
    bs_free(session->endpoint);
    bs_free(session->token_source);
    *session = (struct bs_session){.http = NULL};
}

/* The repository is there, but not for everyone. */
static enum bs_status fail_gated(const struct bs_session *session, const struct bs_subject *subject,
                                 struct bs_error *err)
{
    const char *kind = subject->kind == BS_REPO_DATASET ? "datasets/" : "";
    if (session->token_source)
        return bs_fail(err, BS_EIO,
                       "%s is gated, and the token of %s has no access: ask for it at %s/%s%s",
                       subject->repository, session->token_source, session->endpoint, kind,
                       subject->repository);
    return bs_fail(err, BS_EIO,
                   "%s is gated: ask for access at %s/%s%s, then set HF_TOKEN to a token of yours",
                   subject->repository, session->endpoint, kind, subject->repository);
}

/* The hub does not tell a stranger whether a private repository exists. */
static enum bs_status fail_unknown(const struct bs_session *session,
                                   const struct bs_subject *subject, struct bs_error *err)
{
    const char *kind = subject->kind == BS_REPO_DATASET ? "data set" : "model";
    if (session->token_source)
        return bs_fail(err, BS_EIO,
                       "no %s '%s' at %s: the name is misspelt, or it is private and the token of "
                       "%s may not read it",
                       kind, subject->repository, session->endpoint, session->token_source);
    return bs_fail(err, BS_EIO,
                   "no %s '%s' at %s: the name is misspelt, or it is private and needs a token "
                   "(HF_TOKEN)",
                   kind, subject->repository, session->endpoint);
}

enum bs_status bs_session_check(const struct bs_session *session, const struct bs_subject *subject,
                                const struct bs_http_answer *answer, struct bs_error *err)
{
    static const char *const bad_tokens[] = {"Invalid credentials in Authorization header",
                                             "Invalid username or password.", NULL};
    bool success = answer->status >= 200 && answer->status < 300;
    if (success || (answer->elsewhere && answer->status < 400))
        return BS_OK;
    if (answer->elsewhere)
        return bs_fail(err, BS_EIO, "%s of %s: the file store of %s answers %ld",
                       subject->path ? subject->path : "the list", subject->repository,
                       session->endpoint, answer->status);
    bool refused = answer->status == 401 || answer->status == 403;
    if (!strcmp(answer->code, "GatedRepo"))
        return fail_gated(session, subject, err);
    if (refused && session->token_source && bs_word_in(answer->message, bad_tokens))
        return bs_fail(err, BS_EIO, "%s does not take the token of %s: %s", session->endpoint,
                       session->token_source, answer->message);
    if (!strcmp(answer->code, "RevisionNotFound"))
        return bs_fail(err, BS_EIO, "%s has no revision '%s'", subject->repository,
                       subject->revision);
    if (!strcmp(answer->code, "EntryNotFound") && subject->path)
        return bs_fail(err, BS_EIO, "%s has no file '%s' in revision '%s'", subject->repository,
                       subject->path, subject->revision);
    if (!strcmp(answer->code, "RepoNotFound") || answer->status == 401 || answer->status == 404)
        return fail_unknown(session, subject, err);
    return bs_fail(err, BS_EIO, "%s: %s answers %ld%s%s", subject->repository, session->endpoint,
                   answer->status, answer->message[0] ? ": " : "", answer->message);
}

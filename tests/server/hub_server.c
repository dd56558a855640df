/* A hub on loopback for the tests of fetching: lays files out as the Hugging Face hub does, and
 * misbehaves where it is told to.
 *
 *     hub_server ROOT LOG [FAULT...]
 *
 * prints "<port of the hub> <port of its file store>", then serves until it is ended. Below ROOT:
 *     models/<name>/refs/<revision>           a commit
 *     models/<name>/commits/<commit>/<path>   files; *.safetensors, *.bin and *.gz are large ones,
 *                                             to which the hub redirects at the file store
 *     models/<name>/api.json                  instead of the list of files, where it exists
 *     datasets/...                            the same
 *     raw/<path>                              files of no repository, at /raw/<path>
 *
 * Each request is a line of LOG: hub or store, method, path, status, then as far as they were sent
 * range=, if-range=, auth=. A fault is KIND:PART[:VALUE[:TIMES]] and concerns requests whose path
 * contains PART, the first TIMES of them or all:
 *     cut:PART:N        the connection ends after N bytes of content
 *     cutclean:PART:N   the same, and no Content-Length tells that there should be more
 *     wrong:PART        one byte of the content is another
 *     norange:PART      Range is ignored
 *     badrange:PART     Range is answered with other bytes than it asked for
 *     status:PART:CODE  the answer is CODE
 *     retry:PART:N      such an answer says Retry-After: N
 *     says:PART:TEXT    and X-Error-Message: TEXT
 *     etag:PART:TEXT    what the hub says the checksum is, size:PART:N the size, commit:PART:TEXT
 *     location:PART:URL the hub redirects there
 *     cached:PART       small files too are elsewhere, at the hub itself, with ETags of their own
 *     renamed:PART:NEW  the hub redirects to the path with NEW instead
 *     token:PART:TEXT   the repository is private, with this token
 *     gated:PART:TEXT   the repository is gated, and this token has access
 *     slow:PART:N       N milliseconds before each 4 kB */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

enum { MOST_FAULTS = 32, LONGEST = 4096 };

static const char *root, *log_path;
static struct fault {
    const char *kind, *part, *value;
    int times; /* 0: always */
} faults[MOST_FAULTS];
static int num_faults;
static atomic_int *met;         /* how often each fault was; shared by all processes */
static unsigned short ports[2]; /* hub, store */

struct request {
    int fd;
    bool store;
    char method[16], path[LONGEST];
    char range[128], if_range[256], authorization[256];
    /* the answer */
    int status;
    char headers[2 * LONGEST];
};

struct content {
    char *data;
    size_t size;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Prints a path, which must fit. */
static void print_path(char out[LONGEST], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void print_path(char out[LONGEST], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (vsnprintf(out, LONGEST, format, args) >= LONGEST)
        die("a path is too long");
    va_end(args);
}

/* ---- faults ---- */

static const char *fault(const struct request *r, const char *kind)
{
    for (int i = 0; i < num_faults; i++)
        if (!strcmp(faults[i].kind, kind) && strstr(r->path, faults[i].part) &&
            (!faults[i].times || atomic_fetch_add(&met[i], 1) < faults[i].times))
            return faults[i].value;
    return NULL;
}

static void add_fault(char *text)
{
    struct fault *f = &faults[num_faults++];
    f->kind = strsep(&text, ":");
    f->part = strsep(&text, ":");
    f->value = "";
    if (text) {
        bool address = !strcmp(f->kind, "location") || !strcmp(f->kind, "commit");
        f->value = address ? text : strsep(&text, ":");
        if (!address && text)
            f->times = (int)strtol(text, NULL, 10);
    }
    if (num_faults == MOST_FAULTS || !f->part) {
        fputs("hub_server: a fault is KIND:PART[:VALUE[:TIMES]]\n", stderr);
        exit(2);
    }
}

/* ---- files ---- */

static bool read_content(const char *path, struct content *content)
{
    struct stat info;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &info) || !S_ISREG(info.st_mode)) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    content->size = (size_t)info.st_size;
    content->data = malloc(content->size + 1);
    for (size_t used = 0; used < content->size;) {
        ssize_t got = read(fd, content->data + used, content->size - used);
        if (got <= 0)
            die(path);
        used += (size_t)got;
    }
    content->data[content->size] = 0;
    close(fd);
    return true;
}

static void digest(const struct content *content, bool git, char hex[65])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned length;
    char head[64];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_DigestInit_ex(context, git ? EVP_sha1() : EVP_sha256(), NULL);
    if (git)
        EVP_DigestUpdate(context, head,
                         (size_t)snprintf(head, sizeof head, "blob %zu", content->size) + 1);
    EVP_DigestUpdate(context, content->data, content->size);
    EVP_DigestFinal_ex(context, bytes, &length);
    EVP_MD_CTX_free(context);
    for (unsigned i = 0; i < length; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

static bool ends_with(const char *text, const char *ending)
{
    size_t a = strlen(text), b = strlen(ending);
    return a >= b && !strcmp(text + a - b, ending);
}

static bool is_large(const char *path)
{
    return ends_with(path, ".safetensors") || ends_with(path, ".bin") || ends_with(path, ".gz");
}

/* ---- answers ---- */

static void header(struct request *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void header(struct request *r, const char *format, ...)
{
    size_t used = strlen(r->headers);
    va_list args;
    va_start(args, format);
    vsnprintf(r->headers + used, sizeof r->headers - used - 2, format, args);
    va_end(args);
    used = strlen(r->headers);
    snprintf(r->headers + used, sizeof r->headers - used, "\r\n");
}

static bool send_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

static void write_log(const struct request *r)
{
    char line[2 * LONGEST];
    int length =
        snprintf(line, sizeof line, "%s %s %s %d%s%s%s%s%s%s\n", r->store ? "store" : "hub",
                 r->method, r->path, r->status, r->range[0] ? " range=" : "", r->range,
                 r->if_range[0] ? " if-range=" : "", r->if_range,
                 r->authorization[0] ? " auth=" : "", r->authorization);
    int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (fd < 0 || write(fd, line, (size_t)length) != length)
        die(log_path);
    close(fd);
}

static void answer(struct request *r, int status, const char *data, size_t size)
{
    r->status = status;
    write_log(r);
    bool head = !strcmp(r->method, "HEAD");
    const char *clean = head ? NULL : fault(r, "cutclean"), *cut = head ? NULL : fault(r, "cut");
    const char *slow = fault(r, "slow");
    char start[256 + sizeof r->headers], length[64] = "";
    if (!clean)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", size);
    snprintf(start, sizeof start, "HTTP/1.1 %d Status\r\n%sConnection: close\r\n%s\r\n", status,
             length, r->headers);
    if (!send_all(r->fd, start, strlen(start)) || head)
        return;
    if (clean || cut) {
        size_t most = (size_t)atoll(clean ? clean : cut);
        size = size < most ? size : most;
    }
    for (size_t sent = 0; sent < size;) {
        size_t chunk = slow && size - sent > 4096 ? 4096 : size - sent;
        struct timespec pause = {0, slow ? strtol(slow, NULL, 10) * 1000000 : 0};
        nanosleep(&pause, NULL);
        if (!send_all(r->fd, data + sent, chunk))
            return;
        sent += chunk;
    }
}

static void refuse(struct request *r, int status, const char *code, const char *message)
{
    if (code)
        header(r, "X-Error-Code: %s", code);
    if (message)
        header(r, "X-Error-Message: %s", message);
    answer(r, status, "<html>for people</html>", 23);
}

/* A file's content, all of it or what Range asks for. */
static void answer_content(struct request *r, struct content *content, const char *etag)
{
    long long first = 0;
    bool ranged = sscanf(r->range, "bytes=%lld-", &first) == 1 && !fault(r, "norange");
    char quoted[300];
    snprintf(quoted, sizeof quoted, "\"%s\"", etag);
    if (r->if_range[0] && strcmp(r->if_range, quoted))
        ranged = false;
    if (fault(r, "wrong") && content->size)
        content->data[content->size / 2] ^= 1;
    if (!ranged) {
        answer(r, 200, content->data, content->size);
        return;
    }
    if (fault(r, "badrange") && first)
        first--;
    if (first < 0 || first >= (long long)content->size) {
        header(r, "Content-Range: bytes */%zu", content->size);
        answer(r, 416, "", 0);
        return;
    }
    header(r, "Content-Range: bytes %lld-%zu/%zu", first, content->size - 1, content->size);
    answer(r, 206, content->data + first, content->size - (size_t)first);
}

static void answer_file(struct request *r, const char *path)
{
    struct content content;
    char etag[65];
    if (!read_content(path, &content)) {
        refuse(r, 404, NULL, NULL);
        return;
    }
    digest(&content, false, etag);
    etag[32] = 0; /* a file store has ETags of its own */
    header(r, "ETag: \"%s\"", etag);
    answer_content(r, &content, etag);
    free(content.data);
}

/* ---- repositories ---- */

/* Whether the request may see the repository; it is answered where not. */
static bool is_allowed(struct request *r)
{
    const char *token = fault(r, "token"), *gated = fault(r, "gated");
    char wanted[256];
    snprintf(wanted, sizeof wanted, "Bearer %s", token ? token : gated ? gated : "");
    if ((!token && !gated) || !strcmp(r->authorization, wanted))
        return true;
    if (strstr(r->authorization, "malformed"))
        refuse(r, 401, NULL, "Invalid credentials in Authorization header");
    else if (gated)
        refuse(r, r->authorization[0] ? 403 : 401, "GatedRepo", "Access is restricted.");
    else
        refuse(r, r->authorization[0] ? 404 : 401, "RepoNotFound", "Repository not found");
    return false;
}

/* The commit of a revision; the request is answered where there is none. */
static bool find_commit(struct request *r, const char *repository, const char *revision,
                        char commit[128])
{
    char path[LONGEST];
    struct content content;
    struct stat info;
    print_path(path, "%s/%s", root, repository);
    if (stat(path, &info)) {
        refuse(r, r->authorization[0] ? 404 : 401, "RepoNotFound", "Repository not found");
        return false;
    }
    print_path(path, "%s/%s/refs/%s", root, repository, revision);
    if (read_content(path, &content)) {
        snprintf(commit, 128, "%.*s", (int)strcspn(content.data, "\n"), content.data);
        free(content.data);
        return true;
    }
    print_path(path, "%s/%s/commits/%s", root, repository, revision);
    snprintf(commit, 128, "%s", revision);
    if (!stat(path, &info))
        return true;
    refuse(r, 404, "RevisionNotFound", "Invalid rev id");
    return false;
}

static void list_folder(const char *folder, const char *below, FILE *out, int *count)
{
    struct dirent **entries;
    int num = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < num; i++) {
        char path[LONGEST], inner[LONGEST];
        struct stat info;
        print_path(path, "%s/%s", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && !stat(path, &info)) {
            print_path(inner, "%s%s%s", below, entries[i]->d_name,
                       S_ISDIR(info.st_mode) ? "/" : "");
            if (S_ISDIR(info.st_mode)) {
                list_folder(path, inner, out, count);
            } else {
                fprintf(out, "%s{\"rfilename\":\"%s\"}", (*count)++ ? "," : "", inner);
            }
        }
        free(entries[i]);
    }
    free(entries);
}

/* /api/models/<name>/revision/<revision> */
static void answer_api(struct request *r, char *repository)
{
    char *marker = strstr(repository, "/revision/"), commit[128], path[LONGEST];
    if (!marker) {
        refuse(r, 404, NULL, NULL);
        return;
    }
    *marker = 0;
    if (!is_allowed(r) || !find_commit(r, repository, marker + 10, commit))
        return;
    struct content content;
    print_path(path, "%s/%s/api.json", root, repository);
    if (read_content(path, &content)) {
        answer(r, 200, content.data, content.size);
        free(content.data);
        return;
    }
    char *text;
    size_t size;
    int count = 0;
    FILE *out = open_memstream(&text, &size);
    fprintf(out, "{\"id\":\"%s\",\"sha\":\"%s\",\"siblings\":[", strchr(repository, '/') + 1,
            commit);
    print_path(path, "%s/%s/commits/%s", root, repository, commit);
    list_folder(path, "", out, &count);
    fputs("]}", out);
    fclose(out);
    answer(r, 200, text, size);
    free(text);
}

/* <kind>/<name>/resolve/<revision>/<path>; the revision is one component or refs/.../... */
static void answer_resolve(struct request *r, char *repository)
{
    char *marker = strstr(repository, "/resolve/"), commit[128], path[LONGEST], etag[65];
    *marker = 0;
    char *revision = marker + 9, *file = strchr(revision, '/');
    if (!strncmp(revision, "refs/", 5))
        for (int i = 0; i < 2 && file; i++)
            file = strchr(file + 1, '/');
    if (!file) {
        refuse(r, 404, NULL, NULL);
        return;
    }
    *file++ = 0;
    if (!is_allowed(r) || !find_commit(r, repository, revision, commit))
        return;
    struct content content;
    print_path(path, "%s/%s/commits/%s/%s", root, repository, commit, file);
    if (!read_content(path, &content)) {
        refuse(r, 404, "EntryNotFound", "Entry not found");
        return;
    }
    bool large = is_large(file);
    digest(&content, !large, etag);
    const char *other_etag = fault(r, "etag"), *other_size = fault(r, "size"),
               *other_commit = fault(r, "commit"), *location = fault(r, "location");
    header(r, "X-Repo-Commit: %s", other_commit ? other_commit : commit);
    const char *cached = fault(r, "cached");
    if (large || other_size || cached) {
        header(r, "X-Linked-Etag: \"%s\"", other_etag ? other_etag : etag);
        char size[24];
        snprintf(size, sizeof size, "%zu", content.size);
        header(r, "X-Linked-Size: %s", other_size ? other_size : size);
    } else {
        header(r, "ETag: \"%s\"", other_etag ? other_etag : etag);
    }
    if (location || large || cached) {
        if (location)
            header(r, "Location: %s", location);
        else if (cached)
            header(r, "Location: /store/%s/commits/%s/%s", repository, commit, file);
        else
            header(r, "Location: http://127.0.0.1:%d/store/%s/commits/%s/%s?signature=secret",
                   ports[1], repository, commit, file);
        answer(r, 302, "", 0);
    } else {
        answer_content(r, &content, other_etag ? other_etag : etag);
    }
    free(content.data);
}

static void redirect_renamed(struct request *r, const char *name)
{
    for (int i = 0; i < num_faults; i++) {
        const char *at = strstr(r->path, faults[i].part);
        if (faults[i].value == name && at)
            header(r, "Location: %.*s%s%s", (int)(at - r->path), r->path, name,
                   at + strlen(faults[i].part));
    }
    answer(r, 307, "", 0);
}

static void serve(struct request *r)
{
    char path[LONGEST], file[LONGEST];
    const char *status = fault(r, "status"), *retry = fault(r, "retry"),
               *renamed = fault(r, "renamed");
    print_path(path, "%s", r->path);
    path[strcspn(path, "?")] = 0;
    if (status) {
        if (retry)
            header(r, "Retry-After: %s", retry);
        refuse(r, (int)strtol(status, NULL, 10), NULL, fault(r, "says"));
    } else if (renamed) {
        redirect_renamed(r, renamed);
    } else if (!strncmp(path, "/store/", 7) || !strncmp(path, "/raw/", 5)) {
        print_path(file, "%s%s", root, path[1] == 's' ? path + strlen("/store") : path);
        answer_file(r, file);
    } else if (!strncmp(path, "/api/", 5)) {
        answer_api(r, path + 5);
    } else if (strstr(path, "/resolve/")) {
        bool data = !strncmp(path, "/datasets/", 10);
        print_path(file, "%s%s", data ? "" : "models/", path + 1);
        answer_resolve(r, file);
    } else {
        refuse(r, 404, NULL, NULL);
    }
}

/* ---- connections ---- */

static void decode(char *text)
{
    char *out = text;
    for (const char *p = text; *p; p++) {
        int value;
        if (*p == '%' && sscanf(p + 1, "%2x", (unsigned *)&value) == 1) {
            *out++ = (char)value;
            p += 2;
        } else {
            *out++ = *p;
        }
    }
    *out = 0;
}

static void take_header(const char *head, const char *name, char *out, size_t size)
{
    const char *at = strcasestr(head, name);
    if (at)
        snprintf(out, size, "%.*s", (int)strcspn(at + strlen(name), "\r\n"), at + strlen(name));
}

static void converse(int fd, bool store)
{
    static char head[4 * LONGEST];
    size_t used = 0;
    while (!strstr(head, "\r\n\r\n")) {
        ssize_t got = recv(fd, head + used, sizeof head - 1 - used, 0);
        if (got <= 0)
            return;
        used += (size_t)got;
        head[used] = 0;
    }
    struct request r = {.fd = fd, .store = store};
    if (sscanf(head, "%15s %4095s", r.method, r.path) != 2)
        return;
    take_header(head, "\r\nRange: ", r.range, sizeof r.range);
    take_header(head, "\r\nIf-Range: ", r.if_range, sizeof r.if_range);
    take_header(head, "\r\nAuthorization: ", r.authorization, sizeof r.authorization);
    decode(r.path);
    serve(&r);
}

static int listen_on_loopback(unsigned short *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 64) ||
        getsockname(fd, (struct sockaddr *)&address, &size))
        die("listen");
    *port = ntohs(address.sin_port);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: hub_server ROOT LOG [FAULT...]\n", stderr);
        return 2;
    }
    root = argv[1];
    log_path = argv[2];
    for (int i = 3; i < argc; i++)
        add_fault(argv[i]);
    met = mmap(NULL, MOST_FAULTS * sizeof *met, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
               -1, 0);
    if (met == MAP_FAILED)
        die("mmap");
    signal(SIGCHLD, SIG_IGN);
    struct pollfd listeners[2];
    for (int i = 0; i < 2; i++)
        listeners[i] = (struct pollfd){listen_on_loopback(&ports[i]), POLLIN, 0};
    printf("%d %d\n", ports[0], ports[1]);
    fflush(stdout);
    for (;;) {
        if (poll(listeners, 2, -1) < 0 && errno != EINTR)
            die("poll");
        for (int i = 0; i < 2; i++) {
            int fd = listeners[i].revents ? accept(listeners[i].fd, NULL, NULL) : -1;
            if (fd < 0)
                continue;
            if (!fork()) {
                converse(fd, i == 1);
                shutdown(fd, SHUT_WR);
                _exit(0);
            }
            close(fd);
        }
    }
}

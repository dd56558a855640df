#include "eval/hub/layout.h"

#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"

enum { LONGEST_NAME = 96, LONGEST_COMPONENT = 255, LONGEST_PATH = 1024 };

const char bs_hub_main[] = "main";

const char *bs_hub_variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* `folder`/`below` in new memory, "~" at the beginning of the folder replaced by HOME. */
static enum bs_status join(const char *folder, const char *below, char **path, struct bs_error *err)
{
    const char *home = "";
    if (folder[0] == '~' && (!folder[1] || folder[1] == '/')) {
        home = bs_hub_variable("HOME");
        if (!home)
            return bs_fail(err, BS_EIO,
                           "cannot place the Hugging Face cache: HOME is not set; set HF_HOME");
        folder++;
    }
    *path = bs_printf("%s%s%s%s", home, folder, *below ? "/" : "", below);
    return *path ? BS_OK : bs_fail_memory(err);
}

/* HF_HOME/`below`. */
static enum bs_status join_home(const char *below, char **path, struct bs_error *err)
{
    const char *home = bs_hub_variable("HF_HOME"), *cache = bs_hub_variable("XDG_CACHE_HOME");
    if (home)
        return join(home, below, path, err);
    char *inner = bs_printf("huggingface%s%s", *below ? "/" : "", below);
    if (!inner)
        return bs_fail_memory(err);
    enum bs_status status = join(cache ? cache : "~/.cache", inner, path, err);
    bs_free(inner);
    return status;
}

enum bs_status bs_hub_home(char **path, struct bs_error *err) { return join_home("", path, err); }

enum bs_status bs_hub_cache_folder(char **path, struct bs_error *err)
{
    const char *folder = bs_hub_variable("HF_HUB_CACHE");
    if (!folder)
        folder = bs_hub_variable("HUGGINGFACE_HUB_CACHE");
    return folder ? join(folder, "", path, err) : join_home("hub", path, err);
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* One half of a repository's name: neither at its ends nor twice in a row may '-' and '.' stand,
 * since "--" separates the halves in the cache and ".." is a folder. */
static bool is_name(const char *text, size_t length)
{
    if (!length || length > LONGEST_NAME || strchr("-.", text[0]) || strchr("-.", text[length - 1]))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!is_letter_or_digit(text[i]) && !strchr("-._", text[i]))
            return false;
        if (i && text[i] == text[i - 1] && strchr("-.", text[i]))
            return false;
    }
    return true;
}

bool bs_hub_is_repository(const char *name)
{
    const char *slash = strchr(name, '/');
    if (!slash)
        return is_name(name, strlen(name));
    return is_name(name, (size_t)(slash - name)) && is_name(slash + 1, strlen(slash + 1));
}

bool bs_hub_is_inside(const char *path)
{
    if (strlen(path) > LONGEST_PATH)
        return false;
    for (;;) {
        size_t length = strcspn(path, "/");
        if (!length || length > LONGEST_COMPONENT || (path[0] == '.' && length == 1) ||
            (path[0] == '.' && path[1] == '.' && length == 2))
            return false;
        for (size_t i = 0; i < length; i++)
            if ((unsigned char)path[i] < ' ' || path[i] == 0x7f || path[i] == '\\')
                return false;
        if (!path[length])
            return true;
        path += length + 1;
    }
}

bool bs_hub_is_plain(const char *name)
{
    size_t length = strlen(name);
    if (!length || length > LONGEST_COMPONENT / 2 || name[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_letter_or_digit(name[i]) && !strchr("-._", name[i]))
            return false;
    return true;
}

bool bs_hub_is_hex(const char *text, int digits)
{
    return strlen(text) == (size_t)digits && strspn(text, "0123456789abcdef") == (size_t)digits;
}

enum bs_status bs_hub_split(const char *name, char **repository, char **revision,
                            struct bs_error *err)
{
    const char *at = strchr(name, '@');
    *revision = NULL;
    *repository = bs_printf("%.*s", (int)(at ? (size_t)(at - name) : strlen(name)), name);
    if (at)
        *revision = bs_strdup(at + 1);
    bool memory = *repository && (!at || *revision);
    if (memory && bs_hub_is_repository(*repository) && (!at || bs_hub_is_inside(*revision)))
        return BS_OK;
    bs_free(*repository);
    bs_free(*revision);
    *repository = *revision = NULL;
    return memory
               ? bs_fail(err, BS_EIO,
                         "'%s' is no name of the hub, expected org/name or org/name@revision", name)
               : bs_fail_memory(err);
}

char *bs_hub_folder_name(enum bs_repo_kind kind, const char *repository)
{
    const char *kinds = kind == BS_REPO_MODEL ? "models" : "datasets";
    const char *slash = strchr(repository, '/');
    if (!slash)
        return bs_printf("%s--%s", kinds, repository);
    return bs_printf("%s--%.*s--%s", kinds, (int)(slash - repository), repository, slash + 1);
}

enum bs_status bs_hub_repository_folder(enum bs_repo_kind kind, const char *repository, char **path,
                                        struct bs_error *err)
{
    char *cache;
    enum bs_status status = bs_hub_cache_folder(&cache, err);
    if (status)
        return status;
    char *folder = bs_hub_folder_name(kind, repository);
    *path = folder ? bs_printf("%s/%s", cache, folder) : NULL;
    bs_free(folder);
    bs_free(cache);
    return *path ? BS_OK : bs_fail_memory(err);
}

enum bs_status bs_hub_url_file(const struct bs_remote *remote, char **path, struct bs_error *err)
{
    if (!bs_hub_is_inside(remote->path))
        return bs_fail(err, BS_EIO, "'%s' is no path below a folder", remote->path);
    char *below = bs_printf("bitsweep/%s", remote->path);
    if (!below)
        return bs_fail_memory(err);
    enum bs_status status = join_home(below, path, err);
    bs_free(below);
    return status;
}

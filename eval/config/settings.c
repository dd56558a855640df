#include "eval/config/settings.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/config/config.h"
#include "eval/config/yaml.h"
#include "eval/config/yaml_set.h"

/* Whether the first part of a key is one of the file; else it is one of a grid. */
static bool is_of_file(const char *key, size_t length)
{
    for (const struct bs_config_key *own = bs_config_keys; own->name; own++)
        if (strlen(own->name) == length && !strncmp(own->name, key, length))
            return true;
    return false;
}

/* Where a setting goes, in new memory. */
static enum bs_status read_path(const char *setting, char **path, struct bs_error *err)
{
    size_t length = strcspn(setting, "=");
    bool empty = !setting[length] || !setting[length + 1];
    for (size_t at = 0; at <= length && !empty; at += strcspn(setting + at, ".=") + 1)
        empty = strchr(".=", setting[at]);
    *path = NULL;
    if (empty)
        return bs_fail(err, BS_ECONFIG,
                       "--set '%.100s': expected KEY=VALUE, such as weights.bits=3,4", setting);
    *path = bs_printf("%s%.*s", is_of_file(setting, strcspn(setting, ".=")) ? "" : "sweep.",
                      (int)length, setting);
    return *path ? BS_OK : bs_fail_memory(err);
}

/* The comment, and the text after it. */
static char *with_comment(const char *path, const char *const *settings, int count,
                          const char *text)
{
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (!out)
        return NULL;
    bs_print_line(out, "# %s with", path);
    for (int i = 0; i < count; i++)
        bs_print_line(out, "#   --set '%s'", settings[i]);
    fputs(text, out);
    return bs_print_end(&printing);
}

enum bs_status bs_settings_apply(const char *path, const char *text, const char *const *settings,
                                 int count, char **set, struct bs_error *err)
{
    struct bs_yaml *yaml = NULL;
    *set = NULL;
    if (bs_yaml_parse(path, text, strlen(text), &yaml, err))
        return err->status;
    bs_yaml_free(yaml);
    struct bs_yaml_setting *all = bs_calloc((size_t)count, sizeof *all);
    enum bs_status status = all ? BS_OK : bs_fail_memory(err);
    char *made = NULL, **paths = bs_calloc((size_t)count, sizeof *paths);
    status = paths ? status : bs_fail_memory(err);
    for (int i = 0; i < count && !status; i++) {
        status = read_path(settings[i], &paths[i], err);
        if (!status)
            all[i] = (struct bs_yaml_setting){paths[i], strchr(settings[i], '=') + 1, settings[i]};
    }
    if (!status)
        status = bs_yaml_set(text, all, count, &made, err);
    if (!status && !(*set = with_comment(path, settings, count, made)))
        status = bs_fail_memory(err);
    bs_free(made);
    for (int i = 0; i < count && paths; i++)
        bs_free(paths[i]);
    bs_free(paths);
    bs_free(all);
    return status == BS_ECONFIG ? bs_fail_within(err, "%s", path) : status;
}

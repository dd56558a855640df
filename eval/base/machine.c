#define _GNU_SOURCE /* getline */
#include "eval/base/machine.h"

#include <limits.h>
#include <math.h>
#include <omp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* What a system without /proc is taken to have. */
static const double unknown_memory = 2e9;

enum { PLACE = 2 * PATH_MAX };

void bs_cpu_name(char *out, size_t size)
{
    char line[256];
    snprintf(out, size, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon)
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, size, "%.*s", (int)size - 1, colon + 2);
        break;
    }
    if (file)
        fclose(file);
}

static FILE *open_in(const char *folder, const char *name)
{
    char path[PLACE];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length < (int)sizeof path ? fopen(path, "re") : NULL;
}

/* The number after `key` in a file of "key number" lines; with key "" the file's first number. NAN
 * where there is none, or a word such as "max". */
static double number_in(const char *folder, const char *name, const char *key)
{
    char line[512];
    double value = (double)NAN;
    size_t length = strlen(key);
    FILE *file = open_in(folder, name);
    while (file && isnan(value) && fgets(line, sizeof line, file)) {
        char *end, *from = line + length;
        if (strncmp(line, key, length))
            continue;
        double number = strtod(from, &end);
        if (end != from)
            value = number;
        else if (!length)
            break;
    }
    if (file)
        fclose(file);
    return value;
}

static double least(double a, double b) { return isnan(b) || a < b ? a : b; }

/* ---- control groups ---- */

/* One hierarchy that the process is in: its own group's folder, and how much of the path is the
 * mount, above which nothing is seen. */
struct group {
    bool v2;
    char folder[PLACE];
    size_t mount;
};

/* True where `word` is among the words between commas. */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += length)
        if ((at == list || at[-1] == ',') && (!at[length] || at[length] == ','))
            return true;
    return false;
}

/* The process's path in the hierarchy of a controller, "" = version 2's, which has them all. */
static bool group_path(const char *root, const char *controller, char out[PATH_MAX])
{
    char folder[PLACE], line[PATH_MAX + 256];
    bool found = false;
    snprintf(folder, sizeof folder, "%s/proc/self", root);
    FILE *file = open_in(folder, "cgroup");
    while (file && !found && fgets(line, sizeof line, file)) {
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        path[strcspn(path, "\n")] = 0;
        found = *controller ? has_word(names + 1, controller) : !names[1];
        if (found)
            snprintf(out, PATH_MAX, "%.*s", PATH_MAX - 1, path);
    }
    if (file)
        fclose(file);
    return found;
}

/* A line of mountinfo: its root within the hierarchy, mount point, type and the file system's own
 * options. */
struct mount {
    char *root, *point, *type, *options;
};

static bool parse_mount(char *line, struct mount *mount)
{
    char *fields[6], *state = NULL;
    char *dash = strstr(line, " - ");
    if (!dash)
        return false;
    *dash = 0;
    int count = 0;
    for (char *f = strtok_r(line, " ", &state); f && count < 6; f = strtok_r(NULL, " ", &state))
        fields[count++] = f;
    if (count < 5)
        return false;
    mount->root = fields[3];
    mount->point = fields[4];
    mount->type = strtok_r(dash + 3, " \n", &state);
    char *source = mount->type ? strtok_r(NULL, " \n", &state) : NULL;
    mount->options = source ? strtok_r(NULL, " \n", &state) : NULL;
    return mount->options;
}

/* Where the process's group is to be seen: a container sees its own as the mount's root, whatever
 * path the kernel calls it by. */
static void place_group(const char *root, const struct mount *mount, const char *path,
                        struct group *group)
{
    size_t above = strcmp(mount->root, "/") ? strlen(mount->root) : 0;
    bool below = !strncmp(path, mount->root, above) && (path[above] == '/' || !path[above]);
    snprintf(group->folder, sizeof group->folder, "%s%s", root, mount->point);
    group->mount = strlen(group->folder);
    const char *rest = below && strcmp(path + above, "/") ? path + above : "";
    snprintf(group->folder + group->mount, sizeof group->folder - group->mount, "%s", rest);
    if (access(group->folder, F_OK))
        group->folder[group->mount] = 0;
}

/* The process's group for a controller, of version 1 where that has it, else of version 2. */
static bool find_group(const char *root, const char *controller, struct group *group)
{
    char path[PATH_MAX], folder[PLACE], *line = NULL;
    size_t room = 0;
    bool v1 = group_path(root, controller, path), found = false;
    group->v2 = !v1;
    if (!v1 && !group_path(root, "", path))
        return false;
    snprintf(folder, sizeof folder, "%s/proc/self", root);
    FILE *file = open_in(folder, "mountinfo");
    while (file && !found && getline(&line, &room, file) > 0) {
        struct mount mount;
        if (!parse_mount(line, &mount))
            continue;
        found = v1 ? !strcmp(mount.type, "cgroup") && has_word(mount.options, controller)
                   : !strcmp(mount.type, "cgroup2");
        if (found)
            place_group(root, &mount, path, group);
    }
    free(line);
    if (file)
        fclose(file);
    return found;
}

/* From the group at hand to the one above; false at the mount. */
static bool go_up(struct group *group)
{
    char *slash = strrchr(group->folder + group->mount, '/');
    if (!slash)
        return false;
    *slash = 0;
    return true;
}

static double free_in_group(const struct group *group)
{
    const char *folder = group->folder;
    double limit = (double)INFINITY, used, cached;
    if (group->v2) {
        limit = least(limit, number_in(folder, "memory.max", ""));
        limit = least(limit, number_in(folder, "memory.high", ""));
        used = number_in(folder, "memory.current", "");
        cached = number_in(folder, "memory.stat", "inactive_file ") +
                 number_in(folder, "memory.stat", "active_file ");
    } else {
        limit = least(limit, number_in(folder, "memory.limit_in_bytes", ""));
        limit = least(limit, number_in(folder, "memory.stat", "hierarchical_memory_limit "));
        used = number_in(folder, "memory.usage_in_bytes", "");
        cached = number_in(folder, "memory.stat", "total_inactive_file ") +
                 number_in(folder, "memory.stat", "total_active_file ");
    }
    used = isnan(used) ? 0 : used - (isnan(cached) ? 0 : cached);
    return fmax(limit - fmax(used, 0), 0);
}

static double group_memory(const char *root)
{
    struct group group;
    double bytes = (double)INFINITY;
    if (!find_group(root, "memory", &group))
        return bytes;
    do
        bytes = least(bytes, free_in_group(&group));
    while (go_up(&group));
    return bytes;
}

/* The second number of the file's line, as "50000 100000" and "max 100000" have it; 0 for none. */
static double second_in(const char *folder, const char *name)
{
    char line[512];
    FILE *file = open_in(folder, name);
    const char *blank = file && fgets(line, sizeof line, file) ? strchr(line, ' ') : NULL;
    if (file)
        fclose(file);
    return blank ? strtod(blank, NULL) : 0;
}

static double quota_of(const struct group *group)
{
    double quota = number_in(group->folder, group->v2 ? "cpu.max" : "cpu.cfs_quota_us", "");
    double period = group->v2 ? second_in(group->folder, "cpu.max")
                              : number_in(group->folder, "cpu.cfs_period_us", "");
    return quota > 0 && period > 0 ? quota / period : (double)INFINITY;
}

int bs_cpu_quota(const char *root)
{
    struct group group;
    double processors = (double)INFINITY;
    if (!find_group(root, "cpu", &group))
        return 0;
    do
        processors = least(processors, quota_of(&group));
    while (go_up(&group));
    return processors < INT_MAX ? (int)ceil(processors) : 0;
}

/* ---- limits of the process ---- */

/* What a limit leaves of what the line of /proc/self/status says is taken. */
static double left_of(const char *root, int resource, const char *taken)
{
    struct rlimit limit;
    char folder[PLACE];
    if (getrlimit(resource, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return (double)INFINITY;
    snprintf(folder, sizeof folder, "%s/proc/self", root);
    double kilobytes = number_in(folder, "status", taken);
    return fmax((double)limit.rlim_cur - (isnan(kilobytes) ? 0 : 1024 * kilobytes), 0);
}

double bs_free_memory(const char *root)
{
    char folder[PLACE];
    snprintf(folder, sizeof folder, "%s/proc", root);
    double kilobytes = number_in(folder, "meminfo", "MemAvailable:");
    double bytes = isnan(kilobytes) ? unknown_memory : 1024 * kilobytes;
    bytes = least(bytes, group_memory(root));
    bytes = least(bytes, left_of(root, RLIMIT_AS, "VmSize:"));
    return least(bytes, left_of(root, RLIMIT_DATA, "VmData:"));
}

int bs_default_threads(void)
{
    if (getenv("OMP_NUM_THREADS"))
        return omp_get_max_threads(); /* as OpenMP has understood it */
    int processors = omp_get_num_procs(), quota = bs_cpu_quota("");
    return quota && quota < processors ? quota : processors;
}

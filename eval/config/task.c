#include "eval/config/task.h"

#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/config/report.h"
#include "eval/config/yaml.h"

/* Texts of the record are const for all but who made them. */
static void free_text(const char *text)
{
    char *own;
    memcpy(&own, &text, sizeof own);
    bs_free(own);
}

void bs_task_free(struct bs_task *task)
{
    if (!task)
        return;
    for (const struct bs_task_field *field = bs_task_fields; field->name; field++) {
        if (field->kind == BS_TASK_TEXT)
            free_text(*bs_task_text(task, field));
        for (int i = 0; field->kind == BS_TASK_LIST && bs_task_list(task, field)[i]; i++)
            free_text(bs_task_list(task, field)[i]);
    }
    free_text(task->name);
    bs_free(task);
}

static void wrong(struct bs_report *report, const char *name, const struct bs_yaml_node *node,
                  const char *allowed)
{
    char found[256];
    bs_yaml_print_found(node, found, sizeof found);
    bs_report_add(report, node->line, node->column, "%s is %s, expected %s", name, found, allowed);
}

static bool is_text(const struct bs_yaml_node *node)
{
    return node->kind == BS_YAML_SCALAR && !bs_yaml_is_null(node);
}

static enum bs_status read_list(struct bs_report *report, const struct bs_task_field *field,
                                const struct bs_yaml_node *node, const char **list,
                                struct bs_error *err)
{
    int count = bs_yaml_num_values(node);
    bool right = count >= 1 && count < BS_TASK_WORDS;
    for (int i = 0; i < count; i++)
        right = right && is_text(bs_yaml_value(node, i));
    if (!right)
        wrong(report, field->name, node, "a text, or a list of at most 15");
    for (int i = 0; i < count && right; i++)
        if (!(list[i] = bs_strdup(bs_yaml_value(node, i)->text)))
            return bs_fail_memory(err);
    return BS_OK;
}

static void read_kind(struct bs_report *report, const struct bs_yaml_node *node, int *kind)
{
    struct bs_names names = {0};
    char list[256];
    for (int k = 0; bs_task_kind_names[k]; k++) {
        bs_names_add(&names, bs_task_kind_names[k]);
        if (is_text(node) && !strcmp(node->text, bs_task_kind_names[k])) {
            *kind = k;
            return;
        }
    }
    bs_names_print(&names, is_text(node) ? node->text : "", list, sizeof list);
    wrong(report, "kind", node, list);
}

static void read_flag(struct bs_report *report, const struct bs_task_field *field,
                      const struct bs_yaml_node *node, bool *flag)
{
    bool yes = is_text(node) && !strcmp(node->text, "true");
    if (yes || (is_text(node) && !strcmp(node->text, "false")))
        *flag = yes;
    else
        wrong(report, field->name, node, "true or false");
}

/* A field's value into the record. */
static enum bs_status read_field(struct bs_report *report, const struct bs_task_field *field,
                                 const struct bs_yaml_node *node, struct bs_task *task,
                                 struct bs_error *err)
{
    if (field->kind == BS_TASK_WORD) {
        read_kind(report, node, &task->kind);
        return BS_OK;
    }
    if (field->kind == BS_TASK_FLAG) {
        read_flag(report, field, node, &task->first_shots);
        return BS_OK;
    }
    if (field->kind == BS_TASK_LIST)
        return read_list(report, field, node, bs_task_list(task, field), err);
    if (!is_text(node)) {
        wrong(report, field->name, node, "a text");
        return BS_OK;
    }
    *bs_task_text(task, field) = bs_strdup(node->text);
    return *bs_task_text(task, field) ? BS_OK : bs_fail_memory(err);
}

static enum bs_status read_root(struct bs_report *report, const struct bs_yaml_node *root,
                                struct bs_task *task, struct bs_error *err)
{
    struct bs_names names = {0};
    for (const struct bs_task_field *field = bs_task_fields; field->name; field++)
        bs_names_add(&names, field->name);
    if (root->kind != BS_YAML_MAPPING) {
        wrong(report, "the file", root, "a mapping: a task's record");
        return BS_OK;
    }
    if (!bs_yaml_get(root, "kind"))
        bs_report_add(report, 1, 1, "kind is missing, expected choice, last_word or cloze");
    for (int i = 0; i < root->num_items; i += 2) {
        const struct bs_yaml_node *key = root->items[i];
        const struct bs_task_field *field = bs_task_fields;
        while (key->text && field->name && strcmp(field->name, key->text))
            field++;
        if (key->text && !field->name)
            bs_report_unknown_key(report, key->line, key->column, key->text, &names, "");
        else if (key->text && read_field(report, field, root->items[i + 1], task, err))
            return err->status;
    }
    return BS_OK;
}

/* What the record says as a whole: the message begins with the key that it is about. */
static void check_whole(struct bs_report *report, const struct bs_yaml_node *root,
                        const struct bs_task *task)
{
    struct bs_error why;
    if (report->num_kept || !bs_task_check(task, &why))
        return;
    char key[64];
    snprintf(key, sizeof key, "%.*s", (int)strcspn(why.message, " :"), why.message);
    const struct bs_yaml_node *node = bs_yaml_get(root, key);
    bs_report_add(report, node ? node->line : 1, node ? node->column : 1, "%s", why.message);
}

/* Its files as seen from its folder. */
static enum bs_status join_paths(const char *path, struct bs_task *task, struct bs_error *err)
{
    const char **places[] = {&task->items, &task->shot_items};
    char *folder = bs_path_folder(path);
    enum bs_status status = folder ? BS_OK : bs_fail_memory(err);
    for (int i = 0; i < 2 && !status; i++) {
        if (!*places[i])
            continue;
        char *joined = bs_path_join(folder, *places[i]);
        if (!joined)
            status = bs_fail_memory(err);
        free_text(*places[i]);
        *places[i] = joined;
    }
    bs_free(folder);
    return status;
}

enum bs_status bs_task_read(const char *path, struct bs_task **task, struct bs_error *err)
{
    char *text = NULL;
    size_t size = 0;
    struct bs_yaml *yaml = NULL;
    struct bs_report report;
    bs_report_init(&report, path, NULL);
    *task = bs_calloc(1, sizeof **task);
    enum bs_status status = *task ? BS_OK : bs_fail_memory(err);
    if (!status && !((*task)->name = bs_strdup(bs_path_name(path))))
        status = bs_fail_memory(err);
    if (!status)
        status = bs_file_read(path, &text, &size, err);
    if (!status)
        status = bs_yaml_parse(path, text, size, &yaml, err);
    if (!status) {
        bs_yaml_check_keys(yaml, &report);
        status = read_root(&report, bs_yaml_root(yaml), *task, err);
    }
    if (!status) {
        check_whole(&report, bs_yaml_root(yaml), *task);
        status = bs_report_finish(&report, err);
    }
    if (!status)
        status = join_paths(path, *task, err);
    bs_report_release(&report);
    bs_yaml_free(yaml);
    bs_free(text);
    if (status) {
        bs_task_free(*task);
        *task = NULL;
    }
    return status;
}

#include "eval/tasks/task.h"

#include <stddef.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/tasks/template.h"
#include "eval/tasks/text_steps.h"

const char *const bs_task_kind_names[] = {[BS_TASK_CHOICE] = "choice",
                                          [BS_TASK_LAST_WORD] = "last_word",
                                          [BS_TASK_CLOZE] = "cloze",
                                          NULL};

#define TEXT(member, template_, text)                                                              \
    {                                                                                              \
        .name = #member, .help = text, .kind = BS_TASK_TEXT,                                       \
        .offset = offsetof(struct bs_task, member), .is_template = template_                       \
    }
#define ONE(member, what, text)                                                                    \
    {                                                                                              \
        .name = #member, .help = text, .kind = what, .offset = offsetof(struct bs_task, member)    \
    }
#define LIST(member, template_, steps, text)                                                       \
    {                                                                                              \
        .name = #member, .help = text, .kind = BS_TASK_LIST,                                       \
        .offset = offsetof(struct bs_task, member), .is_template = template_, .is_steps = steps    \
    }

const struct bs_task_field bs_task_fields[] = {
    ONE(kind, BS_TASK_WORD, "choice, last_word or cloze"),
    TEXT(items, false, "the file of the items: .jsonl, .json, .csv or .parquet"),
    TEXT(shot_items, false, "the file that shots are drawn from (that of the items)"),
    LIST(columns, false, false, "the fields of a CSV whose first record does not name them"),
    TEXT(description, true, "in front of everything"),
    TEXT(context, true, "what stands before an answer"),
    LIST(context_steps, false, true, "steps that it goes through"),
    LIST(choices, true, false, "the answers, or one field that is a list; of cloze the contexts"),
    LIST(choice_steps, false, true, "steps that each goes through"),
    TEXT(continuation, true, "of last_word and cloze: what is scored"),
    LIST(continuation_steps, false, true, "steps that it goes through"),
    TEXT(gold, true, "the right choice: its number from 0, or one of labels"),
    LIST(labels, true, false, "what gold is one of, in the order of the choices"),
    TEXT(delimiter, false, "in front of an answer (a blank); of last_word in shots alone"),
    TEXT(shot_delimiter, false, "after each shot (\\n\\n)"),
    ONE(first_shots, BS_TASK_FLAG, "take the first shots of the item's group (they are drawn)"),
    TEXT(id, true, "what an item is called in the result file"),
    TEXT(group, true, "what an item belongs to, as a subject"),
    {.name = NULL},
};

const char **bs_task_text(const struct bs_task *task, const struct bs_task_field *field)
{
    return (const char **)((uintptr_t)task + field->offset);
}

const char **bs_task_list(const struct bs_task *task, const struct bs_task_field *field)
{
    return (const char **)((uintptr_t)task + field->offset);
}

static enum bs_status check_text(const struct bs_task_field *field, const char *text,
                                 struct bs_error *err)
{
    if (field->is_template && bs_template_check(text, err))
        return bs_fail_within(err, "%s", field->name), err->status;
    if (field->is_steps && !bs_text_step(text, strlen(text)))
        return bs_fail(err, BS_ECONFIG, "%s has the step '%s', which there is not", field->name,
                       text);
    return BS_OK;
}

/* What a kind has; the others must not be there. */
static const struct {
    const char *name;
    unsigned needed, allowed; /* bits 1 << enum bs_task_kind */
} by_kind[] = {
    {"context", 1u << BS_TASK_CHOICE | 1u << BS_TASK_LAST_WORD,
     1u << BS_TASK_CHOICE | 1u << BS_TASK_LAST_WORD},
    {"context_steps", 0, 1u << BS_TASK_CHOICE | 1u << BS_TASK_LAST_WORD},
    {"choices", 1u << BS_TASK_CHOICE | 1u << BS_TASK_CLOZE,
     1u << BS_TASK_CHOICE | 1u << BS_TASK_CLOZE},
    {"choice_steps", 0, 1u << BS_TASK_CHOICE | 1u << BS_TASK_CLOZE},
    {"continuation", 1u << BS_TASK_LAST_WORD | 1u << BS_TASK_CLOZE,
     1u << BS_TASK_LAST_WORD | 1u << BS_TASK_CLOZE},
    {"continuation_steps", 0, 1u << BS_TASK_LAST_WORD | 1u << BS_TASK_CLOZE},
    {"gold", 1u << BS_TASK_CHOICE | 1u << BS_TASK_CLOZE,
     1u << BS_TASK_CHOICE | 1u << BS_TASK_CLOZE},
    {"labels", 0, 1u << BS_TASK_CHOICE | 1u << BS_TASK_CLOZE},
};

static enum bs_status check_kind(const struct bs_task *task, const struct bs_task_field *field,
                                 struct bs_error *err)
{
    bool set = field->kind == BS_TASK_TEXT   ? *bs_task_text(task, field) != NULL
               : field->kind == BS_TASK_LIST ? *bs_task_list(task, field) != NULL
                                             : false;
    for (size_t i = 0; i < sizeof by_kind / sizeof *by_kind; i++) {
        if (strcmp(by_kind[i].name, field->name))
            continue;
        if (!set && by_kind[i].needed >> task->kind & 1)
            return bs_fail(err, BS_ECONFIG, "%s is missing, which a task of kind %s has",
                           field->name, bs_task_kind_names[task->kind]);
        if (set && !(by_kind[i].allowed >> task->kind & 1))
            return bs_fail(err, BS_ECONFIG, "%s is not for a task of kind %s", field->name,
                           bs_task_kind_names[task->kind]);
    }
    return BS_OK;
}

enum bs_status bs_task_check(const struct bs_task *task, struct bs_error *err)
{
    for (const struct bs_task_field *field = bs_task_fields; field->name; field++) {
        if (check_kind(task, field, err))
            return err->status;
        if (field->kind == BS_TASK_TEXT && *bs_task_text(task, field) &&
            check_text(field, *bs_task_text(task, field), err))
            return err->status;
        for (int i = 0; field->kind == BS_TASK_LIST && bs_task_list(task, field)[i]; i++)
            if (check_text(field, bs_task_list(task, field)[i], err))
                return err->status;
    }
    return BS_OK;
}

static void print_value(const char *prefix, const char *name, const char *value, FILE *out)
{
    fprintf(out, "%s.%s: ", prefix, name);
    bs_print_line(out, "%s", value);
}

void bs_task_print(const struct bs_task *task, const char *prefix, FILE *out)
{
    for (const struct bs_task_field *field = bs_task_fields; field->name; field++) {
        bool place = !strcmp(field->name, "items") || !strcmp(field->name, "shot_items");
        if (field->kind == BS_TASK_WORD)
            print_value(prefix, field->name, bs_task_kind_names[task->kind], out);
        if (field->kind == BS_TASK_FLAG && task->first_shots)
            print_value(prefix, field->name, "true", out);
        if (field->kind == BS_TASK_TEXT && *bs_task_text(task, field) && !place)
            print_value(prefix, field->name, *bs_task_text(task, field), out);
        for (int i = 0; field->kind == BS_TASK_LIST && bs_task_list(task, field)[i]; i++)
            print_value(prefix, field->name, bs_task_list(task, field)[i], out);
    }
}

const struct bs_task *bs_known_task(const char *name)
{
    for (const struct bs_task *task = bs_known_tasks; task->name; task++)
        if (!strcmp(task->name, name))
            return task;
    return NULL;
}

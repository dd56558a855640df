#include "eval/data/answers.h"

#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"

/* Texts of rows are const for readers; what is owned is freed by its bytes. */
static void free_text(const char *text)
{
    char *own;
    memcpy(&own, &text, sizeof own);
    bs_free(own);
}

static enum bs_status make_room(struct bs_answers *answers, struct bs_error *err)
{
    enum { FIRST = 64 };
    size_t count = (size_t)answers->count;
    if (count && (count < FIRST || count & (count - 1)))
        return BS_OK; /* it grows at powers of two */
    struct bs_answer *rows =
        bs_realloc(answers->rows, count, count ? 2 * count : FIRST, sizeof *rows);
    if (!rows)
        return bs_fail_memory(err);
    answers->rows = rows;
    return BS_OK;
}

enum bs_status bs_answers_add(struct bs_answers *answers, const struct bs_answer *row,
                              struct bs_error *err)
{
    if (make_room(answers, err))
        return err->status;
    char *id = bs_strdup(row->id), *group = bs_strdup(row->group);
    if (!id || !group) {
        bs_free(id);
        bs_free(group);
        return bs_fail_memory(err);
    }
    struct bs_answer *added = &answers->rows[answers->count++];
    *added = *row;
    added->id = id;
    added->group = group;
    if (row->item >= answers->num_items)
        answers->num_items = row->item + 1;
    return BS_OK;
}

enum bs_status bs_answers_copy(struct bs_answers *to, const struct bs_answers *from,
                               struct bs_error *err)
{
    *to = (struct bs_answers){0};
    for (int i = 0; i < from->count; i++)
        if (bs_answers_add(to, &from->rows[i], err)) {
            bs_answers_release(to);
            return err->status;
        }
    return BS_OK;
}

int bs_answers_of_item(const struct bs_answers *answers, int first)
{
    int end = first;
    while (end < answers->count && answers->rows[end].item == answers->rows[first].item)
        end++;
    return end - first;
}

void bs_answers_release(struct bs_answers *answers)
{
    for (int i = 0; i < answers->count; i++) {
        free_text(answers->rows[i].id);
        free_text(answers->rows[i].group);
    }
    bs_free(answers->rows);
    *answers = (struct bs_answers){0};
}

/* An item and the group that it is in. */
struct member {
    const char *group;
    int item;
};

static int by_group(const void *a, const void *b)
{
    return strcmp(((const struct member *)a)->group, ((const struct member *)b)->group);
}

enum bs_status bs_answers_groups(const struct bs_answers *answers, int *of, int *groups,
                                 struct bs_error *err)
{
    struct member *members = bs_alloc((size_t)answers->num_items, sizeof *members);
    int items = 0;
    *groups = 0;
    if (!members)
        return bs_fail_memory(err);
    for (int i = 0; i < answers->count; i++)
        if (!i || answers->rows[i].item != answers->rows[i - 1].item)
            members[items++] = (struct member){answers->rows[i].group, answers->rows[i].item};
    qsort(members, (size_t)items, sizeof *members, by_group);
    for (int i = 0; i < items; i++) {
        *groups += !i || strcmp(members[i].group, members[i - 1].group);
        of[members[i].item] = *groups - 1;
    }
    bs_free(members);
    return BS_OK;
}

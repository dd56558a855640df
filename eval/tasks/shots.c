/* Few-shot examples. */
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/tasks/item.h"

enum { SEED = 1234 };

enum bs_status bs_shots_begin(struct bs_shots *shots, const struct bs_task *task,
                              const struct bs_items *pool, bool of_items, int count,
                              struct bs_error *err)
{
    *shots = (struct bs_shots){task, pool, of_items, count, {.next = 0}};
    bs_random_seed(&shots->random, SEED);
    if (count && count + of_items > pool->count)
        return bs_fail(err, BS_ECONFIG, "%d shots are asked for, and %s has %d items", count,
                       pool->path, pool->count);
    return BS_OK;
}

static bool is_item(const struct bs_shots *shots, int i, const json_t *row)
{
    return shots->of_items && json_equal(shots->pool->rows[i], (json_t *)(uintptr_t)row);
}

/* Leaves the item itself out of drawn [*count], and at most shots->count. */
static void leave_out(const struct bs_shots *shots, const json_t *row, int *drawn, int *count)
{
    int kept = 0;
    for (int i = 0; i < *count; i++)
        if (kept < shots->count && !is_item(shots, drawn[i], row))
            drawn[kept++] = drawn[i];
    *count = kept;
}

/* drawn [shots->count + 1], of which the first shots->count are taken; `pool` has room for all. */
static enum bs_status draw(struct bs_shots *shots, const json_t *row, int *pool, int *drawn,
                           struct bs_error *err)
{
    int all = shots->pool->count, count = shots->count + shots->of_items, others = 0;
    if (bs_random_sample(&shots->random, all, count, drawn, err))
        return err->status;
    leave_out(shots, row, drawn, &count);
    if (count == shots->count)
        return BS_OK;
    /* Rows that are equal to the item were drawn too: once more, without any of them. */
    for (int i = 0; i < all; i++)
        if (!is_item(shots, i, row))
            pool[others++] = i;
    if (others < shots->count)
        return bs_fail(err, BS_EDATA, "%s has %d items that differ from one of them, expected %d",
                       shots->pool->path, others, shots->count);
    if (bs_random_sample(&shots->random, others, shots->count, drawn, err))
        return err->status;
    for (int i = 0; i < shots->count; i++)
        drawn[i] = pool[drawn[i]];
    return BS_OK;
}

/* The first ones of the group. */
static enum bs_status take_first(const struct bs_shots *shots, const json_t *row, const char *group,
                                 int *drawn, struct bs_error *err)
{
    int found = 0;
    for (int i = 0; i < shots->pool->count && found < shots->count; i++) {
        char *own = NULL;
        if (shots->task->group &&
            bs_template_text(shots->task->group, shots->pool->rows[i], &own, err))
            return bs_fail_within(err, "%s:%d", shots->pool->path, shots->pool->lines[i]);
        if ((!own || !strcmp(own, group)) && !is_item(shots, i, row))
            drawn[found++] = i;
        bs_free(own);
    }
    if (found < shots->count)
        return bs_fail(err, BS_ECONFIG, "%d shots are asked for, and %s has %d of group '%s'",
                       shots->count, shots->pool->path, found, group);
    return BS_OK;
}

static enum bs_status print_shot(const struct bs_shots *shots, int i, FILE *out,
                                 struct bs_error *err)
{
    struct bs_item item;
    if (bs_item_make(shots->task, shots->pool, i, &item, err))
        return err->status;
    fprintf(out, "%s%s%s%s", bs_item_context(&item, item.gold), bs_task_delimiter(shots->task),
            bs_item_answer(&item, item.gold), bs_task_shot_delimiter(shots->task));
    bs_item_release(&item);
    return BS_OK;
}

enum bs_status bs_shots_take(struct bs_shots *shots, const json_t *row, const char *group,
                             char **text, struct bs_error *err)
{
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    int *pool = bs_alloc((size_t)shots->pool->count, sizeof *pool);
    int *drawn = bs_calloc((size_t)shots->count + 1, sizeof *drawn);
    enum bs_status status = out && pool && drawn ? BS_OK : bs_fail_memory(err);
    if (!status && shots->count)
        status = shots->task->first_shots ? take_first(shots, row, group, drawn, err)
                                          : draw(shots, row, pool, drawn, err);
    for (int i = 0; i < shots->count && !status; i++)
        status = print_shot(shots, drawn[i], out, err);
    bs_free(drawn);
    bs_free(pool);
    *text = out ? bs_print_end(&printing) : NULL;
    if (!status && !*text)
        status = bs_fail_memory(err);
    if (status) {
        bs_free(*text);
        *text = NULL;
    }
    return status;
}

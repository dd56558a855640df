/* Few-shot examples. Python's random.sample is CPython's Lib/random.py (3.11): below a size it
 * takes from a list that shrinks, above it draws until it meets what is not drawn yet. */
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/tasks/item.h"

enum { SEED = 1234, MOST_SHOTS = 1000 };

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

/* Below this size of a population random.sample takes from a list: 21 and, for more than 5, the
 * power of 4 from 3 k on. */
static int list_size(int k)
{
    int power = 1;
    while (k > 5 && power < 3 * k)
        power *= 4;
    return 21 + (k > 5 ? power : 0);
}

static bool is_among(const int *drawn, int count, int one)
{
    for (int i = 0; i < count; i++)
        if (drawn[i] == one)
            return true;
    return false;
}

/* drawn [k] = random.sample(population [n], k). BS_ENOMEM. */
static enum bs_status sample(struct bs_random *random, const int *population, int n, int k,
                             int *drawn, struct bs_error *err)
{
    if (n > list_size(k)) {
        for (int i = 0; i < k; i++) {
            int j; /* places are told apart, which are not those of equals */
            do
                j = (int)bs_random_int(random, 0, n - 1);
            while (is_among(drawn, i, j));
            drawn[i] = j;
        }
        for (int i = 0; i < k; i++)
            drawn[i] = population[drawn[i]];
        return BS_OK;
    }
    int *list = bs_alloc((size_t)n, sizeof *list);
    if (!list)
        return bs_fail_memory(err);
    memcpy(list, population, (size_t)n * sizeof *list);
    for (int i = 0; i < k; i++) {
        int j = (int)bs_random_int(random, 0, n - i - 1);
        drawn[i] = list[j];
        list[j] = list[n - i - 1];
    }
    bs_free(list);
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
    for (int i = 0; i < all; i++)
        pool[i] = i;
    if (sample(&shots->random, pool, all, count, drawn, err))
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
    return sample(&shots->random, pool, others, shots->count, drawn, err);
}

/* The first ones of the group. */
static enum bs_status take_first(const struct bs_shots *shots, const json_t *row,
                                 const char *group, int *drawn, struct bs_error *err)
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

/* Which trials of a task differ from the unquantized model by more than chance. */
#include "eval/report/table_internal.h"

#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/report/diff_internal.h"

/* The row's items that turned; false where it has none of either kind counted. */
static bool flips_of(const struct bs_row *row, struct bs_flips *flips)
{
    double lost = bs_row_number(row, "lost"), gained = bs_row_number(row, "gained");
    if (!(lost >= 0 && lost < 1e9 && gained >= 0 && gained < 1e9))
        return false;
    *flips = (struct bs_flips){.lost = (int)lround(lost), .gained = (int)lround(gained)};
    return true;
}

/* "gptq w2 g64 (p 0.003), ...", in new memory. */
static char *list(const struct bs_results *results, const struct bs_row *first, const double *p)
{
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (!out)
        return NULL;
    const char *before = "";
    for (int i = 0; i < results->num_rows; i++)
        if (bs_rows_comparable(&results->rows[i], first) && p[i] < BS_DIFF_LEVEL) {
            fprintf(out, "%s%s (p %.2g)", before, results->rows[i].label, p[i]);
            before = ", ";
        }
    return bs_print_end(&printing);
}

/* The trials of last words of the section, each with its unquantized model. */
static enum bs_status pair_words(struct bs_pairs *pairs, const struct bs_row *first,
                                 struct bs_error *err)
{
    const struct bs_results *results = pairs->a;
    for (int i = 0; i < results->num_rows; i++)
        for (int k = 0; k < results->num_rows; k++) {
            const struct bs_row *before = &results->rows[i], *after = &results->rows[k];
            bool unquantized = !strcmp(before->algorithm, "unquantized") && bs_row_is_done(before);
            if (unquantized && i != k && bs_row_is_done(after) &&
                bs_rows_comparable(before, first) && bs_rows_same_subject(before, after) &&
                bs_pairs_add(pairs, &before, 1, &after, 1, err))
                return err->status;
        }
    return bs_pairs_settle(pairs, err);
}

/* "gptq w2 g64 (p 0.003), ...", in new memory; *told of them. */
static char *list_words(const struct bs_pairs *pairs, int *told)
{
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    *told = 0;
    for (int i = 0; i < pairs->num_pairs && out; i++) {
        const struct bs_pair *pair = &pairs->pairs[i];
        if (!pair->identical && pair->p_holm < BS_DIFF_LEVEL)
            fprintf(out, "%s%s (p %.2g)", (*told)++ ? ", " : ": ", pair->b[0]->label, pair->p_holm);
    }
    return out ? bs_print_end(&printing) : NULL;
}

/* Of last words by their log-likelihoods. */
static enum bs_status note_words(struct bs_sheet *sheet, const struct bs_results *results,
                                 const struct bs_row *first, struct bs_error *err)
{
    struct bs_pairs pairs = {.a = results, .b = results, .asked = {[BS_COMPARE_WORDS] = true}};
    int told = 0;
    enum bs_status status = pair_words(&pairs, first, err);
    if (!status)
        status = bs_pairs_compare(&pairs, err);
    char *names = status || !pairs.num_pairs ? NULL : list_words(&pairs, &told);
    if (!status && pairs.num_pairs && !names)
        status = bs_fail_memory(err);
    if (names)
        bs_sheet_note(sheet,
                      "%d of %d differ%s significantly from the unquantized model in %s (Student's "
                      "t of log-likelihoods, p corrected by Holm below %g)%s",
                      told, pairs.num_pairs, told == 1 ? "s" : "", bs_target_perplexity,
                      BS_DIFF_LEVEL, names);
    bs_free(names);
    bs_pairs_release(&pairs);
    return status;
}

/* By the items that turned. */
static enum bs_status note_turned(struct bs_sheet *sheet, const struct bs_results *results,
                                  const struct bs_row *first, struct bs_error *err)
{
    size_t rows = (size_t)results->num_rows;
    double *p = bs_alloc(rows, sizeof *p), **tested = bs_alloc(rows, sizeof *tested);
    enum bs_status status = p && tested ? BS_OK : bs_fail_memory(err);
    int count = 0, told = 0;
    for (int i = 0; i < results->num_rows && !status; i++) {
        struct bs_flips flips;
        p[i] = (double)NAN;
        if (!bs_rows_comparable(&results->rows[i], first) || !flips_of(&results->rows[i], &flips))
            continue;
        p[i] = bs_mcnemar(flips).p;
        tested[count++] = &p[i];
    }
    if (!status)
        bs_holm(tested, count);
    for (int i = 0; i < results->num_rows && count; i++)
        told += p[i] < BS_DIFF_LEVEL;
    char *names = count ? list(results, first, p) : NULL;
    if (count && !names)
        status = bs_fail_memory(err);
    if (names)
        bs_sheet_note(
            sheet,
            "%d of %d differ%s significantly from the unquantized model in acc (McNemar, p "
            "corrected by Holm below %g)%s%s%s",
            told, count, told == 1 ? "s" : "", BS_DIFF_LEVEL, told ? ": " : "", names,
            told < count ? "; what is not significant is not known to differ" : "");
    bs_free(names);
    bs_free(tested);
    bs_free(p);
    return status;
}

enum bs_status bs_table_note_items(struct bs_sheet *sheet, const struct bs_results *results,
                                   const struct bs_row *first, struct bs_error *err)
{
    enum bs_status status = note_turned(sheet, results, first, err);
    return status ? status : note_words(sheet, results, first, err);
}

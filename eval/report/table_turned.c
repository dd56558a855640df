/* Which trials of a task differ from the unquantized model by more than chance. */
#include "eval/report/table_internal.h"

#include <math.h>

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

enum bs_status bs_table_note_turned(struct bs_sheet *sheet, const struct bs_results *results,
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

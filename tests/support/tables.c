#include "tests/support/tables.h"

enum bs_status print_selected(const struct bs_results *results,
                              const struct bs_published_list *published,
                              const struct bs_selection *selection, const char *columns,
                              enum bs_table_style style, FILE *out, struct bs_error *err)
{
    static const struct bs_selection everything = {.top = 0};
    static const struct bs_published_list nothing = {.count = 0};
    struct bs_trials shown;
    published = published ? published : &nothing;
    enum bs_status status =
        bs_trials_select(results, published, selection ? selection : &everything, &shown, err);
    if (status)
        return status;
    status = bs_table_print(&shown, published, columns, style, out, err);
    bs_trials_release(&shown);
    return status;
}

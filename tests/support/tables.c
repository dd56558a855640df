#include "tests/support/tables.h"

static const struct bs_selection everything = {.top = 0};
static const struct bs_published_list nothing = {.count = 0};

enum bs_status select_all(const struct bs_results *results, struct bs_trials *shown,
                          struct bs_error *err)
{
    return bs_trials_select(results, &nothing, &everything, shown, err);
}

enum bs_status print_selected(const struct bs_results *results,
                              const struct bs_published_list *published,
                              const struct bs_selection *selection, const char *columns,
                              enum bs_table_style style, FILE *out, struct bs_error *err)
{
    struct bs_trials shown;
    published = published ? published : &nothing;
    enum bs_status status =
        bs_trials_select(results, published, selection ? selection : &everything, &shown, err);
    if (status)
        return status;
    status = bs_table_print(&shown, published, columns, false, style, out, err);
    bs_trials_release(&shown);
    return status;
}

/* The largest values of a site's channels as the model has them and as recipes leave them: a row of
 * panels for each site, a column for each version of the model, all of the block where the
 * unquantized model's largest channel stands out most. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/report/chart_internal.h"

enum {
    MOST_VERSIONS = 4, /* of the model */
    MOST_POINTS = 512  /* of a panel: of more channels neighbours are drawn by their largest */
};

/* What a panel says of its channels. */
struct panel {
    const float *largest; /* [width] */
    float median, most;
};

struct channels {
    int versions, sites;
    const struct bs_row *rows[MOST_VERSIONS];
    struct bs_channel_list of[MOST_VERSIONS];
    int block[BS_MOST_CHANNEL_SITES];
    struct panel panels[BS_MOST_CHANNEL_SITES][MOST_VERSIONS];
};

bool bs_row_has_channels(const struct bs_row *row)
{
    struct bs_channel_list list;
    struct bs_error ignored;
    if (!bs_row_is_done(row) || bs_results_read_channels(row->file, row->id, &list, &ignored))
        return false;
    bool any = list.count > 0;
    bs_channel_list_release(&list);
    return any;
}

static int rising(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The median, the upper one, and the largest; false where the block has none. */
static bool describe(const struct bs_channels *of, int block, float *room, struct panel *panel)
{
    panel->largest = of->largest + (size_t)block * (size_t)of->width;
    int count = 0;
    for (int j = 0; j < of->width; j++)
        if (isfinite(panel->largest[j]))
            room[count++] = panel->largest[j];
    qsort(room, (size_t)count, sizeof *room, rising);
    panel->median = count ? room[count / 2] : NAN;
    panel->most = count ? room[count - 1] : NAN;
    return count > 0;
}

/* The block of the first version in which the largest channel is most above the median. */
static int outstanding(const struct bs_channels *of, float *room)
{
    float best = -1;
    int block = 0;
    for (int b = 0; b < of->blocks; b++) {
        struct panel panel;
        if (!describe(of, b, room, &panel) || !(panel.most / panel.median > best))
            continue;
        best = panel.most / panel.median;
        block = b;
    }
    return block;
}

static const struct bs_channels *site_of(const struct bs_channel_list *list, const char *site)
{
    for (int i = 0; i < list->count; i++)
        if (!strcmp(list->of[i].site, site))
            return &list->of[i];
    return NULL;
}

/* One trial of each algorithm, the unquantized model first. */
static enum bs_status choose(struct channels *c, const struct bs_plot *plot, struct bs_error *err)
{
    for (int i = -1; i < plot->num_rows && c->versions < MOST_VERSIONS; i++) {
        const struct bs_row *row = i < 0 ? plot->unquantized : plot->rows[i];
        bool drawn = !row;
        for (int k = 0; k < c->versions && !drawn; k++)
            drawn = !strcmp(c->rows[k]->algorithm, row->algorithm);
        if (drawn)
            continue;
        if (bs_results_read_channels(row->file, row->id, &c->of[c->versions], err))
            return err->status;
        if (c->of[c->versions].count)
            c->rows[c->versions++] = row;
    }
    if (!c->versions)
        return bs_fail(err, BS_EDATA,
                       "%s: no channels to draw, which evaluation: {channels: ...} "
                       "asks for",
                       plot->results->path);
    return BS_OK;
}

static enum bs_status measure(struct channels *c, struct bs_error *err)
{
    c->sites = c->of[0].count;
    for (int s = 0; s < c->sites; s++) {
        const struct bs_channels *first = &c->of[0].of[s];
        float *room = bs_alloc((size_t)first->width, sizeof *room);
        if (!room)
            return bs_fail_memory(err);
        c->block[s] = outstanding(first, room);
        for (int v = 0; v < c->versions; v++) {
            const struct bs_channels *of = site_of(&c->of[v], first->site);
            bool alike = of && of->width == first->width && of->blocks == first->blocks;
            if (!alike || !describe(of, c->block[s], room, &c->panels[s][v]))
                c->panels[s][v] = (struct panel){NULL, NAN, NAN};
        }
        bs_free(room);
    }
    return BS_OK;
}

/* A block of data for each panel: channel, largest value of it and of those up to the next line. */
static void print_data(const struct channels *c, FILE *data)
{
    fputs("# channel\tlargest\tsite\tblock\tlabel\n", data);
    for (int s = 0; s < c->sites; s++)
        for (int v = 0; v < c->versions; v++) {
            const struct bs_channels *of = &c->of[0].of[s];
            const float *x = c->panels[s][v].largest;
            int step = (of->width + MOST_POINTS - 1) / MOST_POINTS;
            for (int j = 0; x && j < of->width; j += step) {
                float most = 0;
                for (int k = j; k < j + step && k < of->width; k++)
                    most = x[k] > most ? x[k] : most;
                fprintf(data, "%d\t%.6g\t%s\t%d\t", j, (double)most, of->site, c->block[s]);
                bs_print_field(data, c->rows[v]->label);
                fputc('\n', data);
            }
            fputs(x ? "\n\n" : "nan\tnan\t\t\t\n\n\n", data);
        }
}

static void print_script(const struct channels *c, const struct bs_plot *plot)
{
    FILE *script = plot->script;
    char name[32], shown[160];
    fprintf(script, "KEYS = 0\nLONGEST_NAME = 0\nVERSIONS = %d\nSITES = %d\n", c->versions,
            c->sites);
    fprintf(script, "array VERSION[%d]\narray SITE[%d]\narray BLOCK[%d]\narray CHANNELS[%d]\n",
            c->versions, c->sites, c->sites, c->sites);
    fprintf(script, "array LOW[%d]\narray HIGH[%d]\narray MEDIAN[%d]\narray MOST[%d]\n", c->sites,
            c->sites, c->sites * c->versions, c->sites * c->versions);
    for (int v = 0; v < c->versions; v++) {
        snprintf(name, sizeof name, "VERSION[%d]", v + 1);
        snprintf(shown, sizeof shown, "%s",
                 c->rows[v] == plot->unquantized ? c->rows[v]->label : c->rows[v]->algorithm);
        bs_script_text(script, name, shown);
    }
    for (int s = 0; s < c->sites; s++) {
        const struct bs_channels *of = &c->of[0].of[s];
        struct bs_axis_range range = {(double)NAN, (double)NAN};
        snprintf(name, sizeof name, "SITE[%d]", s + 1);
        bs_script_text(script, name, of->site);
        for (int v = 0; v < c->versions; v++) {
            const struct panel *panel = &c->panels[s][v];
            bs_axis_range_widen(&range, (double)panel->median);
            bs_axis_range_widen(&range, (double)panel->most);
            fprintf(script, "MEDIAN[%d] = %.4g\nMOST[%d] = %.4g\n", s * c->versions + v + 1,
                    (double)panel->median, s * c->versions + v + 1, (double)panel->most);
        }
        fprintf(script, "BLOCK[%d] = %d\nCHANNELS[%d] = %d\nLOW[%d] = %.4g\nHIGH[%d] = %.4g\n",
                s + 1, c->block[s], s + 1, of->width, s + 1, range.low / 8, s + 1,
                range.high * 1.25);
    }
}

enum bs_status bs_plot_channels(struct bs_plot *plot, struct bs_error *err)
{
    struct channels c = {.versions = 0};
    enum bs_status status = choose(&c, plot, err);
    if (!status)
        status = measure(&c, err);
    if (!status) {
        print_data(&c, plot->data);
        print_script(&c, plot);
    }
    for (int v = 0; v < MOST_VERSIONS; v++)
        bs_channel_list_release(&c.of[v]);
    return status;
}

#include "eval/statistics/channels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/statistics/calibrate.h"

enum bs_status bs_channels_init(struct bs_channels *channels, const char *site, int blocks,
                                int width, struct bs_error *err)
{
    size_t count = (size_t)blocks * (size_t)width;
    *channels = (struct bs_channels){.blocks = blocks, .width = width};
    snprintf(channels->site, sizeof channels->site, "%s", site);
    channels->largest = bs_alloc(count, sizeof *channels->largest);
    if (!channels->largest)
        return bs_fail_memory(err);
    for (size_t i = 0; i < count; i++)
        channels->largest[i] = NAN;
    return BS_OK;
}

void bs_channel_list_release(struct bs_channel_list *list)
{
    for (int i = 0; i < list->count; i++)
        bs_free(list->of[i].largest);
    *list = (struct bs_channel_list){.count = 0};
}

int bs_channels_width(const struct bs_architecture *architecture, const char *site)
{
    int most = 0;
    for (int k = 0; k < architecture->num_kinds; k++) {
        int v = bs_program_find(&architecture->programs[k], site);
        int width = v < 0 ? 0 : architecture->programs[k].values[v].width;
        most = width > most ? width : most;
    }
    return most;
}

enum bs_status bs_channels_take(const struct bs_block *block, const struct bs_rope *rope,
                                const struct bs_stream *stream, int windows,
                                struct bs_channel_list *list, struct bs_scratch *scratch,
                                struct bs_error *err)
{
    struct bs_wanted wanted = {.architecture = block->architecture, .layer = block->index};
    struct bs_statistics statistics = {.windows = 0};
    struct bs_stream some = *stream;
    some.windows = windows < stream->windows ? windows : stream->windows;
    for (int i = 0; i < list->count; i++) {
        int site = bs_program_find(block->program, list->of[i].site);
        if (site >= 0)
            bs_want(&wanted, &bs_stat_absmax, site, 0);
    }
    enum bs_status status = BS_OK;
    if (bs_wanted_any(&wanted))
        status = bs_calibrate(block, rope, &some, NULL, &wanted, &statistics, NULL, scratch, err);
    for (int i = 0; i < list->count && !status; i++) {
        const struct bs_channels *to = &list->of[i];
        int site = bs_program_find(block->program, to->site);
        if (site < 0)
            continue;
        const struct bs_collected *c = bs_statistics_at(&statistics, &bs_stat_absmax, site, 0);
        if (c->of.rows) /* an expert may be given none */
            memcpy(to->largest + (size_t)block->index * (size_t)to->width, c->data,
                   (size_t)c->of.width * sizeof *to->largest);
    }
    bs_statistics_release(&statistics);
    bs_wanted_release(&wanted);
    return status;
}

/* The largest values of the channels of some sites, block by block: what a chart shows of what a
 * recipe makes of outliers. */
#ifndef BS_EVAL_STATISTICS_CHANNELS_H
#define BS_EVAL_STATISTICS_CHANNELS_H

#include "eval/model/model.h"
#include "eval/model/stream.h"

/* Sites of a trial, at most; bytes of a site's name. */
enum { BS_MOST_CHANNEL_SITES = 8, BS_CHANNEL_SITE_BYTES = 64 };

/* The largest |x| of every channel of a site, in every block. */
struct bs_channels {
    char site[BS_CHANNEL_SITE_BYTES];
    int blocks, width;
    float *largest; /* [blocks][width], NaN where a block has no such site; owned */
};

/* Those of a trial. */
struct bs_channel_list {
    int count;
    struct bs_channels of[BS_MOST_CHANNEL_SITES];
};

/* Room for a site, all of it NaN. BS_ENOMEM. */
enum bs_status bs_channels_init(struct bs_channels *channels, const char *site, int blocks,
                                int width, struct bs_error *err);
void bs_channel_list_release(struct bs_channel_list *list);

/* How wide the site is where it is widest; 0 where no layer of the model has it, or it has no
 * channels. */
int bs_channels_width(const struct bs_architecture *architecture, const char *site);

/* Fills the block's part of every site of the list by one pass of the first `windows` of a stream,
 * all of one length: the block as it is, each site before it is quantized. scratch: one a thread.
 * BS_ENOMEM; BS_ENUMERIC as bs_calibrate. */
enum bs_status bs_channels_take(const struct bs_block *block, const struct bs_rope *rope,
                                const struct bs_stream *stream, int windows,
                                struct bs_channel_list *list, struct bs_scratch *scratch,
                                struct bs_error *err);

#endif

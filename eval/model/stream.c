#include "eval/model/stream.h"

#include <assert.h>

#include "eval/base/mem.h"

enum bs_status bs_stream_init(struct bs_stream *stream, int windows, int tokens, int width,
                              struct bs_error *err)
{
    return bs_stream_init_in(NULL, stream, windows, tokens, width, err);
}

enum bs_status bs_stream_init_in(const char *scratch, struct bs_stream *stream, int windows,
                                 int tokens, int width, struct bs_error *err)
{
    return bs_stream_init_ragged(scratch, stream, windows, tokens, NULL, width, err);
}

enum bs_status bs_stream_init_ragged(const char *scratch, struct bs_stream *stream, int windows,
                                     int tokens, const int *lengths, int width,
                                     struct bs_error *err)
{
    size_t rows = (size_t)windows * (size_t)tokens, row = (size_t)width * sizeof *stream->data;
    *stream = (struct bs_stream){
        .windows = windows, .tokens = tokens, .width = width, .scratch = scratch};
    if (lengths) {
        stream->begins = bs_calloc((size_t)windows + 1, sizeof *stream->begins);
        if (!stream->begins)
            return bs_fail_memory(err);
        for (int w = 0; w < windows; w++)
            stream->begins[w + 1] = stream->begins[w] + (size_t)lengths[w];
        rows = stream->begins[windows];
    }
    enum bs_status status = BS_OK;
    if (scratch) {
        status = bs_spill_create(scratch, rows * row, &stream->spill, err);
        stream->data = status ? NULL : stream->spill.data;
    } else if (!(stream->data = bs_alloc(rows, row))) {
        status = bs_fail_memory(err);
    }
    if (status) {
        bs_free(stream->begins);
        stream->begins = NULL;
    }
    return status;
}

enum bs_status bs_stream_init_beside(const struct bs_stream *beside, struct bs_stream *stream,
                                     int width, struct bs_error *err)
{
    assert(!beside->begins); /* of calibration, whose windows are of one length */
    return bs_stream_init_in(beside->scratch, stream, beside->windows, beside->tokens, width, err);
}

void bs_stream_release(struct bs_stream *stream)
{
    if (stream->spill.data)
        bs_spill_free(&stream->spill);
    else
        bs_free(stream->data);
    bs_free(stream->begins);
    *stream = (struct bs_stream){.data = NULL};
}

int bs_stream_length(const struct bs_stream *stream, int window)
{
    if (!stream->begins)
        return stream->tokens;
    return (int)(stream->begins[window + 1] - stream->begins[window]);
}

struct bs_fork bs_stream_fork(const struct bs_stream *stream, int window)
{
    return stream->forks ? stream->forks[window] : bs_fork_none(bs_stream_length(stream, window));
}

float *bs_stream_window(const struct bs_stream *stream, int window)
{
    size_t begin =
        stream->begins ? stream->begins[window] : (size_t)window * (size_t)stream->tokens;
    return stream->data + begin * (size_t)stream->width;
}

void bs_stream_forget(const struct bs_stream *stream, int window)
{
    size_t floats = (size_t)bs_stream_length(stream, window) * (size_t)stream->width;
    if (stream->spill.data)
        bs_spill_forget(&stream->spill, bs_stream_window(stream, window), floats * sizeof(float));
}

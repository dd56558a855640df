#include "eval/model/stream.h"

#include "eval/base/mem.h"

enum bs_status bs_stream_init(struct bs_stream *stream, int windows, int tokens, int width,
                              struct bs_error *err)
{
    return bs_stream_init_in(NULL, stream, windows, tokens, width, err);
}

enum bs_status bs_stream_init_in(const char *scratch, struct bs_stream *stream, int windows,
                                 int tokens, int width, struct bs_error *err)
{
    size_t rows = (size_t)windows * (size_t)tokens, row = (size_t)width * sizeof *stream->data;
    *stream = (struct bs_stream){
        .windows = windows, .tokens = tokens, .width = width, .scratch = scratch};
    if (scratch) {
        if (bs_spill_create(scratch, rows * row, &stream->spill, err))
            return err->status;
        stream->data = stream->spill.data;
        return BS_OK;
    }
    stream->data = bs_alloc(rows, row);
    return stream->data ? BS_OK : bs_fail_memory(err);
}

enum bs_status bs_stream_init_beside(const struct bs_stream *beside, struct bs_stream *stream,
                                     int width, struct bs_error *err)
{
    return bs_stream_init_in(beside->scratch, stream, beside->windows, beside->tokens, width, err);
}

void bs_stream_release(struct bs_stream *stream)
{
    if (stream->spill.data)
        bs_spill_free(&stream->spill);
    else
        bs_free(stream->data);
    *stream = (struct bs_stream){.data = NULL};
}

float *bs_stream_window(const struct bs_stream *stream, int window)
{
    return stream->data + (size_t)window * (size_t)stream->tokens * (size_t)stream->width;
}

void bs_stream_forget(const struct bs_stream *stream, int window)
{
    size_t floats = (size_t)stream->tokens * (size_t)stream->width;
    if (stream->spill.data)
        bs_spill_forget(&stream->spill, bs_stream_window(stream, window), floats * sizeof(float));
}

#include "eval/run/fetch_progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/parallel.h"
#include "eval/base/printable.h"
#include "eval/base/terminal.h"
#include "eval/run/progress.h"

enum { LONGEST_FILE = 32 }; /* characters of a file name on a terminal's line */
static const double terminal_pause = 0.1, plain_pause = 30; /* seconds between two lines */
static const double longest_rest = 360000; /* seconds; what a stalled start would multiply to */

void bs_fetch_display_start(struct bs_fetch_display *display, bool quiet)
{
    double now = bs_seconds();
    *display = (struct bs_fetch_display){
        .quiet = quiet, .terminal = bs_terminal_takes_codes(stderr), .started = now, .shown = now};
}

/* Counts what came over the network: not what lay there when a file began. */
static void count(struct bs_fetch_display *display, const struct bs_fetch_progress *progress)
{
    bool same = !strncmp(display->file, progress->file, sizeof display->file - 1);
    if (same && progress->done > display->done)
        display->received += progress->done - display->done;
    if (!same)
        snprintf(display->file, sizeof display->file, "%s", progress->file);
    display->done = progress->done;
}

/* "12.3 MB/s, about 45 s left", as far as it is known. */
static void print_rate(const struct bs_fetch_display *display,
                       const struct bs_fetch_progress *progress, char *out, size_t size)
{
    double spent = bs_seconds() - display->started;
    double rate = spent > 0 ? (double)display->received / spent : 0;
    char left[32];
    out[0] = 0;
    if (rate <= 0)
        return;
    double rest = (double)(progress->all_bytes - progress->all_done) / rate;
    bs_print_seconds(fmin(rest, longest_rest), left, sizeof left);
    bool known = progress->all_bytes >= progress->all_done;
    snprintf(out, size, "  %.1f MB/s%s%s%s", rate / 1e6, known ? ", about " : "", known ? left : "",
             known ? " left" : "");
}

void bs_fetch_display_progress(void *context, const struct bs_fetch_progress *progress)
{
    struct bs_fetch_display *display = context;
    count(display, progress);
    bool whole = progress->done == progress->size;
    double now = bs_seconds(), pause = display->terminal ? terminal_pause : plain_pause;
    if (display->quiet || (!whole && now - display->shown < pause))
        return;
    char rate[96] = "", of[32] = "", file[256];
    bs_escape(progress->file, file, sizeof file);
    size_t length = strlen(file);
    bool cut = display->terminal && length > LONGEST_FILE;
    if (progress->size >= 0 && !whole)
        snprintf(of, sizeof of, " of %.1f", (double)progress->size / 1e6);
    if (!whole || display->terminal)
        print_rate(display, progress, rate, sizeof rate);
    fprintf(stderr, "%s[%d/%d] %s%s  %.1f%s MB%s%s", display->terminal ? "\r" : "",
            progress->number, progress->count, cut ? "..." : "",
            file + (cut ? length - LONGEST_FILE : 0), (double)progress->done / 1e6, of, rate,
            display->terminal ? "\033[K" : "\n");
    display->shown = now;
}

void bs_fetch_display_notice(void *context, const char *text)
{
    const struct bs_fetch_display *display = context;
    fputs(display->terminal ? "\r\033[K" : "", stderr);
    bs_print_line(stderr, "%s", text);
}

void bs_fetch_display_end(struct bs_fetch_display *display)
{
    if (display->terminal && !display->quiet)
        fputs("\r\033[K", stderr);
}

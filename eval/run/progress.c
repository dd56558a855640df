#include "eval/run/progress.h"

#include <stdio.h>

#include "eval/base/parallel.h"
#include "eval/base/terminal.h"

void bs_progress_start(struct bs_progress *progress, bool quiet, int total_units)
{
    *progress = (struct bs_progress){.quiet = quiet,
                                     .terminal = bs_terminal_takes_codes(stderr),
                                     .started = bs_seconds(),
                                     .total = total_units};
    if (!quiet && total_units)
        fputs(progress->terminal ? "\r  0 %  begins\033[K" : "  0 %  begins\n", stderr);
}

void bs_print_seconds(double seconds, char *out, size_t size)
{
    int s = (int)(seconds + 0.5);
    if (s < 60)
        snprintf(out, size, "%d s", s);
    else if (s < 3600)
        snprintf(out, size, "%d min %02d s", s / 60, s % 60);
    else
        snprintf(out, size, "%d h %02d min", s / 3600, s / 60 % 60);
}

void bs_print_about(double seconds, char *out, size_t size)
{
    const double minute = 60, hour = 3600;
    if (seconds < 99.5)
        snprintf(out, size, "%.0f s", seconds < 1 ? 1 : seconds);
    else if (seconds < 99.5 * minute)
        snprintf(out, size, "%.2g min", seconds / minute);
    else if (seconds < 99.5 * hour)
        snprintf(out, size, "%.2g h", seconds / hour);
    else
        snprintf(out, size, "%.0f h", seconds / hour);
}

void bs_progress_report(void *context, int done, int total)
{
    (void)total;
    struct bs_progress *progress = context;
    if (progress->quiet || !progress->total)
        return;
    double share = (double)(progress->before + done) / progress->total;
    double now = bs_seconds(), spent = now - progress->started;
    int tenths = (int)(10 * share);
    bool last = progress->before + done == progress->total;
    if (progress->terminal ? now - progress->shown < 0.1 && !last
                           : tenths == progress->tenths_shown)
        return;
    progress->shown = now;
    progress->tenths_shown = tenths;
    char gone[32], left[32];
    bs_print_seconds(spent, gone, sizeof gone);
    double own = share - (double)progress->skipped / progress->total;
    bs_print_seconds(own > 0 ? spent / own * (1 - share) : 0, left, sizeof left);
    fprintf(stderr,
            progress->terminal ? "\r%3d %%  %s, about %s left\033[K"
                               : "%3d %%  %s, about %s left\n",
            (int)(100 * share), gone, left);
}

void bs_progress_end(struct bs_progress *progress)
{
    if (progress->terminal && !progress->quiet)
        fputs("\r\033[K", stderr);
}

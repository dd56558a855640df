/* Averages of the extremes of batch after batch, which move by a constant share of the difference
 * (PyTorch, ao/quantization/observer.py, MovingAverageMinMaxObserver). Of one batch, a weight say,
 * they are its extremes. */
#include "eval/quant/format.h"

struct moving_average {
    double range_constant;
};

static const struct bs_option moving_average_options[] = {
    BS_OPT(struct moving_average, range_constant, 0.01, 0, 1, "share of a batch's difference"),
    {.name = NULL},
};

/* The extremes of each batch. */
struct batches {
    int count;
    float extremes[][2];
};

static size_t moving_average_bytes(int batches)
{
    return sizeof(struct batches) + (size_t)batches * 2 * sizeof(float);
}

static void moving_average_watch(void *state, int batches, const struct bs_sample *batch)
{
    (void)batches;
    struct batches *seen = state;
    bs_sample_extremes(batch, &seen->extremes[seen->count][0], &seen->extremes[seen->count][1]);
    seen->count++;
}

static void moving_average_extremes(const void *options, const void *state, float *low, float *high)
{
    const struct moving_average *opt = options;
    const struct batches *seen = state;
    float share = (float)opt->range_constant;
    for (int i = 0; i < seen->count; i++) {
        *low = i ? *low + share * (seen->extremes[i][0] - *low) : seen->extremes[i][0];
        *high = i ? *high + share * (seen->extremes[i][1] - *high) : seen->extremes[i][1];
    }
}

const struct bs_range bs_range_moving_average = {
    .plugin = {.name = "moving_average",
               .summary = "of static activations: moving averages of the windows' extremes",
               .reference = "PyTorch ao/quantization/observer.py",
               .options_size = sizeof(struct moving_average),
               .options = moving_average_options},
    .watch_bytes = moving_average_bytes,
    .watch = moving_average_watch,
    .extremes = moving_average_extremes,
};

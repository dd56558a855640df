/* The YAML file of a sweep, read, checked and expanded. */
#include "tests/fuzz/target.h"

#include "eval/config/config.h"
#include "eval/report/chart.h"

static void run(const unsigned char *data, size_t size)
{
    struct bs_error err = {0};
    struct bs_config config;
    fuzz_put("sweep.yaml", data, size);
    enum bs_status status = bs_config_load(fuzz_path("sweep.yaml"), bs_chart_names, &config, &err);
    fuzz_check(status, &err, fuzz_path("sweep.yaml"));
    if (!status)
        bs_config_release(&config);
}

const struct fuzz_target fuzz_sweep_config = {
    .name = "sweep_config",
    .dictionary = "yaml",
    .max_bytes = 4096,
    .run = run,
};

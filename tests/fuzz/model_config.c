/* config.json. The checkpoint beside it has one tensor only: what the architecture asks for is
 * computed, and then refused. */
#include "tests/fuzz/target.h"

#include "eval/model/model.h"

static void run(const unsigned char *data, size_t size)
{
    static const unsigned char weights[] =
        "\x34\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F16\",\"shape\":[0],\"data_offsets\":[0,0]}}";
    struct bs_error err = {0};
    struct bs_architecture architecture;
    fuzz_put("config.json", data, size);
    enum bs_status status = bs_architecture_read(fuzz_folder(), NULL, &architecture, NULL, &err);
    fuzz_check(status, &err, fuzz_folder());
    if (status)
        return;
    fuzz_put("model.safetensors", weights, sizeof weights - 1);
    struct bs_model *model;
    status = bs_model_open(fuzz_folder(), NULL, &model, &err);
    fuzz_check(status, &err, fuzz_folder());
    if (!status)
        bs_model_free(model);
}

const struct fuzz_target fuzz_model_config = {
    .name = "model_config",
    .dictionary = "json",
    .max_bytes = 4096,
    .run = run,
    .mutate = fuzz_mutate_json,
};

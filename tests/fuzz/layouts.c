/* Quantized checkpoints: config.json's settings and the tensors that they speak of, in one object
 *   {"quantization_config": {...}, "tensors": {...}}
 * with tensors as of fuzz_put_tensors. */
#include "tests/fuzz/target.h"

#include <stdlib.h>
#include <string.h>

#include "eval/base/json.h"
#include "tests/fuzz/checkpoint.h"

static void run(const unsigned char *data, size_t size)
{
    struct bs_error err = {0};
    struct bs_checkpoint *checkpoint;
    json_t *input;
    if (bs_json_parse("input", NULL, (const char *)data, size, &input, &err))
        return;
    json_t *tensors = json_object_get(input, "tensors");
    fuzz_put_tensors("model.safetensors", tensors);
    json_object_del(input, "tensors");
    char *config = json_dumps(input, 0);
    json_decref(input);
    if (!config)
        return;
    fuzz_put("config.json", config, strlen(config));
    free(config);
    enum bs_status status = bs_checkpoint_open(fuzz_folder(), &checkpoint, &err);
    fuzz_check(status, &err, fuzz_folder());
    if (!status)
        fuzz_read_tensors(checkpoint);
    if (!status)
        bs_checkpoint_free(checkpoint);
}

const struct fuzz_target fuzz_layouts = {
    .name = "layouts",
    .dictionary = "json",
    .max_bytes = 4096,
    .run = run,
    .mutate = fuzz_mutate_json,
};

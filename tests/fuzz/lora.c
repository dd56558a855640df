/* A LoRA over a checkpoint: its adapter_config.json, its tensors and those that they are merged
 * into, in one object
 *   {"adapter_config": {...}, "adapter": {...}, "tensors": {...}}
 * with tensors as of fuzz_put_tensors. */
#include "tests/fuzz/target.h"

#include <stdlib.h>
#include <string.h>

#include "eval/base/json.h"
#include "tests/fuzz/checkpoint.h"

static void put_config(const json_t *config)
{
    char *text = json_dumps(config, JSON_ENCODE_ANY);
    fuzz_put("adapter_config.json", text ? text : "", text ? strlen(text) : 0);
    free(text);
}

static void run(const unsigned char *data, size_t size)
{
    struct bs_error err = {0};
    struct bs_checkpoint *checkpoint;
    json_t *input;
    if (bs_json_parse("input", NULL, (const char *)data, size, &input, &err))
        return;
    fuzz_put_tensors("model.safetensors", json_object_get(input, "tensors"));
    fuzz_put_tensors("adapter_model.safetensors", json_object_get(input, "adapter"));
    put_config(json_object_get(input, "adapter_config"));
    fuzz_put("config.json", "{}", 2);
    json_decref(input);
    enum bs_status status = bs_checkpoint_open(fuzz_folder(), &checkpoint, &err);
    fuzz_check(status, &err, fuzz_folder());
    if (status)
        return;
    status = bs_checkpoint_adapt(checkpoint, fuzz_folder(), &err);
    fuzz_check(status, &err, NULL);
    if (!status)
        fuzz_read_tensors(checkpoint);
    bs_checkpoint_free(checkpoint);
}

const struct fuzz_target fuzz_lora = {
    .name = "lora",
    .dictionary = "json",
    .max_bytes = 4096,
    .run = run,
    .mutate = fuzz_mutate_json,
};

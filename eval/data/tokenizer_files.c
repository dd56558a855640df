#include "eval/data/tokenizer_files.h"

#include "eval/base/json.h"
#include "eval/base/mem.h"

enum bs_status bs_tokenizer_files_read(const char *directory, json_t **object, char **place,
                                       struct bs_error *err)
{
    *object = NULL;
    *place = bs_printf("%s/tokenizer.json", directory);
    return *place ? bs_json_read(*place, object, err) : bs_fail_memory(err);
}

/* Rounds a matrix to nearest in a number format, for report.py.
 *
 *     round_values "format=q4_k importance=imatrix" ROWS COLUMNS
 *
 * reads float32 values [rows][columns], and the importance of the columns where the setting has it;
 * writes the decoded values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/quant/codes.h"

/* Sets what a text "key=value key=value" says. */
static enum bs_status parse(char *text, struct bs_setting *setting, struct bs_error *err)
{
    char *save = NULL;
    for (char *key = strtok_r(text, " ", &save); key; key = strtok_r(NULL, " ", &save)) {
        char *value = strchr(key, '=');
        if (!value)
            return bs_fail(err, BS_ECONFIG, "'%s' is not KEY=VALUE", key);
        *value++ = '\0';
        if (bs_setting_set(setting, BS_FOR_WEIGHTS, key, value, err))
            return err->status;
    }
    return bs_setting_resolve(setting, BS_FOR_WEIGHTS, err);
}

static enum bs_status round_matrix(const struct bs_setting *setting, const float *importance,
                                   int rows, int columns, float *x, struct bs_error *err)
{
    struct bs_codes codes;
    if (bs_codes_init(&codes, setting, 0, rows, columns, err))
        return err->status;
    codes.importance = importance;
    enum bs_status status = bs_codes_round(&codes, x, NULL, err);
    if (!status)
        bs_codes_decode(&codes, x);
    bs_codes_release(&codes);
    return status;
}

/* Reads, rounds, writes. */
static enum bs_status run(char *text, int rows, int columns, struct bs_error *err)
{
    size_t count = (size_t)rows * (size_t)columns, more = (size_t)columns;
    float *x = bs_alloc(count + more, sizeof *x);
    if (!x)
        return bs_fail_memory(err);
    struct bs_setting setting;
    bs_setting_init(&setting);
    enum bs_status status = parse(text, &setting, err);
    bool weighed = setting.importance.word != BS_ALIKE;
    size_t wanted = count + (weighed ? more : 0);
    if (!status && fread(x, sizeof *x, wanted, stdin) != wanted)
        status = bs_fail(err, BS_EDATA, "fewer than %zu values", wanted);
    if (!status)
        status = round_matrix(&setting, weighed ? x + count : NULL, rows, columns, x, err);
    if (!status && fwrite(x, sizeof *x, count, stdout) != count)
        status = bs_fail(err, BS_EIO, "the values cannot be written");
    bs_setting_release(&setting);
    bs_free(x);
    return status;
}

int main(int count, char **arguments)
{
    struct bs_error err;
    int rows = count == 4 ? (int)strtol(arguments[2], NULL, 10) : 0;
    int columns = count == 4 ? (int)strtol(arguments[3], NULL, 10) : 0;
    if (rows < 1 || columns < 1) {
        fputs("usage: round_values SETTINGS ROWS COLUMNS\n", stderr);
        return 2;
    }
    if (!run(arguments[1], rows, columns, &err))
        return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}

#include "tests/support/sample_trials.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <hdf5.h>

char sample_folder[64], sample_file[96], sample_partial[112];

int sample_setup(void **state)
{
    (void)state;
    snprintf(sample_folder, sizeof sample_folder, "/tmp/bitsweep-results-XXXXXX");
    if (!mkdtemp(sample_folder))
        return -1;
    snprintf(sample_file, sizeof sample_file, "%s/r.h5", sample_folder);
    snprintf(sample_partial, sizeof sample_partial, "%s.partial", sample_file);
    return 0;
}

int sample_teardown(void **state)
{
    (void)state;
    char lock[112];
    snprintf(lock, sizeof lock, "%s.lock", sample_file);
    if (unlink(sample_file) != 0)
        rmdir(sample_file);
    unlink(lock);
    if (H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) != 0)
        return -1;               /* an error path left something of HDF5's open */
    return rmdir(sample_folder); /* fails where a partial file was left */
}

const struct bs_run_info sample_info = {
    .config = "model: tiny\n",
    .host = "host",
    .cpu = "cpu",
    .blas = "blas",
    .started = "2026-01-01T00:00:00Z",
    .finished = "",
    .threads = 3,
};

/* What a plug-in may call its values: the store knows none of them. */
static char sample_columns[2][40] = {"roundness", "slack"};

struct bs_value_row sample_value(const char *evaluation, const char *name, double value)
{
    struct bs_value_row row = {.value = value, .se = NAN, .df = 7, .n = 5};
    snprintf(row.evaluation, sizeof row.evaluation, "%s", evaluation);
    snprintf(row.name, sizeof row.name, "%s", name);
    return row;
}

void sample_make(struct sample *s, const char *id, double seed)
{
    memset(s, 0xa5, sizeof *s); /* what is after the end of a text must not matter */
    struct bs_row *row = &s->record.row;
    *row = (struct bs_row){.bits = 3,
                           .activation_bits = 16,
                           .kv_code_bits = 16,
                           .windows = SAMPLE_WINDOWS,
                           .tokens = SAMPLE_TOKENS,
                           .calibration_seed = -1,
                           .seconds_evaluate = seed,
                           .num_values = 3,
                           .values = s->values};
    s->values[0] = sample_value("guesses", "right", 60 + seed);
    s->values[1] = sample_value("guesses", "certainty", INFINITY);
    s->values[2] = sample_value("model", "right", seed);
    snprintf(row->id, sizeof row->id, "%s", id);
    snprintf(s->label, sizeof s->label, "gptq w3 g128 %s", id);
    row->recipe = s->label;
    row->text = "evaluation";
    snprintf(row->compute, sizeof row->compute, "bfloat16");
    snprintf(row->status, sizeof row->status, "done");
    for (int i = 0; i < 3; i++) {
        s->layers[i] = (struct bs_layer_row){.block = i, .values = {seed + i, NAN}};
        snprintf(s->layers[i].name, sizeof s->layers[i].name, "self_attn.q_proj");
    }
    for (int i = 0; i < SAMPLE_VALUES; i++) {
        s->nll[i] = (float)(seed + i * 0.01);
        s->kld[i] = (float)(seed * i * 1e-4);
        s->same_top[i] = i % 3 == 0;
    }
    s->record.canonical = "recipe: gptq\nbits: 3\n";
    s->record.notices = "model: block 2 is left out\n";
    s->record.layers = (struct bs_layer_table){
        .num_rows = 3, .num_columns = 2, .rows = s->layers, .columns = sample_columns};
    s->figures = (struct bs_figures){
        .of = {[BS_NLL] = s->nll, [BS_KLD] = s->kld, [BS_SAME_TOP] = s->same_top}};
    s->record.figures = &s->figures;
    s->record.channels = NULL;
    s->record.answers = (struct bs_answers){0};
}

void sample_make_failed(struct sample *s, const char *id)
{
    sample_make(s, id, 0);
    snprintf(s->record.row.status, sizeof s->record.row.status, "failed");
    s->record.row.message = "block 2: not finite";
    s->record.row.num_values = 0;
    s->record.layers = (struct bs_layer_table){.num_rows = 0};
    s->record.figures = NULL;
}

enum bs_status sample_commit(struct sample *s, struct bs_error *err)
{
    return bs_results_commit(sample_file, &s->record, 1, NULL, 0, &sample_info, err);
}

void sample_must(enum bs_status status, const struct bs_error *err)
{
    if (status)
        fail_msg("%s", err->message);
}

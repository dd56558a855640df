/* AWQ: the function stays, each search finds the best of what it tries by its own measure, and what
 * is not to be touched is not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/vector.h"
#include "tests/support/close.h"
#include "tests/support/folder.h"
#include "tests/support/random_block.h"
#include "tests/support/recipes.h"
#include "tests/support/settings.h"
#include "tests/support/resident.h"

enum { SCALES = 20, CLIPS = 10, WIDEST = 560, ROW_STEP = 3 };

static struct random_shape shape;
static struct random_block random_;
static struct bs_block *block = &random_.block;
static struct site_inputs shown;

static int setup(void **state)
{
    folder_setup(state);
    bs_blas_init();
    shape = small_shape;
    shape.windows = 3;
    shape.intermediate = WIDEST; /* tiles of columns, and no multiple of one */
    random_block_init(&random_, &shape);
    shown = random_block_site_inputs(&random_);
    return 0;
}

static int teardown(void **state)
{
    site_inputs_release(&shown);
    random_block_release(&random_);
    return folder_teardown(state);
}

/* The block as AWQ leaves it; the format that it searched for, where asked. */
static struct bs_block prepared(const char *settings, const struct bs_setting **format)
{
    struct bs_recipe recipe;
    struct bs_block out = {.architecture = NULL};
    recipe_build(&recipe, "awq", settings);
    random_block_prepare(&random_, &recipe, &out);
    if (format)
        *format = kept_setting(&recipe.weights);
    bs_recipe_release(&recipe);
    return out;
}

static int all_tokens(void) { return shape.windows * shape.tokens; }

/* The site that linears read as the k-th, and the linears that do. */
static int input(int k) { return random_block_input(&random_, k); }

static int readers(int k, int slots[BS_MAX_SLOTS])
{
    return bs_program_readers(&random_.architecture.programs[0], input(k), slots);
}

static const struct bs_linear *first_of(const struct bs_block *of, int k)
{
    int slots[BS_MAX_SLOTS];
    readers(k, slots);
    return &of->linears[slots[0]];
}

static const float *scale_of(const struct bs_block *of, int k)
{
    return first_of(of, k)->in.list[0].values;
}

static bool is_scaled(const struct bs_block *of, int k)
{
    bool scaled = false;
    for (int j = 0; j < first_of(of, k)->in_features; j++)
        scaled |= scale_of(of, k)[j] != 1;
    return scaled;
}

static void scaling_alone_keeps_the_function(void **state)
{
    (void)state;
    struct bs_block scaled = prepared("bits=3 group_size=16 clip=false", NULL);
    double apart = outputs_apart(&random_, block, &scaled);
    assert_true(apart > 0 && apart < 2e-5);
    for (int s = 0; s < 4; s++)
        assert_int_equal(is_scaled(&scaled, s), s != 1); /* o_proj: fewer key heads than queries */
    for (int r = SLOT_Q; r <= SLOT_V; r++)               /* one scale for the linears of a set */
        assert_memory_equal(scaled.linears[r].in.list[0].values,
                            scaled.linears[SLOT_Q].in.list[0].values,
                            (size_t)shape.hidden * sizeof(float));
    bs_block_release(&scaled);
}

static void o_proj_is_scaled_where_v_proj_has_its_shape(void **state)
{
    (void)state;
    static struct random_block full;
    struct random_shape as_wide = shape;
    struct bs_recipe recipe;
    struct bs_block scaled = {.architecture = NULL};
    as_wide.hidden = 32;
    as_wide.kv_heads = 4;
    random_block_init(&full, &as_wide);
    recipe_build(&recipe, "awq", "bits=3 group_size=16 clip=false");
    random_block_prepare(&full, &recipe, &scaled);
    assert_true(is_scaled(&scaled, 1));
    assert_memory_equal(scaled.linears[SLOT_O].in.list[0].values,
                        scaled.linears[SLOT_V].out.list[0].values, 32 * sizeof(float));
    assert_true(outputs_apart(&full, &full.block, &scaled) < 5e-6);
    bs_block_release(&scaled);
    as_wide.heads = as_wide.kv_heads = 8; /* v_proj has o_proj's inputs as rows, not its shape */
    random_block_release(&full);
    random_block_init(&full, &as_wide);
    random_block_prepare(&full, &recipe, &scaled);
    assert_false(is_scaled(&scaled, 1));
    bs_block_release(&scaled);
    bs_recipe_release(&recipe);
    random_block_release(&full);
}

/* s = max(mean|X|^alpha, 1e-4), divided by sqrt(max s * min s). */
static void candidate(int set, double alpha, double *scale)
{
    int width = first_of(block, set)->in_features;
    double low = (double)INFINITY, high = 0;
    for (int j = 0; j < width; j++) {
        double mean = 0;
        for (int t = 0; t < all_tokens(); t++)
            mean += fabs((double)shown.x[input(set)][t * width + j]) / all_tokens();
        scale[j] = fmax(pow(mean, alpha), 1e-4);
        low = fmin(low, scale[j]);
        high = fmax(high, scale[j]);
    }
    for (int j = 0; j < width; j++)
        scale[j] /= sqrt(low * high);
}

/* Sum of (Y^ - Y)^2 of what is inspected over all inputs of the set. */
static double module_loss(const struct bs_block *tried, int set)
{
    enum { FLOATS = 70 * WIDEST };
    static float y[FLOATS], want[FLOATS];
    struct bs_part part;
    bool in_part = bs_program_inspected(&random_.architecture.programs[0], input(set), &part);
    const struct bs_linear *alone = first_of(tried, set);
    int tokens = shape.tokens, width = alone->in_features;
    double loss = 0;
    for (int w = 0; w < shape.windows; w++) {
        const float *x = shown.x[input(set)] + w * tokens * width;
        if (in_part) {
            bs_part_forward(tried, part, random_.rope, x, y, tokens, random_.scratch);
            bs_part_forward(block, part, random_.rope, x, want, tokens, random_.scratch);
        } else {
            bs_linear_forward(alone, x, y, alone->out_features, tokens);
            bs_linear_forward(first_of(block, set), x, want, alone->out_features, tokens);
        }
        loss += bs_sum_squared_difference(y, want, (size_t)(tokens * shape.hidden));
    }
    return loss;
}

/* The loss of the original block but for this set, whose weights are Q(W s) / s. */
static double loss_of_scale(const struct bs_setting *format, int set, const double *scale)
{
    struct bs_error err;
    struct bs_block tried = {.architecture = NULL};
    assert_int_equal(bs_block_copy(&tried, block, &err), BS_OK);
    int slots[BS_MAX_SLOTS], count = readers(set, slots);
    for (int k = 0; k < count; k++) {
        struct bs_linear *linear = &tried.linears[slots[k]];
        int in = linear->in_features, weights = linear->out_features * in;
        for (int i = 0; i < weights; i++)
            linear->weight[i] *= (float)scale[i % in];
        round_matrix(format, linear->weight, linear->out_features, in);
        for (int i = 0; i < weights; i++)
            linear->weight[i] /= (float)scale[i % in];
    }
    double loss = module_loss(&tried, set);
    bs_block_release(&tried);
    return loss;
}

/* Which of the candidates the block was scaled by. */
static int chosen_candidate(const struct bs_block *scaled, int set)
{
    double scale[WIDEST];
    int width = first_of(block, set)->in_features;
    for (int k = 0; k < SCALES; k++) {
        double most = 0;
        candidate(set, (double)k / SCALES, scale);
        for (int j = 0; j < width; j++)
            most = fmax(most, fabs((double)scale_of(scaled, set)[j] / scale[j] - 1));
        if (most < 1e-5)
            return k;
    }
    fail_msg("set %d was scaled by none of the candidates", set);
    return -1;
}

static void the_scale_is_the_best_of_the_grid(void **state)
{
    (void)state;
    static const char *const settings[] = {
        "bits=3 group_size=16 clip=false", "bits=2 clip=false",
        "bits=4 group_size=16 symmetric=true clip=false", "bits=3 group_size=tensor clip=false",
        "format=float exponent_bits=2 mantissa_bits=1 group_size=tensor clip=false"};
    int moved = 0;
    for (size_t c = 0; c < sizeof settings / sizeof *settings; c++) {
        const struct bs_setting *format;
        struct bs_block scaled = prepared(settings[c], &format);
        for (int set = 0; set < 4; set++) {
            double scale[WIDEST], losses[SCALES];
            if (set == 1)
                continue;
            int chosen = chosen_candidate(&scaled, set);
            for (int k = 0; k < SCALES; k++) {
                candidate(set, (double)k / SCALES, scale);
                losses[k] = loss_of_scale(format, set, scale);
            }
            for (int k = 0; k < SCALES; k++)
                assert_true(losses[chosen] <= losses[k] * (1 + 1e-4));
            moved += losses[chosen] < 0.9 * losses[0]; /* candidate 0 is the identity */
        }
        bs_block_release(&scaled);
    }
    assert_true(moved >= 4);
}

static void the_first_candidate_is_no_scaling(void **state)
{
    (void)state;
    struct bs_block same = prepared("bits=3 group_size=16 clip=false scale_grid=1", NULL);
    assert_true(same_block(&same, block));
    bs_block_release(&same);
}

static void channels_without_input_have_a_scale(void **state)
{
    (void)state;
    float kept = block->norms[0].weight[4];
    block->norms[0].weight[4] = 0;
    struct bs_block scaled = prepared("bits=3 group_size=16 clip=false", NULL);
    assert_int_equal(bs_first_not_finite(scaled.linears[SLOT_Q].in.list[0].values, 40), 40);
    /* Its scale is the least there is, 1e-4, and does not keep the others from theirs. */
    assert_true(scaled.linears[SLOT_Q].in.list[0].values[4] > 0);
    assert_true(is_scaled(&scaled, 0));
    assert_true(outputs_apart(&random_, block, &scaled) < 2e-5);
    bs_block_release(&scaled);
    block->norms[0].weight[4] = kept;
}

/* Sum over every n-th token of (sum over the group of x (W^ - W))^2 for W^ = Q(clip(W, -m, m)). */
static double loss_of_clip(const struct bs_setting *format, const float *w, float m, int n,
                           const float *x, const float *x_scale, int stride, int width)
{
    float delta[WIDEST];
    double sum = 0;
    for (int j = 0; j < n; j++)
        delta[j] = w[j] < -m ? -m : w[j] > m ? m : w[j];
    round_one_by_one(cell_of_values(format, delta, (size_t)n), delta, (size_t)n);
    for (int t = 0; t < all_tokens(); t += stride) {
        double part = 0;
        for (int j = 0; j < n; j++)
            part +=
                (double)x[t * width + j] / (double)x_scale[j] * ((double)delta[j] - (double)w[j]);
        sum += part * part;
    }
    return sum;
}

/* Group by group of every third row: W is clamped to m, one of the ten steps down from its largest,
 * and no other of them has less loss. Returns how many groups were clipped at all. */
static int assert_best_clips(const struct bs_setting *format, const struct bs_linear *before,
                             const struct bs_linear *after, int set, int stride)
{
    int in = before->in_features, clipped = 0;
    struct bs_code_layout layout = bs_setting_layout(format);
    int size = layout.group < in ? layout.group : in;
    for (int i = 0; i < before->out_features; i += ROW_STEP)
        for (int at = 0; at < in; at += size) {
            int n = in - at < size ? in - at : size;
            const float *w = before->weight + i * in + at, *got = after->weight + i * in + at;
            const float *x = shown.x[input(set)] + at, *x_scale = before->in.list[0].values + at;
            float largest = bs_abs_max(w, (size_t)n), m = bs_abs_max(got, (size_t)n);
            double chosen = loss_of_clip(format, w, m, n, x, x_scale, stride, in);
            bool among = false;
            for (int k = 0; k < CLIPS; k++) {
                float step = largest * (float)(1 - k / 20.0);
                among |= step == m;
                assert_true(chosen <=
                            (1 + 1e-4) * loss_of_clip(format, w, step, n, x, x_scale, stride, in) +
                                1e-9);
            }
            assert_true(among);
            for (int j = 0; j < n; j++)
                assert_true(got[j] == (w[j] < -m ? -m : w[j] > m ? m : w[j]));
            clipped += m < largest;
        }
    return clipped;
}

static void the_clip_is_the_best_of_its_steps(void **state)
{
    (void)state;
    /* 210 tokens: all of them, or every second of them. */
    static const struct {
        const char *scaled, *both;
        int stride;
    } cases[] = {
        {"bits=3 group_size=16 scale=false clip=false", "bits=3 group_size=16 scale=false", 1},
        {"bits=3 group_size=16 clip=false", "bits=3 group_size=16 clip_tokens=100", 2},
        {"bits=2 clip=false", "bits=2", 1},
        {"bits=4 group_size=16 symmetric=true clip=false", "bits=4 group_size=16 symmetric=true",
         1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const struct bs_setting *format;
        struct bs_block before = prepared(cases[c].scaled, NULL);
        struct bs_block after = prepared(cases[c].both, &format);
        int clipped = 0;
        for (int set = 0; set < 4; set++) {
            int slots[BS_MAX_SLOTS], count = readers(set, slots);
            for (int k = 0; k < count; k++) {
                int role = slots[k];
                const struct bs_linear *a = &before.linears[role], *b = &after.linears[role];
                if (role == SLOT_Q || role == SLOT_K)
                    assert_memory_equal(a->weight, b->weight,
                                        (size_t)(a->out_features * a->in_features) * sizeof(float));
                else
                    clipped += assert_best_clips(format, a, b, set, cases[c].stride);
            }
        }
        assert_true(clipped > 20);
        bs_block_release(&before);
        bs_block_release(&after);
    }
}

static void fewer_steps_or_less_shrinking_clip_less(void **state)
{
    (void)state;
    struct bs_block off = prepared("bits=2 group_size=16 scale=false clip=false", NULL);
    struct bs_block one = prepared("bits=2 group_size=16 scale=false clip_grid=1", NULL);
    struct bs_block none = prepared("bits=2 group_size=16 scale=false clip_max_shrink=0", NULL);
    struct bs_block deep = prepared("bits=2 group_size=16 scale=false clip_max_shrink=0.9", NULL);
    struct bs_block plain = prepared("bits=2 group_size=16 scale=false", NULL);
    assert_true(same_block(&off, block));
    assert_true(same_block(&one, block)); /* its only step is no clipping */
    assert_true(same_block(&none, block));
    double depth[2] = {0, 0}; /* how much of the weights is cut off */
    for (int i = 0; i < shape.hidden * shape.intermediate; i++) {
        depth[0] += fabs((double)block->linears[SLOT_DOWN].weight[i]) -
                    fabs((double)plain.linears[SLOT_DOWN].weight[i]);
        depth[1] += fabs((double)block->linears[SLOT_DOWN].weight[i]) -
                    fabs((double)deep.linears[SLOT_DOWN].weight[i]);
    }
    assert_true(0 < depth[0] && depth[0] < depth[1]);
    struct bs_block *all[] = {&off, &one, &none, &deep, &plain};
    for (int k = 0; k < 5; k++)
        bs_block_release(all[k]);
}

static bool wants(const struct bs_wanted *wanted, const struct bs_statistic *statistic, int site,
                  int detail)
{
    struct bs_wanted one = {.architecture = wanted->architecture};
    bs_want(&one, statistic, site, detail);
    bool within = bs_wanted_within(&one, wanted);
    bs_wanted_release(&one);
    return within;
}

static void only_what_is_looked_at_is_asked_for(void **state)
{
    (void)state;
    static const char *const settings[] = {"bits=4", "bits=4 clip=false", "bits=4 scale=false",
                                           "bits=4 scale=false clip=false"};
    for (int k = 0; k < 4; k++) {
        struct bs_recipe recipe;
        struct bs_wanted wanted = {.architecture = &random_.architecture};
        wanted.weights = setting_at_slots(&recipe.weights);
        bool scale = k < 2, clip = k % 2 == 0;
        recipe_build(&recipe, "awq", settings[k]);
        bs_algorithm_of(&recipe.steps[0])->needs(recipe.steps[0].options, &wanted);
        for (int s = 0; s < 4; s++) {
            int site = input(s);
            /* Of attention's and the MLP's inputs all, of down_proj's the Hessian; o_proj is not
             * scaled, v_proj having another shape. */
            assert_int_equal(wants(&wanted, &bs_stat_inputs, site, 0), scale && s % 2 == 0);
            assert_int_equal(wants(&wanted, &bs_stat_hessian, site, 0), scale && s == 3);
            assert_int_equal(wants(&wanted, &bs_stat_absmean, site, 0), scale && s != 1);
            assert_int_equal(wants(&wanted, &bs_stat_samples, site, 512), clip);
        }
        assert_int_equal(bs_wanted_any(&wanted), scale || clip);
        bs_wanted_release(&wanted);
        bs_recipe_release(&recipe);
    }
}

static void a_search_without_a_format_is_refused(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_recipe recipe;
    recipe_build_unresolved(&recipe, "awq", "bits=16");
    assert_int_equal(bs_recipe_resolve(&recipe, &err), BS_ECONFIG);
    bs_recipe_release(&recipe);
}

static void threads_do_not_change_a_byte(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 7};
    struct bs_block first = {.architecture = NULL};
    for (int t = 0; t < 3; t++) {
        bs_set_threads(threads[t]);
        struct bs_block out = prepared("bits=3 group_size=16", NULL);
        if (t == 0) {
            first = out;
            continue;
        }
        assert_true(same_block(&out, &first));
        bs_block_release(&out);
    }
    bs_block_release(&first);
    bs_set_threads(0);
}

/* What awq looks at, with inputs and outputs in a file of the scratch folder. */
static struct bs_statistics spilled_statistics(const struct bs_recipe *recipe)
{
    const struct bs_choice *step = &recipe->steps[0];
    struct bs_error err;
    struct bs_wanted wanted = {.architecture = &random_.architecture,
                               .weights = setting_at_slots(&recipe->weights)};
    struct bs_statistics statistics;
    struct bs_stream inputs, *held = &random_.inputs;
    assert_int_equal(
        bs_stream_init_in(folder.path, &inputs, held->windows, held->tokens, held->width, &err),
        BS_OK);
    memcpy(inputs.data, held->data, inputs.spill.size);
    bs_algorithm_of(step)->needs(step->options, &wanted);
    assert_int_equal(bs_calibrate(block, random_.rope, &inputs, NULL, &wanted, &statistics, NULL,
                                  random_.scratch, &err),
                     BS_OK);
    bs_wanted_release(&wanted);
    bs_stream_release(&inputs);
    return statistics;
}

static void streams_in_files_do_not_change_a_byte(void **state)
{
    (void)state;
    static const char *const settings = "bits=3 group_size=16";
    struct bs_error err;
    struct bs_recipe recipe;
    struct bs_block held = prepared(settings, NULL), out = {.architecture = NULL};
    recipe_build(&recipe, "awq", settings);
    const struct bs_choice *step = &recipe.steps[0];
    bs_set_threads(1); /* beside another thread's window pages may come back */
    struct bs_statistics statistics = spilled_statistics(&recipe);
    struct bs_job job = random_block_job(&random_, &out, &statistics, &recipe.weights);
    for (int again = 0; again < 2; again++) { /* the outputs are there then */
        assert_int_equal(bs_block_copy(&out, block, &err), BS_OK);
        assert_int_equal(bs_algorithm_of(step)->prepare_block(step->options, &job, &err), BS_OK);
        assert_true(same_block(&out, &held));
        for (int s = 0; s < 4; s++) {
            const struct bs_collected *c =
                bs_statistics_find(&statistics, &bs_stat_inputs, input(s), 0);
            assert_int_equal(c != NULL, s % 2 == 0);
            if (!c)
                continue;
            assert_non_null(c->derived); /* the outputs */
            assert_int_equal(resident_pages(c->stream.spill.data), 0);
        }
    }
    bs_set_threads(0);
    bs_statistics_release(&statistics);
    bs_block_release(&out);
    bs_block_release(&held);
    bs_recipe_release(&recipe);
}

static void a_scratch_folder_of_no_use_is_named(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_recipe recipe;
    struct bs_block out = {.architecture = NULL};
    recipe_build(&recipe, "awq", "bits=3 group_size=16");
    const struct bs_choice *step = &recipe.steps[0];
    struct bs_statistics statistics = spilled_statistics(&recipe);
    struct bs_job job = random_block_job(&random_, &out, &statistics, &recipe.weights);
    for (int s = 0; s < 4; s += 2)
        bs_statistics_at(&statistics, &bs_stat_inputs, input(s), 0)->stream.scratch =
            folder_file(&folder, "nowhere");
    assert_int_equal(bs_block_copy(&out, block, &err), BS_OK);
    assert_int_equal(bs_algorithm_of(step)->prepare_block(step->options, &job, &err), BS_EIO);
    assert_non_null(strstr(err.message, folder_file(&folder, "nowhere")));
    bs_statistics_release(&statistics);
    bs_block_release(&out);
    bs_recipe_release(&recipe);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_recipe recipe;
    struct bs_block out = {.architecture = NULL};
    recipe_build(&recipe, "awq", "bits=3 group_size=16 scale_grid=2 clip_grid=2");
    const struct bs_choice *step = &recipe.steps[0];
    struct bs_statistics statistics = random_block_step_statistics(&random_, &recipe);
    struct bs_job job = random_block_job(&random_, &out, &statistics, &recipe.weights);
    assert_int_equal(bs_block_copy(&out, block, &err), BS_OK);
    for (long n = 1;; n++) {
        bs_alloc_fail_at(n);
        enum bs_status status = bs_algorithm_of(step)->prepare_block(step->options, &job, &err);
        long made = bs_alloc_fail_at(0);
        if (!status) {
            assert_true(made < n && n > 20);
            break;
        }
        assert_int_equal(status, BS_ENOMEM);
        assert_int_equal(bs_block_copy(&out, block, &err), BS_OK);
    }
    bs_block_release(&out);
    bs_statistics_release(&statistics);
    bs_recipe_release(&recipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scaling_alone_keeps_the_function),
        cmocka_unit_test(o_proj_is_scaled_where_v_proj_has_its_shape),
        cmocka_unit_test(the_scale_is_the_best_of_the_grid),
        cmocka_unit_test(the_first_candidate_is_no_scaling),
        cmocka_unit_test(channels_without_input_have_a_scale),
        cmocka_unit_test(the_clip_is_the_best_of_its_steps),
        cmocka_unit_test(fewer_steps_or_less_shrinking_clip_less),
        cmocka_unit_test(only_what_is_looked_at_is_asked_for),
        cmocka_unit_test(a_search_without_a_format_is_refused),
        cmocka_unit_test(threads_do_not_change_a_byte),
        cmocka_unit_test(streams_in_files_do_not_change_a_byte),
        cmocka_unit_test(a_scratch_folder_of_no_use_is_named),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

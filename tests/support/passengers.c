#include "tests/support/passengers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

void assert_same_passenger(const struct bs_passenger *a, const struct bs_passenger *b,
                           const struct bs_windows *texts, int num_texts)
{
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->num_layers, b->num_layers);
    for (int l = 0; l < a->num_layers; l++) {
        struct bs_layer_row x = a->layers[l], y = b->layers[l];
        x.seconds = y.seconds = 0;
        assert_memory_equal(&x, &y, sizeof x);
    }
    assert_memory_equal(&a->weight_mse, &b->weight_mse, sizeof a->weight_mse);
    assert_memory_equal(&a->sqnr_db, &b->sqnr_db, sizeof a->sqnr_db);
    assert_memory_equal(&a->cosine, &b->cosine, sizeof a->cosine);
    assert_memory_equal(&a->relative_output_error, &b->relative_output_error,
                        sizeof a->relative_output_error);
    assert_true(a->linear_bits == b->linear_bits && a->linear_weights == b->linear_weights);
    for (int t = 0; t < num_texts; t++) {
        size_t count = (size_t)texts[t].windows * (size_t)(texts[t].tokens - 1);
        assert_memory_equal(a->figures[t].nll, b->figures[t].nll, count * sizeof(float));
        assert_memory_equal(a->figures[t].kld, b->figures[t].kld, count * sizeof(float));
        assert_memory_equal(a->figures[t].same_top, b->figures[t].same_top, count);
    }
}

#include "tests/support/variants.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

void assert_same_variant(const struct bs_variant *a, const struct bs_variant *b,
                         const struct bs_windows *texts, int num_texts)
{
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->num_layers, b->num_layers);
    for (int l = 0; l < a->num_layers; l++) {
        struct bs_layer_row x = a->layers[l], y = b->layers[l];
        x.seconds = y.seconds = 0;
        assert_memory_equal(&x, &y, sizeof x);
    }
    for (int i = 0; i < a->channels.count && i < b->channels.count; i++) {
        const struct bs_channels *x = &a->channels.of[i], *y = &b->channels.of[i];
        assert_string_equal(x->site, y->site);
        assert_true(x->blocks == y->blocks && x->width == y->width);
        assert_memory_equal(x->largest, y->largest,
                            (size_t)x->blocks * (size_t)x->width * sizeof(float));
    }
    assert_memory_equal(&a->totals, &b->totals, sizeof a->totals);
    assert_true(a->linear_bits == b->linear_bits && a->linear_weights == b->linear_weights);
    for (int t = 0; t < num_texts; t++) {
        size_t count = (size_t)texts[t].windows * (size_t)(texts[t].tokens - 1);
        for (int f = 0; f < BS_NUM_FIGURES; f++) {
            assert_true(!a->figures[t].of[f] == !b->figures[t].of[f]);
            if (a->figures[t].of[f])
                assert_memory_equal(a->figures[t].of[f], b->figures[t].of[f],
                                    count * bs_figure_bytes((enum bs_figure)f));
        }
    }
}

/* What the places of experts are called, in every family: one name for each expert. */
#include "eval/model/experts.h"

#define EXPERT(n)                                                                                  \
    {                                                                                              \
        .gate = "mlp.experts." #n ".gate_proj",                                                    \
        .up = "mlp.experts." #n ".up_proj",                                                        \
        .down = "mlp.experts." #n ".down_proj",                                                    \
        .input = "mlp.experts." #n ".input",                                                       \
        .down_input = "mlp.experts." #n ".down_input",                                             \
    },

/* Experts 10 t to 10 t + 9, and 100 h to 100 h + 99. */
#define TEN(t)                                                                                     \
    EXPERT(t##0)                                                                                   \
    EXPERT(t##1)                                                                                   \
    EXPERT(t##2)                                                                                   \
    EXPERT(t##3)                                                                                   \
    EXPERT(t##4)                                                                                   \
    EXPERT(t##5)                                                                                   \
    EXPERT(t##6)                                                                                   \
    EXPERT(t##7)                                                                                   \
    EXPERT(t##8)                                                                                   \
    EXPERT(t##9)
#define HUNDRED(h)                                                                                 \
    TEN(h##0)                                                                                      \
    TEN(h##1) TEN(h##2) TEN(h##3) TEN(h##4) TEN(h##5) TEN(h##6) TEN(h##7) TEN(h##8) TEN(h##9)

/* clang-format off */
const struct bs_expert_places bs_expert_places[BS_MAX_EXPERTS] = {
    TEN() TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8) TEN(9)
    HUNDRED(1) HUNDRED(2)
    TEN(30) TEN(31) TEN(32) TEN(33) TEN(34) TEN(35) TEN(36) TEN(37)
    EXPERT(380) EXPERT(381) EXPERT(382) EXPERT(383)
};
/* clang-format on */

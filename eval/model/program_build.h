/* How a block's program is put together, value by value. Used by the program_*.c files alone. */
#ifndef BS_EVAL_MODEL_PROGRAM_BUILD_H
#define BS_EVAL_MODEL_PROGRAM_BUILD_H

#include "eval/model/model.h"
#include "eval/model/program.h"

/* A program in the making. */
struct bs_builder {
    const struct bs_architecture *a;
    struct bs_program *p;
    bool has_experts;    /* the layer, in place of an MLP */
    int expert;          /* whose values and linears are added; -1: none's */
    int expert_values;   /* that each expert has */
    bool full;           /* there was no room for a value or an op */
    const char *unnamed; /* a role that the family's row has no name for */
};

/* A linear of the program, as it is called for. */
struct bs_call {
    const char *role;
    int out;
    enum bs_biases biases; /* the set that it has its bias in; 0: none */
};

/* A new value of this width, made by the next op; one that the op makes, which is added; one of the
 * same width and heads as `in`, of an op that reads nothing else. */
int bs_build_value(struct bs_builder *b, int width);
int bs_build_op(struct bs_builder *b, struct bs_op op, int width);
int bs_build_like(struct bs_builder *b, enum bs_op_kind kind, int in, int detail);

/* The value as a site of this name: itself, or a copy where it has a name already. */
int bs_build_site(struct bs_builder *b, int value, const char *name, enum bs_site kind);

/* The outputs of these linears side by side; of one. */
int bs_build_linears(struct bs_builder *b, const struct bs_call *calls, int count, int in);
int bs_build_linear(struct bs_builder *b, struct bs_call call, int in);

/* The last `count` linears stand in one tensor: all rows of one, all rows of the next. */
void bs_build_share(struct bs_builder *b, int count, const char *tensor);

/* The value after the norm at this place, or itself where blocks have none there. */
int bs_build_norm(struct bs_builder *b, enum bs_norm_place place, int in);

/* stream + residual_scale * branch, of the residual stream. */
int bs_build_add(struct bs_builder *b, int stream, int branch);

/* What attention, and the MLP or what stands in its place, make of their input. */
int bs_build_attention(struct bs_builder *b, int in);
int bs_build_mlp(struct bs_builder *b, int in);

#endif

/* The interface of a kernel, one way to multiply a linear: a const struct in a file of its own and
 * a line in kernels/registry.c. The first that suits a linear multiplies it; float32 suits all. */
#ifndef BS_EVAL_MODEL_KERNEL_H
#define BS_EVAL_MODEL_KERNEL_H

#include "eval/base/plugin.h"
#include "eval/model/model.h"

/* What a kernel is chosen by. */
struct bs_multiplication {
    int out, in;
    const struct bs_code_layout *codes; /* of the weight; NULL = it has none */
    bool listed;                        /* which group a column is in, a list says */
    const struct bs_setting *input;     /* what the input is quantized to; NULL = not */
    enum bs_compute compute;            /* what floats are multiplied in */
};

/* A way to multiply by the weights of a linear. Hooks but `suits` and `multiply` are optional. */
struct bs_kernel {
    struct bs_plugin plugin;
    bool exact; /* of decoded weights and inputs, but for the rounding of sums */

    /* Whether it can multiply such a linear. */
    bool (*suits)(const struct bs_multiplication *product);

    /* What it makes of the weights once; they do not change any more. NULL = nothing. BS_ENOMEM,
     * BS_EUNSUPPORTED as bs_packed_create. */
    enum bs_status (*prepare)(const struct bs_linear *linear, void **prepared,
                              struct bs_error *err);
    void (*release)(void *prepared);

    /* Bytes that what is prepared takes for each weight, on this processor: a plan counts them. Of
     * every kernel that prepares. */
    size_t (*weight_bytes)(void);

    /* Where it multiplies codes of the inputs: what it makes of x [rows][features] at a quantized
     * site, once for all linears that read it, in `room`, and the floats that this takes. NULL = it
     * reads x. */
    void (*encode)(const struct bs_site_setting *site, const float *x, int rows, int features,
                   float *room);
    size_t (*room_floats)(int rows, int features);

    /* y [rows] rows of out floats, `stride` floats apart = x [rows][in] * weight^T + bias, where x
     * is what `encode` made, if there is one. */
    void (*multiply)(const struct bs_linear *linear, const float *x, int rows, float *y, int stride,
                     struct bs_scratch *scratch);

    /* Floats of scratch that multiply takes. NULL = none. */
    size_t (*extra)(int out, int in);
};

/* All kernels, in the order in which they are asked whether they suit. */
extern const struct bs_registry bs_kernel_registry;

/* What multiplies floats as they are, and wherever a linear has no kernel yet. */
extern const struct bs_kernel bs_kernel_float32;

/* The i-th kernel of the registry, or NULL. */
const struct bs_kernel *bs_kernel_at(int i);

/* The first that suits. */
const struct bs_kernel *bs_kernel_for(const struct bs_multiplication *product);

/* Floats for what kernels make of one input, all kernels; and where among them the room of one
 * is. */
size_t bs_kernels_room_floats(int rows, int features);
size_t bs_kernel_room_at(const struct bs_kernel *kernel, int rows, int features);

/* Floats of scratch that any kernel takes for a linear of this shape. */
size_t bs_kernels_extra(int out, int in);

#endif

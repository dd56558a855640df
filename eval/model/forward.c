/* What operations of the forward pass are made of: products, norms, rounded activations. */
#include "eval/model/model.h"

#include "eval/linalg/blas.h"
#include "eval/linalg/vector.h"

/* Of a linear at a time, so that its output is still near for the bias. */
enum { PRODUCT_ROWS = 1024 };

void bs_linear_add_bias(const struct bs_linear *linear, float *y, int stride, int tokens)
{
    for (int t = 0; linear->bias && t < tokens; t++)
        bs_add(linear->bias, y + (size_t)t * (size_t)stride, (size_t)linear->out_features);
}

void bs_linear_forward(const struct bs_linear *linear, const float *x, float *y, int stride,
                       int tokens)
{
    int in = linear->in_features;
    for (int first = 0; first < tokens; first += PRODUCT_ROWS) {
        int left = tokens - first, rows = left < PRODUCT_ROWS ? left : PRODUCT_ROWS;
        float *to = y + (size_t)first * (size_t)stride;
        bs_gemm_nt(rows, linear->out_features, in, 1, x + (size_t)first * (size_t)in, in,
                   linear->weight, in, 0, to, stride);
        bs_linear_add_bias(linear, to, stride, rows);
    }
}

void bs_norm_apply(const struct bs_architecture *a, const struct bs_norm *norm, const float *x,
                   float *y, int rows)
{
    float eps = norm->eps > 0 ? norm->eps : a->norm_eps;
    if (norm->kind == BS_RMS_NORM)
        bs_rms_norm(x, norm->weight, eps, rows, norm->width, y);
    else
        bs_layer_norm(x, norm->weight, norm->bias, eps, rows, norm->width, y);
}

#include "eval/model/kernel.h"

const struct bs_kernel *bs_kernel_at(int i)
{
    return (const struct bs_kernel *)bs_kernel_registry.rows[i]; /* whose first member it is */
}

const struct bs_kernel *bs_kernel_for(const struct bs_multiplication *product)
{
    int i = 0;
    while (!bs_kernel_at(i)->suits(product))
        i++;
    return bs_kernel_at(i);
}

size_t bs_kernel_room_at(const struct bs_kernel *kernel, int rows, int features)
{
    size_t floats = 0;
    const struct bs_kernel *other;
    for (int i = 0; (other = bs_kernel_at(i)) && other != kernel; i++)
        floats += other->room_floats ? other->room_floats(rows, features) : 0;
    return floats;
}

size_t bs_kernels_room_floats(int rows, int features)
{
    return bs_kernel_room_at(NULL, rows, features);
}

size_t bs_kernels_extra(int out, int in)
{
    size_t most = 0;
    const struct bs_kernel *kernel;
    for (int i = 0; (kernel = bs_kernel_at(i)); i++) {
        size_t floats = kernel->extra ? kernel->extra(out, in) : 0;
        most = floats > most ? floats : most;
    }
    return most;
}

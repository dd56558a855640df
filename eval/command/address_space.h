/* Whether the address space that the program may use is enough for OpenBLAS. */
#ifndef BS_EVAL_COMMAND_ADDRESS_SPACE_H
#define BS_EVAL_COMMAND_ADDRESS_SPACE_H

#include <stddef.h>

/* Ends the program with a message where the limit (ulimit -v) leaves no room for so many buffers of
 * 128 MB. OpenBLAS takes two as it is loaded, one more for each thread that calls it, and tries for
 * ever to get one where the address space is limited: so its need is held against the limit before
 * it is loaded, and before it is called. Uses little of any library. */
void bs_address_space_check(size_t buffers);

#endif

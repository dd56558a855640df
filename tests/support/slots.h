/* The slots of a gated block, in the order of its program. */
#ifndef BS_TESTS_SUPPORT_SLOTS_H
#define BS_TESTS_SUPPORT_SLOTS_H

enum { SLOT_Q, SLOT_K, SLOT_V, SLOT_O, SLOT_GATE, SLOT_UP, SLOT_DOWN, NUM_SLOTS };

#endif

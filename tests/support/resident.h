/* How much of a map is in the process's memory. */
#ifndef BS_TESTS_SUPPORT_RESIDENT_H
#define BS_TESTS_SUPPORT_RESIDENT_H

/* Resident pages of the map that starts at `start`; fails the test where there is none. */
int resident_pages(const void *start);

#endif

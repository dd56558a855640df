/* Which file a map is of, for the handler that is called when it cannot be read. For file.c
 * alone. */
#ifndef BS_EVAL_BASE_MAP_FAULTS_H
#define BS_EVAL_BASE_MAP_FAULTS_H

#include <stddef.h>

/* Remembers a map until it is removed; the path is copied. Where there are more maps than are kept
 * in mind the message names none. */
void bs_map_faults_add(const void *data, size_t size, const char *path);
void bs_map_faults_remove(const void *data);

#endif

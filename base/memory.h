/* memory.h: allocation with a size that cannot overflow, alignment for vector code, and a status instead of NULL.
 *
 * Not collective; thread safe. Fault point: base.allocate.
 *
 * Owners are zeroed first and freed whole, however far they came:
 *     thing t = {0};
 *     status = pb_allocate(&t.rows, n, sizeof *t.rows, "rows");
 *     pb_keep_first(&status, pb_allocate(&t.names, n, sizeof *t.names, "names"));
 *     ...
 *     pb_release(&t.rows);        NULL is fine
 */
#ifndef PB_BASE_MEMORY_H
#define PB_BASE_MEMORY_H

#include "base/status.h"

#include <stddef.h>

enum { PB_ALIGNMENT = 64 }; /* bytes; one cache line and one AVX-512 register */

/* Allocates count * size bytes of zeroed host memory, aligned to PB_ALIGNMENT. A zero product gives a valid, unusable
 * pointer. `what` names the thing for the message ("patch features").
 * Out: *pointer, owned by the caller, released by pb_release. Errors: PB_E_SYSTEM when the product overflows or memory is out;
 * *pointer is then NULL. */
PB_CHECKED pb_status pb_allocate(void *pointer_out, size_t count, size_t size, const char *what);

/* Changes the size of an array of a pb_allocate'd (or NULL) pointer to count * size bytes; the first old_count items, or count if
 * that is less, are kept, the rest are zero. The array may move. Errors: PB_E_SYSTEM; the old array is then untouched. */
PB_CHECKED pb_status pb_resize(void *pointer_inout, size_t old_count, size_t count, size_t size, const char *what);

/* Frees what *pointer holds and sets it to NULL; NULL is fine. Takes the address of the pointer. Also for memory of malloc(3). */
void pb_release(void *pointer_inout);

#endif

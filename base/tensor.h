/* tensor.h: a named array lent by one room to another (weights from a file to a backbone). */
#ifndef PB_BASE_TENSOR_H
#define PB_BASE_TENSOR_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Most dimensions of a tensor. */
enum { PB_TENSOR_RANK_MAX = 8 };

/* A tensor: float32, row-major, host memory. The memory belongs to whoever lent the view and lives as long as the lender says.
 * shape[0 .. rank - 1]: lengths, slowest first; rank 0 is one number. */
typedef struct pb_tensor_view {
    const float *data;
    int rank;
    int64_t shape[PB_TENSOR_RANK_MAX];
} pb_tensor_view;

/* Lends the tensor `name`; context is the lender's. Errors: PB_E_INPUT when there is none or it is not float32. Not
 * collective. */
typedef pb_status (*pb_tensor_lookup)(void *context, const char *name, pb_tensor_view *view_out);

#endif

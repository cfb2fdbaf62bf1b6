/* regions.h: the connected regions of a mask. Not collective, thread safe. */
#ifndef PB_CORESET_REGIONS_H
#define PB_CORESET_REGIONS_H

#include "base/size.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Regions of pixels that touch by a side or a corner (8-connected, as MVTec's evaluation has it). inside: [height][width], host
 * memory; region_size: [height][width] of the caller, not overlapping, the number of pixels of the region that each pixel is in,
 * 0 outside of all; *regions counts them. Fewer than 2^32 pixels (asserted); no pixel gives no region. Errors: PB_E_SYSTEM when
 * memory is out; nothing is written then. */
PB_CHECKED pb_status pb_regions_measure(const bool *inside, pb_size size, uint32_t *region_size, size_t *regions);

#endif

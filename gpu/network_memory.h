/* network_memory.h: private to gpu/: which outputs of a network's layers take turns in the same memory.
 *
 * An output is needed until the last layer that reads it, as source or as residual, has run. Outputs whose times do not overlap
 * share a slot. A tap has no slot: it is a result, and each kind of device has a place of its own for it.
 */
#ifndef PB_GPU_NETWORK_MEMORY_H
#define PB_GPU_NETWORK_MEMORY_H

#include "gpu/network.h"

enum { PB_SLOT_NONE = -1 };

/* For layers that run one after the other in their order. slots and slot_values beyond the layers and slots that there are mean
 * nothing. */
typedef struct pb_network_memory {
    int slot_count;
    int slots[PB_LAYERS_MAX];          /* slot of each layer's output; PB_SLOT_NONE: the layer is a tap */
    size_t slot_values[PB_LAYERS_MAX]; /* values of one image that each slot must hold */
} pb_network_memory;

/* Plans the memory of a network, whose weights may be missing. Not collective. */
void pb_network_plan_memory(const pb_network *network, pb_network_memory *memory_out);

#endif

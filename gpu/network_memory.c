/* First fit, in the order of the layers. A layer's own output never shares a slot with what the layer reads: what it reads is
 * busy until it (busy_until >= l). One slot is one buffer; sizes grow to the largest output that is put there. Quadratic in the
 * layers, at most 256. */
#include "gpu/network_memory.h"

#include <stdbool.h>

static bool is_tap(const pb_network *network, int layer) {
    for (int t = 0; t < network->tap_count; t++)
        if (network->taps[t] == layer)
            return true;
    return false;
}

/* The last layer that reads the output of `layer`; the layer itself when none does. An output that nobody reads, and that is no
 * tap, is busy for its own layer alone. */
static int last_use(const pb_network *network, int layer) {
    int last = layer;
    for (int l = layer + 1; l < network->layer_count; l++)
        if (network->layers[l].source == layer || network->layers[l].residual == layer)
            last = l;
    return last;
}

/* Gives each output that is not a tap the first slot whose old output is no longer read. */
void pb_network_plan_memory(const pb_network *network, pb_network_memory *memory_out) {
    int busy_until[PB_LAYERS_MAX];
    *memory_out = (pb_network_memory){0};
    for (int l = 0; l < network->layer_count; l++) {
        memory_out->slots[l] = PB_SLOT_NONE;
        if (is_tap(network, l))
            continue;
        int slot = 0;
        while (slot < memory_out->slot_count && busy_until[slot] >= l)
            slot++;
        if (slot == memory_out->slot_count)
            memory_out->slot_count++;
        busy_until[slot] = last_use(network, l);
        memory_out->slots[l] = slot;
        const size_t values = pb_layer_shape_values(pb_network_shape(network, l));
        if (memory_out->slot_values[slot] < values)
            memory_out->slot_values[slot] = values;
    }
}

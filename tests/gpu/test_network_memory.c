#include "gpu/network_memory.h"

#include "networks.h"

#include <criterion/criterion.h>

/* Runs through the layers and keeps whose output each slot holds: whoever reads must find what was written. */
static void check_plan(const pb_network *network, const char *what) {
    pb_network_memory plan;
    int holds[PB_LAYERS_MAX];
    pb_network_plan_memory(network, &plan);
    cr_assert(plan.slot_count >= 0 && plan.slot_count <= network->layer_count);
    for (int l = 0; l < network->layer_count; l++) {
        const int reads[2] = {network->layers[l].source, network->layers[l].residual};
        for (int r = 0; r < 2; r++) {
            const int slot = reads[r] < 0 ? PB_SLOT_NONE : plan.slots[reads[r]];
            cr_assert(slot == PB_SLOT_NONE || holds[slot] == reads[r], "%s: layer %d reads %d, whose slot %d holds %d", what, l,
                      reads[r], slot, slot < 0 ? -1 : holds[slot]);
            cr_assert(slot == PB_SLOT_NONE || slot != plan.slots[l], "%s: layer %d writes what it reads", what, l);
        }
        bool tap = false;
        for (int t = 0; t < network->tap_count; t++)
            tap = tap || network->taps[t] == l;
        cr_assert_eq(plan.slots[l] == PB_SLOT_NONE, tap, "%s: layer %d", what, l);
        if (tap)
            continue;
        cr_assert(plan.slots[l] >= 0 && plan.slots[l] < plan.slot_count);
        cr_assert_geq(plan.slot_values[plan.slots[l]], pb_layer_shape_values(pb_network_shape(network, l)));
        holds[plan.slots[l]] = l;
    }
}

Test(network_memory, what_is_read_is_still_there) {
    const char *const *names = pb_backbone_names();
    for (int b = 0; names[b]; b++) {
        const char *taps;
        int side;
        pb_network network;
        test_must(pb_backbone_defaults(names[b], &taps, &side));
        test_must(pb_network_outline(names[b], taps, test_square(side), &network));
        check_plan(&network, names[b]);
        pb_network_free(&network);
    }
}

/* A chain needs two slots, the larger of their outputs each; a tap none. */
Test(network_memory, a_chain_takes_turns_in_two) {
    const test_layer layers[] = {{8, 3, 1, PB_ACTIVATION_NONE, -1, -1}, {32, 1, 1, PB_ACTIVATION_NONE, 0, -1},
                                 {16, 1, 1, PB_ACTIVATION_NONE, 1, -1}, {64, 1, 2, PB_ACTIVATION_NONE, 2, -1},
                                 {8, 1, 1, PB_ACTIVATION_NONE, 3, -1}};
    pb_network network = test_network((pb_size){10, 6}, layers, 5, 1);
    pb_network_memory plan;
    network.tap_count = 1;
    network.taps[0] = 4;
    check_plan(&network, "chain");
    pb_network_plan_memory(&network, &plan);
    cr_assert_eq(plan.slot_count, 2);
    cr_assert_eq(plan.slot_values[0], 10 * 6 * 16);
    cr_assert_eq(plan.slot_values[1], 10 * 6 * 32);
    network.taps[0] = 1; /* what follows reads a tap, and the last output is read by nobody */
    check_plan(&network, "tap inside");
    pb_network_free(&network);
}

/* A residual is held until it is added, and only so long. */
Test(network_memory, a_residual_holds_its_slot) {
    const test_layer layers[] = {{8, 3, 1, PB_ACTIVATION_NONE, -1, -1}, {8, 1, 1, PB_ACTIVATION_NONE, 0, -1},
                                 {8, 1, 1, PB_ACTIVATION_NONE, 1, -1}, {8, 1, 1, PB_ACTIVATION_NONE, 2, 0},
                                 {8, 1, 1, PB_ACTIVATION_NONE, 3, -1}, {8, 1, 1, PB_ACTIVATION_NONE, 4, -1}};
    pb_network network = test_network((pb_size){4, 4}, layers, 6, 1);
    pb_network_memory plan;
    network.tap_count = 1;
    network.taps[0] = 5;
    check_plan(&network, "residual");
    pb_network_plan_memory(&network, &plan);
    cr_assert_eq(plan.slot_count, 3);
    cr_assert_eq(plan.slots[3], 1, "the first slot that is free: not that of its source, nor of its residual");
    cr_assert_eq(plan.slots[4], 0);
    pb_network_free(&network);
}

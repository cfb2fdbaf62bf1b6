/* Winograd's convolutions: every set of kernels against the plain twin of whole networks (gpu/ref.h), within the bound that
 * networks.c derives. The products are a plain loop here; tests/gpu/test_cpu_network.c has them by oneDNN. */
#include "gpu/cpu_winograd.h"

#include "base/memory.h"
#include "gpu/cpu.h"
#include "gpu/ref.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const char *const SETS[] = {"plain", "avx2", "avx512"};

static pb_winograd planned(const pb_network *network, int layer) {
    pb_winograd plan;
    cr_assert(pb_winograd_plan(&network->layers[layer], pb_network_shape(network, network->layers[layer].source),
                               pb_network_shape(network, layer), &plan));
    return plan;
}

/* ---- which layers, and how they are divided ---- */

static bool takes(pb_size size, int inputs, test_layer layer) {
    const test_layer layers[] = {{inputs, 1, 1, PB_ACTIVATION_NONE, -1, -1}, layer};
    pb_network network = test_network(size, layers, 2, 1);
    pb_winograd plan;
    bool taken = pb_winograd_plan(&network.layers[1], pb_network_shape(&network, 0), pb_network_shape(&network, 1), &plan);
    pb_network_free(&network);
    return taken;
}

Test(cpu_winograd, takes_large_dense_3x3_layers_of_stride_1) {
    const pb_size size = {16, 16};
    const pb_activation relu = PB_ACTIVATION_RELU;
    cr_assert(takes(size, 64, (test_layer){64, 3, 1, relu, 0, -1}));
    cr_assert(takes(size, 80, (test_layer){96, 3, 1, relu, 0, -1}));
    cr_assert_not(takes(size, 64, (test_layer){64, 3, 2, relu, 0, -1}));
    cr_assert_not(takes(size, 64, (test_layer){64, 1, 1, relu, 0, -1}));
    cr_assert_not(takes(size, 64, (test_layer){64, 5, 1, relu, 0, -1}));
    cr_assert_not(takes(size, 64, (test_layer){0, 3, 1, relu, 0, -1}), "depthwise");
    cr_assert_not(takes(size, 32, (test_layer){64, 3, 1, relu, 0, -1}), "few inputs");
    cr_assert_not(takes(size, 64, (test_layer){32, 3, 1, relu, 0, -1}), "few outputs");
    cr_assert_not(takes(size, 72, (test_layer){64, 3, 1, relu, 0, -1}), "half a register of inputs");
    cr_assert_not(takes(size, 64, (test_layer){72, 3, 1, relu, 0, -1}), "half a register of outputs");
    cr_assert_not(takes((pb_size){8, 8}, 64, (test_layer){64, 3, 1, relu, 0, -1}), "few tiles");
}

Test(cpu_winograd, bands_cover_all_rows_of_tiles) {
    static const pb_size SIZES[] = {{16, 16}, {15, 17}, {66, 31}, {56, 56}, {1000, 3}, {3, 1000}, {129, 65}};
    const test_layer layers[] = {{64, 1, 1, PB_ACTIVATION_NONE, -1, -1}, {80, 3, 1, PB_ACTIVATION_RELU, 0, -1}};
    for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++) {
        pb_network network = test_network(SIZES[s], layers, 2, 1);
        pb_winograd plan = planned(&network, 1);
        int bands = pb_winograd_bands(&plan);
        cr_assert_eq(plan.columns, (SIZES[s].width + 1) / 2);
        cr_assert_eq(plan.rows, (SIZES[s].height + 1) / 2);
        cr_assert_eq(plan.tiles, plan.band_rows * plan.columns);
        cr_assert(plan.band_rows == 1 || plan.tiles <= 200, "%d tiles in a band", plan.tiles);
        cr_assert((bands - 1) * plan.band_rows < plan.rows && bands * plan.band_rows >= plan.rows);
        cr_assert_geq(plan.value_stride, (size_t)plan.tiles * 64);
        cr_assert_geq(plan.product_stride, (size_t)plan.tiles * 80);
        pb_network_free(&network);
    }
}

/* ---- results ---- */

static float *floats(size_t count) {
    float *values;
    test_must(pb_allocate(&values, count, sizeof *values, "test"));
    return values;
}

/* products of all positions of a band. */
static void multiply(const pb_winograd *plan, const float *weights, const pb_winograd_memory *memory) {
    size_t inputs = (size_t)plan->input.channels, outputs = (size_t)plan->output.channels;
    for (size_t p = 0; p < PB_WINOGRAD_POSITIONS; p++)
        for (size_t t = 0; t < (size_t)plan->tiles; t++)
            for (size_t o = 0; o < outputs; o++) {
                const float *x = memory->values + p * plan->value_stride + t * inputs;
                const float *w = weights + (p * outputs + o) * inputs;
                float sum = 0;
                for (size_t c = 0; c < inputs; c++)
                    sum += x[c] * w[c];
                memory->products[p * plan->product_stride + t * outputs + o] = sum;
            }
}

/* Layer `index` of a network whose layers are all taps, from its inputs in taps. */
static void run_layer(const pb_network *network, int index, const pb_cpu_kernels *kernels, float *const *taps, float *out) {
    const pb_layer *layer = &network->layers[index];
    pb_winograd plan = planned(network, index);
    size_t inputs = (size_t)layer->inputs, outputs = (size_t)layer->outputs;
    float *weights = floats(PB_WINOGRAD_POSITIONS * inputs * outputs);
    for (int p = 0; p < PB_WINOGRAD_POSITIONS; p++)
        pb_winograd_weights(layer, p, weights + (size_t)p * inputs * outputs);
    pb_winograd_memory memory = {floats(PB_WINOGRAD_POSITIONS * plan.value_stride),
                                 floats(PB_WINOGRAD_POSITIONS * plan.product_stride), floats(inputs + outputs), floats(outputs)};
    for (int band = 0; band < pb_winograd_bands(&plan); band++) {
        pb_winograd_spread(&plan, kernels, taps[layer->source], band, &memory);
        multiply(&plan, weights, &memory);
        pb_winograd_collect(&plan, kernels, layer->bias, layer->residual < 0 ? NULL : taps[layer->residual], band, &memory, out);
    }
    for (size_t i = 0; i < inputs + outputs; i++)
        cr_assert_eq(memory.zeros[i], 0.0f);
    pb_release(&weights);
    pb_release(&memory.values);
    pb_release(&memory.products);
    pb_release(&memory.zeros);
    pb_release(&memory.spare);
}

/* The last layer of the network, by each set that runs here: within the bound, the same bits, and nothing written beyond. */
static void check(const pb_network *network, const char *what) {
    int last = network->layer_count - 1;
    size_t count = test_tap_values(network, last);
    uint8_t *image = test_images(network, 1, 5);
    float *expected[PB_TAPS_MAX], *bounds[PB_TAPS_MAX], *found = floats(count + 1), *first = floats(count + 1);
    test_taps_allocate(network, 1, expected);
    test_taps_allocate(network, 1, bounds);
    test_must(pb_ref_run(network, image, 1, expected));
    test_bounds(network, image, expected, bounds);
    for (int s = 0; s < 3; s++) {
        const pb_cpu_kernels *kernels = pb_cpu_kernels_choose(SETS[s]);
        if (!kernels)
            continue;
        for (size_t i = 0; i <= count; i++)
            found[i] = NAN;
        run_layer(network, last, kernels, expected, found);
        cr_assert(isnan(found[count]));
        for (size_t i = 0; i < count; i++) {
            double apart = fabs((double)found[i] - (double)expected[last][i]);
            cr_assert(apart <= (double)bounds[last][i], "%s, %s, %d x %d, value %zu: %.9g, expected %.9g within %.3g", what,
                      SETS[s], network->size.width, network->size.height, i, (double)found[i], (double)expected[last][i],
                      (double)bounds[last][i]);
        }
        if (s == 0)
            memcpy(first, found, count * sizeof *found);
        cr_assert_arr_eq(found, first, count * sizeof *found);
    }
    test_taps_free(expected);
    test_taps_free(bounds);
    pb_release(&found);
    pb_release(&first);
    pb_release(&image);
}

/* Even and odd sides, one band and several of which the last is not full, tiles that are all edge. */
Test(cpu_winograd, layers_are_within_the_bound_of_the_twin) {
    static const struct {
        const char *what;
        test_layer layer;
    } KINDS[] = {
        {"none", {64, 3, 1, PB_ACTIVATION_NONE, 0, -1}},
        {"relu", {80, 3, 1, PB_ACTIVATION_RELU, 0, -1}},
        {"relu6", {64, 3, 1, PB_ACTIVATION_RELU6, 0, -1}},
        {"residual", {64, 3, 1, PB_ACTIVATION_RELU, 0, 0}},
    };
    static const pb_size SIZES[] = {{12, 12}, {13, 11}, {46, 30}, {65, 1}, {1, 65}};
    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++)
        for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++) {
            const test_layer layers[] = {{64, 1, 1, PB_ACTIVATION_NONE, -1, -1}, KINDS[k].layer};
            pb_network network = test_network(SIZES[s], layers, 2, k);
            if (s % 2)
                test_pad_symmetrically(&network);
            check(&network, KINDS[k].what);
            pb_network_free(&network);
        }
}

/* networks.h, private to tests/gpu/: small networks made by hand, images, and how far float arithmetic may stray from the plain
 * twin. Failures end the test.
 */
#ifndef PB_TESTS_GPU_NETWORKS_H
#define PB_TESTS_GPU_NETWORKS_H

#include "gpu/network.h"

static inline pb_size test_square(int side) { return (pb_size){side, side}; }

typedef struct test_layer {
    int outputs, kernel, stride; /* outputs 0: depthwise, as many as its inputs */
    pb_activation activation;
    int source, residual;
} test_layer;

/* A network of these layers with random weights of He's variance and random biases, every layer a tap. At most PB_TAPS_MAX
 * layers. Freed by pb_network_free. */
pb_network test_network(pb_size size, const test_layer *layers, int count, uint64_t seed);

/* Pads as PyTorch does from here on. */
void test_pad_symmetrically(pb_network *network);

/* Makes the depthwise layer `layer` max pooling of the same kernel and stride. */
void test_make_pool(pb_network *network, int layer);

/* Adds a layer of an operation on places or tokens alone (not pooling) after the last one, which it reads: a tap too, with random
 * weights; groups as in pb_layer. */
void test_add_layer(pb_network *network, pb_operation operation, int outputs, int groups);

/* A transformer of one block: 2 x 2 pixels a patch, tokens, norm, queries to values, attention of `heads`, projection with the
 * tokens added, a layer with GELU, patches; each a tap. The queries are small, so that no token takes all. */
pb_network test_transformer(pb_size size, int channels, int heads);

/* n random images for the network; free with pb_release. */
uint8_t *test_images(const pb_network *network, int n, uint32_t substream);

/* Memory for the taps of n images; freed by test_taps_free. */
void test_taps_allocate(const pb_network *network, int n, float *taps[PB_TAPS_MAX]);
void test_taps_free(float *taps[PB_TAPS_MAX]);

/* Values of tap t of one image. */
size_t test_tap_values(const pb_network *network, int t);

/* For a network whose layers are all taps, given the taps of one image by pb_ref_run: how far a float computation in any order of
 * summation can be from each value. bounds: as the taps. See networks.c for the derivation. */
void test_bounds(const pb_network *network, const uint8_t *image, float *const *reference, float *const *bounds);

/* The input of `backbone`, cut after `tap`, is ImageNet's: (byte / 255 - mean) / deviation of each channel. */
void test_normalised_as_imagenet(const char *backbone, const char *tap);

/* Ends the test when status is a failure. */
void test_must(pb_status status);

#endif

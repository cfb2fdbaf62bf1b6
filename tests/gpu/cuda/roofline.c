/* roofline: what an H100 could reach at most in extraction, by backbone and precision, from the graphs that cuDNN is given.
 *
 *   roofline              the table of docs/PERFORMANCE.md
 *   roofline --check FILE prints the rows of it that FILE has not; exit status 1 when there are any
 *
 * A layer needs at least max(operations / peak, bytes / bandwidth). Operations: 2 a multiply-add of a convolution, with the
 * network's own 3 input channels, and of a score and a value of attention; sums and comparisons are not counted. Bytes: every
 * tensor of the layer's graph that is in memory, once, as if no cache held anything from layer to layer; weights once a batch. A
 * layer that is a kernel of ours reads its input and its floats and writes its output; attention in fp32 has no tensor cores. To
 * the layers come the two ends: bytes read, input written; taps read, floats written. Layers run one after the other, so that
 * their times add up.
 */
#include "gpu/cuda/network_graph.h"
#include "gpu/cuda/network_weights.h"
#include "gpu/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 64, SIDE = 224, ROW = 300 };

/* NVIDIA's data sheet of the H100 SXM5 80 GB, without sparsity, per second. Depthwise layers have sums too short for tensor
 * cores. */
static const double BANDWIDTH = 3.35e12, VECTOR_PEAK = 66.9e12;
static const double PEAKS[] = {[PB_PRECISION_FP32] = 66.9e12, [PB_PRECISION_TF32] = 494.7e12, [PB_PRECISION_FP16] = 989.4e12,
                               [PB_PRECISION_BF16] = 989.4e12};

/* Of one batch. */
typedef struct estimate {
    double operations, bytes, seconds;
    double memory_seconds; /* in layers that memory limits */
} estimate;

static void must(pb_status status) {
    if (pb_failed(&status)) {
        fprintf(stderr, "%s\n", status.message);
        exit(1);
    }
}

static void add(estimate *to, double operations, double bytes, double peak) {
    const double computing = operations / peak, moving = bytes / BANDWIDTH;
    to->operations += operations;
    to->bytes += bytes;
    to->seconds += computing > moving ? computing : moving;
    to->memory_seconds += computing > moving ? 0 : moving;
}

/* What a layer's graph, or its kernel, moves. */
static double bytes_of(const pb_network *network, int l, pb_precision precision) {
    const pb_layer *layer = &network->layers[l];
    const double each = (double)pb_element_bytes(pb_precision_element(precision));
    const double values = (double)pb_layer_shape_values(pb_network_shape(network, l));
    double bytes = 0;
    if (!pb_graph_exists(network, l, precision)) {
        const double floats = layer->operation == PB_OPERATION_TOKENS       ? values
                              : layer->operation == PB_OPERATION_LAYER_NORM ? 2.0 * layer->outputs
                                                                            : 0;
        return BATCH * each * (values + (double)pb_layer_shape_values(pb_network_shape(network, layer->source))) +
               floats * sizeof(float);
    }
    pb_graph graph;
    must(pb_graph_of_layer(network, l, precision, PB_ELEMENT_FLOAT, BATCH, &graph));
    for (int role = PB_GRAPH_SOURCE; role < PB_GRAPH_ROLES; role++)
        bytes += (double)pb_graph_bytes(&graph, (pb_graph_role)role);
    return bytes;
}

static double operations_of(const pb_network *network, int l) {
    const pb_layer *layer = &network->layers[l];
    const pb_layer_shape shape = pb_network_shape(network, l);
    const double values = (double)pb_layer_shape_values(shape);
    if (layer->operation == PB_OPERATION_CONVOLUTION)
        return 2.0 * BATCH * values * layer->kernel * layer->kernel * (layer->inputs / layer->groups);
    return layer->operation == PB_OPERATION_ATTENTION ? 4.0 * BATCH * values * (double)pb_size_area(shape.size) : 0;
}

static void add_layer(estimate *to, const pb_network *network, int l, pb_precision precision) {
    const pb_layer *layer = &network->layers[l];
    const bool depthwise = layer->operation != PB_OPERATION_ATTENTION && layer->groups > 1;
    add(to, operations_of(network, l), bytes_of(network, l, precision), depthwise ? VECTOR_PEAK : PEAKS[precision]);
}

static estimate estimate_of(const pb_network *network, pb_precision precision) {
    const double each = (double)pb_element_bytes(pb_precision_element(precision));
    const double pixels = (double)BATCH * (double)pb_size_area(network->size);
    estimate sum = {0};
    add(&sum, 0, pixels * (3 + pb_precision_input_channels(precision) * each), VECTOR_PEAK);
    for (int l = 0; l < network->layer_count; l++)
        add_layer(&sum, network, l, precision);
    for (int t = 0; t < network->tap_count; t++)
        add(&sum, 0, BATCH * (double)pb_layer_shape_values(pb_network_shape(network, network->taps[t])) * (each + sizeof(float)),
            VECTOR_PEAK);
    return sum;
}

/* A number with commas between thousands. */
static void put_thousands(double number, char text[32]) {
    char digits[32];
    const int length = snprintf(digits, sizeof digits, "%.0f", number);
    char *to = text;
    for (int i = 0; i < length; i++) {
        *to++ = digits[i];
        if (i + 1 < length && (length - 1 - i) % 3 == 0)
            *to++ = ',';
    }
    *to = '\0';
}

/* Of images `side` pixels high and wide, which is said where it is not SIDE. */
static void make_row(const char *backbone, const char *taps, int side, char row[ROW]) {
    pb_network network;
    char rates[3][32], said[32] = "";
    static const pb_precision ORDER[] = {PB_PRECISION_FP16, PB_PRECISION_TF32, PB_PRECISION_FP32};
    must(pb_network_outline(backbone, taps, (pb_size){side, side}, &network));
    for (int p = 0; p < 3; p++)
        put_thousands(BATCH / estimate_of(&network, ORDER[p]).seconds, rates[p]);
    const estimate half = estimate_of(&network, PB_PRECISION_FP16);
    if (side != SIDE)
        snprintf(said, sizeof said, ", %d x %d", side, side);
    snprintf(row, ROW, "| %s%s | %s | %.2f | %.1f | %s | %s | %s | %.0f | %.1f |", backbone, said, taps,
             half.operations / BATCH / 1e9, half.bytes / BATCH / 1e6, rates[0], rates[1], rates[2],
             100 * half.memory_seconds / half.seconds, BATCH / half.seconds * side * side * 3 / 1e9);
    pb_network_free(&network);
}

/* Whether a file has a line. */
static bool has_line(FILE *file, const char *line) {
    char found[4096];
    rewind(file);
    while (fgets(found, sizeof found, file)) {
        found[strcspn(found, "\n")] = '\0';
        if (strcmp(found, line) == 0)
            return true;
    }
    return false;
}

/* Prints a row that the file, if there is one, has not; returns whether it has not. */
static bool put_row(FILE *file, const char *backbone, const char *taps, int side) {
    char row[ROW];
    make_row(backbone, taps, side, row);
    const bool known = file && has_line(file, row);
    if (!known)
        printf("%s\n", row);
    return file && !known;
}

int main(int argc, char **argv) {
    FILE *file = argc == 3 && strcmp(argv[1], "--check") == 0 ? fopen(argv[2], "r") : NULL;
    int missing = 0;
    if (argc > 1 && !file) {
        fprintf(stderr, "usage: roofline [--check FILE]; FILE must be there\n");
        return 2;
    }
    if (!file)
        printf("| backbone | taps | GFLOP an image | MB an image, fp16 | images/s at most, fp16 or bf16 | tf32 | fp32 |"
               " time limited by memory, fp16, %% | images in, fp16, GB/s |\n|---|---|---|---|---|---|---|---|---|\n");
    for (const char *const *name = pb_backbone_names(); *name; name++) {
        const char *taps;
        int side;
        must(pb_backbone_defaults(*name, &taps, &side));
        missing += put_row(file, *name, taps, SIDE);
        if (side > SIDE)
            missing += put_row(file, *name, taps, side);
    }
    if (file)
        fclose(file);
    return missing > 0;
}

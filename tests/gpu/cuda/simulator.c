#include "simulator.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not Criterion's: the simulator is a part of the fake library too. */
#define MUST(condition)                                                                  \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                     \
        }                                                                                \
    } while (0)

__extension__ typedef _Float16 half_float;

float simulator_get(pb_element element, const void *memory, int64_t at) {
    if (element == PB_ELEMENT_FLOAT)
        return ((const float *)memory)[at];
    if (element == PB_ELEMENT_HALF)
        return (float)((const half_float *)memory)[at];
    uint32_t bits = (uint32_t)((const uint16_t *)memory)[at] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* bfloat: the nearer of the two next to the value, the even one of two as near. */
void simulator_put(pb_element element, void *memory, int64_t at, float value) {
    if (element == PB_ELEMENT_FLOAT)
        ((float *)memory)[at] = value;
    else if (element == PB_ELEMENT_HALF)
        ((half_float *)memory)[at] = (half_float)value;
    else {
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        uint16_t below = (uint16_t)(bits >> 16), above = (uint16_t)(below + 1);
        uint16_t both[2] = {below, above};
        double to_below = fabs((double)value - (double)simulator_get(PB_ELEMENT_BFLOAT, both, 0));
        double to_above = fabs((double)value - (double)simulator_get(PB_ELEMENT_BFLOAT, both, 1));
        bool up = to_above < to_below || (to_above == to_below && below % 2);
        ((uint16_t *)memory)[at] = up ? above : below;
    }
}

/* The tensors of a running graph. */
typedef struct machine {
    const pb_graph *graph;
    void *memory[PB_GRAPH_TENSORS_MAX];
} machine;

static int64_t place(const pb_graph_tensor *tensor, int64_t n, int64_t c, int64_t h, int64_t w) {
    const int64_t at[4] = {n, c, h, w};
    int64_t sum = 0;
    for (int d = 0; d < 4; d++)
        sum += (tensor->dims[d] == 1 ? 0 : at[d]) * tensor->strides[d];
    return sum;
}

static double get(const machine *on, int tensor, int64_t n, int64_t c, int64_t h, int64_t w) {
    const pb_graph_tensor *of = &on->graph->tensors[tensor];
    return (double)simulator_get(of->element, on->memory[tensor], place(of, n, c, h, w));
}

/* The value of one place of a window's result: a sum of products, or the largest. */
static double window_at(const machine *on, const pb_graph_operation *op, int64_t n, int64_t c, int64_t h, int64_t w) {
    const pb_graph_tensor *x = &on->graph->tensors[op->x], *y = &on->graph->tensors[op->y];
    const bool pool = op->verb == PB_GRAPH_MAX_POOL;
    const int64_t channels = pool ? 1 : on->graph->tensors[op->other].dims[1];
    const int64_t first = pool ? c : c / (y->dims[1] / (x->dims[1] / channels)) * channels;
    double value = pool ? -INFINITY : 0;
    for (int64_t i = 0; i < channels; i++)
        for (int64_t r = 0; r < op->window[0]; r++)
            for (int64_t s = 0; s < op->window[1]; s++) {
                const int64_t row = h * op->strides[0] - op->before[0] + r, column = w * op->strides[1] - op->before[1] + s;
                if (row < 0 || row >= x->dims[2] || column < 0 || column >= x->dims[3])
                    continue;
                const double at = get(on, op->x, n, first + i, row, column);
                value = pool ? fmax(value, at) : value + at * get(on, op->other, c, i, r, s);
            }
    return value;
}

/* Attention: what each key's value counts for, in the order of the keys; of sum 1. */
static void share_out(const machine *on, const pb_graph_operation *op, int64_t n, int64_t head, int64_t query, double *share) {
    const pb_graph_tensor *keys = &on->graph->tensors[op->other];
    const double scale = get(on, op->scale, 0, 0, 0, 0);
    double most = -INFINITY, sum = 0;
    for (int64_t k = 0; k < keys->dims[2]; k++) {
        share[k] = 0;
        for (int64_t d = 0; d < keys->dims[3]; d++)
            share[k] += scale * get(on, op->x, n, head, query, d) * get(on, op->other, n, head, k, d);
        most = fmax(most, share[k]);
    }
    for (int64_t k = 0; k < keys->dims[2]; k++)
        sum += exp(share[k] - most);
    for (int64_t k = 0; k < keys->dims[2]; k++)
        share[k] = exp(share[k] - most) / sum;
}

static void run_attention(const machine *on, const pb_graph_operation *op) {
    const pb_graph_tensor *y = &on->graph->tensors[op->y];
    const int64_t keys = on->graph->tensors[op->other].dims[2];
    double *share = malloc((size_t)keys * sizeof *share);
    MUST(share);
    for (int64_t n = 0; n < y->dims[0]; n++)
        for (int64_t head = 0; head < y->dims[1]; head++)
            for (int64_t query = 0; query < y->dims[2]; query++) {
                share_out(on, op, n, head, query, share);
                for (int64_t d = 0; d < y->dims[3]; d++) {
                    double sum = 0;
                    for (int64_t k = 0; k < keys; k++)
                        sum += share[k] * get(on, op->values, n, head, k, d);
                    simulator_put(y->element, on->memory[op->y], place(y, n, head, query, d), (float)sum);
                }
            }
    free(share);
}

static double value_at(const machine *on, const pb_graph_operation *op, int64_t n, int64_t c, int64_t h, int64_t w) {
    switch (op->verb) {
    case PB_GRAPH_ADD:
        return get(on, op->x, n, c, h, w) + get(on, op->other, n, c, h, w);
    case PB_GRAPH_RELU:
        return fmin(fmax(get(on, op->x, n, c, h, w), 0), op->upper);
    case PB_GRAPH_GELU:
        return get(on, op->x, n, c, h, w) * erfc(-get(on, op->x, n, c, h, w) / sqrt(2)) / 2;
    case PB_GRAPH_CONVOLUTION:
    case PB_GRAPH_MAX_POOL:
    case PB_GRAPH_ATTENTION:
        break;
    }
    return window_at(on, op, n, c, h, w);
}

/* The result must have the shape that cuDNN computes: (in + before + after - window) / stride + 1, rounded down. */
static void check_shape(const machine *on, const pb_graph_operation *op) {
    const pb_graph_tensor *x = &on->graph->tensors[op->x], *y = &on->graph->tensors[op->y];
    for (int axis = 0; axis < 2; axis++) {
        const int64_t in = x->dims[2 + axis], reach = in + op->before[axis] + op->after[axis] - op->window[axis];
        const int64_t out = op->window[axis] ? reach / op->strides[axis] + 1 : in;
        MUST(reach >= 0 || !op->window[axis]);
        MUST(y->dims[2 + axis] == out);
    }
}

static void run_operation(const machine *on, const pb_graph_operation *op) {
    const pb_graph_tensor *y = &on->graph->tensors[op->y];
    if (op->verb == PB_GRAPH_ATTENTION) {
        run_attention(on, op);
        return;
    }
    check_shape(on, op);
    for (int64_t n = 0; n < y->dims[0]; n++)
        for (int64_t h = 0; h < y->dims[2]; h++)
            for (int64_t w = 0; w < y->dims[3]; w++)
                for (int64_t c = 0; c < y->dims[1]; c++)
                    simulator_put(y->element, on->memory[op->y], place(y, n, c, h, w), (float)value_at(on, op, n, c, h, w));
}

void simulate(const pb_graph *graph, void *const memory[PB_GRAPH_ROLES]) {
    machine on = {.graph = graph};
    for (int t = 0; t < graph->tensor_count; t++) {
        const pb_graph_tensor *tensor = &graph->tensors[t];
        on.memory[t] = memory[tensor->role];
        if (tensor->role != PB_GRAPH_VIRTUAL)
            continue;
        MUST(tensor->element == PB_ELEMENT_FLOAT);
        size_t values = 1;
        for (int d = 0; d < 4; d++)
            values *= (size_t)tensor->dims[d];
        on.memory[t] = calloc(values, sizeof(float));
        MUST(on.memory[t]);
    }
    for (int o = 0; o < graph->operation_count; o++)
        run_operation(&on, &graph->operations[o]);
    for (int t = 0; t < graph->tensor_count; t++)
        if (graph->tensors[t].role == PB_GRAPH_VIRTUAL)
            free(on.memory[t]);
}

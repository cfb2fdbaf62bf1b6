/* simulator.h, private to tests/gpu/cuda/: what a graph means, in plain loops over host memory.
 *
 * Written from the words of network_graph.h and of cuDNN's manual, not from gpu/cuda/: every tensor is read and written by its
 * dims and strides, places over the edge by `before` alone.
 */
#ifndef PB_TESTS_GPU_CUDA_SIMULATOR_H
#define PB_TESTS_GPU_CUDA_SIMULATOR_H

#include "gpu/cuda/network_graph.h"

/* Runs the operations of a graph in their order. memory: of each role that the graph has, in the tensor's type and strides. What
 * is virtual is float. Failures end the process. */
void simulate(const pb_graph *graph, void *const memory[PB_GRAPH_ROLES]);

/* One value of a tensor in memory. */
float simulator_get(pb_element element, const void *memory, int64_t at);
void simulator_put(pb_element element, void *memory, int64_t at, float value);

#endif

/* backbones.h, private to tests/gpu/cuda/: which backbones have graphs for cuDNN. Vision transformers have not:
 * test_network_graph.c shows that the device says so. */
#ifndef PB_TESTS_GPU_CUDA_BACKBONES_H
#define PB_TESTS_GPU_CUDA_BACKBONES_H

#include <stdbool.h>
#include <string.h>

static inline bool has_graphs(const char *backbone) { return strncmp(backbone, "dinov2", 6) != 0; }

#endif

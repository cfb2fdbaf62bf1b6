/* ceiling.h, private to tests/bench/: what a device's arithmetic can do at most. */
#ifndef PB_TESTS_BENCH_DEVICE_CEILING_H
#define PB_TESTS_BENCH_DEVICE_CEILING_H

/* Fused multiply-adds a second of the GPU `ordinal`, from registers alone, the best of several launches; 0 when CUDA cannot. */
double bench_gpu_fma_rate(int ordinal);

/* The same, of one core of this processor with the kernels of the device `name` ("cpu", "cpu:avx2"). */
double bench_cpu_fma_rate(const char *name);

#endif

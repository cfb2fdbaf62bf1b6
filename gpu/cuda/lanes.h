/* lanes.h: private to gpu/cuda/: how a kernel is written so that nvcc and, as C, the emulator of tests/gpu/emulator compile it.
 *
 * A kernel uses CUDA's own names: threadIdx.x, blockIdx.x, blockDim.x, gridDim.x, __syncthreads, __shfl_xor_sync (of 32 or 64
 * bits), __ballot_sync, __popc, atomicMax, atomicMin and atomicAdd of packed pairs. What C and C++ say differently stands here:
 *   KERNEL(name, type, threads, blocks) { ... }   a kernel that gets `const type a`; threads a block at most, and how many such
 *                                                 blocks a multiprocessor must hold, which limits registers
 *   LAUNCH(name, grid, threads, shared, stream, arguments)   shared: bytes, at most 48 KiB
 *   SHARED(type, name)                            `name` points to the block's shared memory, aligned to 16 bytes
 *   warp_multiply(sums, rows, columns)            the tensor cores' product of a warp
 * Kernels and launches stand in one file; the launch functions of kernels.h are what the host knows.
 *
 * Bits (docs/ARCHITECTURE.md, invariant 1): compiled without contraction; a fused multiply-add is spelled fmaf.
 *
 * The first half is two versions of the same words, for nvcc and for the emulator; the second half, from WARP on, is code that
 * both compile. Lanes, warps and blocks are CUDA's: the 32 lanes of a warp exchange values without memory (__shfl_xor_sync);
 * threads of a block share memory and meet at __syncthreads; blocks meet only by atomic operations, and in the next launch.
 */
#ifndef PB_GPU_CUDA_LANES_H
#define PB_GPU_CUDA_LANES_H

#include <cuda_runtime.h>

#ifdef __CUDACC__
#include <cuda_fp16.h>

#define DEVICE static __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define KERNEL(name, type, threads, blocks) static __global__ void __launch_bounds__(threads, blocks) name(const type a)
#define LAUNCH(name, grid, threads, shared, stream, arguments) name<<<grid, threads, shared, stream>>>(arguments)
#define SHARED(type, name)                                            \
    extern __shared__ __align__(16) unsigned char lanes_shared[];     \
    type *name = (type *)lanes_shared

/* Adds the product of 16 x 16 and 16 x 8 halves to 16 x 8 floats, by all lanes of a warp. Products are exact; how sums are
 * rounded is the hardware's (nearest_filter.cu). Lane L, with g = L / 4 and t = L % 4, has
 *   rows     words of two halves: row g from column 2t on, row g + 8 likewise, then both from column 2t + 8 on
 *   columns  column g from row 2t on, and from row 2t + 8 on
 *   sums     row g at columns 2t and 2t + 1, then row g + 8  */
DEVICE void warp_multiply(float sums[4], const unsigned rows[4], const unsigned columns[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(rows[0]), "r"(rows[1]), "r"(rows[2]), "r"(rows[3]), "r"(columns[0]), "r"(columns[1]));
}

/* A float rounded to half precision, as bits. */
DEVICE unsigned short half_bits(float value) { return __half_as_ushort(__float2half_rn(value)); }

/* The other way, exactly. */
DEVICE float half_value(unsigned short bits) { return __half2float(__ushort_as_half(bits)); }
#else
#define DEVICE static inline __attribute__((always_inline, unused))
#define UNROLL
#define KERNEL(name, type, threads, blocks)                                                \
    static void name(const type a);                                                        \
    static void name##_run(const void *arguments) { name(*(const type *)arguments); }      \
    static void name(const type a)
#define LAUNCH(name, grid, threads, shared, stream, arguments) \
    emulator_launch(#name, name##_run, &(arguments), sizeof(arguments), (grid), (threads), (shared), (stream))
#define SHARED(type, name) type *name = (type *)emulator_shared()
#define warp_multiply(sums, rows, columns) emulator_multiply((sums), (rows), (columns), __LINE__)

__extension__ typedef _Float16 half_float;

DEVICE unsigned short half_bits(float value) {
    const half_float half = (half_float)value;
    unsigned short bits;
    memcpy(&bits, &half, sizeof bits);
    return bits;
}

DEVICE float half_value(unsigned short bits) {
    half_float half;
    memcpy(&half, &bits, sizeof half);
    return (float)half;
}
#endif

/* Lanes of a warp, and the mask of all of them: every exchange below takes whole warps. */
enum { WARP = 32 };
#define ALL_LANES 0xFFFFFFFFu

/* A packed pair of gpu/device.h, in the type that atomic operations take. Maxima and minima by atomics in any order give the same
 * pair (invariant 2). */
typedef unsigned long long packed_pair;

/* As pb_pack_farthest, pb_pack_nearest and pb_packed_distance2. */
DEVICE packed_pair pack_farthest(float distance2, unsigned index) {
    return (packed_pair)__float_as_uint(distance2) << 32 | (0xFFFFFFFFu - index);
}

DEVICE packed_pair pack_nearest(float distance2, unsigned index) {
    return (packed_pair)__float_as_uint(distance2) << 32 | index;
}

DEVICE float distance2_of(packed_pair packed) { return __uint_as_float((unsigned)(packed >> 32)); }

/* A finite float rounded to bfloat, as bits: its upper half, ties to even. */
DEVICE unsigned short bfloat_bits(float value) {
    const unsigned bits = __float_as_uint(value);
    return (unsigned short)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

/* The other way, exactly. */
DEVICE float bfloat_value(unsigned short bits) { return __uint_as_float((unsigned)bits << 16); }

/* An exponent of all ones is an infinity or a NaN. */
DEVICE bool is_finite(float value) { return (__float_as_uint(value) & 0x7F800000u) != 0x7F800000u; }

/* The largest value of a warp's lanes, in each of them. All lanes take part. Five exchanges: each lane with the one whose number
 * differs in one bit. */
DEVICE packed_pair warp_most(packed_pair value) {
    for (int lanes = WARP / 2; lanes > 0; lanes /= 2) {
        const packed_pair other = __shfl_xor_sync(ALL_LANES, value, lanes);
        value = other > value ? other : value;
    }
    return value;
}

/* `value` of the lane whose number differs by the bits of `lanes`. All lanes take part. */
DEVICE float lane_value(float value, int lanes) {
    return __uint_as_float((unsigned)__shfl_xor_sync(ALL_LANES, __float_as_uint(value), lanes));
}

/* The sum of a warp's lanes, in each of them the same bits: in pairs, and pairs of pairs. All lanes take part. */
DEVICE float warp_sum(float value) {
    for (int lanes = WARP / 2; lanes > 0; lanes /= 2)
        value += lane_value(value, lanes);
    return value;
}

/* The largest value of a block's threads goes into *most, by one atomic operation a block, none for 0. All threads take part,
 * whole warps. slots: WARP places of shared memory. One barrier: slots are written before it and read after it. Whoever uses
 * `slots` again needs a barrier between. */
DEVICE void block_most(packed_pair value, packed_pair *slots, packed_pair *most) {
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    value = warp_most(value);
    if (lane == 0)
        slots[warp] = value;
    __syncthreads();
    if (warp == 0) {
        value = warp_most(lane < blockDim.x / WARP ? slots[lane] : 0);
        if (lane == 0 && value > 0)
            atomicMax(most, value);
    }
}

#endif

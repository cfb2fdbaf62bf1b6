#!/usr/bin/python3
"""Changes one line of a kernel at a time and shows that the kernel's test fails: a test that cannot fail says nothing.

Usage:  mutate.py BUILD [NAME]      BUILD: a build folder with its tests; NAME: only changes of this file of gpu/cuda/

Compiles each changed kernel as the build does (compile_commands.json) and puts it in front of the emulated plugin's own by
LD_PRELOAD; then the tests named beside the change must fail. Unchanged, in the same way, they must pass. Prints the table of
docs/MUTATIONS.md. Exit status: 0 when every change was found, 1 when not, 2 when a change cannot be made: its line is gone, or
what it gives does not compile.
"""

import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, os.pardir))
TIMEOUT = 300   # seconds; a change that makes a kernel run for ever is found too

# File of gpu/cuda/ that is changed, kernels that include it, suites that must find it: then what is replaced by what. The text to
# replace stands in the file exactly once.
CHANGES = (
    ("network_input.cu", ["network_input.cu"], ["network_input"], (
        ("if (pixel >= a.pixels)", "if (pixel > a.pixels)"),
        ("a.images[pixel * 3 + (size_t)c] - a.mean[c]", "a.images[pixel * 3 + (size_t)c] - a.mean[0]"),
        ("a.mean[c]) * a.scale[c] : 0.0f", "a.mean[c]) * a.scale[c] : 1.0f"),
        ("a.mean[c]) * a.scale[c] :", "a.mean[c]) / (1 / a.scale[c]) :"),
        ("element_put(a.out, pixel * (size_t)a.channels + (size_t)c,", "element_put(a.out, pixel * 8 + (size_t)c,"),
        ("(pixels + INPUT_THREADS - 1) / INPUT_THREADS), INPUT_THREADS", "pixels / INPUT_THREADS + 1), INPUT_THREADS - 1"),
    )),
    ("network_tap.cu", ["network_tap.cu"], ["network_tap"], (
        ("if (at >= a.count)", "if (at > a.count)"),
        ("(count + TAP_THREADS - 1) / TAP_THREADS), TAP_THREADS", "count / TAP_THREADS), TAP_THREADS"),
    )),
    ("elements.h", ["network_input.cu", "network_tap.cu", "network_norm.cu", "network_attention.cu"],
     ["network_input", "network_tap", "network_norm", "network_attention"], (
        ("from.element == PB_ELEMENT_HALF ?", "from.element != PB_ELEMENT_HALF ?"),
        ("else if (to.element == PB_ELEMENT_HALF)", "else if (to.element != PB_ELEMENT_HALF)"),
        ("value == value ? bfloat_bits(value) : (uint16_t)0x7FFF", "bfloat_bits(value)"),
        ("to.halves[at] = half_bits(value);", "to.halves[at] = half_bits(value) & 0xFFFE;"),
    )),
    ("network_tokens.cu", ["network_tokens.cu"], ["network_tokens"], (
        ("const size_t image = at / a.each, i = at % a.each;", "const size_t image = at / a.each, i = at % a.channels;"),
        ("if (i >= a.channels)", "if (i > a.channels)"),
        ("if (i >= a.channels)", "if (i < a.each)"),
        ("image * (a.each - a.channels) + i - a.channels", "image * a.each + i - a.channels"),
        ("value += element_get(a.places,", "value = element_get(a.places,"),
        ("(at / a.each + 1) * a.channels", "a.channels"),
        ("(at / a.each + 1) * a.channels", "at / a.each * a.channels"),
        ("(values + TOKENS_THREADS - 1) / TOKENS_THREADS", "values / TOKENS_THREADS"),
        ("each = (size_t)(shape.tokens - 1) * channels", "each = (size_t)shape.tokens * channels"),
    )),
    ("network_norm.cu", ["network_norm.cu"], ["network_norm"], (
        ("if (row >= a.rows)", "if (row > a.rows)"),
        ("(size_t)blockIdx.x * NORM_ROWS + threadIdx.x / WARP", "(size_t)blockIdx.x + threadIdx.x / WARP * gridDim.x"
         " + (threadIdx.x == WARP)"),
        ("warp_sum(sum) / (float)a.channels", "sum / (float)a.channels * WARP"),
        ("warp_sum(sum) / (float)a.channels", "warp_sum(sum) / (float)(a.channels + 1)"),
        ("squares = fmaf(apart, apart, squares);", "squares = fmaf(apart + mean, apart + mean, squares);"),
        ("squares = fmaf(apart, apart, squares);", "squares += apart < 0 ? -apart : apart;"),
        ("/ (float)a.channels + a.epsilon)", "/ (float)a.channels)"),
        ("1.0f / sqrtf(", "1.0f / ("),
        ("- mean) * scale, a.weights[c], a.bias[c])", "- mean) * scale, a.weights[c], a.weights[c])"),
        ("- mean) * scale, a.weights[c], a.bias[c])", ") * scale, a.weights[c], a.bias[c])"),
        ("(rows + NORM_ROWS - 1) / NORM_ROWS", "rows / NORM_ROWS"),
    )),
    ("network_attention.cu", ["network_attention.cu"], ["network_attention"], (
        ("slab[c * ATTENTION_PITCH + token] = token < count ?", "slab[c * ATTENTION_PITCH + token] = true ?"),
        ("slab[token * ATTENTION_PITCH + c] = c < depth ?", "slab[token * ATTENTION_PITCH + c] = true ?"),
        ("const unsigned token = at / depth, c = at % depth;", "const unsigned token = at % depth, c = at / depth;"),
        ("sums[i][j] = fmaf(row[i], column, sums[i][j]);", "sums[i][j] = fmaf(row[j], column, sums[i][j]);"),
        ("columns[k * ATTENTION_PITCH + attention_column(j)]", "columns[k * ATTENTION_PITCH + attention_row(j)]"),
        ("__syncthreads(); /* the slab has been read */", ""),
        ("a.stride, count, depth);\n        __syncthreads();", "a.stride, count, depth);"),
        ("attention_add(queries + c * ATTENTION_PITCH, slab, depth, scores);", "attention_add(queries, slab, depth, scores);"),
        ("a.depth - c < ATTENTION_DEPTH ? a.depth - c : ATTENTION_DEPTH;", "ATTENTION_DEPTH;"),
        ("attention_column(j) < count ? scores[i][j] : MINUS_INFINITY", "scores[i][j]"),
        ("most = fmaxf(most, scores[i][j]);", "most = scores[i][j];"),
        ("most = fmaxf(most, lane_value(most, lanes));", "most = fmaxf(most, most);"),
        ("state->most[i] = most;", "state->most[i] = 0.0f;"),
        ("state->shares[i] *= scale;", ""),
        ("state->sums[i][j] *= scale;", ""),
        ("expf(scores[i][j] - most)", "expf(scores[i][j])"),
        ("state->shares[i] += scores[i][j];", "state->shares[i] += 1.0f;"),
        ("if (first >= count)", "if (first + ATTENTION_DEPTH >= count)"),
        ("__syncthreads(); /* the slabs have been read */", ""),
        ("a.stride, depth, a.depth);\n        __syncthreads();", "a.stride, depth, a.depth);"),
        ("scores[i][s * ATTENTION_COLUMNS + j]", "scores[i][s + j]"),
        ("head + 2 * a.channels + (key + first) * a.stride", "head + 2 * a.channels + key * a.stride"),
        ("query = tile * ATTENTION_SIDE", "query = 0"),
        ("blockIdx.x / a.tiles % a.heads", "blockIdx.x % a.heads"),
        ("image = blockIdx.x / a.tiles / a.heads", "image = blockIdx.x / a.tiles / a.heads * 0"),
        ("head + a.channels + key * a.stride + c", "head + key * a.stride + c"),
        ("head + 2 * a.channels", "head + a.channels"),
        ("head + query * a.stride", "head"),
        ("a.tokens - key < ATTENTION_SIDE ? a.tokens - key : ATTENTION_SIDE", "ATTENTION_SIDE"),
        ("share += lane_value(share, lanes);", "share += share;"),
        ("if (attention_row(i) < rows && attention_column(j) < a.depth)", "if (attention_column(j) < a.depth)"),
        ("if (attention_row(i) < rows && attention_column(j) < a.depth)", "if (attention_row(i) < rows)"),
        ("state.sums[i][j] / share", "state.sums[i][j]"),
        ("((size_t)shape.tokens + ATTENTION_SIDE - 1) / ATTENTION_SIDE", "(size_t)shape.tokens / ATTENTION_SIDE"),
        ("#define ATTENTION_SHARED ((ATTENTION_SIDE + 2 * ATTENTION_DEPTH) * ATTENTION_PITCH * sizeof(float))",
         "#define ATTENTION_SHARED (((ATTENTION_SIDE + 2 * ATTENTION_DEPTH) * ATTENTION_PITCH - 8) * sizeof(float))"),
    )),
    ("patch_means.cu", ["patch_means.cu"], ["patch_means"], (
        ("if (at >= a.values)", "if (at > a.values)"),
        ("channel = at % channels", "channel = at / a.tap.width % channels"),
        ("(int)(place % width)", "(int)(place % (size_t)a.tap.height)"),
        ("reach = a.patch / 2", "reach = a.patch / 3"),
        ("float sum = 0.0f;", "float sum = 1.0f;"),
        ("for (int j = -reach; j <= reach; j++)", "for (int j = -reach; j < reach; j++)"),
        ("for (int i = -reach; i <= reach; i++)", "for (int i = reach; i >= -reach; i--)"),
        ("y + j >= 0 && y + j < a.tap.height", "y + j < a.tap.height"),
        ("x + i >= 0 && x + i < a.tap.width", "x + i >= 0 && x + i <= a.tap.width"),
        ("(long long)j * a.tap.width + i)", "(long long)j * a.tap.height + i)"),
        ("a.out[place * a.stride + channel]", "a.out[place * channels + channel]"),
        ("sum * (1.0f / (float)(a.patch * a.patch))", "sum / (float)(a.patch * a.patch)"),
        ("(values + MEANS_THREADS - 1) / MEANS_THREADS", "values / MEANS_THREADS"),
    )),
    ("patch_blend.cu", ["patch_blend.cu"], ["patch_blend"], (
        ("(2 * (long long)i + 1) * in - out", "2 * (long long)i * in"),
        ("numerator < 0 ? 0 : numerator > most", "numerator > most"),
        ("place.low + 1 < (size_t)in ? place.low + 1 : place.low", "place.low + 1"),
        ("(float)(numerator % denominator) / (float)denominator",
         "(float)(numerator % denominator) * (1.0f / (float)denominator)"),
        ("fmaf(fraction, high - low, low)", "fraction * (high - low) + low"),
        ("if (at >= a.values)", "if (at > a.values)"),
        ("place / width % height), a.field.height, a.height", "place / width % height), a.field.width, a.height"),
        ("place % width), a.field.width, a.width", "place % width), a.field.width, a.height"),
        ("place / width / height * (size_t)a.field.height", "place / width / height * height"),
        ("between(between(low[x.low * channels], low[x.high * channels], x.fraction),",
         "between(between(low[x.low * channels], low[x.high * channels], y.fraction),"),
        ("between(high[x.low * channels], high[x.high * channels], x.fraction), y.fraction)",
         "between(high[x.low * channels], high[x.high * channels], x.fraction), x.fraction)"),
        ("a.out[place * a.stride + channel]", "a.out[place * channels + channel]"),
        ("(values + BLEND_THREADS - 1) / BLEND_THREADS", "values / BLEND_THREADS"),
    )),
    ("patch_pool.cu", ["patch_pool.cu"], ["patch_pool"], (
        ("(int)(wide * from / to)", "(int)((wide * from + to - 1) / to)"),
        ("((wide + 1) * from + to - 1) / to", "(wide + 1) * from / to"),
        ("bin.factor = 1.0f / (float)(bin.end - bin.first)", "bin.factor = (float)to / (float)from"),
        ("(int)(row % (size_t)a.grid_height) * a.step", "(int)(row % (size_t)a.grid_height)"),
        ("image = row / (size_t)a.grid_height", "image = row / (size_t)height"),
        ("(int)(place % (size_t)a.grid_width) * a.step - a.patch / 2", "(int)(place % (size_t)a.grid_width) * a.step"),
        ("pool_bin_of(j, a.tap.channels * area, a.dim)", "pool_bin_of(j, a.tap.channels, a.dim)"),
        ("top + term % area / a.patch", "top + term / a.patch"),
        ("left + term % a.patch", "left + term % area"),
        ("if (y >= 0 && y < height && x >= 0 && x < width)", "if (y >= 0 && y < height && x >= 0)"),
        ("(size_t)(term / area)", "(size_t)(term % a.tap.channels)"),
        ("a.out[place * a.stride + j] = sum * bin.factor;", "a.out[place * a.stride + j] = sum / (float)(bin.end - bin.first);"),
        ("a.rows + at / (size_t)a.to * (size_t)a.from", "a.rows + at / (size_t)a.to * (size_t)a.to"),
        ("pool_bin_of(at % (size_t)a.to, a.from, a.to)", "pool_bin_of(at % (size_t)a.to, a.to, a.to)"),
        ("sum += row[term];", "sum += row[bin.first];"),
        ("a.out[at] = sum * bin.factor;", "a.out[at] = sum;"),
        ("(values + POOL_THREADS - 1) / POOL_THREADS", "values / POOL_THREADS"),
        ("(tap.height + step - 1) / step", "tap.height / step"),
    )),
    ("unit_rows.cu", ["unit_rows.cu"], ["unit_rows"], (
        ("__syncthreads(); /* all have read the last slab, where the lengths go */", ""),
        ("sqrtf(square);\n    __syncthreads();", "sqrtf(square);"),
        ("__float_as_uint(square) == 0x7F800000u ? __uint_as_float(0x7FC00000u) : sqrtf(square)", "sqrtf(square)"),
        ("!(length <= 0)", "!(length < 0)"),
        ("rows[row * dim + k] /= length;", "rows[row * dim + k] *= 1.0f / length;"),
        ("for (size_t k = lane; k < dim", "for (size_t k = lane + 1; k < dim"),
        ("row < count; row += STEP_THREADS / WARP", "row < count; row += STEP_THREADS / WARP + 1"),
        ("const float length = lengths[row];", "const float length = lengths[0];"),
        ("a.rows + first * dim", "a.rows + first"),
        ("(n + STEP_THREADS - 1) / STEP_THREADS", "n / STEP_THREADS"),
    )),
    ("smooth_maps.cu", ["smooth_maps.cu"], ["smooth_maps"], (
        ("if (i >= 0 && i < length)", "if (i >= 0)"),
        ("i %= 2 * length;", "i %= length;"),
        ("i = i < 0 ? i + 2 * length : i;", "i = i < 0 ? -i : i;"),
        ("i < length ? i : 2 * length - 1 - i", "i < length ? i : 2 * length - 2 - i"),
        ("if (at >= a.values)", "if (at > a.values)"),
        ("(int)(at / a.step % (size_t)a.length)", "(int)(at % (size_t)a.length)"),
        ("a.from + (at - (size_t)place * a.step)", "a.from + (at - (size_t)place)"),
        ("a.how.weights[0] * a.from[at]", "a.from[at]"),
        ("a.how.weights[0] * a.from[at]", "a.how.weights[0] * line[0]"),
        ("for (int k = 1; k <= a.how.reach; k++)", "for (int k = 1; k < a.how.reach; k++)"),
        ("for (int k = 1; k <= a.how.reach; k++)", "for (int k = a.how.reach; k >= 1; k--)"),
        ("fmaf(a.how.weights[k], line", "fmaf(a.how.weights[1], line"),
        ("mirrored(place - k, a.length)", "mirrored(place + k, a.length)"),
        ("mirrored(place + k, a.length) * a.step]", "mirrored(place + k, a.length)]"),
        ("(values + SMOOTH_THREADS - 1) / SMOOTH_THREADS", "values / SMOOTH_THREADS"),
    )),
    ("pairs.h", ["project.cu", "nearest.cu", "cover_meet.cu"], ["project", "nearest", "cover_meet"], (
        ("if (row < from.count && (int)k < depth)", "if ((int)k < depth)"),
        ("if (row < from.count && (int)k < depth)", "if (row < from.count)"),
        ("if (column < count && (int)k < depth)", "if ((int)k < depth)"),
        ("slab[k * PAIRS_PITCH + row] = value", "slab[k * PAIRS_SIDE + row] = value"),
        ("slab[k * PAIRS_PITCH + column] = value", "slab[k * PAIRS_PITCH + column + 1] = value"),
        ("(size_t)(from.which ? from.which[row] : row)", "(size_t)row"),
        ("distance ? fmaf(t, t, sums[i][j])", "distance ? t * t + sums[i][j]"),
        ("fmaf(l[i], r[j], sums[i][j])", "l[i] * r[j] + sums[i][j]"),
        ("l[i] = left[pairs_left(i)]", "l[i] = left[pairs_right(i)]"),
        ("for (int k = 0; k < depth; k++)", "for (int k = 0; k < PAIRS_DEPTH; k++)"),
        ("for (int k = 0; k < depth; k++)", "for (int k = depth - 1; k >= 0; k--)"),
        ("__syncthreads(); /* the slabs have been read */", ""),
        ("pairs_lay_rows(right_slab, right, dim, begin, depth);\n        __syncthreads();",
         "pairs_lay_rows(right_slab, right, dim, begin, depth);"),
        ("const int depth = dim - begin < PAIRS_DEPTH ? dim - begin : PAIRS_DEPTH;", "const int depth = PAIRS_DEPTH;"),
        ("#define PAIRS_SHARED (2 * PAIRS_DEPTH * PAIRS_PITCH * sizeof(float))",
         "#define PAIRS_SHARED ((2 * PAIRS_DEPTH * PAIRS_PITCH - 2) * sizeof(float))"),
    )),
    ("project.cu", ["project.cu"], ["project"], (
        ("__syncthreads(); /* the slabs have been read */", ""),
        ("a.matrix + column, columns, a.out_dim, begin, depth);\n        __syncthreads();",
         "a.matrix + column, columns, a.out_dim, begin, depth);"),
        ("pairs_add(left, right, depth, sums, false)", "pairs_add(left, right, depth, sums, true)"),
        ("(size_t)(blockIdx.x / tiles) * PAIRS_SIDE", "(size_t)(blockIdx.x % tiles) * PAIRS_SIDE"),
        ("if (pairs_left(i) < rows && pairs_right(j) < columns)", "if (pairs_left(i) < rows)"),
        ("if (pairs_left(i) < rows && pairs_right(j) < columns)", "if (pairs_right(j) < columns)"),
        ("pairs_lay_columns(right, a.matrix + column,", "pairs_lay_columns(right, a.matrix,"),
        ("((unsigned)a.out_dim + PAIRS_SIDE - 1) / PAIRS_SIDE", "(unsigned)a.out_dim / PAIRS_SIDE + 1"),
        ("(n + PAIRS_SIDE - 1) / PAIRS_SIDE * tiles", "n / PAIRS_SIDE * tiles + 1"),
    )),
    ("points_write.cu", ["points_write.cu"], ["points_write"], (
        ("a.points[at] = value;", "a.points[at] = value + 0.0f;"),
        ("if (!is_finite(value))", "if (!(value == value))"),
        ("a.first + at / (size_t)a.dim", "at / (size_t)a.dim"),
        ("atomicMin(a.not_finite", "atomicMax(a.not_finite"),
        ("a.first + at / (size_t)a.dim", "a.first + at"),
        ("if (a.distance2 && at < a.count)", "if (a.distance2)"),
        ("if (a.distance2 && at < a.count)", "if (at < a.count)"),
        ("__uint_as_float(0x7F800000u)", "__uint_as_float(0x7F7FFFFFu)"),
        ("stride = (size_t)gridDim.x * POINTS_WRITE_THREADS", "stride = (size_t)gridDim.x * POINTS_WRITE_THREADS + 1"),
        ("(count * (size_t)dim + POINTS_WRITE_THREADS - 1) / POINTS_WRITE_THREADS", "count * (size_t)dim / POINTS_WRITE_THREADS"),
    )),
    ("step.h", ["greedy_step.cu", "cover_select.cu", "unit_rows.cu"], ["greedy_step", "cover_select", "unit_rows"], (
        ("centre ? x - memory.centre[k] : x;", "x - memory.centre[k];"),
        ("__syncthreads(); /* the slab has been read */", ""),
        ("memory.centre[lane] = centre[(size_t)begin + lane];\n        }\n        __syncthreads();",
         "memory.centre[lane] = centre[(size_t)begin + lane];\n        }"),
        ("sum = fmaf(t, t, sum);", "sum = t * t + sum;"),
        ("if ((int)lane < depth) {", "{"),
        ("for (int k = 0; k < depth; k++)", "for (int k = 1; k < depth; k++)"),
        ("for (int k = 0; k < depth; k++)", "for (int k = depth - 1; k >= 0; k--)"),
        ("row < count; row += STEP_THREADS / WARP", "row < STEP_THREADS; row += STEP_THREADS / WARP"),
        ("STEP_PITCH = STEP_DEPTH + 1", "STEP_PITCH = STEP_DEPTH - 1"),
        ("x - memory.centre[k] : x", "x - memory.centre[0] : x"),
    )),
    ("lanes.h", ["greedy_step.cu", "cover_select.cu", "cover_list.cu", "network_norm.cu"],
     ["greedy_step", "cover_select", "cover_list", "network_norm"], (
        ("value += lane_value(value, lanes);", "value = lane_value(value, lanes);"),
        ("__float_as_uint(value), lanes));", "__float_as_uint(value), lanes ^ 1));"),
        ("(0xFFFFFFFFu - index)", "index"),
        ("for (int lanes = WARP / 2; lanes > 0; lanes /= 2) {", "for (int lanes = WARP / 4; lanes > 0; lanes /= 2) {"),
        ("for (int lanes = WARP / 2; lanes > 0; lanes /= 2)\n        value +=",
         "for (int lanes = WARP / 4; lanes > 0; lanes /= 2)\n        value +="),
        ("value = other > value ? other : value;", "value = other < value ? other : value;"),
        ("        slots[warp] = value;\n    __syncthreads();", "        slots[warp] = value;"),
        ("lane < blockDim.x / WARP ? slots[lane] : 0", "slots[lane]"),
        ("lane < blockDim.x / WARP ? slots[lane] : 0", "lane < blockDim.x / WARP - 1 ? slots[lane] : 0"),
        ("atomicMax(most, value);", "*most = value;"),
    )),
    ("greedy_step.cu", ["greedy_step.cu"], ["greedy_step"], (
        ("fresh < before ? fresh : before", "fresh"),
        ("fresh < before ? fresh : before", "fresh < before ? before : fresh"),
        ("a.distance2[point] = after;", "a.distance2[first] = after;"),
        ("pack_farthest(after, a.first_index + (unsigned)point)", "pack_farthest(after, (unsigned)point)"),
        ("pack_farthest(after, a.first_index + (unsigned)point)", "pack_farthest(after, a.first_index + threadIdx.x)"),
        ("pack_farthest(after, a.first_index + (unsigned)point)", "pack_farthest(fresh, a.first_index + (unsigned)point)"),
        ("if (threadIdx.x < count) {", "{"),
        ("if (threadIdx.x < count) {", "if (threadIdx.x + 1 < count) {"),
        ("a.points + first * (size_t)a.dim", "a.points + first"),
        ("(n + STEP_THREADS - 1) / STEP_THREADS", "n / STEP_THREADS"),
    )),
    ("nearest.cu", ["nearest.cu"], ["nearest"], (
        ("least[j] = ~(packed_pair)0;", "least[j] = 0;"),
        ("(uint32_t)point + pairs_left(i)", "(uint32_t)point + pairs_left(0)"),
        ("a->first_index + (uint32_t)point", "a->first_index"),
        ("pairs_left(i) < points && packed < least[j]", "packed < least[j]"),
        ("packed < least[j] ? packed", "packed > least[j] ? packed"),
        ("if (pairs_right(j) < queries)", ""),
        ("a->list ? a->list + query : NULL", "a->list"),
        ("(a->list ? 0 : query * (size_t)a->dim)", "0"),
        ("atomicMin(a->nearest", "atomicMax(a->nearest"),
        ("right.which ? right.which[pairs_right(j)] : query", "query"),
        ("a.list ? (size_t)*a.listed : a.count", "a.count"),
        ("    if (groups == 0)\n        return;\n", "    if (a.list && groups == 1)\n        return;\n"),
        ("piece < groups * slices; piece += gridDim.x", "piece < groups; piece += gridDim.x"),
        ("piece / slices * PAIRS_SIDE", "piece % slices * PAIRS_SIDE"),
        ("point += slices * PAIRS_SIDE", "point += (slices + 1) * PAIRS_SIDE"),
        ("groups = (count + PAIRS_SIDE - 1) / PAIRS_SIDE, tiles", "groups = count / PAIRS_SIDE, tiles"),
    )),
    ("nearest_halves.cu", ["nearest_halves.cu"], ["nearest_halves"], (
        ("HALVES_EXPONENT = 8", "HALVES_EXPONENT = 9"),
        ("(254u - exponent) << 23", "(253u - exponent) << 23"),
        ("k < dim ? row[k] * inverse : 0.0f", "row[k < dim ? k : 0] * inverse"),
        ("lost = y - h", "lost = y * 0x1p-20f"),
        ("norm2 = fmaf(h, h, norm2)", "norm2 = fmaf(y, y, norm2)"),
        ("warp_sum(lost2)) * more", "warp_sum(lost2)) * 0.9999f"),
        ("warp_sum(norm2) * scale * scale", "warp_sum(norm2) * scale"),
        ("+ 0x1p-50f) * scale", "+ 0x1p-50f)"),
        ("& 0x7FFFFFFFu", "& 0x7FFF0000u"),
        ("bits > most ? bits : most", "bits < most ? bits : most"),
        ("if (most > MOST_BITS)", "if (most >= MOST_BITS)"),
        ("if (most > MOST_BITS)", "if (most > 0x7F800000u)"),
        ("if (most < LEAST_BITS)", "if (most <= LEAST_BITS)"),
        ("if (most < LEAST_BITS)", "if (most == 0)"),
        ("sqrtf((float)a.dim) * __uint_as_float(most)", "__uint_as_float(most)"),
        ("halves[k] = 0;", "halves[k] = 1;"),
        ("if (row >= a.count)", "if (row > a.count)"),
        ("__float_as_uint(about.radius)", "__float_as_uint(about.norm2)"),
        ("atomicMax(tile + 1,", "atomicMax(tile,"),
        ("row / PB_CUDA_FILTER_SIDE * 2", "row / PB_CUDA_FILTER_SIDE"),
        ("(count + HALVES_ROWS - 1) / HALVES_ROWS", "count / HALVES_ROWS"),
    )),
    ("nearest_filter.cu", ["nearest_filter.cu"], ["nearest_filter"], (
        ("if (row < count)", "if (row <= count)"),
        ("slab * FILTER_PIECES + at % FILTER_PIECES", "at % FILTER_PIECES"),
        ("lay(slab + FILTER_SLAB, right_pieces)", "lay(slab + FILTER_SLAB, left_pieces)"),
        ("word = in_row; word", "word = in_row + 8; word"),
        ("rows[i][1] = row[8 * FILTER_PITCH];", "rows[i][1] = row[0];"),
        ("rows[i][2] = row[4];", "rows[i][2] = row[0];"),
        ("rows[i][3] = row[8 * FILTER_PITCH + 4];", "rows[i][3] = row[8 * FILTER_PITCH];"),
        ("{column[0], column[4]}", "{column[0], column[0]}"),
        ("- in_row * 2 + in_column", "+ in_column"),
        ("slabs + s % 2 * 2 * FILTER_SLAB", "slabs"),
        ("if (s + 1 < slab_count)", "if (s < slab_count)"),
        ("fetch(left_pieces, left, points, row_pieces, s + 1)", "fetch(left_pieces, left, points, row_pieces, s)"),
        ("fetch(right_pieces, right, queries, row_pieces, s + 1)", "fetch(right_pieces, right, queries, row_pieces, s)"),
        ("        __syncthreads();\n        multiply(", "        multiply("),
        ("if (point >= points)\n                continue;", "if (point > points)\n                continue;"),
        ("-2.0f * about[point].scale", "-1.0f * about[point].scale"),
        ("-2.0f * about[point].scale", "-2.0f * about[0].scale"),
        ("norm2 = about[point].norm2;", "norm2 = about[0].norm2;"),
        ("memory.scale[filter_right(j, part)]", "memory.scale[filter_right(0, part)]"),
        ("less < least[j][part % 2] ? less", "less > least[j][part % 2] ? less"),
        ("int lanes = 4; lanes < WARP", "int lanes = 8; lanes < WARP"),
        ("if (threadIdx.x % WARP < 4)", "if (threadIdx.x % WARP == 0)"),
        ("memory.least[threadIdx.x / WARP / 2 * FILTER_SIDE +", "memory.least["),
        ("one < other ? one : other", "one > other ? one : other"),
        ("memory.radius[q] + __uint_as_float((unsigned)tile[0])", "memory.radius[q]"),
        ("memory.radius[q] + __uint_as_float((unsigned)tile[0])", "__uint_as_float((unsigned)tile[0])"),
        ("a->margin * (norm2 +", "0.0f * (norm2 +"),
        ("near2 = less + norm2 + margin", "near2 = less + margin"),
        (": 0.0f) + reach;", ": 0.0f) - reach;"),
        ("before < bits ? before : bits", "bits"),
        ("others < bits ? others : bits", "bits"),
        ("atomicMin(a->most + query, bits)", "atomicMax(a->most + query, bits)"),
        ("0x1p-98f)) + reach;", "0x1p-98f)) - reach;"),
        ("+ margin - norm2;", "- margin - norm2;"),
        ("+ margin - norm2;", "+ margin;"),
        ("sums[i][j][part] > memory.bound[q]", "sums[i][j][part] < memory.bound[q]"),
        ("if (point >= points || q >= queries", "if (q >= queries"),
        ("if (point >= points || q >= queries", "if (point >= points"),
        ("if (place < PB_CUDA_FILTER_ROOM)", "if (place <= PB_CUDA_FILTER_ROOM)"),
        ("(size_t)place] = first + point;", "(size_t)place] = point;"),
        ("(size_t)(blockIdx.x / a.slices) * FILTER_SIDE", "(size_t)(blockIdx.x % a.slices) * FILTER_SIDE"),
        ("stride = (size_t)a.slices * a.step * FILTER_SIDE", "stride = (size_t)a.step * FILTER_SIDE"),
        ("(blockIdx.x % a.slices) * a.step * FILTER_SIDE", "(blockIdx.x % a.slices) * FILTER_SIDE"),
        ("point / FILTER_SIDE * 2;", "0;"),
        ("        __syncthreads();\n        if (threadIdx.x < queries)", "        if (threadIdx.x < queries)"),
        ("        if (threadIdx.x < queries)\n            bound_query", "            bound_query"),
        ("        __syncthreads();\n        if (a.lists)", "        if (a.lists)"),
        ("(count + FILTER_SIDE - 1) / FILTER_SIDE", "count / FILTER_SIDE"),
        ("(float)(dim + 32) * 0x1p-22f", "(float)(dim + 32) * 0x1p-32f"),
        ("6 * FILTER_SIDE * sizeof(float)", "5 * FILTER_SIDE * sizeof(float)"),
    )),
    ("nearest_decide.cu", ["nearest_decide.cu"], ["nearest_decide"], (
        ("query >= a.count ||", ""),
        ("place >= a.counts[query]", "place > a.counts[query]"),
        ("a.counts[query] > PB_CUDA_FILTER_ROOM", "a.counts[query] >= PB_CUDA_FILTER_ROOM"),
        ("if (place == 0)", "if (place < 2)"),
        ("1)] = (unsigned)query", "1)] = (unsigned)at"),
        ("(size_t)point * (size_t)a.dim", "(size_t)place * (size_t)a.dim"),
        ("a.queries + query * (size_t)a.dim", "a.queries"),
        ("sum = fmaf(t, t, sum)", "sum = t * t + sum"),
        ("for (int k = 0; k < a.dim; k++)", "for (int k = a.dim - 1; k >= 0; k--)"),
        ("atomicMin(a.nearest + query,", "atomicMax(a.nearest + query,"),
        ("a.first_index + point)", "point)"),
        ("(count * PB_CUDA_FILTER_ROOM + DECIDE_THREADS - 1) / DECIDE_THREADS", "count * PB_CUDA_FILTER_ROOM / DECIDE_THREADS"),
    )),
    ("cover_list.cu", ["cover_list.cu"], ["cover_list"], (
        ("a->points.first_index + (unsigned)point", "(unsigned)point"),
        ("point < a->points.n && a->points.met[point] < a->limit", "a->points.met[point] < a->limit"),
        ("a->points.met[point] < a->limit", "a->points.met[point] <= a->limit"),
        ("key_of(a, point) >= a->floor", "key_of(a, point) > a->floor"),
        ("point < a.points.n ? key_of(&a, point) : 0, slots, a.most", "wanted ? key_of(&a, point) : 0, slots, a.most"),
        ("__syncthreads(); /* the slots have been read */", ""),
        ("wanted ? 0xFFFFFFFFu - a.points.met[point] : 0", "wanted ? a.points.met[point] : 0"),
        ("    __syncthreads();\n    if (threadIdx.x > 0)", "    if (threadIdx.x > 0)"),
        ("for (unsigned warp = 0; warp < LIST_THREADS / WARP; warp++)",
         "for (unsigned warp = 1; warp < LIST_THREADS / WARP; warp++)"),
        ("a.block_counts[blockIdx.x] = total;", "a.block_counts[blockIdx.x] = total + 1;"),
        ("stretch = (a.blocks + SCAN_THREADS - 1) / SCAN_THREADS",
         "stretch = a.blocks / SCAN_THREADS + (a.blocks < SCAN_THREADS)"),
        ("first + stretch < a.blocks ? first + stretch : a.blocks", "first + stretch"),
        ("__syncthreads(); /* all have read */", ""),
        ("        __syncthreads();\n        const unsigned before", "        const unsigned before"),
        ("threadIdx.x >= reach ? sums[threadIdx.x - reach] : 0", "threadIdx.x > reach ? sums[threadIdx.x - reach] : 0"),
        ("reach < SCAN_THREADS; reach *= 2", "reach < SCAN_THREADS / 2; reach *= 2"),
        ("unsigned place = sum - own;", "unsigned place = sum;"),
        ("if (threadIdx.x == SCAN_THREADS - 1)", "if (threadIdx.x == 0)"),
        ("    __syncthreads();\n    if (!wanted)", "    if (!wanted)"),
        ("votes & ((1u << lane) - 1)", "votes & (1u << lane)"),
        ("warp < own_warp; warp++", "warp <= own_warp; warp++"),
        ("cudaMemsetAsync(counts, 0, sizeof *counts, stream)", "cudaMemsetAsync(counts, 0, 4, stream)"),
    )),
    ("cover_meet.cu", ["cover_meet.cu"], ["cover_meet"], (
        ("begin + pairs_right(j)", "pairs_right(j)"),
        ("pairs_right(j) < centre_count && packed < least", "packed < least"),
        ("lanes = PAIRS_STEP / 2; lanes > 0", "lanes = PAIRS_STEP / 4; lanes > 0"),
        ("lanes = PAIRS_STEP / 2; lanes > 0", "lanes = PAIRS_STEP; lanes > 0"),
        ("least = other < least ? other : least;", "least = other > least ? other : least;"),
        ("first += (packed_pair)gridDim.x * PAIRS_SIDE", "first += (packed_pair)(gridDim.x + 1) * PAIRS_SIDE"),
        ("a.list + first, points", "a.list, points"),
        ("threadIdx.x % PAIRS_STEP == 0 && pairs_left(i) < points", "threadIdx.x % PAIRS_STEP == 0"),
        ("threadIdx.x % PAIRS_STEP == 0 && pairs_left(i) < points", "pairs_left(i) < points"),
        ("a.state[point] = least < a.state[point] ? least : a.state[point];", "a.state[point] = least;"),
        ("a.met[point] = a.met[point] < end ? end : a.met[point];", "a.met[point] = end;"),
        ("centres + (size_t)begin * (size_t)dim", "centres"),
    )),
    ("cover_candidates.cu", ["cover_candidates.cu"], ["cover_candidates"], (
        ("a.rows[(size_t)point * dim + k]", "a.rows[(size_t)point * dim]"),
        ("stride = (size_t)gridDim.x * CANDIDATES_THREADS;", "stride = a.count * dim;"),
        ("if (k > 0)", "if (k > 1)"),
        ("a.words[i * WORDS] = a.first_index + point;", "a.words[i * WORDS] = point;"),
        ("a.words[i * WORDS + 1] = (unsigned)a.state[point];", "a.words[i * WORDS + 1] = (unsigned)a.state[i];"),
        ("(unsigned)(a.state[point] >> 32);", "(unsigned)(a.state[point] >> 31);"),
        ("if (i < a.count) {", "{"),
        ("a.first_index + point) >= a.least", "a.first_index + point) > a.least"),
        ("a.first_index + point) >= a.least", "point) >= a.least"),
        ("if (threadIdx.x % WARP == 0 && votes)", "if (votes)"),
        ("atomicAdd(a.above, (packed_pair)__popc(votes));", "*a.above += (packed_pair)__popc(votes);"),
        ("if (i >= a.count)", "if (i > a.count)"),
        ("(packed_pair)a.words[i * WORDS + 2] << 32 | a.words[i * WORDS + 1]",
         "(packed_pair)a.words[i * WORDS + 1] << 32 | a.words[i * WORDS + 2]"),
        ("a.met[point] = a.met_now;", "a.met[i] = a.met_now;"),
        ("(items + CANDIDATES_THREADS - 1) / CANDIDATES_THREADS", "items / CANDIDATES_THREADS"),
    )),
    ("cover_select.cu", ["cover_select.cu"], ["cover_select"], (
        ("if (i < a.c.count) {", "if (i <= a.c.count) {"),
        ("sum = fmaf(t, t, sum);", "sum = t * t + sum;"),
        ("centre = a.centres + (size_t)nearest * dim", "centre = a.centres + i * dim"),
        ("a.state[i] = pack_nearest(sum, nearest);", "a.state[i] = pack_nearest(sum, nearest + 1);"),
        ("packed = pack_farthest(sum, (unsigned)i);", "packed = pack_farthest(sum, nearest);"),
        ("const unsigned place = 0xFFFFFFFFu - (unsigned)leader;", "const unsigned place = 0xFFFFFFFEu - (unsigned)leader;"),
        ("a.c.index[place]) < a.c.floor", "place) < a.c.floor"),
        ("a.c.index[place]) < a.c.floor", "a.c.index[place]) <= a.c.floor"),
        ("if (fresh < distance2_of(after))", "if (fresh <= distance2_of(after) + 1)"),
        ("a.state[i] = after = pack_nearest(fresh, a.number);", "after = pack_nearest(fresh, a.number);"),
        ("pack_nearest(fresh, a.number)", "pack_nearest(fresh, 0)"),
        ("pack_farthest(distance2_of(after), (unsigned)i)", "pack_farthest(distance2_of(after), threadIdx.x)"),
        ("if (blockIdx.x == 0)", "if (blockIdx.x > 0)"),
        ("a.centres[(size_t)a.number * dim + k] = pick[k];", "a.centres[k] = pick[k];"),
        ("block_most(packed, memory.slots, a.best + 1);", "block_most(packed, memory.slots, a.best);"),
        ("for (size_t k = threadIdx.x; k < dim; k += STEP_THREADS)",
         "for (size_t k = threadIdx.x; k < STEP_THREADS; k += STEP_THREADS)"),
        ("(count + STEP_THREADS - 1) / STEP_THREADS", "count / STEP_THREADS"),
    )),
)


class Stuck(Exception):
    """A change that cannot be made."""


class Build:
    def __init__(self, folder):
        self.test = os.path.join(folder, "tests", "gpu", "cuda", "test_gpu_cuda")
        with open(os.path.join(folder, "compile_commands.json"), encoding="utf-8") as file:
            entries = json.load(file)
        # Those of the emulator, not nvcc's: they call for every access.
        self.commands = {os.path.basename(entry["file"]): entry for entry in entries
                         if "/gpu/cuda/" in entry["file"] and "-fsanitize=thread" in entry["command"]}

    def compile(self, kernel, source_folder, output):
        """Compiles gpu/cuda/<kernel>, looking for it and for headers in source_folder first, to a library."""
        entry = self.commands[kernel]
        words = shlex.split(entry["command"])
        changed = os.path.join(source_folder, "gpu", "cuda", kernel)
        source = changed if os.path.exists(changed) else entry["file"]
        at = words.index("-o")
        words = [words[0], "-I" + source_folder] + words[1:at] + ["-w", "-o", output + ".o", "-c", source]
        words = [word for word in words if word not in ("-MD", "-Werror")]
        for option in ("-MT", "-MF"):
            if option in words:
                del words[words.index(option):words.index(option) + 2]
        for command in (words, [words[0], "-shared", "-o", output, output + ".o"]):
            result = subprocess.run(command, cwd=entry["directory"], capture_output=True, text=True, check=False)
            if result.returncode != 0:
                raise Stuck(result.stderr.strip().split("\n")[0])

    def failures(self, libraries, suite):
        """Names of the tests of a suite that fail with these kernels in front."""
        environment = dict(os.environ, LD_PRELOAD=":".join(libraries), ASAN_OPTIONS="verify_asan_link_order=0")
        try:
            result = subprocess.run([self.test, "-j1", "--filter", suite + "/*"], env=environment, capture_output=True, text=True,
                                    errors="replace", timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            return [suite + " (does not end)"]
        found = re.findall(r"^\[FAIL\] (\w+)::(\w+):", result.stderr, flags=re.MULTILINE)
        tested = re.search(r"Tested: (\d+)", result.stderr)
        if not tested or tested.group(1) == "0":
            raise Stuck(f"no test of the suite {suite} ran: {result.stderr[-200:]}")
        return sorted({f"{suite_}/{test}" for suite_, test in found})


def change(name, old, new, folder):
    """Writes the changed file below folder."""
    with open(os.path.join(ROOT, "gpu", "cuda", name), encoding="utf-8") as file:
        text = file.read()
    if text.count(old) != 1:
        raise Stuck(f"stands {text.count(old)} times in {name}: {old}")
    os.makedirs(os.path.join(folder, "gpu", "cuda"))
    with open(os.path.join(folder, "gpu", "cuda", name), "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))


def attempt(build, name, kernels, suites, old, new):
    """(name, old, new, tests that failed), or a Stuck."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            if old is not None:
                change(name, old, new, folder)
            libraries = []
            for kernel in kernels:
                libraries.append(os.path.join(folder, kernel + ".so"))
                build.compile(kernel, folder, libraries[-1])
            found = []
            for suite in suites:
                found += build.failures(libraries, suite)
            return name, old, new, found
        except Stuck as stuck:
            return name, old, new, stuck


def code(text):
    text = " ".join(text.split()).replace("|", "\\|")
    return f"`{text}`" if text else "nothing"


def main():
    build = Build(sys.argv[1])
    chosen = [row for row in CHANGES if len(sys.argv) < 3 or row[0] == sys.argv[2]]
    work = [(name, kernels, suites, None, None) for name, kernels, suites, _ in chosen]
    work += [(name, kernels, suites, old, new) for name, kernels, suites, changes in chosen for old, new in changes]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda row: attempt(build, *row), work))
    stuck = [row for row in results if isinstance(row[3], Stuck)]
    wrong = [row for row in results if not isinstance(row[3], Stuck) and (row[1] is None) == bool(row[3])]
    for name, old, new, found in stuck:
        print(f"{name}: {old} -> {new}: {found}", file=sys.stderr)
    for name, old, new, found in wrong:
        print(f"{name}: " + (f"fails unchanged: {found}" if old is None else f"not found: {old} -> {new}"), file=sys.stderr)
    changed = [row for row in results if row[1] is not None]
    print("# Changes of kernels, and the tests that find them\n\nMade by `tests/gpu/cuda/mutate.py`, which `tests/long.sh` runs: "
          f"{len(changed)} changes, {len(changed) - len(wrong) - len(stuck)} found.\n")
    print("| file of gpu/cuda/ | this | becomes | found by |\n|---|---|---|---|")
    for name, old, new, found in changed:
        by = "not made" if isinstance(found, Stuck) else ", ".join(found) or "**nobody**"
        print(f"| {name} | {code(old)} | {code(new)} | {by} |")
    return 2 if stuck else 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""PatchCore's patch features twice, in float64: as the authors' code computes them with torch (PatchMaker, MeanMapper, Aggregator
of amazon-science/patchcore-inspection, and the alignment of layers between them), and in numpy straight from the definition.
Taps are arrays [channels, side, side] of one image; the result is [patches, feature_dim].
"""

import numpy
import torch
import torch.nn.functional as F


def with_torch(taps, patch, stride, layer_dim, feature_dim):
    unfolded, grids = [], []
    for tap in taps:
        x = F.unfold(torch.from_numpy(tap)[None], kernel_size=patch, stride=stride, padding=(patch - 1) // 2)
        grids.append((tap.shape[1] + 2 * ((patch - 1) // 2) - patch) // stride + 1)
        unfolded.append(x[0].reshape(tap.shape[0], patch, patch, grids[-1], grids[-1]))
    layers = []
    for x in unfolded:
        flat = x.reshape(-1, 1, *x.shape[3:])
        if x.shape[3] != grids[0]:
            flat = F.interpolate(flat, size=(grids[0], grids[0]), mode="bilinear", align_corners=False)
        patches = flat.reshape(-1, grids[0] * grids[0]).T
        layers.append(F.adaptive_avg_pool1d(patches[:, None], layer_dim)[:, 0])
    joined = torch.stack(layers, dim=1).reshape(len(layers[0]), 1, -1)
    return F.adaptive_avg_pool1d(joined, feature_dim)[:, 0].numpy()


def pooled(values, size):
    """Adaptive average pooling of the last axis."""
    count = values.shape[-1]
    return numpy.stack([values[..., j * count // size:-(-(j + 1) * count // size)].mean(axis=-1) for j in range(size)], axis=-1)


def along(grid, size):
    """[size, grid] weights of the linear interpolation of `grid` places at `size`, half-pixel centres."""
    weights = numpy.zeros((size, grid))
    for i in range(size):
        at = min(max((i + 0.5) * grid / size - 0.5, 0), grid - 1)
        low = int(at)
        weights[i, low] += 1 - (at - low)
        weights[i, min(low + 1, grid - 1)] += at - low
    return weights


def with_numpy(taps, patch, stride, layer_dim, feature_dim):
    layers, size = [], None
    for tap in taps:
        reach, side = patch // 2, tap.shape[1]
        padded = numpy.pad(tap, ((0, 0), (reach, reach), (reach, reach)))
        starts = range(0, side, stride)
        grid = numpy.stack([[pooled(padded[:, y:y + patch, x:x + patch].reshape(-1), layer_dim) for x in starts] for y in starts])
        size = size or len(starts)
        weights = along(len(starts), size)
        layers.append(numpy.einsum("yr,xc,rcj->yxj", weights, weights, grid).reshape(size * size, layer_dim))
    return pooled(numpy.concatenate(layers, axis=1), feature_dim)


def patch_features(taps, patch, stride, layer_dim, feature_dim):
    """Both ways, which must agree."""
    ours, theirs = (way(taps, patch, stride, layer_dim, feature_dim) for way in (with_numpy, with_torch))
    assert ours.shape == theirs.shape and abs(ours - theirs).max() <= 1e-12 * abs(theirs).max()
    return theirs

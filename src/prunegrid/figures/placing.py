"""Place labels beside points so that they hide neither points, lines nor one another.

Each label takes the nearest free position of a fixed list, so the same numbers give the same figure. A library such as
`adjustText` moves labels iteratively, knows points but not lines, and is one more dependency for these few functions.
"""

from itertools import pairwise, product
from math import cos, pi, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
Obstacles = tuple[tuple[NDArray[np.float64], float], ...]
DISTANCES = (6, 11, 18, 27, 38, 52, 68, 86, 106)
DIRECTIONS = (0, 14, 2, 8, 6, 10, 4, 12, 1, 3, 5, 7, 9, 11, 13, 15)
MARKER, STROKE, STEP = 5.5, 2.0, 8.0


def place(axis: Any, labels: list[tuple[float, float, str]], **text: Any) -> None:
    """Write each label (x, y in data units, text) at the nearest free position, else at the least covered one.

    The figure must have been laid out. A thin line joins a label to its point if the two are apart.
    """
    scale = axis.figure.dpi / 72
    markers_Z2, lines_Z2 = (
        np.concatenate([np.empty((0, 2)), *parts])
        for parts in (map(_points, axis.collections), map(_line_points, axis.lines))
    )
    extent = axis.get_window_extent()
    limits = (extent.x0, extent.y0, extent.x1, extent.y1)
    boxes: list[Box] = []
    for x, y, name in sorted(labels, key=lambda label: (-label[1], label[0])):
        point = axis.transData.transform((x, y))
        others_Z2 = markers_Z2[np.abs(markers_Z2 - point).max(axis=1) > 0.5]
        obstacles = ((others_Z2, MARKER * scale), (lines_Z2, STROKE * scale))
        size = _size(axis, name, text)
        options = [(d, _box(point, d * scale, direction, size)) for d, direction in product(DISTANCES, DIRECTIONS)]
        distance, box = min(options, key=lambda option: _cost(option[1], boxes, obstacles, limits))
        boxes.append(box)
        _write(axis, (x, y), name, distance, box, text)


def _points(collection: Any) -> NDArray[np.float64]:
    """A scatter's points [Z, 2] in pixels."""
    pixels: NDArray[np.float64] = collection.get_offset_transform().transform(np.asarray(collection.get_offsets()))
    return pixels.reshape(-1, 2)


def _line_points(line: Any) -> NDArray[np.float64]:
    """Points [Z, 2] along a line, one every few pixels."""
    ends = line.get_transform().transform_path(line.get_path()).vertices.reshape(-1, 2)
    pieces = [np.linspace(a, b, 2 + int(np.hypot(*(b - a)) / STEP)) for a, b in pairwise(ends)]
    return np.concatenate([np.empty((0, 2)), *pieces])


def _size(axis: Any, name: str, text: dict[str, Any]) -> tuple[float, float]:
    """Width and height in pixels."""
    probe = axis.text(0, 0, name, **text)
    extent = probe.get_window_extent()
    probe.remove()
    return extent.width, extent.height


def _box(point: NDArray[np.float64], distance: float, direction: int, size: tuple[float, float]) -> Box:
    """A box of `size` whose near side is `distance` pixels from the point, in one of sixteen directions."""
    dx, dy = cos(direction * pi / 8), sin(direction * pi / 8)
    (x, y), (width, height) = point, size
    x += distance * dx + (0 if dx > 0.1 else -width if dx < -0.1 else -width / 2)
    y += distance * dy - (height / 2) * (1 if abs(dy) < 0.1 else 0) + (-height if dy < -0.1 else 0)
    return x, y, x + width, y + height


def _cost(box: Box, boxes: list[Box], obstacles: Obstacles, limits: Box) -> float:
    """0 for a free box: inside the axis, over no other box, and near no marker and no line."""
    excess = (limits[0] - box[0], limits[1] - box[1], box[2] - limits[2], box[3] - limits[3])
    overlaps = sum(_overlap(box, other) for other in boxes)
    hidden = 0
    for (x, y), margin in ((points_Z2.T, margin) for points_Z2, margin in obstacles):
        in_columns = (x > box[0] - margin) & (x < box[2] + margin)
        hidden += int((in_columns & (y > box[1] - margin) & (y < box[3] + margin)).sum())
    return 100 * sum(max(0.0, pixels) for pixels in excess) + overlaps + 60.0 * hidden


def _overlap(box: Box, other: Box) -> float:
    """The area that both cover, in square pixels."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _write(axis: Any, position: tuple[float, float], name: str, distance: int, box: Box, text: dict[str, Any]) -> None:
    line = {"arrowstyle": "-", "linewidth": 0.4, "color": "0.4", "shrinkA": 0, "shrinkB": 2}
    corner = axis.transAxes.inverted().transform(box[:2])
    if distance > DISTANCES[0]:
        point = axis.transData.transform(position)
        nearest = (min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3]))
        end = axis.transAxes.inverted().transform(nearest)
        axis.annotate("", position, end, "data", "axes fraction", arrowprops=line)
    ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.3}
    axis.text(*corner, name, transform=axis.transAxes, ha="left", va="bottom", bbox=ground, zorder=5, **text)

"""Put labels beside points so that they hide neither points nor one another."""

from itertools import pairwise, product
from math import cos, pi, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
Obstacles = tuple[tuple[NDArray[np.float64], float], ...]
DISTANCES = (6, 11, 18, 27, 38, 52, 68, 86, 106)
DIRECTIONS = (0, 14, 2, 8, 6, 10, 4, 12, 1, 3, 5, 7, 9, 11, 13, 15)
MARKER, STROKE, EVERY = 5.5, 2.0, 8.0


def place(axis: Any, labels: list[tuple[float, float, str]], **text: Any) -> None:
    """Write each label (x, y in data units, text) at the nearest place that is free, else the one least covered.

    The figure must have been laid out. A label that stands off its point has a thin line to it.
    """
    scale = axis.figure.dpi / 72
    markers_P2, lines_P2 = (
        np.concatenate([np.empty((0, 2)), *parts])
        for parts in (map(_points, axis.collections), map(_along, axis.lines))
    )
    room = axis.get_window_extent()
    limits = (room.x0, room.y0, room.x1, room.y1)
    taken: list[Box] = []
    for x, y, name in sorted(labels, key=lambda label: (-label[1], label[0])):
        at = axis.transData.transform((x, y))
        others_P2 = markers_P2[np.abs(markers_P2 - at).max(axis=1) > 0.5]
        obstacles = ((others_P2, MARKER * scale), (lines_P2, STROKE * scale))
        size = _size(axis, name, text)
        options = [(d, _box(at, d * scale, way, size)) for d, way in product(DISTANCES, DIRECTIONS)]
        distance, box = min(options, key=lambda option: _cost(option[1], taken, obstacles, limits))
        taken.append(box)
        _write(axis, (x, y), name, distance, box, text)


def _points(collection: Any) -> NDArray[np.float64]:
    """A scatter's points [p, 2] in pixels."""
    pixels: NDArray[np.float64] = collection.get_offset_transform().transform(np.asarray(collection.get_offsets()))
    return pixels.reshape(-1, 2)


def _along(line: Any) -> NDArray[np.float64]:
    """Points [p, 2] along a line, one every few pixels."""
    ends = line.get_transform().transform_path(line.get_path()).vertices.reshape(-1, 2)
    pieces = [np.linspace(a, b, 2 + int(np.hypot(*(b - a)) / EVERY)) for a, b in pairwise(ends)]
    return np.concatenate([np.empty((0, 2)), *pieces])


def _size(axis: Any, name: str, text: dict[str, Any]) -> tuple[float, float]:
    """Width and height in pixels."""
    probe = axis.text(0, 0, name, **text)
    extent = probe.get_window_extent()
    probe.remove()
    return extent.width, extent.height


def _box(at: NDArray[np.float64], distance: float, direction: int, size: tuple[float, float]) -> Box:
    """A box of `size` whose near side is `distance` pixels from `at`, in one of sixteen directions."""
    right, up = cos(direction * pi / 8), sin(direction * pi / 8)
    (x, y), (width, height) = at, size
    left = x + distance * right + (0 if right > 0.1 else -width if right < -0.1 else -width / 2)
    bottom = y + distance * up - (height / 2) * (1 if abs(up) < 0.1 else 0) + (-height if up < -0.1 else 0)
    return left, bottom, left + width, bottom + height


def _cost(box: Box, taken: list[Box], obstacles: Obstacles, limits: Box) -> float:
    """0 where the box is free: inside the axis, over no other box, and near no marker and no line."""
    inside = sum(max(0.0, over) for over in (limits[0] - box[0], limits[1] - box[1], box[2] - limits[2]))
    overlaps = sum(_overlap(box, other) for other in taken)
    hidden = 0
    for (x, y), margin in ((points_P2.T, margin) for points_P2, margin in obstacles):
        across = (x > box[0] - margin) & (x < box[2] + margin)
        hidden += int((across & (y > box[1] - margin) & (y < box[3] + margin)).sum())
    return 100 * (inside + max(0.0, box[3] - limits[3])) + overlaps + 60.0 * hidden


def _overlap(box: Box, other: Box) -> float:
    """The area of both, in square pixels."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _write(axis: Any, at: tuple[float, float], name: str, distance: int, box: Box, text: dict[str, Any]) -> None:
    line = {"arrowstyle": "-", "linewidth": 0.4, "color": "0.4", "shrinkA": 0, "shrinkB": 2}
    corner = axis.transAxes.inverted().transform(box[:2])
    if distance > DISTANCES[0]:
        point = axis.transData.transform(at)
        near = (min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3]))
        end = axis.transAxes.inverted().transform(near)
        axis.annotate("", at, end, "data", "axes fraction", arrowprops=line)
    ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.3}
    axis.text(*corner, name, transform=axis.transAxes, ha="left", va="bottom", bbox=ground, zorder=5, **text)

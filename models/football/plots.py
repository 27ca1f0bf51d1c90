"""Three plots of a model's predictions: against what fell, what is left over, and calibration.

Drawing axes, ticks and letters takes far longer than drawing the points. So each kind of plot keeps
its empty picture, and only what differs between two runs is drawn again.
"""

from __future__ import annotations

import io
import math
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from football.naming import SIDES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_GROUPS = 10
_STEP = 4
_BLUE, _ORANGE, _GREY = "#1f6fb2", "#d9731a", "#888888"

# A worker of a cluster may train in several threads, and pictures are shared.
_LOCK = threading.Lock()


def draw(actual: NDArray[Any], predicted: NDArray[Any]) -> dict[str, bytes]:
    """Draw predictions of goals.

    Parameters
    ----------
    actual, predicted
        Goals of the host and of the guest, of shape (matches, 2).

    Returns
    -------
    dict[str, bytes]
        PNG pictures by file name.
    """
    # In steps, so that most runs on the same matches share the empty picture.
    most = max(_STEP, _STEP * math.ceil(float(np.max(predicted)) / _STEP))
    least = min(0, _STEP * math.floor(float(np.min(predicted)) / _STEP))
    goals = int(np.max(actual))
    with _LOCK:
        return _draw(actual, predicted, (least, most), goals)


def _draw(
    actual: NDArray[Any], predicted: NDArray[Any], limits: tuple[int, int], goals: int
) -> dict[str, bytes]:
    least, most = limits
    return {
        "predicted_actual.png": _plot(
            _empty("predicted goals", "goals", limits, (-0.5, goals + 0.5), "diagonal"),
            actual,
            predicted,
            _as_they_fell,
        ),
        "residuals.png": _plot(
            _empty(
                "predicted goals",
                "goals - predicted",
                limits,
                (-most - 0.5, goals - least + 0.5),
                "zero",
            ),
            actual,
            predicted,
            lambda goals, predictions: (predictions, goals - predictions),
        ),
        "calibration.png": _plot(
            _empty("mean prediction", "mean goals", limits, limits, "diagonal"),
            actual,
            predicted,
            calibrate,
        ),
    }


def calibrate(goals: NDArray[Any], predictions: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return means of predictions and of goals in tenths of the matches, by prediction."""
    groups = np.array_split(np.argsort(predictions, kind="stable"), _GROUPS)
    filled = [group for group in groups if len(group)]
    return (
        np.array([predictions[group].mean() for group in filled]),
        np.array([goals[group].mean() for group in filled]),
    )


def _as_they_fell(
    goals: NDArray[Any], predictions: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Spread whole goals a little, always alike, so that points do not hide each other."""
    spread = np.modf(np.arange(len(goals)) * 0.618034)[0] - 0.5
    return predictions, goals + spread * 0.5


class _Empty:
    """A picture with axes for each side and nothing in them."""

    def __init__(self, labels: tuple[str, str], limits: Any, guide: str) -> None:
        self.figure = Figure(figsize=(7, 3.2), dpi=80)
        self.figure.subplots_adjust(0.08, 0.15, 0.98, 0.9, wspace=0.22)
        self.canvas = FigureCanvasAgg(self.figure)
        self.axes = self.figure.subplots(1, len(SIDES))
        self.points = []
        for axes, side, colour in zip(self.axes, SIDES, (_BLUE, _ORANGE), strict=True):
            axes.set(title=side, xlabel=labels[0], ylabel=labels[1], xlim=limits[0], ylim=limits[1])
            axes.spines[["top", "right"]].set_visible(False)
            if guide == "diagonal":
                axes.axline((0, 0), slope=1, color=_GREY, linewidth=0.8)
            else:
                axes.axhline(0, color=_GREY, linewidth=0.8)
            [points] = axes.plot([], [], "o", color=colour, markersize=3.5, alpha=0.5, mew=0)
            points.set_animated(True)
            self.points.append(points)
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(self.figure.bbox)


@cache
def _empty(
    x_label: str, y_label: str, x_limits: tuple[float, float], y_limits: Any, guide: str
) -> _Empty:
    return _Empty((x_label, y_label), (x_limits, y_limits), guide)


def _plot(
    empty: _Empty,
    actual: NDArray[Any],
    predicted: NDArray[Any],
    arrange: Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]],
) -> bytes:
    """Draw the points of both sides into an empty picture."""
    empty.canvas.restore_region(empty.background)
    for index, (axes, points) in enumerate(zip(empty.axes, empty.points, strict=True)):
        points.set_data(*arrange(actual[:, index], predicted[:, index]))
        axes.draw_artist(points)
    file = io.BytesIO()
    Image.fromarray(np.asarray(empty.canvas.buffer_rgba())).convert("RGB").save(file, "PNG")
    return file.getvalue()

"""Plots show what they are given, although they share their empty pictures."""

from __future__ import annotations

import io

import numpy as np
from football import plots
from PIL import Image


def test_pictures_depend_on_the_run_alone() -> None:
    source = np.random.default_rng(3)
    actual = source.poisson(1.5, (200, 2))
    one, other = source.uniform(0.5, 3, (200, 2)), source.uniform(-9, 9, (200, 2))

    first = plots.draw(actual, one)
    between = plots.draw(actual, other)
    again = plots.draw(actual, one)

    assert first == again
    assert all(first[name] != between[name] for name in first)
    assert first.keys() == {"predicted_actual.png", "residuals.png", "calibration.png"}
    for picture in (*first.values(), *between.values()):
        image = Image.open(io.BytesIO(picture))
        assert image.format == "PNG"
        assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 10


def test_calibration_holds_means_of_tenths() -> None:
    predictions = np.arange(100.0)

    means, goals = plots.calibrate(predictions * 2, predictions)

    assert list(means) == [4.5 + 10 * tenth for tenth in range(10)]
    assert list(goals) == [2 * mean for mean in means]


def test_plots_of_few_matches_are_drawn() -> None:
    assert plots.draw(np.array([[1, 0]]), np.array([[1.2, 0.3]]))

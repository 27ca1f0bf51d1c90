"""Names that several programs share."""

from __future__ import annotations

import re
import unicodedata

SIDES = ("local", "visitante")
CHAMPION = "champion"
# Metrics of the ground truth, and their expected values. The first prefix is an old name. It stays,
# so that runs of all versions can be compared.
GROUND_TRUTH_PREFIX = "law_"
IRREDUCIBLE_PREFIX = "irreducible_"
# All other metrics are errors, of which the smallest is the best.
LARGER_IS_BETTER = ("accuracy", "precision", "recall", "f1")
# The metrics by which a champion can be chosen.
METRICS = ("mse", "mae", "poisson_deviance", *LARGER_IS_BETTER)


def registered(kind: str, target: str) -> str:
    """Return the name of the registered model, without the letters that MLflow does not allow."""
    return re.sub(r"[^\w .-]", "_", f"{kind}.{target}")


def normalized(column: str) -> str:
    """Return a column's name as names are compared: without outer blanks, accents composed."""
    return unicodedata.normalize("NFC", column.strip())

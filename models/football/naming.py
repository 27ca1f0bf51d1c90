"""Names that several programs share."""

from __future__ import annotations

import re
import unicodedata

SIDES = ("local", "visitante")
CHAMPION = "champion"
# Whatever is not an error counts for more the larger it is.
LARGER_IS_BETTER = ("accuracy", "precision", "recall", "f1")
# What a champion can be chosen by.
METRICS = ("mse", "mae", "poisson_deviance", *LARGER_IS_BETTER)


def registered(kind: str, target: str) -> str:
    """Return the name of the registered model; not all letters of a column may stand in one."""
    return re.sub(r"[^\w .-]", "_", f"{kind}.{target}")


def normalized(column: str) -> str:
    """Return a column's name as names are compared: without outer blanks, accents composed."""
    return unicodedata.normalize("NFC", column.strip())

"""Numbers as people and programs write them, to the value or not at all."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+")
# Trees compute in single precision, and refuse what does not fit.
LARGEST = 3.4028234663852886e38


def read(text: str) -> float:
    """Read a decimal number.

    Raises
    ------
    ValueError
        If it is not one, or another value than the written one would result; says what to do.
    """
    if not text:
        raise ValueError("a number is missing. Fill it in or delete the line")
    if not _NUMBER.fullmatch(text):
        if "," in text and _NUMBER.fullmatch(text.replace(",", "")):
            raise ValueError(
                "a comma is not allowed in a number. Write decimals with a point (1450.5) and "
                "thousands without a separator (1450)"
            )
        raise ValueError("not a number. Write digits only, such as 1450 or 1450.5")
    number = float(text)
    if not abs(number) <= LARGEST:
        raise ValueError(f"too large: at most {LARGEST:.1e} is allowed. Correct it")
    if not number and re.search("[1-9]", re.split("[eE]", text)[0]):
        raise ValueError("too small to differ from 0. Write 0")
    # Python compares whole numbers with doubles exactly.
    if _WHOLE.fullmatch(text) and int(text.lstrip("+-0") or "0") != abs(number):
        raise ValueError("more digits than a number keeps (53 bits). Round it")
    return number

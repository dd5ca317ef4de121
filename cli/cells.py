"""Cells of a CSV file: texts that no spreadsheet takes for a formula, and that an import reads as they were.

An apostrophe before a text marks it as text. It is added where a program would calculate or where the import
would read something else (a number, `null`, nothing), and taken away again by the import.
"""

import re

from bus.messages import Value

# A state that was unknown; an empty cell says that there was none.
NULL = "null"
# What begins a formula, at the start or where a spreadsheet of another language begins the next cell;
# wide forms too, for some take those for the same.
_BEGINS = r"(?:\A|(?<=[;|\t\r\n]))"
_FORMULA = r"(?=[' ]*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])"
_ADD = re.compile(_BEGINS + _FORMULA)
_TAKE = re.compile(f"{_BEGINS}'{_FORMULA}")


def written(value: Value) -> str | float:
    """A value as a cell."""
    if value is None:
        return NULL
    if not isinstance(value, str):
        return value
    return f"'{value}" if _reads_otherwise(value) else _ADD.sub("'", value)


def read(cell: str) -> Value:
    """A cell that is not empty as a value; a number may be infinite or none."""
    if cell == NULL:
        return None
    if cell.startswith("'") and _reads_otherwise(cell[1:]):
        return cell[1:]
    number = _number(cell)
    return _TAKE.sub("", cell) if number is None else number


def _reads_otherwise(text: str) -> bool:
    bare = text.lstrip("'")
    return bare in ("", NULL) or _number(bare) is not None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

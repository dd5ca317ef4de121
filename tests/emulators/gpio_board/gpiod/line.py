"""The words of gpiod.line that pins are asked for with."""

from enum import Enum


class Value(Enum):
    """Logical levels."""

    INACTIVE = 0
    ACTIVE = 1

    def __bool__(self) -> bool:
        return self is Value.ACTIVE


class Direction(Enum):
    """Input or output; AS_IS changes nothing."""

    AS_IS = 1
    INPUT = 2
    OUTPUT = 3


class Edge(Enum):
    """Changes of level that make events."""

    NONE = 1
    RISING = 2
    FALLING = 3
    BOTH = 4


class Bias(Enum):
    """The chip's own resistor."""

    AS_IS = 1
    UNKNOWN = 2
    DISABLED = 3
    PULL_UP = 4
    PULL_DOWN = 5

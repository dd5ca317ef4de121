"""GattLines without a radio: the bytes of captures, of twins, or any at all."""

from collections.abc import Callable, Iterable, Sequence

from collector.devices.description import NoAnswerError
from collector.devices.lines import Framing
from tests.emulators.bms import Twin

Spoil = Callable[[bytes], bytes]


class Answers:
    """Gives each question what its framing finds in the answers that were published."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self._answers = answers

    def open(self) -> None:
        """It is open."""

    def close(self) -> None:
        """It stays open."""

    def connected(self) -> int:
        """It is the first one."""
        return 1

    def ask(self, request: bytes, framing: Framing, patience: float = 3.0) -> bytes:
        """Find the answer."""
        del request, patience
        for answer in self._answers:
            if (frame := framing(bytearray(answer))) is not None:
                return frame
        raise NoAnswerError("nothing of this")


class Spoken:
    """A twin without a radio; `spoil` gets hold of all that it says."""

    def __init__(self, twin: Twin, spoil: Spoil = bytes, noise: bytes = b"AT\r\n") -> None:
        self._twin = twin
        self._spoil = spoil
        self._noise = noise

    def open(self) -> None:
        """It is open."""

    def close(self) -> None:
        """It stays open."""

    def connected(self) -> int:
        """It is the first one."""
        return 1

    def ask(self, request: bytes, framing: Framing, patience: float = 3.0) -> bytes:
        """Ask the twin."""
        del patience
        stream = bytearray()
        for piece in self._pieces(request):
            stream += self._spoil(piece)
            if (frame := framing(stream)) is not None:
                return frame
        raise NoAnswerError("nothing that fits")

    def _pieces(self, request: bytes) -> Iterable[bytes]:
        asked = [u for its in self._twin.services.values() for u, flags in its if "write" in flags]
        told = [*(self._twin.written(asked[0], request) if request and asked else ()), *self._twin.speaks()]
        return [piece for _, piece in told if piece != self._noise]

"""Records on standard output, for a pipe or the journal."""

import sys
from collections.abc import Sequence

from forwarder.outputs import Place, SendError
from forwarder.records import Record
from forwarder.shapes import columns_of, format_of, header, is_template, lines


class StdoutSink:
    """Writes each record as a text; CSV gets a new header where its columns change."""

    def __init__(self, place: Place) -> None:
        self._settings = place.settings
        self._is_csv = format_of(place.settings) == "csv" and not is_template(place.settings)
        self._columns: tuple[str, ...] = ()

    def send(self, records: Sequence[Record]) -> None:
        """Write records. Raises SendError where nobody reads."""
        text = ""
        if self._is_csv:
            columns = columns_of(records, self._settings, self._columns)
            text = header(columns) if columns != self._columns else ""
            self._columns = columns
        text += "".join(lines(records, self._settings, self._columns))
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            raise SendError(f"nobody reads standard output: {error.strerror or error}") from error

    def close(self) -> None:
        """Nothing is held."""

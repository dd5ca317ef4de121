"""When a device's records may be believed: a key whose first byte fits by chance decrypts to noise."""

_RECORDS_TO_TRUST = 3
_RECORDS_TO_SUSPECT = 5


class Trust:
    """Judges one device by its records; repeats of a record, as radios deliver them, count once."""

    def __init__(self) -> None:
        self._trusted = True
        self._recent: set[bytes] = set()
        self._implausible_in_row = 0

    @property
    def trusted(self) -> bool:
        """Whether readings of this device may be published."""
        return self._trusted

    @property
    def complaint(self) -> str | None:
        """What the owner should do, after 5 different implausible records in a row; else None."""
        if self._implausible_in_row < _RECORDS_TO_SUSPECT:
            return None
        return (
            "the key is probably wrong although its first byte matches: copy it again from VictronConnect, "
            "Product info, Instant readout details"
        )

    def plausible(self, record: bytes) -> bool:
        """Count a plausible record; True if its values may be published."""
        if self._trusted:
            return True
        if self._implausible_in_row:
            self._implausible_in_row = 0
            self._recent.clear()
        self._recent.add(record)
        self._trusted = len(self._recent) >= _RECORDS_TO_TRUST
        return self._trusted

    def implausible(self, record: bytes) -> None:
        """Count an implausible record: the device is believed again after 3 different plausible ones."""
        self._trusted = False
        if not self._implausible_in_row:
            self._recent.clear()
        if record in self._recent:
            return
        self._implausible_in_row += 1
        # Beyond the limit the count says nothing new, and the set must not grow for ever.
        if self._implausible_in_row <= _RECORDS_TO_SUSPECT:
            self._recent.add(record)

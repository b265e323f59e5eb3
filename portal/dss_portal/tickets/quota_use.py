"""How much of a user's quota of files is in use, and the refusals of what does not fit."""

from dataclasses import dataclass

from dss_portal.refusals import Refused


@dataclass(frozen=True, kw_only=True)
class QuotaUse:
    """A user's quota and its use, as seen by one upload, which is not counted.  ``stored_bytes`` includes attachments,
    ``files`` the files that are being uploaded.  ``coming_bytes`` is the space reserved for the user's other uploads;
    ``younger`` is the number of those that began later, without resumable ones.
    """

    max_stored_bytes: int
    max_files: int
    stored_bytes: int
    coming_bytes: int
    files: int
    younger: int

    @property
    def room_bytes(self) -> int:
        return max(0, self.max_stored_bytes - self.stored_bytes - self.coming_bytes)

    def require(self, size_bytes: int) -> None:
        """Raises Refused (413) unless the user may store one more file of ``size_bytes``."""
        if self.files >= self.max_files:
            raise _too_many_files(self)
        if self.room_bytes < size_bytes:
            raise no_room(self)

    def fits_alone(self, size_bytes: int) -> bool:
        """True if a file of ``size_bytes`` would fit if the other uploads had reserved nothing."""
        return self.stored_bytes + size_bytes <= self.max_stored_bytes


def no_room(quota_use: QuotaUse) -> Refused:
    coming = f", and {_size(quota_use.coming_bytes)} are coming" if quota_use.coming_bytes else ""
    return Refused(
        f"Your tickets may hold {_size(quota_use.max_stored_bytes)}; they hold "
        f"{_size(quota_use.stored_bytes)}{coming}. Delete some to make room for this file.",
        413,
    )


def _too_many_files(quota_use: QuotaUse) -> Refused:
    return Refused(
        f"Your tickets may hold {quota_use.max_files} files; delete some to make room for this one.",
        413,
    )


def _size(size_bytes: int) -> str:
    for unit_bytes, unit in ((2**30, "GB"), (2**20, "MB"), (2**10, "kB")):
        if size_bytes >= unit_bytes:
            return f"{size_bytes / unit_bytes:.3g} {unit}"
    return f"{size_bytes} bytes"

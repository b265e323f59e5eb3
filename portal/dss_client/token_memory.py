"""Remembers which one-time token opened the stored session, so that several commands can get the same token from the
environment and only the first one uses it up.
"""

import hashlib
import hmac
from pathlib import Path


class TokenMemory:
    """A file beside the cookie file ``jar`` with the SHA-256 of a token; only the user can read it.  The token itself
    is not stored.
    """

    def __init__(self, jar: Path) -> None:
        self._file = jar.with_name(f"{jar.name}.token")

    def knows(self, token: str) -> bool:
        """True if ``token`` is the remembered one, which opened the session in the cookie file; that session may have
        ended.
        """
        try:
            stored = self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return False
        return hmac.compare_digest(stored.strip(), _digest(token))

    def remember(self, token: str) -> None:
        """Store the digest of ``token``.  To be called after the session was stored in the cookie file."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file.touch(mode=0o600)
        self._file.write_text(_digest(token), encoding="utf-8")

    def forget(self) -> bool:
        """Delete the stored digest of the token.  True if there was one."""
        had = self._file.exists()
        self._file.unlink(missing_ok=True)
        return had


def _digest(token: str) -> str:
    return hashlib.sha256(token.strip().encode()).hexdigest()

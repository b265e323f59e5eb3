"""Signs cookies and form tokens.  A value stays valid if the clock of the portal that signed it is ahead; itsdangerous
itself treats such a value as expired.
"""

from datetime import datetime
from typing import Any

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer
from quart import Quart, current_app
from quart.sessions import SecureCookieSessionInterface
from quart_auth import QuartAuth

from dss_portal.database import clock


class Serializer(URLSafeTimedSerializer):
    """Signs values, and checks their signature and age.  A signing time in the future is accepted."""

    def loads(  # type: ignore[override]  # the base class returns Any, or a pair
        self,
        s: str | bytes,
        max_age: int | None = None,
        return_timestamp: bool = False,  # noqa: FBT001, FBT002 - the base class's
        salt: bytes | None = None,
    ) -> Any:
        value, signed_at = super().loads(s, None, True, salt)
        _check(signed_at, max_age)
        return (value, signed_at) if return_timestamp else value


class SessionInterface(SecureCookieSessionInterface):
    """Signs the cookie that contains the state of a sign-in in progress, and the messages to show on the next page."""

    def get_signing_serializer(self, app: Quart) -> URLSafeTimedSerializer | None:
        """The same serializer as that of the base class, but of our class Serializer; None if the app has no secret
        key.
        """
        if not app.secret_key:
            return None
        keys = [*(app.config["SECRET_KEY_FALLBACKS"] or []), app.secret_key]
        options = {"key_derivation": self.key_derivation, "digest_method": self.digest_method}
        return Serializer(keys, salt=self.salt, serializer=self.serializer, signer_kwargs=options)


class Auth(QuartAuth):
    """Reads the session id from the signed cookie, without checking the cookie's age: the session in the database
    decides how long it is valid.
    """

    def load_token(self, token: str, app: Quart | None = None) -> str | None:
        app = app or current_app
        keys = [*(app.config.get("SECRET_KEY_FALLBACKS") or []), app.secret_key]
        try:
            found: str = self.serializer_class(keys, self.salt or b"").loads(token)
        except BadSignature:
            return None
        return found


def _check(signed_at: datetime, max_age: int | None) -> None:
    age_s = (clock.now() - signed_at).total_seconds()
    if max_age is not None and age_s > max_age:
        raise SignatureExpired(
            f"Signature age {age_s:.0f} > {max_age} seconds", date_signed=signed_at
        )

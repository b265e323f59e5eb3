"""Sign-in by any OpenID Connect issuer: authorization code with state, nonce and PKCE.

Facts: OpenID Connect Core 1.0, sections 3.1 (code flow) and 3.1.3.7 (what to check of an ID token).
"""

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from dss_portal.database import clock
from dss_portal.refusals import Refused
from dss_process.proxies import ProxyUnusable, proxy_for

log = logging.getLogger(__name__)

PRESETS = {"google": "https://accounts.google.com"}
SCOPE = "openid email profile"
ALGORITHMS = ["RS256", "PS256", "ES256"]
LEEWAY_S = 60  # tolerated difference between clocks
TIMEOUT_S = 10.0
_NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True, kw_only=True)
class PendingSignIn:
    """A sign-in in progress.  The browser is sent to ``url``, and keeps ``state``, ``nonce`` and ``verifier``, which
    are secret, until the issuer sends it back.
    """

    url: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, kw_only=True)
class Person:
    """The user that the issuer has authenticated."""

    email: str
    name: str


class OpenIdIssuer:
    """An OpenID Connect issuer.  Its configuration is fetched by discovery at its first use."""

    def __init__(
        self,
        issuer: str,
        client_id: str,
        client_secret: str,
        redirect_uri: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``environment`` has the variables that name proxies; None is no proxy.  Raises ProxyUnusable if the issuer's
        proxy cannot be used.
        """
        self._issuer = address_of(issuer)
        self._environment = environment or {}
        proxy_for(self._issuer, self._environment)
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_uri = redirect_uri
        self._metadata: dict[str, Any] = {}

    async def start(self) -> PendingSignIn:
        """Begin a sign-in; the result has the URL for the browser.  Raises Refused if the issuer cannot be reached or
        its configuration cannot be used.
        """
        metadata = await self._discovered()
        nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        async with self._client(metadata["authorization_endpoint"]) as client:
            url, state = client.create_authorization_url(
                metadata["authorization_endpoint"], nonce=nonce, code_verifier=verifier
            )
        return PendingSignIn(url=url, state=state, nonce=nonce, verifier=verifier)

    async def finish(self, code: str, nonce: str, verifier: str) -> Person:
        """Exchange the authorization code for the e-mail address and name of the user.  Raises Refused if the issuer
        does not confirm them or cannot be reached.
        """
        metadata = await self._discovered()
        try:
            endpoint = metadata["token_endpoint"]
            async with self._client(endpoint) as client:
                token = await client.fetch_token(endpoint, code=code, code_verifier=verifier)
            claims = await self._checked(token.get("id_token", ""), nonce)
            if "email" not in claims and "userinfo_endpoint" in metadata:
                endpoint = metadata["userinfo_endpoint"]
                async with self._client(endpoint, token=token) as client:
                    answer = await client.get(endpoint)
                claims = _same_subject(claims, _object(answer.raise_for_status().json()))
        except (OAuthError, JoseError, ValueError, RecursionError) as error:
            raise Refused("The sign-in was not confirmed. Please begin again.", 401) from error
        except httpx2.HTTPError as error:
            raise _unreachable() from error
        return _person(claims)

    async def _checked(self, id_token: str, nonce: str) -> dict[str, Any]:
        found = await self._get((await self._discovered())["jwks_uri"])
        if not isinstance(found.get("keys"), list):
            raise ValueError("no key set")  # noqa: TRY004 - of the answer, like a JSON error
        keys = KeySet.import_key_set({"keys": found["keys"]})
        decoded = jwt.decode(id_token, keys, algorithms=ALGORITHMS)
        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(clock.now().timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self._metadata["issuer"]},
            aud={"essential": True, "value": self._client_id},
            exp={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        registry.validate(decoded.claims)
        return decoded.claims

    async def _discovered(self) -> dict[str, Any]:
        if not self._metadata:
            found = await self._get(f"{self._issuer}/.well-known/openid-configuration")
            if str(found.get("issuer", "")).rstrip("/") != self._issuer:
                raise Refused("The sign-in service names another issuer than the settings.", 502)
            if missing := [name for name in _NEEDED if not isinstance(found.get(name), str)]:
                raise Refused(f"The sign-in service does not say its {' and '.join(missing)}.", 502)
            self._metadata = found
        return self._metadata

    async def _get(self, url: str) -> dict[str, Any]:
        try:
            async with httpx2.AsyncClient(**self._transport(url)) as http:
                return _object((await http.get(url)).raise_for_status().json())
        except (httpx2.HTTPError, ValueError, RecursionError) as error:
            raise _unreachable() from error

    def _client(self, url: str, token: Mapping[str, Any] | None = None) -> AsyncOAuth2Client:
        """The client for requests to ``url``."""
        return AsyncOAuth2Client(
            self._client_id,
            self._client_secret,
            scope=SCOPE,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            token=token,
            **self._transport(url),
        )

    def _transport(self, url: str) -> dict[str, Any]:
        """Arguments of a client of httpx for requests to ``url``.  Raises Refused if its proxy cannot be used."""
        try:
            proxy = proxy_for(url, self._environment)
        except ProxyUnusable as error:
            log.warning("sign-in service away", extra={"reason": str(error)})
            raise _unreachable() from error
        return {
            "timeout": TIMEOUT_S,
            "verify": httpx2.create_ssl_context(),  # with SSL_CERT_FILE, which trust_env=False would ignore
            "proxy": proxy.address if proxy else None,
            "trust_env": False,
        }


def address_of(issuer: str) -> str:
    """The address of an issuer from the settings, which may be a name in PRESETS."""
    return PRESETS.get(issuer, issuer).rstrip("/")


def _object(value: object) -> dict[str, Any]:
    """``value`` unchanged.  Raises ValueError unless it is a JSON object."""
    if not isinstance(value, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - of the answer, like a JSON error
    return value


def _same_subject(claims: dict[str, Any], userinfo: dict[str, Any]) -> dict[str, Any]:
    """The claims of ``userinfo`` alone, because an address and its confirmation must come from the same source.

    Raises ValueError unless ``userinfo`` and ``claims`` are about the same person.
    """
    if userinfo.get("sub") != claims["sub"]:
        raise ValueError("userinfo of somebody else")
    return userinfo


def _person(claims: dict[str, Any]) -> Person:
    """The person in ``claims``.  Raises Refused unless they have an e-mail address and ``email_verified`` is the
    boolean true.
    """
    email = claims.get("email")
    if not isinstance(email, str) or "@" not in email or claims.get("email_verified") is not True:
        raise Refused("The sign-in service did not give a confirmed e-mail address.", 401)
    return Person(email=email.strip().lower(), name=str(claims.get("name", "")))


def _unreachable() -> Refused:
    return Refused("The sign-in service cannot be reached now. Please try again later.", 502)

"""The portal's settings, each read from the environment variable ``DSS_<NAME>``.

More than 300 lines: the complete list of settings is in one place.
"""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from dss_broker.datastore_settings import DatastoreSettings
from dss_broker.instance import instance_name
from dss_broker.settings import (
    AmqpUrl,
    Bind,
    Bytes,
    Instance,
    Seconds,
    StopSeconds,
    is_host,
    is_web_address,
    no_certificates,
    unreadable,
)
from dss_portal.database.address import parse

Network = IPv4Network | IPv6Network

GIT_SCHEMES = ("https", "ssh", "http", "git", "file")
"""Beginnings of addresses that git can fetch from."""

SECRET_KEY_LENGTH = 32
"""Least number of characters of ``Settings.secret_key``: 128 bits, if they are hexadecimal digits."""


def _database_address(url: SecretStr) -> SecretStr:
    """``url`` unchanged.  Raises ValueError if it is blank or not valid, without showing it, because it contains a
    password.
    """
    _not_blank(url)
    parse(url.get_secret_value())
    return url


def _git_schemes(texts: str) -> str:
    """``texts``, separated by commas, without blanks.  Raises ValueError for one that git cannot fetch by."""
    schemes = [text.strip() for text in texts.split(",")]
    for scheme in schemes:
        if scheme not in GIT_SCHEMES:
            raise ValueError(f"'{scheme[:40]}' is none of {', '.join(GIT_SCHEMES)}")
    return ",".join(schemes)


def _not_blank(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise ValueError("it is blank")
    return secret


def _long_enough(secret: SecretStr) -> SecretStr:
    """``secret`` unchanged.  Raises ValueError, without showing it, if it is short enough to be guessed from a cookie
    that it signed.
    """
    _not_blank(secret)
    if (length := len(secret.get_secret_value().strip())) < SECRET_KEY_LENGTH:
        characters = "1 character" if length == 1 else f"{length} characters"
        raise ValueError(
            f"it has {characters}, and at least {SECRET_KEY_LENGTH} are needed, which nobody can guess; "
            "`openssl rand -hex 24` makes 48. All users sign in again after a change"
        )
    return secret


class DatabaseSettings(BaseSettings):
    """The settings of those commands of ``dss-portal`` that use only the database."""

    model_config = SettingsConfigDict(
        env_prefix="DSS_", frozen=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    database_url: Annotated[SecretStr, AfterValidator(_database_address)] = Field(
        description="postgres://user:password@host:port/database, with libpq's names behind a ?"
    )
    database_wait_s: float = Field(
        60, ge=0, le=86400, description="how long 'migrate' waits for PostgreSQL"
    )


class Settings(DatabaseSettings, DatastoreSettings):
    """All settings of a portal."""

    amqp_url: AmqpUrl = Field(description="amqp://user:password@host:port/vhost")
    secret_key: Annotated[SecretStr, AfterValidator(_long_enough)] = Field(
        description="signs session cookies, of at least 32 characters; if it changes, all users are signed out"
    )
    bind: Bind = Field("127.0.0.1:8080", description="host:port to listen on")
    portal_processes: int = Field(
        1,
        ge=1,
        le=64,
        description="number of processes of this portal, which share the port; the second has the next port after "
        "DSS_METRICS_BIND, and so on",
    )
    public_url: str = Field(
        "http://127.0.0.1:8080", description="address that users type into ITK-SNAP"
    )
    instance: Instance = Field(default_factory=instance_name, description="name of this process")
    stop_s: StopSeconds = Field(
        30,
        description="longest time to finish current requests and messages when told to stop",
    )
    log_json: bool = False

    metrics_bind: Bind = Field(
        "", description="host:port of /metrics, /healthz and /readyz; blank is none"
    )
    test_mode: Literal["off", "loopback", "everywhere"] = Field(
        "off", description="every request is answered as one of test@example.com, a sysadmin"
    )
    published: Bind = Field(
        "",
        description="in a container: host:port that the engine publishes DSS_BIND on; test mode asks it",
    )
    oidc_issuer: str = Field(
        "", description="address of an OpenID Connect issuer, or google; blank is none"
    )
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr = SecretStr("")
    require_terms: bool = Field(
        False,
        description="users who have not accepted the terms of use, on the page /token, can only sign in; "
        "this includes users whose token was made by an admin",
    )
    trusted_proxies: str = Field(
        "",
        description="addresses or networks of the reverse proxies whose X-Forwarded-For is believed, "
        "such as 10.0.0.7,fd00::/8; blank is none",
    )
    failed_logins_per_minute: int = Field(
        150,
        ge=0,
        description="by client address, in each process of each portal; typing a token into ITK-SNAP makes 48",
    )
    requests_per_minute: int = Field(
        6000, ge=0, description="by user, in each process of each portal; 0 is no limit"
    )

    lease_s: Seconds = Field(
        60,
        description="a claim lapses after this time without a sign of life from its dispatcher",
    )
    provider_lease_s: Seconds = Field(
        4 * 3600,
        description="a claim of a provider over HTTP lapses after this time without a request",
    )
    check_results: bool = Field(
        True, description="check the results of providers over HTTP before users can download them"
    )
    check_results_s: Seconds = Field(
        120, description="how long a provider over HTTP waits for this check"
    )
    max_attempts: int = Field(
        3, ge=1, le=1000, description="claims that may lapse before a ticket times out"
    )
    reconcile_s: Seconds = Field(
        60, description="interval at which waiting tickets are announced again"
    )
    tidy_s: Seconds = Field(
        60,
        description="interval at which files are removed that a killed or late program left",
    )
    upload_deadline_s: Seconds = Field(
        24 * 3600,
        description="a ticket that is not submitted within this time is given up; "
        "the deadlines of a service replace this one, the next two and the two leases",
    )
    open_link_s: Seconds = Field(
        24 * 3600, description="life of a link with which ITK-SNAP opens results"
    )
    quiet_upload_s: Seconds = Field(
        600,
        description="a ticket that is not submitted, and to which nothing was uploaded for this time, "
        "no longer counts in its user's quota",
    )
    abandoned_upload_s: Seconds = Field(
        3600,
        description="after this time such a ticket is given up and its files are removed",
    )
    queue_deadline_s: Seconds = Field(
        7 * 24 * 3600, description="a ticket that nobody claims within this time is given up"
    )
    run_deadline_s: Seconds = Field(24 * 3600, description="an attempt that takes longer is ended")
    login_token_s: Seconds = Field(24 * 3600, description="life of an unused one-time token")
    max_upload_bytes: Bytes = Field(16 * 2**30, description="largest file a user may send")
    max_form_bytes: Bytes = Field(64 * 1024, description="largest form that is not a file")
    scrub_inputs: bool = Field(
        True,
        description="remove from uploads the paths and texts that the user's machine left in them",
    )
    upload_silence_s: Seconds = Field(60, description="longest pause of an upload")
    form_s: Seconds = Field(60, description="longest time to receive a form")
    request_s: Seconds = Field(24 * 3600, description="longest time to receive a file")

    smtp_host: str = Field("", description="mail server for notifications; blank: no mail is sent")
    smtp_port: int = Field(587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="how the connection to the mail server is encrypted"
    )
    smtp_user: str = ""
    smtp_password_file: str = Field("", description="file with the password of DSS_SMTP_USER")
    smtp_ca_file: str = Field(
        "", description="certificates (PEM) to trust for the mail server; blank are the system's"
    )
    smtp_from: str = Field("", description="address that mails come from")
    notify_networks: str = Field(
        "",
        description="private networks that webhooks and ntfy messages of users may go to, such as "
        "10.1.0.0/16,fd00:1::/32; blank is none",
    )

    git_schemes: Annotated[str, AfterValidator(_git_schemes)] = Field(
        "https,ssh", description="what a repository's address may begin with"
    )
    git_ca_file: str = Field(
        "",
        description="certificates (PEM) to trust for https repositories; blank are the system's",
    )
    git_credentials_file: str = Field(
        "", description="a line https://USER:TOKEN@HOST for each server of private repositories"
    )
    git_timeout_s: Seconds = Field(60, description="longest time to fetch a repository")
    git_max_bytes: Bytes = Field(64 * 2**20, description="largest commit to be fetched")

    @model_validator(mode="after")
    def _test_mode_stays_here(self) -> Self:
        host = (self.published or self.bind).rpartition(":")[0].strip("[]")
        if self.test_mode == "loopback" and not _is_loopback(host):
            raise ValueError(
                f"test mode makes everybody an admin, so it listens on loopback only, not on {host}; "
                "DSS_TEST_MODE=everywhere allows it all the same"
            )
        return self

    @model_validator(mode="after")
    def _each_process_has_a_port_for_operators(self) -> Self:
        port = int(self.metrics_bind.rpartition(":")[2] or 0)
        if port and port + self.portal_processes - 1 > 65535:
            raise ValueError(
                f"DSS_METRICS_BIND: {self.portal_processes} processes need as many ports from {port} on, and the "
                "last port is 65535"
            )
        return self

    @model_validator(mode="after")
    def _an_issuer_is_complete(self) -> Self:
        """Raises ValueError if the configuration of the OpenID Connect issuer is incomplete.  Otherwise that would only
        be noticed at the first sign-in.
        """
        parts = {
            "DSS_OIDC_ISSUER": self.oidc_issuer,
            "DSS_OIDC_CLIENT_ID": self.oidc_client_id,
            "DSS_OIDC_CLIENT_SECRET": self.oidc_client_secret.get_secret_value(),
        }
        missing = [name for name, value in parts.items() if not value]
        if missing and len(missing) < len(parts):
            present = " and ".join(name for name in parts if name not in missing)
            raise ValueError(
                f"{' and '.join(missing)} must be set too, since {present} is: "
                "sign-in by OpenID Connect needs all three"
            )
        return self

    @model_validator(mode="after")
    def _the_public_address_is_one(self) -> Self:
        if not is_web_address(self.public_url) or {"?", "#"} & set(self.public_url):
            raise ValueError(
                f"DSS_PUBLIC_URL: '{self.public_url}' is no address; "
                "one like https://dss.example.org or https://example.org/dss is needed"
            )
        return self

    @model_validator(mode="after")
    def _proxies_are_networks(self) -> Self:
        """Raises ValueError, with a sentence, if an entry of DSS_TRUSTED_PROXIES is not a network."""
        _ = self.proxy_networks
        return self

    @model_validator(mode="after")
    def _the_mail_server_is_complete(self) -> Self:
        """Raises ValueError if the configuration of the mail server is incomplete.  Otherwise that would only be
        noticed when the first ticket ends.
        """
        _ = self.notify_networks_listed
        if not self.smtp_host:
            return self
        if not is_host(self.smtp_host):
            raise ValueError(f"DSS_SMTP_HOST: '{self.smtp_host[:80]}' is no name of a host")
        if "@" not in self.smtp_from or not self.smtp_from.isprintable():
            raise ValueError("DSS_SMTP_FROM must be an e-mail address, since DSS_SMTP_HOST is set")
        if bool(self.smtp_user) != bool(self.smtp_password_file):
            raise ValueError("DSS_SMTP_USER and DSS_SMTP_PASSWORD_FILE must be set together")
        if self.smtp_user and self.smtp_security == "none":
            raise ValueError(
                "DSS_SMTP_SECURITY=none would send the password of DSS_SMTP_USER in the clear; "
                "starttls or tls is needed"
            )
        _require("DSS_SMTP_PASSWORD_FILE", self.smtp_password_file, unreadable)
        _require("DSS_SMTP_CA_FILE", self.smtp_ca_file, no_certificates)
        if self.smtp_user and not Path(self.smtp_password_file).read_bytes().strip(
            b"\xef\xbb\xbf \r\n\t"
        ):
            raise ValueError(
                f"DSS_SMTP_PASSWORD_FILE: {self.smtp_password_file} holds nothing; "
                "the password of DSS_SMTP_USER is needed"
            )
        return self

    @model_validator(mode="after")
    def _what_the_first_sign_in_or_registration_needs_is_there(self) -> Self:
        if self.oidc_issuer not in {"", "google"} and not is_web_address(self.oidc_issuer):
            raise ValueError(
                f"DSS_OIDC_ISSUER: '{self.oidc_issuer}' is neither google nor an address that begins with https://"
            )
        _require("DSS_GIT_CA_FILE", self.git_ca_file, no_certificates)
        _require("DSS_GIT_CREDENTIALS_FILE", self.git_credentials_file, unreadable)
        return self

    @property
    def proxy_networks(self) -> tuple[Network, ...]:
        return _networks("DSS_TRUSTED_PROXIES", self.trusted_proxies)

    @property
    def notify_networks_listed(self) -> tuple[Network, ...]:
        return _networks("DSS_NOTIFY_NETWORKS", self.notify_networks)

    @property
    def public_prefix(self) -> str:
        """The path below which the portal is reached from outside, such as "/dss"; "" for the root."""
        return urlsplit(self.public_url).path.rstrip("/")

    @property
    def public_is_https(self) -> bool:
        return urlsplit(self.public_url).scheme == "https"


def _require(setting: str, path: str, fault: Callable[[str], str]) -> None:
    """Raises ValueError with a sentence if ``path`` is given and ``fault`` finds something wrong with that file."""
    if path and (why := fault(path)):
        raise ValueError(f"{setting}: {why}")


def _networks(setting: str, texts: str) -> tuple[Network, ...]:
    """The networks in ``texts``, separated by commas.  Raises ValueError for an entry that is not a network, with a
    sentence that names the setting.
    """
    return tuple(_network(setting, text.strip()) for text in texts.split(",") if text.strip())


def _network(setting: str, text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(
            f"{setting}: '{text}' is neither an address nor a network such as 10.0.0.0/8 ({error})"
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

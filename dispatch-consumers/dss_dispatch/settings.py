"""Settings of the program ``dss-dispatch``, each read from the environment variable ``DSS_<NAME>``."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from dss_broker.datastore_settings import DatastoreSettings
from dss_broker.instance import instance_name
from dss_broker.settings import AmqpUrl, Bind, Instance


class ServiceSettings(BaseSettings):
    """Settings for reading a service's folder."""

    model_config = SettingsConfigDict(env_prefix="DSS_", frozen=True, env_ignore_empty=True)

    service_changes: Path | None = Field(
        None, description="folder of NAME.json, merged into the service.json of that name"
    )


class ProgramSettings(DatastoreSettings):
    """Settings of every process: for checking results of HTTP providers, and for reading uploads of browsers."""

    amqp_url: AmqpUrl = Field(description="amqp://user:password@host:port/vhost")
    instance: Instance = Field(default_factory=instance_name, description="name of this process")
    metrics_bind: Bind = Field(
        "", description="host:port of /metrics, /healthz and /readyz; blank is none"
    )
    stop_s: float = Field(30, ge=0, description="time to finish tickets when asked to stop")
    log_json: bool = False
    upload_s: float = Field(900, gt=0, description="longest time to read an upload of a browser")
    upload_memory_gb: float = Field(
        3, gt=0, description="most memory of the process that reads an upload of a browser"
    )


class Settings(ServiceSettings, ProgramSettings):
    """All settings of a dispatcher that serves a service."""

    provider: str = Field(
        "dss", pattern=r"^[\w-]{1,78}$", description="who offers the service, as users read it"
    )
    parallel_tickets: int = Field(2, ge=1, description="tickets worked on at a time")
    inference_silence_s: float = Field(
        600, gt=0, description="a worker that sends nothing for this time is given up"
    )


def service_url(service: str, environment: Mapping[str, str]) -> str:
    """The address of an inference server to use instead of the queue, from the variable that is named after the
    service, such as ``LUNG_SEGMENTATION_SERVICE_URL``; "" if it is not set.  Raises ValueError if it is no address.
    """
    name = re.sub(r"\W", "_", service).upper() + "_SERVICE_URL"
    url = environment.get(name, "")
    if url and not _is_http(url):
        raise ValueError(f"{name}: an address like http://worker:8080 is needed.")
    return url


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return usable and not re.search(r"\s", url)

"""Settings of the program ``dss-dispatch``, each read from the environment variable ``DSS_<NAME>``."""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from dss_broker.datastore_settings import DatastoreSettings
from dss_broker.instance import instance_name
from dss_broker.settings import (
    AmqpUrl,
    AtATime,
    Bind,
    Instance,
    Seconds,
    StopSeconds,
    is_web_address,
)


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
    stop_s: StopSeconds = Field(30, description="time to finish tickets when asked to stop")
    log_json: bool = False
    upload_s: Seconds = Field(900, description="longest time to read an upload of a browser")
    upload_memory_gb: float = Field(
        3,
        gt=0,
        le=2**20,
        description="most memory of the process that reads an upload of a browser",
    )


class Settings(ServiceSettings, ProgramSettings):
    """All settings of a dispatcher that serves a service."""

    provider: str = Field(
        "dss", pattern=r"^[\w-]{1,78}$", description="who offers the service, as users read it"
    )
    parallel_tickets: AtATime = Field(2, description="tickets worked on at a time")
    inference_silence_s: Seconds = Field(
        600, description="a worker that sends nothing for this time is given up"
    )


def service_url(service: str, environment: Mapping[str, str]) -> str:
    """The address of an inference server to use instead of the queue, from the variable that is named after the
    service, such as ``LUNG_SEGMENTATION_SERVICE_URL``; "" if it is not set.  Raises ValueError if it is no address.
    """
    name = re.sub(r"\W", "_", service).upper() + "_SERVICE_URL"
    url = environment.get(name, "")
    if url and not is_web_address(url):
        raise ValueError(f"{name}: an address like http://worker:8080 is needed.")
    return url

"""Settings of an inference worker, each read from the environment variable ``DSS_<NAME>``."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from dss_broker.datastore_settings import DatastoreSettings
from dss_broker.instance import instance_name
from dss_broker.settings import (
    MAX_BYTES,
    AmqpUrl,
    AtATime,
    Bind,
    Bytes,
    Instance,
    Seconds,
    StopSeconds,
)


def _own_cores() -> int:
    return min(8, len(os.sched_getaffinity(0)))


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", name):
        raise ValueError(f"'{name}' is neither auto, cpu nor cuda:N, such as cuda:0")
    return name


DEFAULT_BUNDLE_BYTES = 8 << 30


class DeviceSettings(BaseSettings):
    """Settings that every command of ``dss-inference`` uses: the device, the MONAI bundles and the CPU threads."""

    model_config = SettingsConfigDict(env_prefix="DSS_", frozen=True, env_ignore_empty=True)

    device: Annotated[str, AfterValidator(_device)] = Field(
        "auto", description="auto, cpu or cuda:N"
    )
    bundles: Path | None = Field(None, description="folder of MONAI bundles, each a queue")
    bundle_bytes: int = Field(
        DEFAULT_BUNDLE_BYTES,
        ge=0,
        le=MAX_BYTES,
        description="MONAI bundles that stay in memory, all together",
    )
    threads: AtATime = Field(default_factory=_own_cores, description="CPU threads of one worker")
    log_json: bool = False


class FacadeSettings(DeviceSettings):
    """Settings of a worker that serves bundles over HTTP (the facade)."""

    instance: Instance = Field(default_factory=instance_name, description="name of this process")
    facade_bind: Bind = Field("", description="host:port of the REST interface; blank is none")
    facade_dir: Path = Field(
        Path("/wmlce/data/output"), description="persistent folder of its images and results"
    )
    facade_keep_s: Seconds = Field(86400, description="results are removed after this time")
    facade_max_bytes: Bytes = Field(4 << 30, description="largest body that is taken")
    stop_s: StopSeconds = Field(30, description="time to finish requests when told to stop")


class Settings(FacadeSettings, DatastoreSettings):
    """Settings of a worker that serves bundles to dispatchers through the broker, and over HTTP if that is set."""

    amqp_url: AmqpUrl = Field(description="amqp://user:password@host:port/vhost")
    requests_ahead: AtATime = Field(
        2,
        description="requests of a bundle held at a time: on the device, being read or written",
    )
    metrics_bind: Bind = Field(
        "", description="host:port of /metrics, /healthz and /readyz; blank is none"
    )

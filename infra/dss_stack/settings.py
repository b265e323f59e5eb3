"""The settings of the local stack, each read from the environment variable ``DSS_<NAME>``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

CHECKOUT = Path(__file__).resolve().parents[2]


class Settings(BaseSettings):
    """The settings of one local stack.  A RabbitMQ or PostgreSQL whose address is set is used instead of one of its
    own.
    """

    model_config = SettingsConfigDict(env_prefix="DSS_", frozen=True, env_ignore_empty=True)

    state: Path = Field(CHECKOUT / ".dss", description="folder of everything that the stack keeps")
    amqp_url: str | None = Field(None, description="a RabbitMQ that exists, instead of our own")
    database_url: str | None = Field(None, description="a PostgreSQL that exists, instead of ours")
    datastore: Path | None = Field(None, description="folder of the tickets' files")
    bind: str | None = Field(None, description="host:port of the portal, else 8080 or a free port")
    public_url: str | None = Field(None, description="address that users type into ITK-SNAP")
    prometheus: bool = Field(True, description="false: neither install nor start a Prometheus")

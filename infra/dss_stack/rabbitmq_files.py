"""Writes the configuration files of a RabbitMQ node, and returns its environment variables, which together keep all its
data in one folder.
"""

import json
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from dss_broker.rights import USERS, definitions
from dss_stack.ports import LOOPBACK
from dss_stack.stored_facts import write_private

USER = "dss"

PORTS = ("amqp", "console", "prometheus", "distribution", "epmd", "ctl")
CTL_PORTS = 11
"""How many ports a command-line tool tries, from "ctl" on.  It listens only while it runs, so others may take them."""

_PLUGINS = "[rabbitmq_management,rabbitmq_prometheus].\n"

_CONSUMER_TIMEOUT_MS = 7 * 24 * 3600 * 1000
"""Longest time without an acknowledgement after which RabbitMQ closes a consumer's channel: a week, because a ticket
may take days; the default is 30 minutes.  RabbitMQ 3.10 reads this setting only from the configuration file.
"""


@dataclass(frozen=True, kw_only=True)
class ClusterMember:
    """One node of a RabbitMQ cluster: its name, the names of all nodes, and the cookie, the secret that they share."""

    name: str
    names: tuple[str, ...]
    cookie: str


def write_files(
    folder: Path, *, ports: dict[str, int], password: str, member: ClusterMember
) -> None:
    """Write all files below ``folder`` that the node reads at its start: configuration, plugins, cookie, users and
    rights.
    """
    for name in ("home", "etc/generated", "etc/schema", "mnesia", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_private(folder / "home/.erlang.cookie", member.cookie)
    (folder / "home/.erlang.cookie").chmod(0o400)
    (folder / "etc/enabled_plugins").write_text(_PLUGINS, encoding="utf-8")
    (folder / "etc/rabbitmq-env.conf").write_text("", encoding="utf-8")
    (folder / "etc/rabbitmq.conf").write_text(
        _configuration(folder, ports) + _cluster(member), encoding="utf-8"
    )
    write_private(folder / "etc/definitions.json", json.dumps(_definitions(password)))


def variables(folder: Path, node: str, ports: dict[str, int]) -> dict[str, str]:
    """Environment variables for the server with the name ``node`` and for its command-line tools."""
    return {
        "HOME": f"{folder}/home",
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_CONF_ENV_FILE": f"{folder}/etc/rabbitmq-env.conf",  # by default in /etc/rabbitmq
        "RABBITMQ_CONFIG_FILE": f"{folder}/etc/rabbitmq.conf",
        "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/etc/advanced.config",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/etc/enabled_plugins",
        "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
        "RABBITMQ_LOG_BASE": f"{folder}/log",
        "RABBITMQ_PID_FILE": f"{folder}/rabbit.pid",
        "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/etc/generated",
        "RABBITMQ_FEATURE_FLAGS_FILE": f"{folder}/etc/feature_flags",
        "RABBITMQ_SCHEMA_DIR": f"{folder}/etc/schema",
        "RABBITMQ_DIST_PORT": str(ports["distribution"]),
        "RABBITMQ_CTL_DIST_PORT_MIN": str(ports["ctl"]),
        "RABBITMQ_CTL_DIST_PORT_MAX": str(ports["ctl"] + CTL_PORTS - 1),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RUNNING_UNDER_SYSTEMD": "true",  # the script executes the server in its own process
    }


def _configuration(folder: Path, ports: dict[str, int]) -> str:
    return f"""\
listeners.tcp.1 = {LOOPBACK}:{ports["amqp"]}
management.tcp.ip = {LOOPBACK}
management.tcp.port = {ports["console"]}
prometheus.tcp.ip = {LOOPBACK}
prometheus.tcp.port = {ports["prometheus"]}
load_definitions = {folder}/etc/definitions.json
consumer_timeout = {_CONSUMER_TIMEOUT_MS}
vm_memory_high_watermark.absolute = 1GiB
disk_free_limit.absolute = 500MB
log.file.level = info
collect_statistics_interval = 1000
management.sample_retention_policies.global.minute = 1
management.sample_retention_policies.basic.minute = 1
management.sample_retention_policies.detailed.minute = 1
"""


def _cluster(member: ClusterMember) -> str:
    """The cluster's part of the configuration file; "" for a single node."""
    if len(member.names) == 1:
        return ""
    names = (
        f"cluster_formation.classic_config.nodes.{number} = {name}\n"
        for number, name in enumerate(member.names, 1)
    )
    backend = "cluster_formation.peer_discovery_backend = classic_config\n"
    return "".join([backend, "cluster_partition_handling = pause_minority\n", *names])


def password_of(user: str, secret: str) -> str:
    """The password of ``user``, derived from ``secret``, the administrator's password.  It differs from user to user,
    and the secret cannot be derived from it.
    """
    return blake2b(user.encode(), key=secret.encode(), digest_size=24).hexdigest()


def _definitions(secret: str) -> dict[str, list[dict[str, str]]]:
    """RabbitMQ's definitions with an administrator and the programs' users, without the user ``guest``.  Importing them
    again changes nothing.
    """
    found = definitions({user: password_of(user, secret) for user in USERS})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    found["users"].append({"name": USER, "password": secret, "tags": "administrator"})
    found["permissions"].append({"user": USER, "vhost": "/", **everything})
    return found

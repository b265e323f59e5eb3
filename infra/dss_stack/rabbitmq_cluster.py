"""A private RabbitMQ cluster of several nodes on loopback, for tests."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import httpx

from dss_stack import rabbitmq_files
from dss_stack.ports import choose_ports
from dss_stack.rabbitmq import RabbitNode
from dss_stack.rabbitmq_files import ClusterMember
from dss_stack.stored_facts import store_facts


class RabbitCluster:
    """A RabbitMQ cluster of ``size`` nodes in ``folder``, which must not hold a cluster yet.

    The nodes share one port mapper (epmd), one password and one cookie.  ``start`` starts them.
    """

    def __init__(self, folder: Path, *, size: int = 3, sysroot: Path | None = None) -> None:
        self._names = tuple(f"dss{number}@localhost" for number in range(1, size + 1))
        cookie, password = secrets.token_hex(16), secrets.token_urlsafe(18)
        own = [port for port in rabbitmq_files.PORTS if port != "epmd"]
        ports = choose_ports(["epmd", *(f"{name} {port}" for name in self._names for port in own)])
        self.nodes: dict[str, RabbitNode] = {}
        for name in self._names:
            home = folder / name.partition("@")[0]
            home.mkdir(parents=True)
            own_ports = {port: ports[f"{name} {port}"] for port in own} | {"epmd": ports["epmd"]}
            store_facts(home / "node.json", {"ports": own_ports, "secret": password})
            member = ClusterMember(name=name, names=self._names, cookie=cookie)
            self.nodes[name] = RabbitNode(home, sysroot=sysroot, member=member)

    @property
    def amqp_url(self) -> str:
        """The AMQP URLs of all nodes, separated by commas, as the programs expect them."""
        return ",".join(node.amqp_url for node in self.nodes.values())

    def start(self) -> None:
        """Start all nodes, and return when all are ready.  Raises ServerMissing, StartFailed."""
        with ThreadPoolExecutor(len(self.nodes)) as threads:
            list(threads.map(lambda node: node.start(), self.nodes.values()))

    def stop(self) -> None:
        """Kill all nodes at once, without an orderly shutdown, and end the port mapper."""
        for node in self.nodes.values():
            node.kill()
        next(iter(self.nodes.values())).end_port_mapper()

    def queue(self, name: str) -> tuple[str, set[str]]:
        """The names of the leader and of the online members of the queue ``name``, as a running node reports them; ""
        without a leader.  Raises httpx.HTTPError if there is no such queue or the node does not answer.
        """
        node = next(node for node in self.nodes.values() if node.running)
        address = f"{node.console_url}/api/queues/%2F/{quote(name, safe='')}"
        answer = httpx.get(address, auth=(node.user, node.password), timeout=20, trust_env=False)
        found = answer.raise_for_status().json()
        return str(found.get("leader", "")), set(found.get("online", []))

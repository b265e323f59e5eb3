"""The servers that a chart's site brings, in containers: RabbitMQ by AMQPS, PostgreSQL behind PgBouncer by TLS, nginx.

nginx ends TLS and has the portal below a path, with the lines that infra/README.md prints.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from deploy.engines import Engine
from support.tls import certificate

NETWORK = "dss-played"
PREFIX = "/dss"

_RABBITMQ = """\
listeners.ssl.default = 5671
ssl_options.certfile = /tls/server.pem
ssl_options.keyfile = /tls/server.pem
ssl_options.cacertfile = /tls/authority.pem
ssl_options.verify = verify_none
"""
_PGBOUNCER = """\
[databases]
dss = host=postgres port=5432
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/users.txt
pool_mode = transaction
default_pool_size = 10
max_client_conn = 200
client_tls_sslmode = require
client_tls_cert_file = /tls/server.pem
client_tls_key_file = /tls/server.pem
"""
_NGINX = """\
events {{}}
http {{
  access_log off;
  server {{
    listen 8443 ssl;
    ssl_certificate /tls/server.pem;
    ssl_certificate_key /tls/server.pem;
    {location}
  }}
}}
"""


@dataclass(frozen=True)
class Servers:
    engine: Engine
    folder: Path
    """Holds ``secrets``, those of a composed site."""
    checkout: Path

    @property
    def authority(self) -> Path:
        return self.folder / "authority.pem"

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text(encoding="utf-8")

    def amqp_url(self, program: str) -> str:
        plain = self.secret(f"{program}_amqp_url")
        return plain.replace("amqp://", "amqps://").replace(":5672/", ":5671/")

    @property
    def database_url(self) -> str:
        behind = self.secret("database_url").replace("@postgres:5432/", "@pgbouncer:6432/")
        return f"{behind}?sslmode=verify-full&sslrootcert=/etc/dss/certificates/ca.pem"

    def start(self) -> None:
        """All but nginx, which needs the address of the portal."""
        self.engine.podman("network", "create", NETWORK)
        certificate(self.folder, "localhost", "rabbitmq", "pgbouncer")
        definitions, conf = "rabbitmq_definitions.json", "infra/compose/rabbitmq.conf"
        self._run(
            "rabbitmq",
            "--hostname rabbitmq rabbitmq:4",
            {
                f"secrets/{definitions}": f"/run/secrets/{definitions}",
                str(self.checkout / conf): "/etc/rabbitmq/conf.d/90-dss.conf",
                self._file("rabbitmq.conf", _RABBITMQ): "/etc/rabbitmq/conf.d/91-tls.conf",
            },
        )
        password = "/run/secrets/postgres_password"
        self._run(
            "postgres",
            f"--env POSTGRES_USER=dss --env POSTGRES_DB=dss --env POSTGRES_PASSWORD_FILE={password} postgres:17",
            {"secrets/postgres_password": password},
        )
        users = f'"dss" "{self.secret("postgres_password")}"\n'
        self._run(
            "pgbouncer",
            "--user postgres proxies:1 pgbouncer /etc/pgbouncer/own.ini",
            {
                self._file("pgbouncer.ini", _PGBOUNCER): "/etc/pgbouncer/own.ini",
                self._file("users.txt", users): "/etc/pgbouncer/users.txt",
            },
        )

    def start_nginx(self, portal: str, port: int) -> None:
        """On ``port`` of loopback, before the portal at the address ``portal``."""
        readme = (self.checkout / "infra/README.md").read_text(encoding="utf-8")
        block = re.search(r"```\n(location / \{.*?\})\n```", readme, re.DOTALL)
        assert block is not None
        location = block[1].replace("location / ", f"location {PREFIX}/ ")
        location = location.replace("http://127.0.0.1:8080", portal)
        conf = self._file("nginx.conf", _NGINX.format(location=location))
        self._run(
            "nginx",
            f"--publish 127.0.0.1:{port}:8443 proxies:1 nginx -g 'daemon off;' -c /etc/nginx/own.conf",
            {conf: "/etc/nginx/own.conf"},
        )

    def stop(self) -> None:
        for name in ("nginx", "pgbouncer", "postgres", "rabbitmq"):
            self.engine.podman("rm", "--force", "--volumes", f"{NETWORK}-{name}", check=False)
        self.engine.podman("network", "rm", "--force", NETWORK, check=False)

    def _file(self, name: str, content: str) -> str:
        (self.folder / name).write_text(content, encoding="utf-8")
        (self.folder / name).chmod(0o644)
        return name

    def _run(self, name: str, words: str, files: dict[str, str]) -> None:
        files |= {"server.pem": "/tls/server.pem", "authority.pem": "/tls/authority.pem"}
        mounts = " ".join(f"--volume {self.folder / f}:{there}:ro" for f, there in files.items())
        run = f"podman run --detach --network {NETWORK} --network-alias {name}"
        self.engine.run(f"{run} --name {NETWORK}-{name} {mounts} {words}", self.folder)

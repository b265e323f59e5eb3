"""A Git server behind https with an authority of its own, on a network of containers: nginx before a folder of files."""

import shutil
import subprocess
from pathlib import Path

from deploy.engines import Engine
from dss_broker.dispatch_section import Modality
from dss_provider.new_folder import make
from support.tls import certificate

HOST = "git"
SERVICE = "threshold"
NGINX = """\
events {}
http {
  access_log off;
  server {
    listen 443 ssl;
    ssl_certificate /tls/server.pem;
    ssl_certificate_key /tls/server.pem;
    root /repositories;
  }
}
"""


class GitServer:
    """``folder`` gets the service's folder, its repository, and the certificate ``authority.pem``."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine, self._folder = engine, folder
        folder.mkdir()
        certificate(folder, HOST)
        self.service = folder / SERVICE
        make(self.service, Modality.ANY)
        self._publish()

    @property
    def address(self) -> str:
        return f"https://{HOST}/{SERVICE}.git"

    def _publish(self) -> None:
        """The folder as a repository that any server of files can serve."""
        source = self._folder / "source"
        shutil.copytree(self.service, source)
        bare = self._folder / f"repositories/{SERVICE}.git"
        author = "-c user.name=a -c user.email=a@b"
        for command in (
            f"git -C {source} init --quiet",
            f"git -C {source} add .",
            f"git -C {source} {author} commit --quiet --message first",
            f"git clone --quiet --bare {source} {bare}",
            f"git -C {bare} update-server-info",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)

    def start(self, network: str) -> None:
        (self._folder / "nginx.conf").write_text(NGINX, encoding="utf-8")
        mounts = {
            "nginx.conf": "/etc/nginx/own.conf",
            "server.pem": "/tls/server.pem",
            "repositories": "/repositories",
        }
        volumes = " ".join(f"--volume {self._folder / f}:{there}:ro" for f, there in mounts.items())
        run = f"podman run --detach --name dss-git --network {network}:alias={HOST} {volumes}"
        command = "nginx -g 'daemon off;' -c /etc/nginx/own.conf"
        self._engine.run(f"{run} proxies:1 {command}", self._folder)

    def stop(self) -> None:
        self._engine.podman("rm", "--force", "--time", "0", "dss-git", check=False)

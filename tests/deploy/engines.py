"""podman with a store of its own, on a machine without systemd and without a registry."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dss_stack import debian_root

COMPOSE = "podman-compose==1.6.0"
VALIDATOR = "cyclonedx-python-lib[json-validation]==11.12.0"
PROGRAMS = ("podman", "runc", "debootstrap")
"""Beside them netavark and aardvark-dns, which Debian's podman only recommends."""

STAND_INS = {
    "rabbitmq": "rabbitmq:4",
    "postgres": "postgres:17",
    "prometheus": "prom/prometheus:v3.5.0",
    "alertmanager": "prom/alertmanager:v0.28.1",
    "proxies": "proxies:1",
    "s3": "s3:1",
}
"""Servers from Debian's packages, by their target in ``stand_ins``, under the names of the official images."""
BASE = "debian:bookworm-slim"
CERTIFICATES = Path("/etc/ssl/certs")

ISOLATION = "--isolation chroot"
"""Enough for Debian's packages, one of which makes a certificate of its own when it is installed."""

_CONFIGURATION = """\
[engine]
runtime = "runc"
[containers]
default_ulimits = ["nofile=16384:16384", "nproc=4000:4000"]
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
"""
"""crun refuses the control groups of our machines, and they refuse higher limits."""

_PODMAN = """\
#!/bin/sh
exec {podman} --root {folder}/store --runroot {folder}/run "$@"
"""
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Engine:
    """``podman`` and ``podman-compose`` of ``folder``; other stores of the machine are not touched."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "TMPDIR": str(self.folder / "tmp"),
        }

    def prepare(self) -> None:
        for name in ("bin", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "containers.conf").write_text(
            _CONFIGURATION.format(folder=self.folder), encoding="utf-8"
        )
        podman = self.folder / "bin/podman"
        podman.write_text(
            _PODMAN.format(podman=shutil.which("podman"), folder=self.folder), encoding="utf-8"
        )
        podman.chmod(0o755)
        venv = self.folder / "compose"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin/python")]
        subprocess.run([*pip, "install", "--quiet", COMPOSE, VALIDATOR], check=True)
        link = self.folder / "bin/podman-compose"
        link.unlink(missing_ok=True)
        link.symlink_to(venv / "bin/podman-compose")

    def run(self, command: str, folder: Path, **variables: str) -> str:
        """The output of a line of shell; ``podman`` in it is this one."""
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=folder,
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}"
        return done.stdout

    def make_stand_ins(self, checkout: Path) -> None:
        for target, tag in STAND_INS.items():
            self.make_stand_in(checkout, target, tag)

    def make_stand_in(self, checkout: Path, target: str, tag: str) -> None:
        # Not where Debian's ssl-cert writes a certificate of its own.
        authorities = f"--volume {CERTIFICATES}:/authorities:ro"
        options = f"{ISOLATION} {authorities} --build-arg MOTO={moto(checkout)}"
        folder = "tests/deploy/stand_ins"
        self.run(f"podman build {options} --target {target} --tag {tag} {folder}", checkout)

    def has_image(self, name: str) -> bool:
        return self.podman("image", "exists", name, check=False).returncode == 0

    def podman(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["podman", *arguments],
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0 or not check, f"{arguments}: {done.stderr[-3000:]}"
        return done

    def import_base(self, root: Path) -> None:
        """BASE, from Debian's packages: no registry is to be had."""
        debian_root.make("bookworm", root, ("ca-certificates",))
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as packed:
            subprocess.run(
                ["podman", "import", "--change", f"ENV {_PATH}", "-", BASE],
                stdin=packed.stdout,
                env=self.environment,
                check=True,
            )

    def refusal(self) -> str:
        """A sentence if this machine lets no container run; "" if one does."""
        done = self.podman("run", "--rm", "--network", "none", BASE, "true", check=False)
        return f"Containers do not run on this machine: {done.stderr}" if done.returncode else ""

    def size_bytes(self, image: str) -> int:
        return int(self.podman("image", "inspect", image, "--format", "{{.Size}}").stdout)

    def process(self, container: str) -> int:
        """Its first process, by the number that this machine gives it; 0 while it does not run."""
        return int(self.podman("inspect", container, "--format", "{{.State.Pid}}").stdout)

    def remove_everything(self) -> None:
        """Of this store; without our ``podman`` in the folder the machine's own store would be emptied."""
        if (self.folder / "bin/podman").exists():
            self._empty_store()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _empty_store(self) -> None:
        (self.folder / "tmp").mkdir(exist_ok=True)
        self.podman("rm", "--all", "--force", "--time", "0", check=False)
        self.podman("system", "reset", "--force", check=False)


def lacking() -> str:
    """A sentence that names what this machine lacks to run containers; "" if it lacks nothing."""
    if os.geteuid() != 0:
        return "Containers without a registry take root."
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    packages = "podman runc netavark aardvark-dns iptables catatonit debootstrap"
    return f"There is no {absent[0]} here: apt-get install {packages}" if absent else ""


def moto(checkout: Path) -> str:
    """The server of the S3 protocol, as pip calls it, in the version of the other tests."""
    lines = (checkout / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith("moto==")).replace("moto", "moto[s3]")


def build_settings() -> dict[str, str]:
    """Variables of ``make images``."""
    return {"BUILD_OPTIONS": build_options(), "TORCH_CPU": torch_folder()}


def build_options() -> str:
    """What reaches the package index from within a build, as it is reached from here."""
    options = [ISOLATION, f"--volume {CERTIFICATES}:{CERTIFICATES}:ro"]
    if wheels := torch_folder():
        options.append(f"--volume {wheels}:{wheels}:ro")
    return " ".join(options)


def torch_folder() -> str:
    """DSS_TORCH_CPU, or the folder that pip takes wheels from, if it has torch; else ""."""
    named = os.environ.get("DSS_TORCH_CPU", os.environ.get("PIP_FIND_LINKS", ""))
    return named if named and list(Path(named).glob("torch-*")) else ""

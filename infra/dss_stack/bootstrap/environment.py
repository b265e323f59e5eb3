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
from dss_stack.bootstrap.command_runner import CommandRunner
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

    def create(self, runner: CommandRunner, wheels: Path) -> None:
        """Create the environment with only pip in it, unless it exists with pip.  ``wheels`` is a folder into which pip
        may be unpacked.  Raises StackError if that fails.
        """
        if not self._has_pip():
            runner.say("Virtual environment: making it")
            self._create(runner, wheels)

    def fill(self, runner: CommandRunner) -> None:
        """Install the project in editable mode, with the packages that it needs.  Raises StackError if that fails."""
        runner.say("Python packages: looking for what is missing")
        self._forget_half_installed()
        self._install(runner)
        self._stamp.write_text(self._wishes(), encoding="utf-8")
        runner.say("Python packages: done")

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

    def _create(self, runner: CommandRunner, wheels: Path) -> None:
        """Create the environment with pip in it.  On Debian, ``venv`` lacks pip unless a further package is installed;
        then the wheel of ``debian.pip_wheel`` is used.
        """
        create = [sys.executable, "-m", "venv", "--clear", str(self._venv)]
        if importlib.util.find_spec("ensurepip") is None:
            pip = debian.pip_wheel(runner, wheels)
            runner.run([*create, "--without-pip"], purpose="Making the virtual environment")
            command = [self._python, f"{pip}/pip", "install", "--no-index", str(pip)]
            runner.run(command, purpose="Installing pip")
        else:
            runner.run(create, purpose="Making the virtual environment")

    def _forget_half_installed(self) -> None:
        """Remove the records (.dist-info) of packages that a killed pip has installed incompletely, so that pip
        installs them again.  These records lack the list of files, which pip writes last.
        """
        for info in self._venv.glob("lib/python*/site-packages/*.dist-info"):
            if not (info / "RECORD").exists():
                shutil.rmtree(info)

    def _install(self, runner: CommandRunner) -> None:
        gpu = torch_build.has_gpu()
        if source := torch_build.cpu_source(gpu=gpu):
            runner.say(f"torch: the build for CPUs, from {torch_build.SETTING}")
            self._pip(runner, *source, self._pinned_torch())
        wishes = ["--editable", f".[{','.join(sorted(self._extras))}]", self._pinned_torch()]
        self._tell(runner, wishes, gpu=gpu)
        self._pip(runner, *wishes)

    def _tell(self, runner: CommandRunner, wishes: Sequence[str], *, gpu: bool) -> None:
        """Say what will be downloaded, and how to avoid packages that this machine cannot use."""
        report = self._venv / "planned.json"
        self._pip(runner, "--dry-run", "--quiet", "--report", str(report), *wishes)
        planned = downloads.planned(report)
        runner.say(f"Python packages to be installed: {downloads.summary(planned)}")
        cuda_bytes = downloads.cuda_bytes(planned)
        if cuda_bytes and not gpu:
            runner.say(torch_build.advice(cuda_bytes))

    def _pip(self, runner: CommandRunner, *wishes: str) -> None:
        runner.run(
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

"""The version of what is installed.  It is written in ``pyproject.toml`` and nowhere else."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

PROJECT = "itksnap-dss-middleware"


def installed_version(program: str) -> str:
    """``0.1.0``, of the whole project or of the wheel of one program (``portal``); "unknown" without either."""
    for distribution in (PROJECT, f"itksnap-dss-{program}"):
        try:
            return version_of(distribution)
        except PackageNotFoundError:
            continue
    return "unknown"

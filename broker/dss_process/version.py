"""The version of the installed distribution, which is written only in ``pyproject.toml``."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

PROJECT = "itksnap-dss-middleware"


def installed_version(program: str) -> str:
    """The version, such as ``0.1.0``, of the whole project or else of the wheel of ``program``; "unknown" if neither is
    installed.
    """
    for distribution in (PROJECT, f"itksnap-dss-{program}"):
        try:
            return version_of(distribution)
        except PackageNotFoundError:
            continue
    return "unknown"

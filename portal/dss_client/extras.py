"""The optional parts (pip's extras) of the client: which of them are installed, and which one a command lacks."""

from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec

from dss_process.version import PROJECT

MODULES = {
    "images": ("SimpleITK", "numpy", "pydicom"),
    "keyring": ("keyring",),
    "provider": ("SimpleITK", "numpy", "pydicom"),
    "client": ("click", "defusedxml", "httpx", "msgspec"),
}
"""The modules of each extra, by the names under which they are imported."""


def installed(extra: str) -> bool:
    """True if all modules of the extra are installed.  Does not import them."""
    return all(find_spec(module) is not None for module in MODULES[extra])


def command_for(extra: str) -> str:
    """The pip command that adds the extra to the installation."""
    return f"pip install '{_name()}[{extra}]'"


def _name() -> str:
    for name in (PROJECT, "itksnap-dss-client"):
        try:
            return str(distribution(name).metadata["Name"])
        except PackageNotFoundError:
            continue
    return PROJECT


def lacking(error: ImportError) -> str | None:
    """A sentence that names the extra to install, if ``error`` is about one of its modules; otherwise None."""
    missing = (error.name or "").partition(".")[0]
    for extra, modules in MODULES.items():
        if missing in modules:
            return f"This needs the extra `{extra}`: {command_for(extra)} ({missing} is not installed)."
    return None

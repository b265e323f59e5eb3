"""``dss service new``: creates a folder with a working service."""

import json
import re
import shlex
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

from dss_broker.dispatch_faults import DispatchInvalid, dispatch_from
from dss_broker.dispatch_section import PUBLISHER, Modality
from dss_provider.errors import ServiceInvalid
from dss_provider.folder import ServiceFolder

Action = Callable[[], None]
SHORTDESC = "One line that users read in the list of services"
LONGDESC = "What it segments, in which images, how well, and what it is not for."
FILES = ("test_algorithm.py", "README.md", "algorithm.py")
TIME_POINT = "TimePoint"
"""The tag of a time point, as in our own services."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,78}")


def command_from(text: str) -> tuple[str, ...]:
    """The words of a command as a shell splits them.  Raises ServiceInvalid if its quotes do not match."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ServiceInvalid(f"--run {text}: a quotation mark is not closed.") from error


def make(
    folder: Path, modality: Modality, command: tuple[str, ...] = (), container: str = ""
) -> list[str]:
    """Create the folder of a new service and return the names of its files.  Without ``command`` the service runs a
    Python function; with ``command``, a program; with ``container`` too, the command in a container of that image.

    Raises ServiceInvalid if the folder is not empty or cannot be created, if its name is no name for a service, and if
    ``command`` or ``container`` cannot be used.
    """
    if container and not command:
        raise ServiceInvalid('--container needs --run "COMMAND {image} {labels}", which it runs.')
    name = folder.resolve().name
    if not _NAME.fullmatch(name):
        raise ServiceInvalid(
            f"'{name}' is no good name for a service: small letters, digits and hyphens, such as my-algorithm."
        )
    if folder.exists() and any(folder.iterdir()):
        raise ServiceInvalid(f"{folder} is there already; name a new folder.")
    described = _service(name, modality) | {"dispatch": _dispatch(modality, command, container)}
    _require_usable(described)
    texts = {"service.json": json.dumps(described, indent=2) + "\n"} | (
        {} if command else {file: _template(file, name) for file in FILES}
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ServiceInvalid(f"{folder} cannot be written ({error.strerror}).") from error
    return list(texts)


def _require_usable(described: Mapping[str, object]) -> None:
    """Raises ServiceInvalid if no service can be made with the options ``--run`` and ``--container``; all else in
    ``described`` comes from the template.
    """
    try:
        dispatch_from(described, None, PUBLISHER)
    except DispatchInvalid as error:
        text = str(error).replace("dispatch.command:", "--run:")
        raise ServiceInvalid(text.replace("dispatch.image:", "--container:")) from error


def placeholders(service: ServiceFolder) -> list[str]:
    """A warning for each text of the template that users would read and that the provider has not replaced."""
    found = service.descriptor
    texts = {"shortdesc": (found.shortdesc, SHORTDESC), "longdesc": (found.longdesc, LONGDESC)}
    left = [
        f"Warning: {field} is still the template's; users read it."
        for field, (text, ours) in texts.items()
        if text == ours
    ]
    algorithm = service.path / "algorithm.py"
    text = algorithm.read_text("utf-8", errors="replace") if algorithm.is_file() else ""
    if text == _template(algorithm.name, found.name):
        left.append(
            'Warning: algorithm.py is still the template\'s, with its label "Bright tissue".'
        )
    return left


def _template(file: str, name: str) -> str:
    path = resources.files("dss_provider") / "template" / f"{file}.txt"
    return path.read_text(encoding="utf-8").replace("NAME", name)


def _tag(modality: Modality) -> str:
    return "Image" if modality is Modality.ANY else modality.value


def _service(name: str, modality: Modality) -> dict[str, object]:
    return {
        "name": name,
        "version": "1.0.0",
        "shortdesc": SHORTDESC,
        "longdesc": LONGDESC,
        "tags": [
            {
                "name": _tag(modality),
                "type": "MainImage",
                "hint": "The image to be segmented",
                "required": True,
            },
            {
                "name": TIME_POINT,
                "type": "TimePoint",
                "hint": "Of a series in time, the time point to work on",
                "required": False,
            },
        ],
    }


def _dispatch(modality: Modality, command: tuple[str, ...], container: str) -> dict[str, object]:
    section: dict[str, object] = {"provider": "python", "tag": _tag(modality)}
    if command:
        section |= {"provider": "program", "command": command}
    if container:
        section |= {"provider": "container", "image": container}
    section |= {"modality": modality.value, "time_point": TIME_POINT}
    if not command:
        section |= {"function": "algorithm.py:segment"}
    layer = "Segmentation" if command else "Bright tissue"
    return section | {"segmentation": layer, "memory_gb": 8, "time_s": 3600}

"""The ``dispatch`` section of a service.json: which program or worker makes the segmentation, and with what settings.

It is not published with the service.  ``dispatch_faults`` reads and checks it; ``service_schema`` describes it.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta

from dss_broker import label_colours
from dss_broker.descriptor import TagType

IMAGE = "{image}"
LABELS = "{labels}"
OUTPUT = "{output}"
"""Words of a command that are replaced by the path to read (IMAGE), the path to write (LABELS), and the folder to write
into (OUTPUT).
"""
PARAMETERS = "{parameters}"
"""Word of a command that is replaced by the path of a JSON file with ``parameters`` and ``landmarks``."""
IMAGE_OF = "{{image:{}}}"
"""Template of the words ``{image:TAG}`` of a command, which are replaced by the path of the image with that TAG."""

IMAGE_TAGS = (TagType.MAIN, TagType.OVERLAY, TagType.ANATOMICAL)
BUILT_IN_RULES = ("lung-segmentation", "nodule-detection")
"""Names of the rule-based algorithms that come with the workers; a test compares them with the workers' list."""


class ProviderKind(StrEnum):
    """The kind of program that makes the segmentations of a service."""

    PYTHON = "python"
    PROGRAM = "program"
    CONTAINER = "container"
    BUNDLE = "bundle"
    SERVER = "server"
    RULES = "rules"


@dataclass(frozen=True, kw_only=True)
class ServiceRunner:
    """A program that runs services whose provider is one of ``kinds``; ``other`` names the program for other kinds."""

    name: str
    kinds: tuple[ProviderKind, ...]
    other: str


PUBLISHER = ServiceRunner(
    name="`dss service`",
    kinds=(ProviderKind.PYTHON, ProviderKind.PROGRAM, ProviderKind.CONTAINER),
    other="dispatchers beside the broker (`dss-dispatch`)",
)
DISPATCHER = ServiceRunner(
    name="a dispatcher",
    kinds=(ProviderKind.RULES, ProviderKind.BUNDLE, ProviderKind.SERVER),
    other="`dss service publish`",
)


class Modality(StrEnum):
    """The meaning of the image's values; for CT they must be Hounsfield units."""

    CT = "CT"
    MR = "MR"
    PT = "PT"
    ANY = "any"


@dataclass(frozen=True, kw_only=True)
class LabelStyle:
    """Name and colour of a value of the segmentation; if ``rgb`` is None, a colour is chosen."""

    value: Annotated[int, Meta(description="1 to 65535")]
    name: str
    rgb: Annotated[
        tuple[int, int, int] | None, Meta(description="red, green, blue from 0 to 255")
    ] = None


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """The settings for segmenting the image with the tag ``tag``, and for naming the result.

    Fields for other kinds of provider are allowed and ignored, so that a site can switch by changing ``provider``
    alone.
    """

    tag: Annotated[str, Meta(description="tag of the image that the results lie in the grid of")]
    provider: Annotated[ProviderKind, Meta(description="what does the work")] = ProviderKind.BUNDLE
    segmentation: Annotated[str, Meta(description="name of the result's layer in ITK-SNAP")] = (
        "Segmentation"
    )
    modality: Annotated[
        Modality, Meta(description="what the image's values mean; CT: Hounsfield units")
    ] = Modality.ANY
    labels: Annotated[
        tuple[LabelStyle, ...],
        Meta(description="names and colours of labels; they override those of the algorithm"),
    ] = ()
    parameters: Annotated[
        dict[str, Any],
        Meta(description="for the algorithm; texts, and for a python function any JSON"),
    ] = field(default_factory=dict)
    function: Annotated[str, Meta(description="python: FILE:FUNCTION in the folder")] = (
        "algorithm.py:segment"
    )
    command: Annotated[
        tuple[str, ...],
        Meta(
            description="program, container: words, of which {image} is the file to read and {labels} the "
            "file to write, or {output} the folder to write several results into; {image:TAG} is the file of another "
            "tag, {parameters} a JSON file with parameters and landmarks"
        ),
    ] = ()
    image: Annotated[str, Meta(description="container: name of the image")] = ""
    network: Annotated[bool, Meta(description="container: with a network")] = False
    gpu: Annotated[bool, Meta(description="container: with the machine's GPUs")] = False
    memory_gb: Annotated[
        float | None, Meta(description="python, program, container: limit of one ticket")
    ] = None
    time_s: Annotated[
        float | None, Meta(description="limit of one ticket; not for dispatchers")
    ] = None
    bundle: Annotated[
        str,
        Meta(description="bundle: name of the MONAI bundle; server: name of what the server runs"),
    ] = ""
    url: Annotated[str, Meta(description="server: address of the inference server")] = ""
    rules: Annotated[str, Meta(description="rules: name of the rules")] = ""
    crop_box: Annotated[
        tuple[str, ...],
        Meta(description="rules, bundle: tags of two landmarks at corners of the part to segment"),
    ] = ()
    time_point: Annotated[
        str,
        Meta(
            description="tag of the time point to segment; without it a series is refused, but by a program or container with "
            "{output}, which gets all of it and may return no segmentation or image"
        ),
    ] = ""

    @property
    def algorithm(self) -> str:
        """Name of the rules, of the bundle or, for SERVER, of what the server runs; "" if the service has neither.

        The queue of the workers for rules or a bundle is named after it (``topology.inference``).
        """
        return self.rules if self.provider is ProviderKind.RULES else self.bundle

    @property
    def takes_folder(self) -> bool:
        """True if the command writes its results into a folder, and not one label map."""
        return any(OUTPUT in word for word in self.command)

    @property
    def memory_bytes(self) -> int | None:
        return int(self.memory_gb * 2**30) if self.memory_gb else None

    @property
    def texts(self) -> dict[str, str]:
        """The ``parameters`` with all values as text, because the request to a worker has only texts."""
        return {name: str(value) for name, value in self.parameters.items()}

    @property
    def colour_parameters(self) -> dict[str, str]:
        """The colours of ``labels`` as an additional parameter, ``label_colours``, for the algorithm's picture.

        {} if no label has a colour.
        """
        colours = {label.value: label.rgb for label in self.labels if label.rgb is not None}
        return {label_colours.PARAMETER: label_colours.as_text(colours)} if colours else {}

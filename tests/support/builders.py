# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Small tickets for tests: images, workspaces and services as a user or an operator would bring them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.sax.saxutils import quoteattr

import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.messages import Label
from dss_datastore import layout
from dss_images.grid import Grid, file_grid_of

SIZE = (12, 10, 8)
SPACING_MM = (0.75, 0.75, 2.5)
ORIGIN_MM = (-120.5, 33.25, -700.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, 1.0)

LUNGS = (
    Label(value=1, name="left lung", rgb=(84, 155, 224), volume_ml=2345.4),
    Label(value=2, name="right lung", rgb=(240, 146, 88), volume_ml=2500.6),
)


def image(size: Iterable[int] = SIZE, pixel: int = sitk.sitkInt16) -> sitk.Image:
    """Of one value, in an oblique grid; 4-D images have the identity."""
    built = sitk.Image(list(size), pixel)
    if built.GetDimension() == 3:
        built.SetSpacing(SPACING_MM)
        built.SetOrigin(ORIGIN_MM)
        built.SetDirection(OBLIQUE)
    return built


def grid_of(built: sitk.Image) -> Grid:
    """Of a volume."""
    return file_grid_of(built).volume


def segmentation(values: Iterable[int] = (1, 2), size: Iterable[int] = SIZE) -> sitk.Image:
    """Unsigned, zero but for one voxel of each value; the grid is that of ``image``."""
    built = image(size, sitk.sitkUInt16)
    for x, value in enumerate(values):
        built[(x,) + (0,) * (built.GetDimension() - 1)] = value
    return built


def write_image(path: Path, built: sitk.Image) -> Path:
    sitk.WriteImage(built, str(path))
    return path


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """A layer of a workspace to be written.  ``inside`` is XML in its folder."""

    file_name: str = "layer_000_111737d6f9a6e678718fef819ecc5c8e.nii.gz"
    role: str = "MainRole"
    tags: str = ""
    folder: str = "/client/tmp/alfabis_x62lS8"
    inside: str = ""


MAIN = LayerSpec(tags="CT")


@dataclass(frozen=True, kw_only=True)
class WorkspaceSpec:
    """A workspace to be written.  ``labels`` are the label table; {} writes none."""

    layers: tuple[LayerSpec, ...] = (MAIN,)
    labels: dict[int, str] = field(default_factory=dict)
    dimensions: str = "12 10 8"
    extra: str = ""


def workspace_xml(spec: WorkspaceSpec | None = None) -> bytes:
    """As the client uploads it."""
    spec = spec or WorkspaceSpec()
    layers = "".join(_layer(i, layer, spec) for i, layer in enumerate(spec.layers))
    return (
        '<?xml version="1.0" encoding="UTF-8" ?>\n<!DOCTYPE registry [\n'
        "<!ELEMENT registry (entry*,folder*)>\n]>\n<registry>\n"
        '<entry key="SaveLocation" value="/client/tmp/alfabis_x62lS8" />\n'
        '<entry key="Version" value="20250815" />\n'
        f'<folder key="Layers" >{layers}</folder>{spec.extra}</registry>\n'
    ).encode()


def _layer(index: int, layer: LayerSpec, spec: WorkspaceSpec) -> str:
    entries = {
        "AbsolutePath": f"{layer.folder}/{layer.file_name}",
        "Role": layer.role,
        "Tags": layer.tags,
    }
    main = _project(spec) if layer.role == "MainRole" else ""
    return f'<folder key="Layer[{index:03d}]" >{_entries(entries)}{main}{layer.inside}</folder>'


def _project(spec: WorkspaceSpec) -> str:
    return (
        '<folder key="ProjectMetaData" ><folder key="Files" ><folder key="Grey" >'
        f"{_entries({'Dimensions': spec.dimensions})}</folder></folder>"
        '<folder key="IOHistory" ><folder key="AnatomicImage" >'
        f"{_entries({'Element[0]': '/home/jane.doe/patients/smith.nii'})}</folder></folder>"
        f'<folder key="IRIS" >{_table(spec.labels)}</folder></folder>'
    )


def _table(labels: dict[int, str]) -> str:
    if not labels:
        return ""
    elements = "".join(
        f'<folder key="Element[{i}]" >'
        + _entries({"Index": str(v), "Label": name, "Color": "9 9 9", "Alpha": "128"})
        + "</folder>"
        for i, (v, name) in enumerate(labels.items())
    )
    count = _entries({"NumberOfElements": str(len(labels))})
    return f'<folder key="LabelTable" >{count}{elements}</folder>'


def _entries(values: dict[str, str]) -> str:
    return "".join(f"<entry key={quoteattr(k)} value={quoteattr(v)} />" for k, v in values.items())


def landmarks_xml(*landmarks: tuple[str, str], text: str = "point") -> str:
    """For ``WorkspaceSpec.extra``: tags and positions, in voxels from the corner of the first."""
    elements = "".join(
        f'<folder key="Element[{i}]" >'
        + _entries({"Type": "LandmarkAnnotation", "Tags": tags, "Pos": place, "Text": text})
        + "</folder>"
        for i, (tags, place) in enumerate(landmarks)
    )
    size = _entries({"ArraySize": str(len(landmarks))})
    folder = f'<folder key="Annotations" >{size}{elements}</folder>'
    return f'<folder key="Annotations" >{_entries({"Format": "ITK-SNAP Annotation File"})}{folder}</folder>'


def time_points_xml(*tags: str) -> str:
    """For ``WorkspaceSpec.extra``: the tags of each time point."""
    points = "".join(
        f'<folder key="TimePoint[{i}]" >'
        + _entries({"TimePoint": str(i), "Nickname": "", "Tags": text})
        + "</folder>"
        for i, text in enumerate(tags, start=1)
    )
    size = _entries({"ArraySize": str(len(tags))})
    folder = f'<folder key="TimePoints" >{size}{points}</folder>'
    return f'<folder key="TimePointProperties" >{folder}</folder>'


def submit(datastore: Path, ticket_id: int = 42, spec: WorkspaceSpec | None = None) -> Path:
    """Put a workspace and an image for each of its layers into the ticket's input folder."""
    spec = spec or WorkspaceSpec()
    folder = datastore / layout.area_dir(ticket_id, "input")
    folder.mkdir(parents=True)
    for layer in spec.layers:
        seg = layer.role == "SegmentationRole"
        write_image(folder / layer.file_name, segmentation((1,)) if seg else image())
    (folder / f"ticket_{ticket_id:08d}.itksnap").write_bytes(workspace_xml(spec))
    return folder


SEGMENTED = LayerSpec(role="SegmentationRole", file_name="lungs.nii.gz")


def result_files(
    main: sitk.Image | None = None, segmented: sitk.Image | None = None, **spec: Any
) -> dict[str, bytes]:
    """By name, what a provider returns: an image, its segmentation and the workspace, which comes last."""
    named = {MAIN.file_name: main or image(), SEGMENTED.file_name: segmented or segmentation()}
    given = {"layers": (MAIN, SEGMENTED), "labels": {1: "left lung", 2: "right lung"}, **spec}
    with TemporaryDirectory() as folder:
        files = {
            name: write_image(Path(folder) / name, built).read_bytes()
            for name, built in named.items()
        }
    return {**files, "result.itksnap": workspace_xml(WorkspaceSpec(**given))}


def service_json(**changes: Any) -> dict[str, Any]:
    """A valid service.json, decoded, with top-level fields changed."""
    tag = {"name": "CT", "type": "MainImage", "hint": "A chest CT", "required": True}
    dispatch = {"tag": "CT", "bundle": "lung-segmentation", "segmentation": "Lungs"}
    return {
        "name": "lung-segmentation",
        "version": "1.0.0",
        "shortdesc": "Lungs",
        "longdesc": "Both lungs",
        "tags": [tag],
        "dispatch": dispatch,
        **changes,
    }

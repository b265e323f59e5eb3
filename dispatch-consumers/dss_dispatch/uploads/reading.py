"""``python -m dss_dispatch.uploads.reading``: reads one upload in a process of its own, with limited memory.

It reads an ``ReadOrder`` as JSON from standard input, and writes an ``Answer`` as JSON to standard output.
"""

import ctypes
import os
import re
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec

from dss_broker.messages import FoundSeries
from dss_datastore.space import is_disk_full
from dss_datastore.writing import sync
from dss_dispatch.uploads.child_protocol import NO_MEMORY, NO_ROOM, Answer, ReadOrder, TicketFiles
from dss_dispatch.uploads.errors import UploadInvalid
from dss_dispatch.uploads.folders import unpack
from dss_submission.errors import ClientError, ImageUnreadable, ServiceUnfit
from dss_submission.needs import ServiceDetail, Tag
from dss_submission.parts import ENDINGS, SourcePart, parts_of
from dss_submission.preparing import WORKSPACE, Silent, Source, prepare

EACH, ASK = "each", "ask"
MOST_SERIES = 100
"""Largest number of tickets from one upload, and of series that a user may choose from; limited because the answer is
one message.
"""
MOST_CHARACTERS, LONGEST_REASON = 120, 300
"""Largest numbers of characters: of the line about a series, and of the reason why one of several images is not sent."""
LONGEST_SENTENCE = 4000
TAR = ".tar"
_PR_SET_PDEATHSIG = 1
HEADERS = (".mhd", ".nhdr", ".hdr")
"""Endings of files that name the file with their voxels."""


def answer(order: ReadOrder) -> Answer:
    """Carry out the order.  If the user's files have a fault, or memory or disk are exhausted, the answer has the
    reason.  Other errors are raised.
    """
    with tempfile.TemporaryDirectory(dir=order.target, prefix=".unpacked_") as scratch:
        try:
            return _read(order, Path(scratch))
        except (UploadInvalid, ClientError) as error:
            return Answer(reason=plain(str(error), LONGEST_SENTENCE))
        except MemoryError:
            return Answer(reason=NO_MEMORY)
        except OSError as error:
            if not is_disk_full(error):
                raise
            return Answer(reason=NO_ROOM)


def plain(text: str, most: int) -> str:
    """``text``, cut to ``most`` characters, with blanks for characters that a database, a message or a page cannot
    represent.  Names of files may contain any characters.
    """
    encodable = text.encode(errors="replace").decode()
    shown = "".join(c if c.isprintable() or c == "\n" else " " for c in encodable).strip()
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _read(order: ReadOrder, scratch: Path) -> Answer:
    from dss_images.dicom.scan_cache import one_scan_per_source  # noqa: PLC0415  (within the limits)

    tempfile.tempdir = str(scratch)  # archives of DICOM files are unpacked there
    sources = [
        (image.tag, _source(order, number)(scratch)) for number, image in enumerate(order.images)
    ]
    main = next((path for tag, path in sources if not tag), None)
    if main is None:
        raise UploadInvalid("The upload has no main image.")
    _require_images([path for _, path in sources])
    tagged = {tag: path for tag, path in sources if tag}
    with one_scan_per_source():
        parts = _parts(main, order.series)
        if isinstance(parts, Answer):
            return parts
        made = [_ticket_files(order, number, part, tagged) for number, part in enumerate(parts)]
    paths = [path for _, path in sources]
    made = [replace(one, reason=_without_our_names(one.reason, paths)) for one in made]
    if any(one.folder for one in made):
        return Answer(
            made=tuple(replace(one, reason=plain(one.reason, LONGEST_REASON)) for one in made)
        )
    series = _choices(main)[:MOST_SERIES] if not order.series else ()
    return Answer(reason=plain(_for_page(made[0].reason), LONGEST_SENTENCE), series=series)


def _for_page(reason: str) -> str:
    """``reason`` without the advice to use ``--series`` and the list of series after it.  The page shows its own list."""
    sentence, option, _ = reason.partition(" with --series:")
    return f"{sentence}." if option else sentence


def _without_our_names(reason: str, paths: Sequence[Path]) -> str:
    """``reason`` with "the zip", "the folder" or "the file" in place of our names of ``paths``, which the user does not
    know.
    """
    for path in paths:
        kind = "folder" if path.is_dir() else "zip" if path.suffix.lower() == ".zip" else "file"
        name = rf"(?<![\w./-]){re.escape(path.name)}(?![\w/-])"
        reason = re.sub(rf"\b(archive|folder|file) {name}", r"\1", reason)
        reason = re.sub(rf"(^|[.] ){name}", rf"\1The {kind}", reason)
        reason = re.sub(name, f"the {kind}", reason)
    return reason


def _require_images(paths: Sequence[Path]) -> None:
    """Raises UploadInvalid if one of ``paths`` is a workspace.  A workspace names its images by paths, which would be
    opened on this machine.
    """
    for path in paths:
        if path.suffix.lower() == WORKSPACE:
            raise UploadInvalid(
                "A workspace cannot be read as an image; send it with all its files, as a workspace."
            )


def _source(order: ReadOrder, number: int) -> Callable[[Path], Path]:
    """A function that makes the image ``number`` of the order available in a scratch folder, and returns the file or
    folder to read there.

    It gives the image a fixed name, because error sentences name files, and the name on the user's machine is not known
    here.
    """
    sent = Path(order.upload) / order.images[number].name

    def found(scratch: Path) -> Path:
        if sent.suffix.lower() == TAR:
            folder = scratch / f"folder_{number}"
            unpack(sent, folder)
            return _in_folder(folder)
        ending = next((e for e in ENDINGS if sent.name.lower().endswith(e)), sent.suffix)
        path = scratch / f"{'image' if number == 0 else f'image_{number}'}{ending}"
        path.symlink_to(sent)
        return path

    return found


def _in_folder(folder: Path) -> Path:
    """The file to read in ``folder``: the header if exactly one file is one, or the only file; otherwise the folder
    itself.  Raises UploadInvalid if there is no file.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise UploadInvalid("The upload contains no file.")
    headers = [path for path in files if path.suffix.lower() in HEADERS]
    if len(headers) == 1:
        return headers[0]
    return files[0] if len(files) == 1 else folder


def _parts(main: Path, series: str) -> Sequence[SourcePart] | Answer:
    if series == EACH:
        parts = parts_of(main)
        if len(parts) > MOST_SERIES:
            raise UploadInvalid(
                f"There are {len(parts)} images and series; at most {MOST_SERIES} become tickets at once. Send fewer."
            )
        return parts or [
            SourcePart(main)
        ]  # without parts, reading the source fails with the reason
    if series == ASK:
        found = _choices(main)
        if found:
            return _to_choose(found)
        return [SourcePart(main)]
    return [SourcePart(main, series)]


def _to_choose(found: tuple[FoundSeries, ...]) -> Answer:
    first = f"; the first {MOST_SERIES} are listed" if len(found) > MOST_SERIES else ""
    reason = f"There are {len(found)} series{first}; choose one."
    return Answer(reason=reason, series=found[:MOST_SERIES])


def _choices(main: Path) -> tuple[FoundSeries, ...]:
    """The usable series of a DICOM source, without localizers; () if there are fewer than two, or if the source is not
    DICOM or cannot be read.
    """
    from dss_images.dicom.reading import is_dicom, survey  # noqa: PLC0415 - pydicom is slow to load
    from dss_images.errors import ImageRefused  # noqa: PLC0415

    if not is_dicom(main):
        return ()
    found: list[FoundSeries] = []
    with suppress(ImageRefused):
        found = [
            FoundSeries(
                word=str(v.series.number),
                line=plain(" ".join(v.series.line.split()), MOST_CHARACTERS),
            )
            for v in survey(main).verdicts
            if not (v.refused or v.series.is_localizer)
        ]
    return tuple(found) if len(found) > 1 else ()


def _ticket_files(
    order: ReadOrder, number: int, part: SourcePart, tagged: dict[str, Path]
) -> TicketFiles:
    folder = Path(order.target) / str(number)
    folder.mkdir()
    source = Source(path=part.source, series=part.uid or part.series, tagged=tagged)
    tags = tuple(Tag(name=t.name, type=t.type, required=t.required) for t in order.tags)
    try:
        write = prepare(source, ServiceDetail(tags=tags), folder, Silent())
        write(order.ticket_id)
    except (ImageUnreadable, ServiceUnfit) as error:
        return TicketFiles(series=part.series, reason=str(error))
    for path in (*folder.iterdir(), folder):
        sync(path)
    return TicketFiles(folder=folder.name, series=part.series)


def main() -> None:
    """Read the order, limit this process, and print the answer.  The process ends with the program that started it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=ReadOrder)
    limits = (resource.RLIMIT_AS, order.memory_bytes), (resource.RLIMIT_CORE, 0)
    for limit, most in limits:
        resource.setrlimit(limit, (most, most))
    with suppress(OSError):  # if memory runs out, this process is to end, not its parent
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    printed = msgspec.json.encode(answer(order))
    sys.stdout.buffer.write(printed)
    sys.stdout.flush()
    os._exit(0)  # threads of ITK may hang at an ordinary exit


if __name__ == "__main__":
    main()

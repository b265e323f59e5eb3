# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Whatever a user sends, it is answered by a sentence; nothing that is read ends the process.

The readers meet the files in a process of their own with little memory, so that a crash, a hang or a
flood in the compiled readers would fail the test instead of ending it.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.ct.reading import read_ct
from dss_inference.errors import InferenceError
from support.accepted_images import ACCEPTED
from support.bad_images import BAD, good

pytestmark = pytest.mark.slow

_READ = """
import gzip, json, random, resource, sys, time
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
from dss_dispatch.errors import TicketError
from dss_dispatch.ticket_images import label_values, read_header
from dss_inference.errors import InferenceError
from dss_inference.ct.reading import read_ct
from dss_images.errors import ImageRefused
from dss_images.reading import array_of, read_header as read_original
def read_here(path):
    array_of(read_original(path, pairs=True))
""".replace("MEMORY_BYTES", str(3 * 2**30))
_FUZZ = (
    _READ
    + """
folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
chosen = random.Random(20261123)
seeds = [(path.suffix, path.read_bytes()) for path in sorted(folder.glob("seed.*"))]
end, told, read = time.monotonic() + seconds, {}, 0
def harmed(data):
    data = bytearray(data)
    head = min(len(data), 400)
    for _ in range(chosen.randint(1, 8)):
        at = chosen.randrange(head if chosen.random() < 0.9 else len(data))
        data[at] = chosen.choice([0, 1, 9, 10, 32, 45, 46, 48, 57, 127, 128, 255, data[at] ^ 1 << chosen.randrange(8)])
    if chosen.random() < 0.15:
        del data[chosen.randrange(len(data)):]
    return bytes(data)
while time.monotonic() < end:
    suffix, data = chosen.choice(seeds)
    path, data = folder / f"harmed{suffix}", harmed(data)
    if suffix == ".nii" and chosen.random() < 0.5:
        path, data = folder / "harmed.nii.gz", gzip.compress(data)
    path.write_bytes(data)
    for reader, expected in ((read_ct, InferenceError), (read_header, TicketError), (label_values, TicketError), (read_here, ImageRefused)):
        read += 1
        start = time.monotonic()
        try:
            reader(path)
        except expected as error:
            assert str(error).endswith("."), error
        assert time.monotonic() - start < 10, "slow"
print(read)
"""
)


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return done.stdout


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_a_sentence_without_its_place(name: str, tmp_path: Path) -> None:
    path = BAD[name](tmp_path)

    with pytest.raises(InferenceError) as refused:
        read_ct(path)

    said = str(refused.value)
    assert said[0].isupper()
    assert said.endswith(".")
    assert "\n" not in said
    assert str(tmp_path) not in said


def test_there_are_many_kinds_of_bad_files() -> None:
    assert len(BAD) >= 30


def test_bad_files_cost_no_memory_and_a_good_one_is_read_after_them_all(tmp_path: Path) -> None:
    paths = []
    for i, make in enumerate(BAD.values()):
        (tmp_path / str(i)).mkdir()
        paths.append(str(make(tmp_path / str(i))))
    sitk.WriteImage(good(), tmp_path / "good.nii.gz")
    code = """
for path in json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")):
    try:
        read_ct(Path(path))
    except InferenceError:
        pass
    else:
        raise SystemExit(path)
read_ct(Path(sys.argv[1]))
status = Path("/proc/self/status").read_text(encoding="utf-8")  # getrusage would count the parent, too
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""
    (tmp_path / "paths.json").write_text(json.dumps(paths), encoding="utf-8")

    peak_kb = int(run(_READ + code, str(tmp_path / "good.nii.gz"), str(tmp_path / "paths.json")))

    assert peak_kb < 600_000


def test_harmed_images_neither_end_nor_hang_the_readers(tmp_path: Path) -> None:
    for suffix in ("nii", "nrrd", "mha"):
        sitk.WriteImage(good(), tmp_path / f"seed.{suffix}")
    for suffix in ("nrrd", "mha"):
        sitk.WriteImage(good(), tmp_path / f"seed.packed.{suffix}", useCompression=True)
    for name in ("nifti-2", "nrrd bzip2", "nrrd text"):
        made = ACCEPTED[name].make(tmp_path)
        made.rename(tmp_path / f"seed.{name}{made.suffix}")

    read = int(run(_FUZZ, str(tmp_path), "15"))

    assert read > 300

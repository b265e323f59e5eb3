# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A newcomer's algorithm: made, tried, published over HTTP alone, and used by ITK-SNAP."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from conftest import CHECKOUT
from dss_broker.dispatch_section import Modality
from dss_client.itksnap import ItkSnap
from dss_client.workspace import read_outcome
from dss_images.mesh.reading import read_mesh
from dss_images.mesh.surface import require_in_image
from dss_images.reading import read_header
from dss_provider.new_folder import make
from dss_workspace.layers import layers
from dss_workspace.meshes import mesh_file_names
from dss_workspace.registry import read
from support import own_services
from support.cut_wires import cut_wire
from support.nginxes import nginx, passed_to
from support.own_services import ended, log, published, scan, service, submit
from support.sites import ROOT, Site
from support.tls import certificate
from support.waiting import wait_until

pytestmark = pytest.mark.stack

site = own_services.site
token = own_services.token
user = own_services.user


def test_a_new_folder_is_published_and_its_result_opens_in_itk_snap(
    site: Site, token: str, user: ItkSnap, tmp_path: Path
) -> None:
    with published(site, token, service(tmp_path, "bright"), "--tickets", "1") as publisher:
        number = submit(user, "bright", tmp_path)
        assert ended(user, number) == "success", log(user, number)
        assert publisher.wait(30) == 0
        said = publisher.stderr.read() if publisher.stderr else ""

    assert "Warning: shortdesc is still the template's; users read it." in said
    files = user.download_results(number, tmp_path / "results")
    (workspace,) = [f for f in files if f.suffix == ".itksnap"]
    found = read_outcome(workspace)
    image, labels = (
        sitk.ReadImage(str(p)) for p in (tmp_path / "scan.nii.gz", *found.segmentations)
    )
    value = next(v for v, name in found.labels.items() if name == "Bright tissue")
    assert found.labels[1] == "tumour", "what the user has named stays"
    array = sitk.GetArrayFromImage(labels)
    assert (array == value).sum() == (sitk.GetArrayFromImage(image) == 1000).sum() == 64
    assert labels.GetDirection() == image.GetDirection()
    assert "Bright tissue: 0.2 ml" in log(user, number)


def test_volumes_are_told_under_the_right_names_where_values_had_to_change(
    site: Site, token: str, user: ItkSnap, tmp_path: Path
) -> None:
    """The workspace's 1 is the user's tumour, so label 1 gets a value above that of label 2."""
    code = (
        "import numpy as np\n"
        "def segment(image):\n"
        "    labels = (image.array > 500).astype(int)\n"
        "    labels[0, 0, :5] = 2\n"
        "    return Segmentation(labels, {1: 'Block', 2: 'Line'})\n"
    )
    with published(site, token, service(tmp_path, "two", code), "--tickets", "1"):
        number = submit(user, "two", tmp_path)
        assert ended(user, number) == "success", log(user, number)

    assert "Block: 0.2 ml" in log(user, number)
    assert "Line: 0.0 ml" in log(user, number)


EVERYTHING = """
import numpy as np
def segment(image, progress):
    points = np.array([image.point_mm(*i) for i in ((6, 5, 4), (9, 5, 4), (6, 8, 7))])
    bright = image.array > 500
    return Result(
        segmentations=[
            Segmentation(bright, {1: "Block"}, called="Block"),
            Segmentation(bright * 2, {2: Label(name="Core", rgb=(1, 2, 3))}, called="Core"),
        ],
        meshes={"Hull": Mesh(points_mm=points, triangles=np.array([[0, 1, 2]]), rgb=(255, 0, 0))},
        images={"Probability": image.array / 1000},
        landmarks={"corner": image.point_mm(6, 5, 4)},
        files={"table.csv": "a,b\\n"},
        remarks=["Look twice."],
    )
"""


def test_everything_that_an_algorithm_returns_reaches_the_user(
    site: Site, token: str, user: ItkSnap, tmp_path: Path
) -> None:
    with published(site, token, service(tmp_path, "everything", EVERYTHING), "--tickets", "1"):
        number = submit(user, "everything", tmp_path)
        assert ended(user, number) == "success", log(user, number)

    files = user.download_results(number, tmp_path / "results")
    (path,) = [f for f in files if f.suffix == ".itksnap"]
    workspace = read(path)
    nicknames = [layer.nickname for layer in layers(workspace)]
    assert nicknames[1:] == ["Block", "Core", "Probability"]
    (mesh,) = mesh_file_names(workspace)
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "scan.nii.gz")))
    surface = read_mesh(path.parent / mesh)
    require_in_image(surface, read_header(tmp_path / "scan.nii.gz").grid.volume)
    assert read_outcome(path).labels[1] == "tumour"
    for layer in layers(workspace)[1:3]:
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(path.parent / layer.file_name)))
        assert ((labels > 0) == (array > 500)).all()
    assert workspace.get("Annotations.Annotations.Element[0].Text") == "corner"
    said = log(user, number)
    assert "Look twice." in said
    (line,) = [line for line in user.detail(number).log if line.message == "table.csv"]
    assert [file.description for file in line.attachments] == ["table.csv"]


def test_a_program_s_results_pass_the_same_gate(
    site: Site, token: str, user: ItkSnap, tmp_path: Path
) -> None:
    """Its mesh lies beside the image."""
    folder = tmp_path / "program"
    make(folder, Modality.ANY, ("./run.sh", "{image}", "{output}"))
    mesh = (
        "# vtk DataFile Version 3.0\nm\nASCII\nDATASET POLYDATA\nPOINTS 3 float\n"
        "0 0 0  19 0 0  900 9 0\nPOLYGONS 1 4\n3 0 1 2\n"
    )
    (folder / "run.sh").write_text(f"#!/bin/sh\ncat > $2/mesh_Hull.vtk <<'END'\n{mesh}END\n")
    (folder / "run.sh").chmod(0o755)
    with published(site, token, folder, "--tickets", "1"):
        number = submit(user, "program", tmp_path)
        assert ended(user, number) == "failed", log(user, number)

    assert "The mesh 'Hull' cannot be used. The mesh lies at" in log(user, number)


def test_an_mr_service_is_published_and_used_by_dss_send(
    site: Site, token: str, tmp_path: Path
) -> None:
    """The example of the documentation.  An MRI has no Hounsfield units, and nothing asks for them."""
    text = (CHECKOUT / "docs/pages/providers/examples.md").read_text(encoding="utf-8")
    (code,) = re.findall(
        r"^```python\n(import numpy as np\n.*?tissue.*?)^```$", text, re.MULTILINE | re.DOTALL
    )
    folder = service(tmp_path, "bright-mr", code, Modality.MR)
    array = np.random.default_rng(1).normal(200, 20, (16, 18, 20)).astype(np.int16)
    array[4:8, 5:9, 6:10] = 900
    built = sitk.GetImageFromArray(array)
    built.SetSpacing((1.5, 1.0, 2.0))
    sitk.WriteImage(built, str(tmp_path / "mr.nii.gz"))
    send = [sys.executable, "-m", "dss_client", "send", str(tmp_path / "mr.nii.gz")]
    send += ["--service", "bright-mr", "--output", str(tmp_path / "result")]
    guest = site.stack.token("guest@example.com")
    environment = {**os.environ, "DSS_SERVER": site.url, "DSS_TOKEN": guest, "HOME": str(tmp_path)}

    with published(site, token, folder, "--tickets", "1"):
        done = subprocess.run(
            send, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=120
        )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Hounsfield" not in done.stdout + done.stderr
    (path,) = (tmp_path / "result").rglob("*.itksnap")
    (segmentation,) = read_outcome(path).segmentations
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(segmentation)))
    assert (labels[4:8, 5:9, 6:10] == 1).all()
    assert (labels == 1).sum() < 64 + array.size * 0.05


def test_of_a_series_the_time_point_is_segmented_that_the_sender_chose(
    site: Site, tmp_path: Path
) -> None:
    scopes = [word for scope in ("tickets", "provider", "admin") for word in ("--scope", scope)]
    every = site.stack.command("tokens", "create", ROOT, *scopes).split()[-1]
    code = "def segment(image): return Segmentation(image.array, {n: str(n) for n in (1, 2, 3)})"
    folder = service(tmp_path, "one-time-point", code)
    frames = [sitk.Image([20, 18, 16], sitk.sitkInt16) + n for n in (1, 2, 3)]
    sitk.WriteImage(sitk.JoinSeries(frames), str(tmp_path / "series.nii.gz"))
    test = [sys.executable, "-m", "dss_client", "service", "test", str(folder)]
    test += [str(tmp_path / "series.nii.gz"), "--output", str(tmp_path / "result")]
    test += ["--time-point", "2", "--server", site.url, "--token", every, "--provider", "LAB"]

    done = subprocess.run(
        test,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Of 3 time points, number 2 is looked at." in done.stdout + done.stderr
    (path,) = (tmp_path / "result").rglob("*.itksnap")
    (segmentation,) = read_outcome(path).segmentations
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(segmentation)))
    assert [int(frame.max()) for frame in labels] == [0, 2, 0]
    assert (labels[1] == 2).all()


def test_a_trial_may_be_a_real_ticket(site: Site, tmp_path: Path) -> None:
    scopes = [word for scope in ("tickets", "provider", "admin") for word in ("--scope", scope)]
    every = site.stack.command("tokens", "create", ROOT, *scopes).split()[-1]
    folder, image = service(tmp_path, "for-real"), scan(tmp_path)
    command = [sys.executable, "-m", "dss_client", "service", "test", str(folder), str(image)]
    command += ["--server", site.url, "--provider", "LAB", "--output", str(tmp_path / "out")]
    environment = {**os.environ, "DSS_TOKEN": every, "HOME": str(tmp_path)}

    done = subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=200
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Bright tissue" in done.stdout
    assert list((tmp_path / "out").rglob("*.itksnap"))


def test_a_real_ticket_of_a_trial_has_the_landmarks(site: Site, tmp_path: Path) -> None:
    """The image is turned, so that its axes are not those of the patient."""
    scopes = [word for scope in ("tickets", "provider", "admin") for word in ("--scope", scope)]
    every = site.stack.command("tokens", "create", ROOT, *scopes).split()[-1]
    code = (
        "def segment(image, landmarks):\n"
        "    told = ','.join(f'{n:.2f}' for n in landmarks['Tip'])\n"
        "    return Result(segmentations=[Segmentation(image.array > 500)], remarks=[f'Tip: {told}'])\n"
    )
    folder, image = service(tmp_path, "landmarked", code), scan(tmp_path)
    path = folder / "service.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    described["tags"].append({"name": "Tip", "type": "PointLandmark", "required": True, "hint": ""})
    path.write_text(json.dumps(described), encoding="utf-8")
    command = [sys.executable, "-m", "dss_client", "service", "test", str(folder), str(image)]
    command += ["--server", site.url, "--provider", "LAB", "--landmark", "Tip=3.25,-7.5,12"]

    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "DSS_TOKEN": every, "HOME": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=200,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tip: 3.25,-7.50,12.00" in done.stdout + done.stderr


NOISY = """
import os
def segment(image):
    return Result(
        segmentations=[Segmentation(image.array > 500)],
        images={"Noise": image.array},
        files={"noise.bin": os.urandom(3 * 2**20)},
    )
"""
MB = 2**20


def test_a_connection_that_is_cut_again_and_again_loses_little_of_results_and_input(
    site: Site, token: str, user: ItkSnap, tmp_path: Path
) -> None:
    """Input, result and attachment cannot be compressed: 6 MB, 6 MB and 3 MB."""
    values = np.random.default_rng(0).integers(-30000, 30000, (96, 180, 180))
    sitk.WriteImage(sitk.GetImageFromArray(values.astype(np.int16)), str(tmp_path / "big.nii.gz"))
    folder = service(tmp_path, "noisy", NOISY)

    with (
        cut_wire(site.url, 3 * MB // 2) as wire,
        published(site, token, folder, "--tickets", "1", through=wire.url) as publisher,
    ):
        number = submit(user, "noisy", tmp_path, tmp_path / "big.nii.gz")
        assert ended(user, number, 120) == "success", log(user, number)
        assert publisher.wait(30) == 0
        assert wire.cuts >= 6
        sent, answered = wire.sent_bytes, wire.answered_bytes

    files = user.download_results(number, tmp_path / "results")
    size = sum(file.stat().st_size for file in files)
    assert sent < size + 3 * MB + wire.cuts * MB
    assert answered < (tmp_path / "big.nii.gz").stat().st_size + 2 * MB
    (noise,) = [file for file in files if file.name.startswith("image_")]
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(noise))) == values).all()
    (line,) = [line for line in user.detail(number).log if line.message == "noise.bin"]
    assert len(line.attachments) == 1


def test_a_service_is_published_over_https_without_access_to_the_broker(
    site: Site, token: str, user: ItkSnap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through nginx, with a certificate of the site's own authority, and files that are sent in parts."""
    authority, _ = certificate(tmp_path, "localhost")
    lines = f"ssl_certificate {tmp_path}/server.pem; ssl_certificate_key {tmp_path}/server.pem;"
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    values = np.random.default_rng(0).integers(-30000, 30000, (20, 180, 180))
    sitk.WriteImage(sitk.GetImageFromArray(values.astype(np.int16)), str(tmp_path / "big.nii.gz"))
    location = passed_to(site.url, "client_max_body_size 0;")

    assert not {"DSS_AMQP_URL", "DSS_DATABASE_URL", "DSS_DATASTORE"} & set(os.environ)
    with (
        nginx(tmp_path / "nginx", location, tls=lines) as address,
        published(
            *(site, token, service(tmp_path, "over-https", NOISY), "--tickets", "1"),
            through=address.replace("127.0.0.1", "localhost"),
        ) as publisher,
    ):
        number = submit(user, "over-https", tmp_path, tmp_path / "big.nii.gz")
        assert ended(user, number) == "success", log(user, number)
        assert publisher.wait(30) == 0

    files = user.download_results(number, tmp_path / "results")
    (noise,) = [file for file in files if file.name.startswith("image_")]
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(noise))) == values).all()


CHATTY = """
def segment(image, progress):
    for i in range(8):
        progress(i / 8, f"Step {i}")
        time.sleep(0.4)
    return Result(
        segmentations=[Segmentation(image.array > 500, {1: "Block"})],
        files={"a.csv": "a", "b.csv": "b"},
        remarks=["Look twice.", "And once more."],
    )
"""


def reach(user: ItkSnap, number: int, share: float) -> None:
    wait_until(lambda: user.detail(number).progress >= share, 60, lambda: log(user, number))


def test_a_portal_that_is_killed_at_any_step_costs_nothing_and_doubles_nothing(
    site: Site, token: str, user: ItkSnap, tmp_path: Path
) -> None:
    folder = service(tmp_path, "restarts", CHATTY)
    numbers = []
    with published(site, token, folder, "--tickets", "3", "--parallel", "2") as publisher:
        numbers = [submit(user, "restarts", tmp_path) for _ in range(3)]
        for number, share in zip(numbers, (0.1, 0.6, 0.3), strict=True):
            reach(user, number, share)
            site.stack.kill("portal")
            site.stack.start_one("portal")
            wait_until(site.stack.portal_ready, 60, site.stack.logs)
        for number in numbers:
            assert ended(user, number, 120) == "success", log(user, number)
        assert publisher.wait(60) == 0

    for number in numbers:
        lines = [line.message for line in user.detail(number).log]
        files = [str(f.description) for e in user.detail(number).log for f in e.attachments]
        for once in ("Look twice.", "And once more.", "Block: 0.2 ml", "a.csv", "b.csv"):
            assert lines.count(once) == 1, lines
        assert sorted(f for f in files if f.endswith(".csv")) == ["a.csv", "b.csv"]
        assert sum("claimed by provider" in line for line in lines) == 1

# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A program as an algorithm: its words, its several results, and where it is found."""

import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_provider.errors import AlgorithmFailed, ServiceInvalid
from support import trials
from support.trials import Trial

pytestmark = pytest.mark.slow

image = trials.image
trial = trials.trial


def program(trial: Trial, code: str) -> None:
    (trial.folder / "prog.py").write_text(
        f"import sys\nimport SimpleITK as sitk\nimage = sitk.ReadImage(sys.argv[1])\n{code}\n"
    )
    trial.dispatch(
        provider="program",
        command=["python3", "prog.py", "{image}", "{labels}"],
        labels=[{"value": 1, "name": "Dot"}],
    )


def test_any_program_that_reads_an_image_and_writes_labels_will_do(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    program(trial, "sitk.WriteImage(image > 500, sys.argv[2])")

    found = trial.run()

    array = np.load(trial.work / found.segmentations[0].file)
    assert np.argwhere(array).tolist() == [[3, 2, 1]]
    assert found.segmentations[0].labels[0].name == "Dot"

    program(trial, "image.SetOrigin((1, 0, 0)); sitk.WriteImage(image > 500, sys.argv[2])")
    with pytest.raises(AlgorithmFailed, match="does not lie in the image's grid: origin"):
        trial.run()

    program(trial, "print('no licence', file=sys.stderr); sys.exit(4)")
    with pytest.raises(AlgorithmFailed, match="ended with status 4") as caught:
        trial.run()
    assert "no licence" in caught.value.detail

    program(trial, "")
    with pytest.raises(AlgorithmFailed, match="ended without a result; the file"):
        trial.run()


@pytest.mark.parametrize("code", ["open(sys.argv[1], 'ab').write(b'x')", "os.remove(sys.argv[1])"])
def test_a_program_that_changes_its_input_is_told(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """The images go back to the user with the result."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    program(trial, f"import os\nsitk.WriteImage(image > 500, sys.argv[2])\n{code}")

    with pytest.raises(AlgorithmFailed, match="has changed or removed the image"):
        trial.run()


def test_a_program_is_found_as_by_a_shell(trial: Trial) -> None:
    script = "#!/bin/sh\ncp own.nii.gz $2\n"
    (trial.folder / "own").write_text(script, encoding="utf-8")
    image = sitk.ReadImage(str(trial.image)) > 500
    sitk.WriteImage(image, str(trial.folder / "own.nii.gz"))
    trial.dispatch(provider="program", command=["own", "{image}", "{labels}"])
    with pytest.raises(
        ServiceInvalid, match=r"no program 'own'. The file of the folder is './own'"
    ):
        trial.run()

    trial.dispatch(command=["./own", "{image}", "{labels}"])
    with pytest.raises(ServiceInvalid, match=r"'./own' may not be executed; allow it with: chmod"):
        trial.run()

    (trial.folder / "own").chmod(0o755)
    found = trial.run()
    assert np.load(trial.work / found.segmentations[0].file).sum() == 1

    (trial.folder / "own").write_text("\x7fELF no program", encoding="utf-8")
    with pytest.raises(AlgorithmFailed, match=r"\./own cannot be started: Exec format error"):
        trial.run()


def test_a_program_may_write_several_results_into_a_folder(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    program(
        trial,
        "import os, shutil\n"
        "out = sys.argv[2] + '/'\n"
        "sitk.WriteImage(image > 500, out + 'segmentation.nii.gz')\n"
        "sitk.WriteImage(image > 500, out + 'segmentation_Second_look.nii.gz')\n"
        "sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat64) / 1000, out + 'image_Probability.nii.gz')\n"
        "open(out + 'landmarks.csv', 'w').write('name,x,y,z\\ndot,1,4,9\\n')\n"
        "open(out + 'remarks.txt', 'w').write('Look twice.\\n')\n"
        "open(out + 'table.csv', 'w').write('a,b\\n')\n"
        "os.mkdir(out + 'scratch')\n"
        "open(out + 'mesh_Hull.vtk', 'w').write('# vtk DataFile Version 3.0\\nx\\nASCII\\nDATASET POLYDATA\\n'\n"
        "    'POINTS 3 float\\n0 0 0\\n0 -1 0\\n0 0 1\\nPOLYGONS 1 4\\n3 0 1 2\\n')\n",
    )
    trial.dispatch(command=["python3", "prog.py", "{image}", "{output}"])

    found = trial.run()

    assert [s.called for s in found.segmentations] == ["", "Second look"]
    assert found.segmentations[0].labels[0].name == "Dot"
    assert np.load(trial.work / found.images[0].file).dtype == np.float32
    assert found.landmarks == {"dot": (1.0, 4.0, 9.0)}
    assert found.remarks == ("Look twice.",)
    assert found.files == ("table.csv",)
    assert [m.called for m in found.meshes] == ["Hull"]

    program(trial, "import os; os.symlink('/etc/passwd', sys.argv[2] + '/passwd.txt')")
    trial.dispatch(command=["python3", "prog.py", "{image}", "{output}"])
    with pytest.raises(
        AlgorithmFailed, match=r"'passwd.txt', which is a folder, a link or a device"
    ):
        trial.run()

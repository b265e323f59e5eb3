# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A service of a container, with a stand-in for podman."""

import json
import sys
import threading
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.dispatch_section import Modality
from dss_provider.folder import load
from dss_provider.new_folder import make
from dss_provider.outcome import AlgorithmOutcome
from dss_provider.running import RunInput, run

ENGINE = """#!{python}
import json, os, subprocess, sys
state, words = {state!r}, sys.argv[1:]
def pid_file(name):
    return os.path.join(state, name + '.pid')
if words[:2] == ['image', 'inspect']:
    sys.exit(0 if words[2] == 'own:1' else 1)
if words[0] in ('kill', 'version'):
    sys.exit(0)
if words[0] == 'ps':
    print(open(os.path.join(state, 'names')).read())
    sys.exit(0)
if words[:2] == ['rm', '--force']:
    open(os.path.join(state, 'removed'), 'a').write(words[2] + '\\n')
    os.path.exists(pid_file(words[2])) and os.kill(int(open(pid_file(words[2])).read()), 9)
    sys.exit(0)
json.dump(words, open(os.path.join(state, 'words.json'), 'w'))
command = words[words.index('own:1') + 1:]
for volume in [words[i + 1] for i, word in enumerate(words) if word == '--volume']:
    outside, inside = volume.split(':')[:2]
    command = [word.replace(inside, outside) for word in command]
environment = {{n: v for n, v in os.environ.items() if n != 'DSS_WORK'}}
container = subprocess.Popen(command, start_new_session=True, env=environment)
name = words[words.index('--name') + 1]
open(pid_file(name) + '.new', 'w').write(str(container.pid))
os.rename(pid_file(name) + '.new', pid_file(name))
sys.exit(container.wait() % 256)
"""


class Boxed:
    """A service whose container runs ``script`` with the words ``$1`` (image) and ``$2`` (labels or output)."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder / "boxed", folder / "state"
        self.state.mkdir()
        (folder / "bin").mkdir()
        engine = folder / "bin/podman"
        engine.write_text(ENGINE.format(python=sys.executable, state=str(self.state)), "utf-8")
        engine.chmod(0o755)
        make(self.folder, Modality.ANY, ("sh", "-c", "exit 1", "{image}", "{labels}"), "own:1")
        array = np.zeros((4, 5, 6), np.int16)
        array[3, 2, 1] = 1
        self.image = folder / "a scan: of one.nii.gz"
        sitk.WriteImage(sitk.GetImageFromArray(array), str(self.image))
        self.runs = 0

    def run(
        self,
        script: str,
        ended: threading.Event | None = None,
        word: str = "{labels}",
        **changes: object,
    ) -> AlgorithmOutcome:
        path = self.folder / "service.json"
        found = json.loads(path.read_text(encoding="utf-8"))
        found["dispatch"]["command"] = ["sh", "-c", script, "sh", "{image}", word]
        found["dispatch"] |= changes
        path.write_text(json.dumps(found), encoding="utf-8")
        self.runs += 1
        self.work = self.folder.parent / f"work{self.runs}"
        self.work.mkdir()
        work = RunInput(folder=self.work, inputs={"Image": self.image})
        return run(load(self.folder), work, lambda *_: None, ended or threading.Event())

    def words(self) -> str:
        return " ".join(json.loads((self.state / "words.json").read_text(encoding="utf-8")))

    def container_ended(self) -> bool:
        (file,) = self.state.glob("*.pid")
        try:
            stat = Path(f"/proc/{file.read_text(encoding='utf-8')}/stat")
            return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

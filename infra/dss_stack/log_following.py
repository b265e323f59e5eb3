"""Shows the lines that processes add to their log files."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

_POLL_S = 0.3


def follow(files: Mapping[str, Path], show: Callable[[str], None]) -> None:
    """Call ``show`` with every complete line that is added to ``files`` from now on, preceded by the name that is the
    key of the file in ``files``; returns at Ctrl-C.
    """
    seen = {name: _size(file) for name, file in files.items()}
    try:
        while True:
            for name, file in files.items():
                seen[name] = _show_new(name, file, seen[name], show)
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        return


def _show_new(name: str, file: Path, seen: int, show: Callable[[str], None]) -> int:
    """Show the complete lines that were added to ``file`` since ``seen`` bytes, and return the number of bytes shown so
    far.  For a file that has become shorter it is 0: the next call shows it from its beginning.
    """
    size = _size(file)
    if size <= seen:
        return size if size == seen else 0
    with file.open("rb") as log:
        log.seek(seen)
        text = log.read(size - seen)
    whole = text[: text.rfind(b"\n") + 1]
    for line in whole.decode(errors="replace").splitlines():
        show(f"{name:<10} {line}")
    return seen + len(whole)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0

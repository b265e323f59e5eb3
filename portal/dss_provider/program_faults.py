"""Checks the command of a service without running it: whether its program and its script can be run on this machine."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

_INTERPRETER = re.compile(r"(python[\d.]*|bash|sh|perl|Rscript|julia|node|ruby)")
_SCRIPT = re.compile(r"[^{}]+\.(py|sh|pl|R|r|jl|js|rb)")
_LONGEST_LINE = 300


def program_faults(folder: Path, command: Sequence[str]) -> Iterator[str]:
    """Sentences about a command that cannot be run in the service's folder.  A name without a slash is looked up in
    PATH, as by a shell; any other path is relative to the folder.
    """
    program = command[0]
    own = folder / program
    if "/" not in program:
        if not shutil.which(program):
            hint = f" The file of the folder is './{program}'." if own.is_file() else ""
            yield f"dispatch.command: this machine has no program '{program}'.{hint}"
    elif not own.is_file():
        yield f"dispatch.command: there is no file '{program}'."
    elif not os.access(own, os.X_OK):
        yield f"dispatch.command: '{program}' may not be executed; allow it with: chmod +x {own}"
    else:
        yield from _first_line_faults(own, program)
    yield from _script_faults(folder, command)


def _first_line_faults(own: Path, program: str) -> Iterator[str]:
    """A sentence if the first line of a script names an interpreter that this machine does not have."""
    with own.open("rb") as file:
        line = file.readline(_LONGEST_LINE)
    if not line.startswith(b"#!"):
        return
    text = line[2:].removesuffix(b"\n").decode(errors="replace")
    if text.endswith("\r"):
        yield (
            f"dispatch.command: the lines of '{program}' end as on Windows, so that its interpreter is not found; save "
            "it with line ends of Unix."
        )
        return
    words = text.split()
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if not words or not shutil.which(words[0]):
        yield (
            f"dispatch.command: the first line of '{program}' names the interpreter '{' '.join(words[:1])}', which this "
            "machine does not have."
        )


def _script_faults(folder: Path, command: Sequence[str]) -> Iterator[str]:
    """A sentence if the command is an interpreter with a script that is not there."""
    program, *words = command
    if not words or not _INTERPRETER.fullmatch(Path(program).name):
        return
    if _SCRIPT.fullmatch(words[0]) and not (folder / words[0]).is_file():
        yield f"dispatch.command: the folder has no file '{words[0]}', which {shlex.quote(program)} is to run."

"""``python -I -S launcher.py MEMORY_BYTES WORD...``: applies limits, then becomes the program WORD...; exits with 127
if that cannot be started.  MEMORY_BYTES is 0 for no limit.

On Linux the program ends when its publisher ends, even if that is killed.  The launcher is a process of its own,
because Python code between fork and exec may hang in a program with threads.  The limit applies to memory that is
written to, because CUDA, Java and Go reserve many times more addresses than they use.
"""

import ctypes
import os
import resource
import signal
import sys

CANNOT_START = 127
_PR_SET_PDEATHSIG = 1
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python ignores, and that are reset here.  Otherwise the program would inherit this, and go on writing
after its reader has ended.
"""


def main() -> None:
    memory_bytes, words = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(words[0], words)  # noqa: S606  (a shell is not wanted)
    except OSError as error:
        sys.stderr.write(f"{words[0]} cannot be started: {error.strerror}.\n")
        sys.exit(CANNOT_START)


if __name__ == "__main__":
    main()

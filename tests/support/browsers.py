"""The browser of the tests: Debian's Chromium."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from conftest import missing
from support import sites


@contextmanager
def chromium(flags: Sequence[str] = sites.CHROMIUM) -> Iterator[Browser]:
    """Only for a module, because its event loop is in the way of asynchronous tests."""
    program = shutil.which("chromium")
    if program is None:
        missing("Chromium is not installed.")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=list(flags))

"""axe-core in a page, from npm: the rules of WCAG that a program can check."""

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from playwright.sync_api import Page

from conftest import CHECKOUT, missing

SOURCE = CHECKOUT / "tests" / "axe" / "package.json"
VERSION = "4.14.1"


@cache
def _rules() -> str:
    """The script, installed once for each machine."""
    if shutil.which("npm") is None:
        missing("npm is needed for axe-core.")
    folder = Path(tempfile.gettempdir()) / f"dss-axe-core-{VERSION}"
    folder.mkdir(exist_ok=True)
    shutil.copy(SOURCE, folder)
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        words = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
        subprocess.run(words, cwd=folder, check=True, timeout=240)
    return script.read_text(encoding="utf-8")


def violations(page: Page, only: list[str] | None = None) -> list[str]:
    """A line for each element that breaks a rule, or one of ``only``, in the page as it is shown now."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_rules())
    options: dict[str, object] = {"resultTypes": ["violations"]}
    if only is not None:
        options["runOnly"] = only
    found = page.evaluate("options => axe.run(document, options)", options)["violations"]
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]

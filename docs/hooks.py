"""What mkdocs calls: pages that are made of the code, and pages that stand elsewhere in the repository.

``<!-- generate: NAME -->`` becomes what ``generated.NAME`` returns, ``<!-- include: PATH -->`` the file of the repository.
``<!-- checkout -->...<!-- end -->`` is for readers of the unbuilt page, and is removed.
"""

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CHECKOUT = HERE.parent
sys.path.insert(0, str(HERE))

import generated  # noqa: E402  (mkdocs imports this file by its path)

INCLUDED = {
    "infra/README.md": "operators/infra.md",
    "infra/helm/dss/README.md": "operators/kubernetes.md",
    "infra/from-the-old-system.md": "operators/old-system.md",
    "observability/RUNBOOK.md": "operators/runbook.md",
    "SECURITY.md": "operators/security.md",
    "CONTRIBUTING.md": "about/contributing.md",
    "DECISIONS.md": "about/decisions.md",
    "gpu-inference/README.md": "reference/inference-http.md",
    "gpu-inference/BUNDLES.md": "providers/bundles.md",
}
_MARK = re.compile(r"<!-- (generate|include): (\S+) -->")
_CHECKOUT = re.compile(r"<!-- checkout -->.*?<!-- end -->\n*", re.DOTALL)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)#:]*)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace the marks of a page, and remove what only the unbuilt page says."""
    here = page.file.src_uri

    def made(found: "re.Match[str]") -> str:
        if found[1] == "generate":
            return str(getattr(generated, found[2])())
        return included(found[2], here)

    return _MARK.sub(made, _CHECKOUT.sub("", markdown))


def included(path: str, here: str) -> str:
    """A file of the repository, its links led to pages; a link to what is no page becomes its text."""
    text = (CHECKOUT / path).read_text(encoding="utf-8")

    def led(found: "re.Match[str]") -> str:
        name, target, anchor = found[1], found[2], found[3] or ""
        if not target:
            return found[0]
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if wanted not in INCLUDED:
            return name
        return f"[{name}]({posixpath.relpath(INCLUDED[wanted], posixpath.dirname(here))}{anchor})"

    return _LINK.sub(led, text)

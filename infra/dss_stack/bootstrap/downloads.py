"""Lists what pip will download, with sizes, before the download begins."""

import json
import os
import ssl
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TIMEOUT_S = 10
_THREADS = 8
_CUDA = ("nvidia-", "triton", "cuda-")
_NO_LIBRARY = frozenset({"nvidia-ml-py"})
"""Packages that look like CUDA libraries by their names and are none: this one queries NVIDIA's driver, and is small.
"""


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file to download.  ``size_bytes`` is 0 if the size is not known."""

    name: str
    version: str
    size_bytes: int

    @property
    def is_cuda(self) -> bool:
        name = self.name.lower()
        return name.startswith(_CUDA) and name not in _NO_LIBRARY


def planned(report: Path) -> list[Download]:
    """The packages that pip would install according to ``report``, the output of ``pip install --dry-run --report``.
    Local folders, such as this project, are left out.
    """
    found = [
        i
        for i in json.loads(report.read_text(encoding="utf-8"))["install"]
        if "dir_info" not in _info(i)
    ]
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(_download, found))


def summary(downloads: Sequence[Download]) -> str:
    """A sentence with the number of downloads, their total size, and the largest one."""
    if not downloads:
        return "Nothing has to be downloaded."
    total = sum(download.size_bytes for download in downloads)
    largest = max(downloads, key=lambda download: download.size_bytes)
    unknown = sum(not download.size_bytes for download in downloads)
    untold = f", and {unknown} whose size is not known" if unknown else ""
    return (
        f"{len(downloads)} packages, {_size(total)}{untold}; "
        f"the largest is {largest.name} {largest.version} with {_size(largest.size_bytes)}"
    )


def cuda_bytes(downloads: Sequence[Download]) -> int:
    """Total size of the downloads that are CUDA libraries."""
    return sum(download.size_bytes for download in downloads if download.is_cuda)


def _info(item: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = item["download_info"]
    return found


def _download(item: dict[str, Any]) -> Download:
    about = item["metadata"]
    size = _size_of(_info(item)["url"])
    return Download(name=about["name"], version=about["version"], size_bytes=size)


def _size_of(url: str) -> int:
    if url.startswith("file:"):
        path = Path(urllib.request.url2pathname(url.removeprefix("file://")))
        return path.stat().st_size if path.exists() else 0
    context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
    question = urllib.request.Request(url, method="HEAD")  # noqa: S310 - an address that pip has found
    try:
        with urllib.request.urlopen(question, timeout=_TIMEOUT_S, context=context) as answer:  # noqa: S310 - an address that pip has found
            return int(answer.headers.get("Content-Length") or 0)
    except (OSError, ValueError):
        return 0


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"

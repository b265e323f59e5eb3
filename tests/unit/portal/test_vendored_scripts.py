"""Scripts of others are in the repository as they were published, with version, licence and checksum."""

import hashlib
import tomllib
from pathlib import Path

import dss_portal

FOLDER = Path(dss_portal.__path__[0]) / "pages" / "static" / "vendor"
LIBRARIES = tomllib.loads((FOLDER / "vendored.toml").read_text(encoding="utf-8"))["library"]


def test_each_file_is_as_it_was_published() -> None:
    for library in LIBRARIES:
        for name, (_, checksum) in library["files"].items():
            assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == checksum, name


def test_each_file_is_listed_with_version_and_licence() -> None:
    listed = {"vendored.toml"}
    for library in LIBRARIES:
        listed |= {library["licence_file"], *library["files"]}
        assert library["version"]
        assert library["licence"]

    there = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}

    assert there == listed

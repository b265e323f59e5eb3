"""A backend for the library ``keyring`` that keeps its entries in the file DSS_TEST_VAULT, for programs under test."""

import json
import os
from importlib import import_module
from pathlib import Path


def _get(_: object, service: str, username: str) -> str | None:
    return _entries().get(f"{service} {username}")


def _set(_: object, service: str, username: str, password: str) -> None:
    _write({**_entries(), f"{service} {username}": password})


def _delete(_: object, service: str, username: str) -> None:
    entries = _entries()
    del entries[f"{service} {username}"]
    _write(entries)


def _entries() -> dict[str, str]:
    path = Path(os.environ["DSS_TEST_VAULT"])
    found: dict[str, str] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def _write(entries: dict[str, str]) -> None:
    Path(os.environ["DSS_TEST_VAULT"]).write_text(json.dumps(entries), encoding="utf-8")


InFile = type(
    "InFile",
    (import_module("keyring.backend").KeyringBackend,),
    {"priority": 1, "get_password": _get, "set_password": _set, "delete_password": _delete},
)

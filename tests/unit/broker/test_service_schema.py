"""The published schema describes what the programs accept, for each kind of provider."""

import json
from typing import Any

import jsonschema
import pytest

from dss_broker.descriptor import descriptor_from
from dss_broker.dispatch_faults import DispatchInvalid, dispatch_from
from dss_broker.dispatch_section import DISPATCHER, PUBLISHER, ProviderKind
from dss_broker.service_schema import NEEDED, json_schema
from dss_dispatch.service import builtin_services
from support.builders import service_json

COMMAND = ["segment", "{image}", "{labels}"]
SECTIONS: dict[str, dict[str, Any]] = {
    "python": {"function": "algorithm.py:segment", "parameters": {"threshold": 300}},
    "program": {"command": COMMAND, "labels": [{"value": 1, "name": "Spleen"}]},
    "container": {"image": "registry.example.org/vessels:1.2", "command": COMMAND, "gpu": True},
    "bundle": {"bundle": "spleen", "modality": "CT"},
    "server": {"bundle": "spleen", "url": "http://worker:8080"},
    "rules": {"rules": "lung-segmentation"},
}


def described(kind: str, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    section = {"provider": kind, "tag": "CT", **SECTIONS[kind], **(changes or {})}
    return service_json(dispatch={k: v for k, v in section.items() if v is not None})


def accepts(raw: dict[str, Any]) -> bool:
    return bool(jsonschema.Draft202012Validator(json_schema()).is_valid(raw))


def test_every_kind_is_tried_here() -> None:
    assert set(SECTIONS) == set(ProviderKind) == set(NEEDED)


@pytest.mark.parametrize("provider", SECTIONS)
def test_schema_and_programs_accept_a_section_of_each_kind(provider: str) -> None:
    raw = described(provider)
    runner = next(r for r in (PUBLISHER, DISPATCHER) if provider in r.kinds)

    assert accepts(raw)
    assert dispatch_from(raw, descriptor_from(raw).tags, runner).provider == provider


@pytest.mark.parametrize(
    ("provider", "changes"),
    [
        *((kind, {name: None}) for kind, needed in NEEDED.items() for name in needed),
        ("python", {"provider": "magic"}),
        ("python", {"modality": "US"}),
        ("python", {"tag": None}),
        ("python", {"memory": 4}),
        ("python", {"memory_gb": "4"}),
        ("rules", {"rules": "no-such"}),
    ],
)
def test_schema_and_programs_refuse_the_same(provider: str, changes: dict[str, Any]) -> None:
    raw = described(provider, changes)
    runner = next(r for r in (PUBLISHER, DISPATCHER) if provider in r.kinds)

    assert not accepts(raw)
    with pytest.raises(DispatchInvalid, match=r"^dispatch"):
        dispatch_from(raw, descriptor_from(raw).tags, runner)


def test_the_built_in_services_fit_the_schema() -> None:
    for folder in builtin_services().values():
        jsonschema.validate(json.loads((folder / "service.json").read_bytes()), json_schema())

"""Tables of the documentation that are made of the code, so that they cannot differ from it."""

import dataclasses
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import click
import states_drawing
import topology_drawing
import yaml
from prometheus_client import REGISTRY
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings
from typer.main import get_command

CHECKOUT = Path(__file__).parents[1]
PROGRAMS = {
    "dss": "dss_client.__main__",
    "dss-portal": "dss_portal.__main__",
    "dss-dispatch": "dss_dispatch.__main__",
    "dss-inference": "dss_inference.__main__",
}


def settings() -> str:
    """A table for each program."""
    parts = []
    for title, module in (
        ("Portal", "dss_portal.settings"),
        ("Dispatcher", "dss_dispatch.settings"),
        ("Inference worker", "dss_inference.settings"),
    ):
        kind = import_module(module).Settings
        parts += [f"## {title}", _table(("variable", "default", "meaning"), _settings_of(kind))]
    return "\n\n".join(parts)


def _settings_of(kind: type[BaseSettings]) -> Iterable[Sequence[str]]:
    for name, field in kind.model_fields.items():
        default = "needed" if field.is_required() else _default(field.get_default())
        if field.default is PydanticUndefined and field.default_factory is not None:
            default = "made at the start"
        yield f"`DSS_{name.upper()}`", default, field.description or ""


def _default(value: object) -> str:
    shown = getattr(value, "get_secret_value", lambda: value)()
    return f"`{shown}`" if shown not in {"", None} else "none"


def metrics() -> str:
    import_module("dss_observability.metrics")
    rows = [
        (f"`{family.name}`", family.type, family.documentation)
        for family in REGISTRY.collect()
        if family.name.startswith("dss_")
    ]
    return _table(("metric", "type", "meaning"), sorted(rows))


def alerts() -> str:
    rows = []
    for file in sorted((CHECKOUT / "observability/prometheus/rules").glob("*.yml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in (rule for rule in group["rules"] if "alert" in rule):
                name = rule["alert"]
                link = f"[{name}](../operators/runbook.md#{name.lower()})"
                labels, notes = rule["labels"], rule["annotations"]
                rows.append((link, labels["severity"], notes["summary"]))
    return _table(("alert", "severity", "when"), rows)


def messages() -> str:
    """Each message with its fields."""
    module = import_module("dss_broker.messages")
    parts = []
    for kind in get_args(module.Message):
        rows = [
            (f"`{f.name}`", f"`{_typed(f)}`", _has_default(f)) for f in dataclasses.fields(kind)
        ]
        parts += [
            f"### {kind.__name__}",
            inspect.getdoc(kind) or "",
            _table(("field", "type", "default"), rows),
        ]
    return "\n\n".join(parts)


def _typed(field: "dataclasses.Field[Any]") -> str:
    name = (
        field.type
        if isinstance(field.type, str)
        else getattr(field.type, "__name__", str(field.type))
    )
    return str(name).replace("|", "or")


def _has_default(field: "dataclasses.Field[Any]") -> str:
    if field.default is not dataclasses.MISSING:
        return f"`{field.default!r}`"
    return "empty" if field.default_factory is not dataclasses.MISSING else "none"


def rest() -> str:
    operations = import_module("dss_portal.openapi.operations").OPERATIONS
    rows = [
        (
            f"`{o.method.upper()} {o.path}`",
            o.summary,
            ", ".join(f"`{p.removesuffix('!')}`" for p in (*o.query, *o.form)) or "none",
            o.gives,
        )
        for o in operations
    ]
    return _table(("request", "what it does", "parameters", "answer"), rows)


def commands() -> str:
    """Each command with its options."""
    parts = []
    for name, module in PROGRAMS.items():
        main = import_module(module).main
        found = main if isinstance(main, click.Command) else get_command(main)
        parts += [f"## {name}", *_command(name, found, 3)]
    return "\n\n".join(parts)


def _command(name: str, command: click.Command, level: int) -> list[str]:
    inner = _inner(command)
    if inner:
        return [
            part
            for word, found in inner.items()
            for part in _titled(f"{name} {word}", found, level)
        ]
    rows = [_parameter(p) for p in command.params if getattr(p, "name", "") != "help"]
    text = re.sub(r"\s+", " ", (command.help or "").strip())
    return [text, _table(("argument or option", "default", "meaning"), rows)] if rows else [text]


def _inner(command: click.Command) -> Mapping[str, click.Command]:
    """Commands of a group, of click or of typer; those of ``dss`` are imported one by one."""
    if not isinstance(command, click.Group):
        return getattr(command, "commands", None) or {}
    context = click.Context(command)
    found = {word: command.get_command(context, word) for word in command.list_commands(context)}
    return {word: each for word, each in found.items() if each is not None}


def _titled(name: str, command: click.Command, level: int) -> list[str]:
    return [f"{'#' * level} {name}", *_command(name, command, level + 1)]


def _parameter(parameter: click.Parameter) -> Sequence[str]:
    names = ", ".join(f"`{o}`" for o in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    shown = "" if default in {None, False, ()} or callable(default) else f"`{default}`"
    return names, shown, str(getattr(parameter, "help", "") or "")


def service_json() -> str:
    """Fields of the part that clients are told, and of ``dispatch``."""
    descriptor = import_module("dss_broker.descriptor")
    section = import_module("dss_broker.dispatch_section")
    schema = import_module("dss_broker.service_schema")
    kinds = [
        (
            f"`{kind}`",
            ", ".join(f"`{name}`" for name in ("tag", *needed)),
            ", ".join(r.name for r in (section.PUBLISHER, section.DISPATCHER) if kind in r.kinds),
        )
        for kind, needed in schema.NEEDED.items()
    ]
    parts = [
        "## What users are told",
        _fields(descriptor.Descriptor, but={"whole", "published"}),
        "### Each of `tags`",
        _fields(descriptor.Tag),
        f"`type` is one of {', '.join(f'`{t}`' for t in descriptor.TagType)}.",
        "### `deadlines`",
        inspect.getdoc(descriptor.Deadlines) or "",
        _fields(descriptor.Deadlines),
        "## `dispatch`",
        inspect.getdoc(section.Dispatch) or "",
        _table(("provider", "needs", "is run by"), kinds),
        _described(schema.json_schema()["$defs"]["Dispatch"]["properties"]),
        f"`modality` is one of {', '.join(f'`{m}`' for m in section.Modality)}.",
        "### Each of `labels`",
        _described(schema.json_schema()["$defs"]["LabelStyle"]["properties"]),
    ]
    return "\n\n".join(parts)


def _described(properties: Mapping[str, Any]) -> str:
    """A table of a schema's properties."""
    rows = [
        (
            f"`{name}`",
            f"`{found.get('default')!r}`" if "default" in found else "",
            found.get("description", ""),
        )
        for name, found in properties.items()
    ]
    return _table(("field", "default", "meaning"), rows)


def _fields(kind: type[Any], but: Iterable[str] = ()) -> str:
    rows = [
        (f"`{f.name}`", f"`{_typed(f)}`", _has_default(f))
        for f in dataclasses.fields(kind)
        if f.name not in but
    ]
    return _table(("field", "type", "default"), rows)


def drawn_topology() -> str:
    return topology_drawing.drawing()


def retries() -> str:
    """What happens to a message that is not handled at the first attempt."""
    topology = import_module("dss_broker.topology")
    queues = ", ".join(f"`{topology.retry_exchange(s)}`" for s in topology.RETRY_DELAYS_S)
    return (
        f"A message whose handler asks for another attempt waits in {queues}, one after another, and comes back to its "
        f"queue. A message that {topology.DEATH_LIMIT + 1} programs have died of, that no handler can read, or that "
        f"RabbitMQ has requeued {topology.DELIVERY_LIMIT} times, goes to `{topology.DEAD_EXCHANGE}`."
    )


def drawn_states() -> str:
    return states_drawing.drawing()


def states() -> str:
    """Meaning of each state."""
    lifecycle = import_module("dss_portal.tickets.lifecycle")
    status = import_module("dss_portal.models").Status
    return _table(("state", "meaning"), [(f"`{s.value}`", _MEANING[s.value]) for s in status]) + (
        f"\n\nOpen states: {_listed(lifecycle.OPEN)}. States that a ticket ends in: {_listed(lifecycle.FINISHED)}."
    )


def events() -> str:
    """What each event makes of each state, by asking the code."""
    return _table(("event", "meaning", "changes"), states_drawing.events())


_MEANING = {
    "init": "The user sends files; nobody works on it.",
    "ready": "It waits in the queue of its service.",
    "claimed": "A dispatcher or an external provider works on it, as long as its lease holds.",
    "success": "The results are there, complete and checked.",
    "failed": "The log says why in a sentence.",
    "timeout": "A deadline has passed, or too many claims have lapsed.",
    "deleted": "Its files are removed.",
}


def _listed(found: Iterable[Any]) -> str:
    return ", ".join(sorted(f"`{s.value}`" for s in found))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(c) for c in line)} |" for line in lines)


def _cell(text: object) -> str:
    return re.sub(r"\s+", " ", str(text)).replace("|", "\\|").strip()

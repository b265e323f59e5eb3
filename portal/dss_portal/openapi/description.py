"""Builds the portal's OpenAPI 3.1 document from ``operations.OPERATIONS``."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from dss_portal.openapi.operations import OPERATIONS, Operation, Shape
from dss_process.version import installed_version

Json: TypeAlias = str | int | float | bool | list["Json"] | dict[str, "Json"] | None

_WHOLE: dict[str, Json] = {"type": "integer", "minimum": 0}
_NUMBER: dict[str, Json] = {"type": "number", "minimum": 0, "maximum": 1}
_TEXT: dict[str, Json] = {"type": "string"}
_HASH: dict[str, Json] = {"type": "string", "pattern": "^[a-f0-9]+$"}

SCHEMAS: Mapping[str, dict[str, Json]] = {
    "ticket_id": _WHOLE,
    "log_id": _WHOLE,
    "user_id": _WHOLE,
    "index": _WHOLE,
    "since": _WHOLE,
    "voxels": _WHOLE,
    "bytes": _WHOLE,
    "githash": _HASH,
    "provider": {"type": "string", "pattern": r"^[\w\-]+$"},
    "area": {"enum": ["input", "results"]},
    "category": {"enum": ["info", "warning", "error"]},
    "which": {"enum": ["completed", "all"]},
    "format": {"enum": ["csv", "json"]},
    "chunk_start": _NUMBER,
    "chunk_end": _NUMBER,
    "progress": _NUMBER,
    "admin": {"enum": ["0", "1"]},
    "days": {"type": "number", "minimum": 0},
    "hours": {"type": "number", "minimum": 0},
}
"""Schemas of the parameters that are not arbitrary text."""

_ERRORS = {
    "400": "a sentence: what is wrong with the request, or that there is no such thing",
    "401": "not signed in, or not allowed",
    "413": "larger than the server takes",
    "429": "too many requests in this minute",
}

_KEY_ERRORS = {
    "409": "the repeated request could not be carried out now; try again",
    "422": "the Idempotency-Key was sent before with another request",
}

_TYPES: Mapping[Shape, tuple[str, ...]] = {
    "text": ("text/plain",),
    "table": ("text/csv", "application/json"),
    "csv": ("text/csv",),
    "json": ("application/json",),
    "bytes": ("application/octet-stream",),
    "nothing": (),
}


def description(public_url: str) -> dict[str, Json]:
    """The complete OpenAPI document, as JSON, for a portal at ``public_url``."""
    paths: dict[str, dict[str, Json]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Distributed Segmentation Service",
            "version": installed_version("portal"),
            "description": "Plain answers carry no Content-Type; tables have no header row.",
        },
        "servers": [{"url": public_url.rstrip("/")}],
        "security": [{"session": []}, {"token": []}],
        "paths": {**paths},
        "components": {
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "webpy_session_id"},
                "token": {"type": "http", "scheme": "bearer"},
            }
        },
    }


def _operation(operation: Operation) -> Json:
    in_path = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    query = [*operation.query, *_format_of(operation)]
    described: dict[str, Json] = {
        "summary": operation.summary,
        "parameters": [
            *(_parameter(f"{name}!", "path") for name in in_path),
            *(_parameter(name, "query") for name in query),
            *(_parameter(name, "header") for name in operation.headers),
        ],
        "responses": _answers(operation),
    }
    if operation.form or operation.sends_file:
        described["requestBody"] = _body(operation)
    if operation.public:
        described["security"] = []
    return described


def _format_of(operation: Operation) -> Iterable[str]:
    wanted = operation.gives == "table" and operation.method == "get"
    return ("format",) if wanted else ()


def _parameter(name: str, place: str) -> Json:
    bare = name.rstrip("!")
    return {"name": bare, "in": place, "required": name.endswith("!"), "schema": _schema(bare)}


def _schema(name: str) -> dict[str, Json]:
    return SCHEMAS.get(name, _TEXT)


def _body(operation: Operation) -> Json:
    kind = "multipart/form-data" if operation.sends_file else "application/x-www-form-urlencoded"
    file: dict[str, Json] = {"type": "string", "format": "binary"}
    fields: dict[str, Json] = {"myfile": file} if operation.sends_file else {}
    fields |= {name.rstrip("!"): _schema(name.rstrip("!")) for name in operation.form}
    required: list[Json] = ["myfile"] if operation.sends_file else []
    required += [name.rstrip("!") for name in operation.form if name.endswith("!")]
    schema: Json = {"type": "object", "properties": fields, "required": required}
    return {"required": bool(required), "content": {kind: {"schema": schema}}}


def _answers(operation: Operation) -> Json:
    good: dict[str, Json] = {"description": operation.summary}
    if types := _TYPES[operation.gives]:
        good["content"] = {kind: {} for kind in types}
    errors: dict[str, Json] = {
        status: {"description": text, "content": {"text/plain": {}}}
        for status, text in (_ERRORS | (_KEY_ERRORS if operation.headers else {})).items()
    }
    return {str(operation.status): good, **errors}

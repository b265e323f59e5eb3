"""Checks the source of a provider's function without running or importing it."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from dss_provider.outcome import PARAMETERS
from dss_provider.source_imports import import_faults


def function_faults(path: Path, name: str) -> Iterable[str]:
    """Reasons why the function ``name`` of the file could not be called, as far as its source shows."""
    try:
        module = ast.parse(path.read_bytes(), path.name)
    except SyntaxError as error:
        yield f"{path.name}, line {error.lineno}: {error.msg}."
        return
    except ValueError:
        yield f"{path.name} is no text of Python."
        return
    yield from import_faults(path, module, name)
    if "*" in (names := set(_bound(module.body))) or name in names:
        yield from _definition_faults(path, module, name)
        return
    functions = [n.name for n in module.body if isinstance(n, ast.FunctionDef)]
    have = ", ".join(functions) or "none"
    yield f"{path.name} has no function {name}; it has {have}."


def _definition_faults(path: Path, module: ast.Module, name: str) -> Iterator[str]:
    for node in module.body:
        if isinstance(node, ast.AsyncFunctionDef) and node.name == name:
            yield f"{path.name}, line {node.lineno}: {name} must not be async."
        if isinstance(node, ast.FunctionDef) and node.name == name:
            for unknown in [n for n in _needed(node.args) if n not in PARAMETERS]:
                yield (
                    f"{path.name}, line {node.lineno}: {name} asks for '{unknown}'; it may ask for "
                    f"{', '.join(PARAMETERS)}."
                )


def _needed(arguments: ast.arguments) -> list[str]:
    """Names of the parameters without a default value."""
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = positional[: len(positional) - len(arguments.defaults)]
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return [a.arg for a in (*needed, *(arg for arg, default in pairs if default is None))]


def _bound(body: Iterable[ast.stmt]) -> Iterator[str]:
    """The names that the statements bind at the level of the module.  "*" stands for all names of an imported module."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from (a.asname or a.name for a in node.names)
            case ast.Assign():
                yield from (t.id for t in node.targets if isinstance(t, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.If() | ast.Try() | ast.With():
                yield from _bound(n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt))
            case _:
                pass

"""Finds imports of modules that this machine does not have, in the source of a provider's function."""

import ast
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

_LOOSE_PATHS = ("sys.path", "addsitedir", "meta_path")
"""A source with one of these may find modules where only its running shows."""


def import_faults(path: Path, module: ast.Module, function: str) -> Iterator[str]:
    """A sentence for each import of a module that is neither in the file's folder nor installed for this Python.

    Looks at the statements of the module and of its ``function``, not at imports in ``try`` or for type checkers; nothing
    is imported.
    """
    if any(word in ast.unparse(module) for word in _LOOSE_PATHS):
        return
    for node in _imports(module.body, function):
        where = f"{path.name}, line {node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"{where}: a relative import finds nothing here; import the file by its name alone."
            continue
        for name in _top_names(node):
            if not _is_there(name, path.parent):
                yield (
                    f"{where}: this Python has no module '{name}', and the folder has no {name}.py; install the package "
                    "that contains it beside dss, or correct the name."
                )


def _imports(body: Sequence[ast.stmt], function: str) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in body:
        match node:
            case ast.Import() | ast.ImportFrom():
                yield node
            case ast.FunctionDef(name=name) if name == function:
                yield from _imports(node.body, function)
            case ast.With():
                yield from _imports(node.body, function)
            case _:
                pass  # what depends on a condition may never run


def _top_names(node: ast.Import | ast.ImportFrom) -> list[str]:
    names = (
        [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
    )
    return [name.partition(".")[0] for name in names]


def _is_there(name: str, folder: Path) -> bool:
    if (folder / f"{name}.py").is_file() or (folder / name).is_dir():
        return True
    if any(folder.glob(f"{name}.*")):
        return True  # a compiled module
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return True  # it is there, but cannot be asked without importing it

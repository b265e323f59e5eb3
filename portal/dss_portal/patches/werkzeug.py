"""Makes Werkzeug compile the functions that build URLs when they are first used, instead of at the start."""

from collections.abc import Callable
from typing import TypeAlias

from quart import Quart
from quart.routing import QuartRule

Builder: TypeAlias = Callable[..., tuple[str, str]]


class LateRule(QuartRule):
    """A URL rule whose two functions that build its URL are compiled when they are first called.  Werkzeug compiles
    those of all rules at the start, which takes 0.1 s of CPU time, and few are used.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Builder:  # noqa: FBT001, FBT002  (the signature of Werkzeug)
        compiled: list[Builder] = []

        def build(rule: "LateRule", **values: object) -> tuple[str, str]:
            if not compiled:
                compiled.append(QuartRule._compile_builder(self, append_unknown))  # noqa: SLF001 - the workaround
            return compiled[0](rule, **values)

        return build


def install(app: Quart) -> None:
    """Make ``app`` use LateRule for the rules that are added from now on."""
    app.url_rule_class = LateRule

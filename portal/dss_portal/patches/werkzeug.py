"""Makes Werkzeug compile the functions that build a rule's URL when they are first used, not at the start."""

from collections.abc import Callable
from typing import TypeAlias

from quart import Quart
from quart.routing import QuartRule

Builder: TypeAlias = Callable[..., tuple[str, str]]


class LateRule(QuartRule):
    """A rule whose two URL builders are compiled at their first call.  Werkzeug compiles them for all rules at the
    start, which takes 0.1 s of CPU time, and few of them are used.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Builder:  # noqa: FBT001, FBT002  (the signature of Werkzeug)
        compiled: list[Builder] = []

        def build(rule: "LateRule", **values: object) -> tuple[str, str]:
            if not compiled:
                compiled.append(QuartRule._compile_builder(self, append_unknown))  # noqa: SLF001 - the workaround
            return compiled[0](rule, **values)

        return build


def install(app: Quart) -> None:
    """Make ``app`` compile the URL builders of the rules that are added from now on at their first use."""
    app.url_rule_class = LateRule

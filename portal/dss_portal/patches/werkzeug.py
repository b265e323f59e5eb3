"""Makes Werkzeug compile the function that builds a rule's URL when the first URL is built, not at the start."""

from collections.abc import Callable
from typing import TypeAlias

from quart import Quart
from quart.routing import QuartRule

Builder: TypeAlias = Callable[..., tuple[str, str]]


class LateRule(QuartRule):
    """A rule whose two builders are compiled at their first call.

    Werkzeug compiles them for each rule at once: 0.1 s of CPU time in each start of a portal, for functions of which it
    uses a few.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Builder:  # noqa: FBT001, FBT002  (the signature of Werkzeug)
        compiled: list[Builder] = []

        def build(rule: "LateRule", **values: object) -> tuple[str, str]:
            if not compiled:
                compiled.append(QuartRule._compile_builder(self, append_unknown))  # noqa: SLF001 - the workaround
            return compiled[0](rule, **values)

        return build


def install(app: Quart) -> None:
    """Let rules that are added to ``app`` from now on be late."""
    app.url_rule_class = LateRule

"""What every controller is: a path, a method `on_<verb>` for each verb it answers, and a way further down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from protectd.api.answers import Answer
from protectd.api.call import Call
from protectd.api.errors import NoSuchPath
from protectd.api.idempotency import once
from protectd.api.schemas.common import Schema
from protectd.api.terms import Terms
from protectd.common.errors import MethodNotAllowed

VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Controller:
    """
    :cvar path: the template of its path; None: it only leads further.
    :cvar terms: what each verb takes and gives.
    :cvar places: schemas of names in the path that are not the same everywhere.
    :cvar public: it needs no token.
    """

    path: ClassVar[str | None] = None
    terms: ClassVar[Mapping[str, Terms]] = {}
    places: ClassVar[Mapping[str, Schema]] = {}
    public: ClassVar[bool] = False

    def child(self, segment: str, call: Call) -> Controller | None:
        """The controller of the next segment; None: there is nothing."""
        return None

    @classmethod
    def verbs(cls) -> tuple[str, ...]:
        return tuple(verb for verb in VERBS if hasattr(cls, f"on_{verb.lower()}"))

    def answer(self, call: Call) -> Answer:
        """Let the method of this verb answer. HEAD has come as GET.

        :raises MethodNotAllowed: with the verbs that would be answered.
        """
        if not self.verbs():
            return self.without_verbs(call)
        handler = getattr(self, f"on_{call.verb.lower()}", None)
        if call.verb not in VERBS or handler is None:
            return self._options(call)
        call.terms = self.terms.get(call.verb)
        return call.carry_out(lambda: self._once(call, handler))

    def without_verbs(self, call: Call) -> Answer:
        """What a path that answers no verb says."""
        raise NoSuchPath

    def _once(self, call: Call, handler: Callable[[Call], Answer]) -> Answer:
        if call.verb != "POST":
            return handler(call)
        return once(call, lambda: handler(call))

    def _options(self, call: Call) -> Answer:
        verbs = [*self.verbs(), "OPTIONS"] + (["HEAD"] if "GET" in self.verbs() else [])
        allowed = ", ".join(sorted(verbs))
        if call.verb != "OPTIONS":
            raise MethodNotAllowed(allowed=allowed)
        return Answer(None, status=204, headers={"Allow": allowed})

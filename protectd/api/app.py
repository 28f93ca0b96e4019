"""The application at the end of the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pecan.core import PecanBase

from protectd.api import openapi
from protectd.api import runtime as runtimes
from protectd.api.call import Call
from protectd.api.controllers.base import Controller
from protectd.api.controllers.root import RootController, walk
from protectd.api.hooks import ANSWER, CALL, CallHook
from protectd.api.runtime import Runtime

Index = Callable[[Call], Any]


class Application(PecanBase):  # type: ignore[misc]
    """Pecan's course of a request: hooks, controller, answer. Ways are found by the controllers alone, and
    all they are given is the call: signatures, queries, content types and templates, which Pecan looks at for
    each request anew, have no part in it."""

    def __init__(self, root: Controller, hooks: Sequence[Any]) -> None:
        super().__init__(root, hooks=list(hooks), force_canonical=False, response_cls=_Unanswered)

    def determine_hooks(self, controller: Any = None) -> Sequence[Any]:
        hooks: Sequence[Any] = self.hooks
        return hooks

    def find_controller(self, state: Any) -> tuple[Index, list[Call], dict[str, Any]]:
        self.handle_hooks(self.hooks, "on_route", state)
        call: Call = state.request.context[CALL]
        state.controller = walk(self.root, call).answer
        return state.controller, [call], {}

    def invoke_controller(
        self, controller: Index, args: Sequence[Call], kwargs: Mapping[str, Any], state: Any
    ) -> None:
        """The hook sends what is left in the context."""
        state.request.context[ANSWER] = controller(*args)


class _Unanswered:
    """Stands where the answer will be: Pecan makes an empty one before it asks anybody."""


def create_main_app(runtime: Runtime) -> Any:
    """The WSGI application with every route. What stands before it is the pipeline's business."""
    return Application(RootController(openapi.documents(runtime)), [CallHook(runtime)])


def app_factory(global_conf: dict[str, str], **local_conf: str) -> Any:
    """For PasteDeploy. `global_conf["runtime"]` names the runtime that was published before."""
    return create_main_app(runtimes.of(global_conf))

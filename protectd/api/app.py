"""The application at the end of the pipeline."""

from __future__ import annotations

from typing import Any

import pecan
from webob.multidict import MultiDict

from protectd.api import runtime as runtimes
from protectd.api.controllers.root import RootController
from protectd.api.hooks import CallHook
from protectd.api.runtime import Runtime


class _Request(pecan.Request):  # type: ignore[misc]
    """Keeps Pecan from reading queries and bodies as arguments: controllers ask for what they need."""

    GET = POST = params = MultiDict()
    json: dict[str, Any] = {}


def create_main_app(runtime: Runtime) -> Any:
    """The WSGI application with every route. What stands before it is the pipeline's business."""
    return pecan.Pecan(
        RootController(),
        hooks=[CallHook(runtime)],
        force_canonical=False,
        guess_content_type_from_ext=False,
        request_cls=_Request,
    )


def app_factory(global_conf: dict[str, str], **local_conf: str) -> Any:
    """For PasteDeploy. `global_conf["runtime"]` names the runtime that was published before."""
    return create_main_app(runtimes.of(global_conf))

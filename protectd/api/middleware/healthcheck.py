"""GET /healthcheck: 200 while the process serves and its database answers. No token."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from webob import Response

from protectd.api import environ as env
from protectd.api import runtime as runtimes
from protectd.common.errors import MethodNotAllowed
from protectd.model.unit_of_work import Database

PATH = "/healthcheck"


class Healthcheck:
    def __init__(self, app: env.Application, database: Database) -> None:
        self._app = app
        self._database = database

    def __call__(self, environ: env.Environ, start_response: env.StartResponse) -> Iterable[bytes]:
        if env.path(environ) != PATH:
            return self._app(environ, start_response)
        response = self._respond(env.verb(environ))
        return env.send(response, environ, start_response)

    def _respond(self, verb: str) -> Response:
        if verb != "GET":
            raise MethodNotAllowed(allowed="GET, HEAD")
        with self._database.read() as uow:
            uow.session.execute(select(1))
        return Response(json_body={"status": "OK"}, content_type="application/json", charset=None)


def filter_factory(global_conf: dict[str, str], **local_conf: str) -> env.Filter:
    database = runtimes.of(global_conf).database
    return lambda app: Healthcheck(app, database)

"""One request as a controller sees it: who asks, what for, and the unit of work it happens in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from protectd.api import environ as env
from protectd.api import query
from protectd.api.errors import MalformedBody, NoSuchPath
from protectd.api.parsing import parse_json
from protectd.api.runtime import Runtime
from protectd.common.context import RequestContext
from protectd.common.errors import Forbidden, InvalidField, NotFound, Unauthorized, UnsupportedMediaType
from protectd.common.ids import canonical_id, is_uuid_like
from protectd.domain import validation
from protectd.domain.instances import Registry
from protectd.domain.providers import Provider
from protectd.domain.submission import Submission
from protectd.model.unit_of_work import UnitOfWork
from protectd.plugin.base import Access
from protectd.queue.dispatcher import DIRECT

WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
JSON = "application/json"

Render = Callable[[UnitOfWork], Any]


@dataclass(frozen=True)
class Answer:
    """What a controller says.

    :ivar body: JSON; None: nothing.
    :ivar again: makes the body anew, when the work was done before the answer left.
    """

    body: Any
    status: int = 200
    location: str | None = None
    again: Render | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Call:
    """Used by one thread. The unit of work begins at its first use and is ended by the hook."""

    def __init__(self, runtime: Runtime, environ: env.Environ) -> None:
        self.runtime = runtime
        self.environ = environ
        self.verb = env.verb(environ)
        self._uow: UnitOfWork | None = None
        self._submission: Submission | None = None

    # --- who ---

    @cached_property
    def context(self) -> RequestContext:
        """:raises Unauthorized: the pipeline let someone through without a name."""
        context = env.context(self.environ)
        if context is None:
            raise Unauthorized
        return context

    @property
    def project_id(self) -> str:
        return self.context.project_id

    @cached_property
    def scope(self) -> str | None:
        """Whose things are found: the project's own; any project's (None) for an administrator who asks for
        `all_tenants`."""
        everyone = self.query.flag("all_tenants") and self.context.is_admin
        return self.query.values.get("project_id") if everyone else self.project_id

    def can(self, rule: str, target: Any = None) -> None:
        """:param target: what it is about; None: the caller's own project.
        :raises Forbidden: the policy says no; for a thing that exists, the same 404 as if it did not."""
        project_id = self.project_id if target is None else target.project_id
        if self.runtime.policies.may(rule, self.context, {"project_id": project_id}):
            return
        if target is not None:
            raise NotFound(kind=rule.partition(":")[0], id=target.id)
        raise Forbidden(action=rule)

    def access(self, provider: Provider) -> Access:
        """What the caller may touch on hosts through a provider."""
        return provider.access(self.project_id, self.context.is_admin)

    @property
    def headers(self) -> dict[str, str]:
        """Request headers by lower-case name."""
        return env.headers(self.environ)

    # --- what ---

    @cached_property
    def query(self) -> query.Query:
        values = query.parse(self.environ.get("QUERY_STRING", ""))
        return query.Query(values, self.runtime.options.max_limit)

    def body(self, schema: validation.Schema) -> dict[str, Any]:
        """The checked JSON body.

        :raises UnsupportedMediaType: there is a body of another type.
        :raises InvalidField: names the first field that does not fit.
        """
        raw = self._raw_body()
        if raw and self._media_type() != JSON:
            raise UnsupportedMediaType(expected=JSON)
        value = parse_json(raw)
        validation.check(value, schema)
        return dict(value)

    def _media_type(self) -> str:
        return str(self.environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()

    def _raw_body(self) -> bytes:
        length = int(self.environ.get("CONTENT_LENGTH") or 0)
        try:
            raw: bytes = self.environ["wsgi.input"].read(length) if length else b""
        except OSError:
            raw = b""
        if len(raw) < length or not raw:
            raise MalformedBody(field="body", reason="is missing or ends early")
        return raw

    # --- with what ---

    @property
    def uow(self) -> UnitOfWork:
        if self._uow is None:
            self._uow = self.runtime.database.begin(write=self.verb in WRITING)
        return self._uow

    @property
    def tasks(self) -> Submission:
        """Tasks added here are announced after the commit."""
        if self._submission is None:
            options = self.runtime.options
            self._submission = Submission(self.uow, self.context, self.runtime.clock, options.max_attempts)
        return self._submission

    def registry(self, project_id: str | None = None) -> Registry:
        """The instances of a project; of the caller's own if none is named."""
        runtime = self.runtime
        return Registry(self.uow, runtime.protectables, project_id or self.project_id, runtime.host)

    def provider(self, provider_id: str) -> Provider:
        """The provider that a path names."""
        return self.runtime.providers.get(path_id(provider_id, "provider_id"))

    def provider_in(self, body: Mapping[str, Any], field: str) -> Provider:
        """The provider that a body names. :raises InvalidField: there is none such."""
        try:
            return self.runtime.providers.get(canonical_id(body["provider_id"]))
        except NotFound:
            raise InvalidField(field=f"{field}.provider_id", reason="is no provider") from None

    # --- the end ---

    def finish(self, answer: Answer) -> Any:
        """Commit, announce, and give the body to send.

        Tasks that were run before this returns show in it.
        """
        if self._uow is not None and self.verb in WRITING:
            self._uow.commit()
        self.close()
        submitted = self._submission.submitted if self._submission else ()
        if not (submitted and self.runtime.dispatcher.dispatch(submitted) and answer.again):
            return answer.body
        with self.runtime.database.read() as uow:
            return answer.again(uow)

    def way(self) -> str | None:
        """How a change is carried out: by this process, or sent to a worker. None: nothing changes."""
        if self.verb not in WRITING:
            return None
        submitted = self._submission.submitted if self._submission else ()
        return next((self.runtime.dispatcher.way(ref) for ref in submitted), DIRECT)

    def close(self) -> None:
        """Give the unit of work back; what was not committed is gone. Safe to repeat."""
        if self._uow is not None:
            self._uow.close()
            self._uow = None

    def url(self, *segments: str) -> str:
        """Absolute URL of something of this project."""
        return "/".join((self.base_url(), "v1", self.project_id, *segments))

    def base_url(self) -> str:
        """Where clients reach the service, without a slash at the end."""
        configured = self.runtime.options.public_endpoint
        return configured.rstrip("/") if configured else self._requested_url()

    def _requested_url(self) -> str:
        environ = self.environ
        scheme, host = environ.get("wsgi.url_scheme", "http"), environ.get("HTTP_HOST")
        if self.runtime.options.trust_forwarded:
            scheme = "https" if environ.get("HTTP_X_FORWARDED_PROTO") == "https" else scheme
        return f"{scheme}://{host or environ.get('SERVER_NAME', 'localhost')}{environ.get('SCRIPT_NAME', '')}"


def path_id(text: str, field: str) -> str:
    """An id of a path as it is stored. :raises InvalidField: it is none."""
    if not is_uuid_like(text):
        raise InvalidField(field=field, reason="must be a UUID")
    return canonical_id(text)


def known_path(found: Any) -> Any:
    """:raises NoSuchPath: `found` is None."""
    if found is None:
        raise NoSuchPath
    return found

"""One request as a controller sees it: who asks, what for, and the unit of work it happens in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from protectd.api import bodies, links, query
from protectd.api import environ as env
from protectd.api.answers import Answer, Render
from protectd.api.runtime import Runtime
from protectd.api.terms import Terms
from protectd.common.context import RequestContext
from protectd.common.errors import Forbidden, InvalidField, NotFound, Unauthorized
from protectd.common.ids import canonical_id
from protectd.domain import validation
from protectd.domain.instances import Registry
from protectd.domain.providers import Provider
from protectd.domain.quota import Quotas
from protectd.domain.submission import Submission
from protectd.model.errors import ConnectionLost, DatabaseContended, DatabaseUnavailable, OutcomeUnknown
from protectd.model.unit_of_work import UnitOfWork
from protectd.model.witness import Witness
from protectd.plugin.base import Access
from protectd.queue.dispatcher import DIRECT

LOG = logging.getLogger(__name__)

RIVALS = 3
"""Requests that may get ahead of one, each at the cost of an attempt."""

CUTS = 2
"""Connections that one request may lose, each at the cost of an attempt."""

NOTHING: validation.Schema = {"not": {}}

WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Call:
    """Used by one thread. The unit of work begins at its first use and is ended by the hook."""

    def __init__(self, runtime: Runtime, environ: env.Environ) -> None:
        self.runtime = runtime
        self.environ = environ
        self.verb = env.verb(environ)
        self.terms: Terms | None = None
        self._raw_body: bytes | None = None
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
        owner = self.project_id if target is None else target.project_id
        if self.runtime.policies.may(rule, self.context, owner):
            return
        if target is not None:
            raise NotFound(kind=rule.partition(":")[0], id=target.id)
        raise Forbidden(action=rule)

    def can_in(self, rule: str, project_id: str) -> None:
        """As `can`, about a project, whether or not there is such a one.

        :raises Forbidden: the policy says no.
        """
        if not self.runtime.policies.may(rule, self.context, project_id):
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

    def body(self, schema: validation.Schema | None = None) -> dict[str, Any]:
        """The JSON body, checked by the terms of this verb. See `bodies.checked` for what is raised."""
        told = self.terms.body if self.terms else None
        return bodies.checked(self.raw_body, self.environ, told or schema or NOTHING)

    def filters(self) -> dict[str, Any]:
        """By what a list is narrowed, as the terms of this verb allow."""
        return self.query.text(*(self.terms.filters() if self.terms else ()))

    @property
    def raw_body(self) -> bytes:
        """It can be read only once. No `cached_property`: in Python 3.11 all objects of the class share its
        lock, so one client that sends slowly would hold up all others."""
        if self._raw_body is None:
            self._raw_body = bodies.read(self.environ)
        return self._raw_body

    @property
    def plain_body(self) -> bytes:
        """The body as it came; it may be empty."""
        return self.raw_body if int(self.environ.get("CONTENT_LENGTH") or 0) else b""

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
            self._submission = Submission(self.uow, self.context, self.runtime.clock, options.submit)
        return self._submission

    @property
    def quotas(self) -> Quotas:
        return Quotas(self.uow, self.runtime.options.submit.quotas)

    def registry(self, project_id: str | None = None) -> Registry:
        """The instances of a project; of the caller's own if none is named."""
        runtime = self.runtime
        return Registry(self.uow, runtime.protectables, project_id or self.project_id, runtime.host)

    def provider(self, provider_id: str) -> Provider:
        """The provider that a path names."""
        return self.runtime.providers.get(links.path_id(provider_id, "provider_id"))

    def provider_in(self, body: Mapping[str, Any], field: str) -> Provider:
        """The provider that a body names. :raises InvalidField: there is none such."""
        try:
            return self.runtime.providers.get(canonical_id(body["provider_id"]))
        except NotFound:
            raise InvalidField(field=f"{field}.provider_id", reason="is no provider") from None

    # --- the end ---

    def carry_out(self, work: Callable[[], Answer]) -> Answer:
        """Do `work` and commit. It is done anew when the database gave up its unit of work for the sake of
        another, or the connection was lost.

        :raises OutcomeUnknown: the database went away at the commit and did not come back.
        """
        left: dict[type[DatabaseUnavailable], int] = {DatabaseContended: RIVALS, ConnectionLost: CUTS}
        while True:
            try:
                answer = work()
                self._commit()
                return answer
            except (DatabaseContended, ConnectionLost) as error:
                if not left[type(error)]:
                    raise
                left[type(error)] -= 1
                self.close()
                self._submission = None

    def _commit(self) -> None:
        """:raises ConnectionLost: nothing of it was kept, or what may be done twice."""
        if self._uow is None or self.verb not in WRITING:
            return
        self._uow.flush()
        witness = self._uow.witness
        try:
            self._uow.commit()
        except ConnectionLost:
            self.close()
            if witness is None or not self._took_place(witness):
                raise

    def _took_place(self, witness: Witness) -> bool:
        try:
            return self.runtime.database.ask(lambda uow: witness.testifies(uow.session))
        except DatabaseUnavailable as error:
            raise OutcomeUnknown(**error.facts) from error

    def finish(self, answer: Answer) -> Any:
        """Announce what was committed, and give the body to send.

        Tasks that were run before this returns show in it.
        """
        self.close()
        submitted = self._submission.submitted if self._submission else ()
        if not (submitted and self.runtime.dispatcher.dispatch(submitted) and answer.again):
            return answer.body
        return self._again(answer, answer.again)

    def _again(self, answer: Answer, render: Render) -> Any:
        """Everything is done by now: a database that is away changes no more than the answer."""
        try:
            body = self.runtime.database.ask(render)
            if (id := answer.kept_as) is not None:
                self.runtime.database.tell(lambda uow: uow.idempotency_keys.amend(id, body))
        except DatabaseUnavailable as error:
            LOG.warning("%s is answered as it began: %s", self.context.request_id, error)
            return answer.body
        return body

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

    def location(self, *segments: str) -> str:
        """`url`, in a form that leads the caller there also when the thing is another project's."""
        here = self.url(*segments)
        return here if self.scope == self.project_id else f"{here}?all_tenants=true"

    def base_url(self) -> str:
        return links.base_url(self.environ, self.runtime.options)

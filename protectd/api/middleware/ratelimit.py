"""Too fast is 429: buckets for each rule and address before authentication, rule and project after it.

A request takes from every rule that it matches; see `protectd.api.rates`. There is no rule by default.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from limits.errors import StorageError

from protectd.api import environ as env
from protectd.api import faults
from protectd.api import runtime as runtimes
from protectd.api.rates import Counter, Rule, Standing, parse_rules
from protectd.common.errors import ConfigurationError, TooManyRequests

LOG = logging.getLogger(__name__)

KeyOf = Callable[[env.Environ], str | None]


class OverLimit(TooManyRequests):
    """The former status of the same refusal, for clients that know no 429."""

    status = 413


REFUSALS: dict[str, type[TooManyRequests]] = {"429": TooManyRequests, "413": OverLimit}


class RateLimit:
    """:param key: whose bucket; None: this request is not counted."""

    def __init__(
        self,
        app: env.Application,
        rules: Sequence[Rule],
        counter: Counter,
        key: KeyOf,
        refusal: type[TooManyRequests] = TooManyRequests,
    ) -> None:
        self._app = app
        self._rules = rules
        self._counter = counter
        self._key = key
        self._refusal = refusal

    def __call__(self, environ: env.Environ, start_response: env.StartResponse) -> Iterable[bytes]:
        standing = self._tightest(environ)
        if standing is None:
            return self._app(environ, start_response)
        if standing.refused:
            return self._refuse(standing, environ, start_response)
        return self._app(environ, _adding(standing.headers, start_response))

    def _tightest(self, environ: env.Environ) -> Standing | None:
        """Take from every rule of this request; the one that leaves least, or None without a rule."""
        verb, path = env.verb(environ), env.path(environ)
        rules = [rule for rule in self._rules if rule.matches(verb, path)]
        key = self._key(environ) if rules else None
        if key is None:
            return None
        try:
            standings = [self._counter.take(rule, key) for rule in rules]
        except StorageError as error:
            LOG.warning("rate limits are not counted: %s", type(error.storage_error).__name__)
            return None
        return min(standings, key=lambda standing: (not standing.refused, standing.remaining))

    def _refuse(
        self, standing: Standing, environ: env.Environ, start_response: env.StartResponse
    ) -> Iterable[bytes]:
        wait_s = max(1, math.ceil(standing.reset_at - time.time()))
        error = self._refusal(limit=str(standing.rule.rate), retry_after_s=wait_s)
        response = faults.render(error, env.request_id(environ))
        response.headers.update(standing.headers)
        return env.send(response, environ, start_response)


def _adding(added: list[tuple[str, str]], start_response: env.StartResponse) -> env.StartResponse:
    """What a filter further in has said about its limit stands."""

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        said = any(name == added[0][0] for name, _ in headers)
        return start_response(status, headers if said else headers + added, *rest)

    return start


def project_of(environ: env.Environ) -> str | None:
    """The bucket behind authentication. None on paths that need no token."""
    context = env.context(environ)
    return context.project_id if context else None


def address_of(environ: env.Environ, *, trust_forwarded: bool) -> str:
    """The bucket before authentication: an address; of IPv6 the network that one customer has.

    Of X-Forwarded-For only the last entry counts: the one that the proxy before us wrote.
    """
    peer = str(environ.get("REMOTE_ADDR", ""))
    told = str(environ.get("HTTP_X_FORWARDED_FOR", "")).rpartition(",")[2].strip()
    return (_network(told) if trust_forwarded else None) or _network(peer) or peer


def _network(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def _factory(local_conf: dict[str, str], key: KeyOf) -> env.Filter:
    rules = parse_rules(local_conf.get("rules", ""))
    counter = Counter(local_conf.get("storage", "memory://"), local_conf.get("strategy", "moving-window"))
    status = local_conf.get("status", "429")
    if status not in REFUSALS:
        raise ConfigurationError(where="ratelimit", reason=f"status is 429 or 413, not {status!r}")
    return lambda app: RateLimit(app, rules, counter, key, REFUSALS[status])


def filter_factory(global_conf: dict[str, str], **local_conf: str) -> env.Filter:
    """One bucket for each (project, rule); stands behind authentication."""
    return _factory(local_conf, project_of)


def address_filter_factory(global_conf: dict[str, str], **local_conf: str) -> env.Filter:
    """One bucket for each (address, rule); stands before authentication."""
    trust = runtimes.of(global_conf).options.trust_forwarded
    return _factory(local_conf, lambda environ: address_of(environ, trust_forwarded=trust))

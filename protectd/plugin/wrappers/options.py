"""The options that every bank has, and the wrappers that they put round it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protectd.common.units import KIB
from protectd.plugin.base import BankPlugin, Schema
from protectd.plugin.wrappers.meter import Meter
from protectd.plugin.wrappers.retrying import Backoff, RetryingBank
from protectd.plugin.wrappers.throttled import ThrottledBank
from protectd.plugin.wrappers.timed import TimedBank, TimeLimit
from protectd.plugin.wrappers.traced import TracedBank, announce, note

_SECONDS = {"type": "string", "pattern": r"^[0-9]{1,5}(\.[0-9]{1,3})?$"}
_COUNT = {"type": "string", "pattern": "^[0-9]{1,9}$"}

PROPERTIES: Mapping[str, Schema] = {
    "retries": {**_COUNT, "maxLength": 2, "description": "tries after the first; 0 for none"},
    "retry_base_s": {**_SECONDS, "description": "limit of the first pause in seconds; it doubles each time"},
    "retry_cap_s": {**_SECONDS, "description": "no pause is longer, in seconds"},
    "timeout_s": {**_SECONDS, "description": "seconds for the bank to answer; 0 for ever"},
    "slowest_kib_s": {**_COUNT, "description": "KiB a second below which a transfer counts as stuck"},
    "upload_kib_s": {**_COUNT, "description": "at most so many KiB a second to the bank; 0 for no limit"},
    "download_kib_s": {**_COUNT, "description": "at most so many KiB a second from it; 0 for no limit"},
    "trace": {"type": "string", "enum": ["true", "false"], "description": "log every call"},
}


def split(options: Mapping[str, str], plugin: Schema) -> tuple[dict[str, str], dict[str, str]]:
    """Those for the bank, and those for the wrappers. One that both know is for both."""
    known: Mapping[str, Any] = plugin.get("properties", {})
    own = {name: text for name, text in options.items() if name in known or name not in PROPERTIES}
    return own, {name: text for name, text in options.items() if name in PROPERTIES}


SCHEMA: Schema = {"type": "object", "properties": dict(PROPERTIES), "additionalProperties": False}


def wrapped(bank: BankPlugin, options: Mapping[str, str]) -> BankPlugin:
    """The bank as the service uses it. From the inside out: a limit in time, a trace of each try, a limit in
    bytes, and tries. One behind a network has a limit in time and tries by default, any other has none."""
    limit_s = float(options.get("timeout_s", TimeLimit.answer_s if bank.remote else 0))
    if limit_s:
        slowest = int(options.get("slowest_kib_s") or 0) * KIB or TimeLimit.slowest_bytes_s
        bank = TimedBank(bank, TimeLimit(limit_s, slowest))
    if bank.remote or "trace" in options:
        bank = TracedBank(bank, announce if options.get("trace") == "true" else note)
    upload, download = _meter(options, "upload_kib_s"), _meter(options, "download_kib_s")
    if upload or download:
        bank = ThrottledBank(bank, upload, download)
    backoff = _backoff(options, Backoff.retries if bank.remote else 0)
    return RetryingBank(bank, backoff) if backoff.retries else bank


def _meter(options: Mapping[str, str], name: str) -> Meter | None:
    rate = int(options.get(name) or 0) * KIB
    return Meter(rate) if rate else None


def _backoff(options: Mapping[str, str], retries: int) -> Backoff:
    return Backoff(
        int(options.get("retries", retries)),
        float(options.get("retry_base_s", Backoff.base_s)),
        float(options.get("retry_cap_s", Backoff.cap_s)),
    )

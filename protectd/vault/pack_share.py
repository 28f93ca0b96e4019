"""A part of a vault's packs, chosen by their ids alone: whoever chooses the parts in turn has them all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Self

from protectd.common.errors import BadRequest

MAX_PARTS = 256
MAX_PERIOD_DAYS = 3660
_DAY_BYTES = 8


class BadShare(BadRequest):
    code = "vault.bad_share"
    message = "{share} is no share of the packs: {reason}"


@dataclass(frozen=True, slots=True)
class PackShare:
    """Packs whose first `head_bytes` bytes, as one number, leave `rest` when divided by `parts`."""

    rest: int
    parts: int
    head_bytes: int = 1

    @classmethod
    def nth(cls, number: int, parts: int) -> Self:
        """The same packs as restic's `--read-data-subset number/parts`: 1 to `parts`, at most 256."""
        if not 1 <= number <= parts <= MAX_PARTS:
            reason = f"use n/t with n from 1 to t, and t up to {MAX_PARTS}"
            raise BadShare(share=f"{number}/{parts}", reason=reason)
        return cls(number - 1, parts)

    @classmethod
    def daily(cls, period_days: int, day: date) -> Self:
        """The share of one day. Every pack is in that of one day out of any `period_days` in a row, so
        nothing has to be remembered from day to day."""
        if not 1 <= period_days <= MAX_PERIOD_DAYS:
            reason = f"use 1 to {MAX_PERIOD_DAYS} days"
            raise BadShare(share=f"a period of {period_days} days", reason=reason)
        return cls(day.toordinal() % period_days, period_days, _DAY_BYTES)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `n/t`."""
        number, _, parts = text.partition("/")
        if not all(part.isascii() and part.isdigit() and len(part) < 5 for part in (number, parts)):
            raise BadShare(share=text, reason=f"use n/t with n from 1 to t, and t up to {MAX_PARTS}")
        return cls.nth(int(number), int(parts))

    def __contains__(self, pack_id: bytes) -> bool:
        return int.from_bytes(pack_id[: self.head_bytes]) % self.parts == self.rest

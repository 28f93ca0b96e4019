"""Payloads: what travels in which form, what it becomes at rest, and in which form it is given out.

Two axes: a content type says what the data is, an encoding how it travels. The rules are those of section 2
of the key manager's contract; where that loses data without a word (broken base64, white space at the ends of
a text) it is refused here, or kept.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from protectd.common.errors import InvalidField, NotAcceptable, TooLarge, UnsupportedMediaType

TEXT = "text/plain"
BYTES = "application/octet-stream"
PKCS8 = "application/pkcs8"
BINARY = (BYTES, PKCS8)
KINDS = (TEXT, *BINARY)
ANY = "*/*"
BASE64 = "base64"

MAX_BYTES = 20_000
"""As the contract has it: of what travels, so that base64 counts as it is written."""

_UTF8 = re.compile(r"text/plain[ \t]*;[ \t]*charset=\"?utf-8\"?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Payload:
    """The bytes themselves. Their type is one of `TEXT`, `BYTES` and `PKCS8`."""

    plain: bytes
    content_type: str


def kind_of(content_type: str) -> str | None:
    """The type at rest of what is said to be of `content_type`; None: the service keeps no such thing."""
    said = content_type.strip()
    if _UTF8.fullmatch(said):
        return TEXT
    return said.lower() if said.lower() in (TEXT, *BINARY) else None


def of_body(payload: str | None, content_type: str | None, encoding: str | None) -> Payload | None:
    """What the JSON body of a new secret carries. None: nothing yet.

    :raises InvalidField: the three do not go together, or the base64 is none.
    :raises TooLarge: more than `MAX_BYTES`.
    """
    if payload is None:
        if content_type is not None:
            raise InvalidField(field="payload", reason="is missing, while payload_content_type is there")
        return None
    if not payload.strip():
        raise InvalidField(field="payload", reason="is empty")
    if content_type is None:
        raise InvalidField(field="payload_content_type", reason="is missing, while payload is there")
    _check_size(payload.encode())
    kind = kind_of(content_type)
    if kind is None:
        raise InvalidField(field="payload_content_type", reason=f"must be one of {TEXT}, {BYTES}, {PKCS8}")
    return Payload(_decoded(payload, kind, encoding), kind)


def _decoded(payload: str, kind: str, encoding: str | None) -> bytes:
    if kind == TEXT:
        if encoding is not None:
            raise InvalidField(field="payload_content_encoding", reason="does not go with a text")
        return payload.encode()
    if encoding is None:
        raise InvalidField(field="payload_content_encoding", reason="is missing; binary data needs base64")
    return _from_base64(payload.encode(), "payload")


def of_upload(body: bytes, content_type: str, encoding: str) -> Payload:
    """What the raw body of the second step carries.

    :param encoding: the header of that name, which says nothing about a text.
    :raises InvalidField: it is empty, or coded in another way than it says.
    :raises UnsupportedMediaType: of a type that cannot come so. :raises TooLarge: see there.
    """
    kind = kind_of(content_type)
    if kind not in (TEXT, BYTES):
        raise UnsupportedMediaType(expected=f"{TEXT} or {BYTES}")
    if not body:
        raise InvalidField(field="body", reason="is empty")
    _check_size(body)
    if kind == TEXT:
        _check_utf8(body)
        return Payload(body, TEXT)
    if encoding not in ("", BASE64):
        raise InvalidField(field="Content-Encoding", reason=f"must be {BASE64}, or left out")
    return Payload(_from_base64(body, "body") if encoding else body, BYTES)


def as_accepted(content_type: str, plain: bytes, accept: str) -> str:
    """The type under which a payload is given out, its bytes as they are.

    :param accept: the header, compared as one word; "" where there is none.
    :raises NotAcceptable: it cannot be given so.
    """
    said = accept.strip()
    wanted = kind_of(said) if said else BYTES
    if said == ANY:
        return content_type
    if wanted in BINARY:
        return said or BYTES
    if wanted == TEXT and (content_type == TEXT or _is_utf8(plain)):
        return said
    raise NotAcceptable(reason=f"it is {content_type}")


def _check_size(travels: bytes) -> None:
    if len(travels) > MAX_BYTES:
        raise TooLarge(limit_bytes=MAX_BYTES)


def _from_base64(text: bytes, field: str) -> bytes:
    """Line breaks may stand in it, as tools write them; nothing else that is no base64."""
    try:
        plain = base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise InvalidField(field=field, reason="is not valid base64") from None
    if not plain:
        raise InvalidField(field=field, reason="is empty")
    return plain


def _check_utf8(body: bytes) -> None:
    if not _is_utf8(body):
        raise InvalidField(field="body", reason="is not UTF-8")


def _is_utf8(plain: bytes) -> bool:
    try:
        plain.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True

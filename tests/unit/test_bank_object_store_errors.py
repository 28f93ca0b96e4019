"""Errors of the library of object stores: what comes out of them, and what must not."""

from __future__ import annotations

import pytest
from obstore.exceptions import GenericError, InvalidPathError, PermissionDeniedError, UnauthenticatedError

from protectd.plugin.banks.object_store_errors import OutOfRange, translated
from protectd.plugin.base import BankObjectNotFound, BankRefused, BankUnavailable

SIGNED = "https://tester.blob.example.org/bank/config?sv=2021&sig=s3cr3t"


def text(status: int, code: str = "") -> str:
    """As the library writes it."""
    body = f"<Error><Code>{code}</Code><Message>at {SIGNED}</Message></Error>" if code else ""
    return (
        f"Generic S3 error: Error performing GET {SIGNED} in 5ms - Server returned non-2xx status code: "
        f"{status} Whatever: {body}\n\nDebug source:\nGeneric {{ inner: Status {{ status: {status}, }} }}"
    )


def outcome(error: Exception, *, bucket_only: bool = False) -> Exception:
    with pytest.raises(Exception) as caught, translated("config", bucket_only=bucket_only):
        raise error
    assert "s3cr3t" not in f"{caught.value} {caught.value!r}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return caught.value


@pytest.mark.parametrize(
    ("error", "expected", "said"),
    [
        (GenericError(text(503, "SlowDown")), BankUnavailable, "503 SlowDown"),
        (GenericError(text(500)), BankUnavailable, "500 Internal Server Error"),
        (GenericError(text(400, "RequestTimeout")), BankUnavailable, "RequestTimeout"),
        (GenericError(text(400, "BadDigest")), BankUnavailable, "BadDigest"),
        (GenericError(text(400, "InvalidArgument")), BankRefused, "400 InvalidArgument"),
        (GenericError(text(507)), BankRefused, "507"),
        (PermissionDeniedError(text(403, "AccessDenied")), BankRefused, "403 AccessDenied"),
        (UnauthenticatedError(text(401)), BankRefused, "401"),
        (GenericError("x { kind: Timeout, }"), BankUnavailable, "no answer in time"),
        (GenericError('x { kind: Connect, message: "Connection refused" }'), BankUnavailable, "refused"),
        (GenericError(f"an answer nobody understands from {SIGNED}"), BankUnavailable, "no answer"),
        (InvalidPathError(f"bad path at {SIGNED}\nmore"), BankRefused, "bad path at ..."),
        (ValueError("no such range"), BankRefused, "no such range"),
    ],
)
def test_an_error_tells_what_to_do_and_no_url(error: Exception, expected: type[Exception], said: str) -> None:
    found = outcome(error)
    assert type(found) is expected
    assert said in str(found)


def test_what_is_not_there_is_the_object_or_its_bucket() -> None:
    assert type(outcome(FileNotFoundError(text(404, "NoSuchKey")))) is BankObjectNotFound
    assert type(outcome(FileNotFoundError(text(404)))) is BankObjectNotFound
    for error in (FileNotFoundError(text(404, "NoSuchBucket")), GenericError(text(404, "ContainerNotFound"))):
        assert "the bucket is not there" in str(outcome(error))
    assert type(outcome(FileNotFoundError(text(404)), bucket_only=True)) is BankRefused


@pytest.mark.parametrize("said", [text(416, "InvalidRange"), "Wanted range starting at 10, but object was"])
def test_a_part_behind_the_end_is_one_of_its_own(said: str) -> None:
    assert type(outcome(GenericError(said))) is OutOfRange

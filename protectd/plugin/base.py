"""Contracts for plug-in authors: bank, protectable, protection, secret store, authentication.

A plug-in is a class named by an entry point and made once a provider by `from_options`. It imports
`protectd.common`, `protectd.conf`, this module and `protectd.vault`; it never sees the database. Values
come in, values go out. Every failure leaves as one of the contract's errors; no exception of the library
in use gets out. Methods may be called from several threads at once unless they say otherwise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, ClassVar, Protocol, Self

from protectd.common.context import RequestContext
from protectd.common.errors import (
    ConfigurationError,
    Forbidden,
    InvalidField,
    NotFound,
    ProtectdError,
    Unavailable,
)
from protectd.common.progress import Progress
from protectd.common.reports import CheckReport, RestoreOptions, RestorePreview, RestoreReport, SaveReport

Schema = dict[str, Any]
Buffer = bytes | bytearray | memoryview

SECRET_FILE = "secret-file"
"""`format` of an option that is the path of a file with a credential: one that everyone may read is refused.
"""

MUST = "x-must"
"""In a schema, beside a `pattern`: what is told of a text that does not match, such as `must be a path`."""


# --- banks ---


class BankObjectNotFound(NotFound):
    code = "bank.object_not_found"
    message = "the bank has no object {key}"


class BankUnavailable(Unavailable):
    """The bank did not answer, or not in time. Tasks try again later."""

    code = "bank.unavailable"
    message = "the bank is not available: {reason}"


class BankRefused(ProtectdError):
    """The bank answered no: full, read-only, forbidden. Trying again does not help."""

    status = 503
    code = "bank.refused"
    message = "the bank refused {key}: {reason}"


@dataclass(frozen=True, slots=True)
class BankObject:
    key: str
    size: int
    """Bytes."""


class BankPlugin(ABC):
    """Stores immutable objects by key.

    A key is segments of `[A-Za-z0-9._-]+` joined by `/`, none of them `.` or `..`; callers check keys before
    they come here. A bank is safe for concurrent use from threads. When `shared` is true it is also
    picklable, and each copy, in whatever process of this host, reaches the same objects.

    Each call is one try: the service puts wrappers round a bank that try again, give up, slow down and tell.
    """

    shared: bool = True
    remote: bool = False
    """Behind a network: its calls are tried again and have an end, unless the provider's file says otherwise.
    """
    options_schema: ClassVar[Schema] = {"type": "object"}
    """JSON Schema of the options in the provider's file."""

    @classmethod
    @abstractmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        """Make the bank of a provider. Touches nothing outside; may be called often."""

    @property
    def location(self) -> str:
        """What the restic program takes as its repository when a vault lies here; "" where it cannot."""
        return ""

    def restic_environment(self) -> Mapping[str, str]:
        """Variables that the restic program needs for `location`, credentials among them. Never log it.

        :raises BankRefused: the credentials cannot be had.
        """
        return {}

    def local_paths(self) -> Sequence[str]:
        """Absolute paths on this host that hold objects of the whole bank. They are never protected nor
        restored to."""
        return ()

    @abstractmethod
    def section(self, prefix: str) -> Self:
        """The same bank, seen below `prefix`."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the place ready for writing. Safe to repeat."""

    @abstractmethod
    def put(self, key: str, data: Buffer) -> None:
        """Store an object. When this returns it is durable and visible whole to every reader; when it raises,
        or the process dies in it, the key has either nothing, the former object or the whole new one."""

    @abstractmethod
    def get(self, key: str, offset: int = 0, length: int = -1) -> bytes:
        """Bytes `offset` to `offset + length` (-1: to the end); fewer when the object ends before.

        :raises BankObjectNotFound: there is none.
        """

    @abstractmethod
    def read_into(self, key: str, buffer: memoryview, offset: int = 0, *, fresh: bool = False) -> int:
        """Fill `buffer` from `offset` on; the number of bytes read, less than asked only at the object's end.
        What an error leaves in the buffer means nothing.

        :param fresh: past any cache of this host: what is read has come from the medium.
        """

    @abstractmethod
    def size(self, key: str) -> int:
        """Length of an object in bytes.

        :raises BankObjectNotFound: there is none.
        """

    @abstractmethod
    def list(self, prefix: str) -> Iterator[BankObject]:
        """Complete objects below `prefix` (whole segments such as `index`, or "" for all), in any order.
        A prefix that has none is empty, not an error. Half-written objects never show. All or an error: a
        listing that is cut short raises, at the latest when it has been read to its end."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object. Safe to repeat: a missing one is no error."""


# --- resources ---


@dataclass(frozen=True, slots=True)
class Resource:
    """A thing that can be protected. `id` is a UUID, `extra_info` what its plug-in needs to find it."""

    id: str
    type: str
    name: str
    extra_info: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """`type#id`: how parameters and results name one resource."""
        return f"{self.type}#{self.id}"


class PathNotAllowed(Forbidden):
    """`field` is, as in `InvalidResource`, where the path stands in what the plug-in was given."""

    code = "path.not_allowed"
    message = "{path} is outside the places this project may use"


@dataclass(frozen=True, slots=True)
class Access:
    """Which places of a host a project may touch.

    :ivar roots: absolute directories; None means any (administrators).
    :ivar forbidden: absolute paths that are never a source or a target for anyone: neither they, nor
        anything below them, nor, for a target, anything above them.
    """

    roots: tuple[str, ...] | None = ()
    forbidden: tuple[str, ...] = ()


class InvalidResource(InvalidField):
    code = "resource.invalid"


class ResourceUnavailable(ProtectdError):
    """The resource cannot be protected as it is: it is not there or not readable. Not tried again."""

    status = 409
    code = "resource.unavailable"
    message = "{resource}: {reason}"


class ProtectablePlugin(ABC):
    """Knows what there is to protect: types, instances, dependencies. Reads only, so every method is safe to
    repeat."""

    @classmethod
    @abstractmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        """Called once at each start, in the API and in workers. Touches nothing outside."""

    @abstractmethod
    def resource_type(self) -> str:
        """The word that plans, parameters and results use for it: at most 64 characters, no `#`."""

    def dependent_types(self) -> Sequence[str]:
        """Types of resources that `dependents` finds below one of this type."""
        return ()

    def parent_types(self) -> Sequence[str]:
        """Types, also those of other plug-ins, below whose resources `dependents_of` finds some of this type.
        The same at every call."""
        return ()

    @abstractmethod
    def properties_schema(self) -> Schema:
        """JSON Schema (object, additionalProperties false) of the properties an instance is registered with.
        The same properties may stand in a plan resource's `extra_info`."""

    @abstractmethod
    def check_properties(self, properties: Mapping[str, Any], access: Access) -> dict[str, Any]:
        """Normalize properties that fit the schema. Runs in the API: it does not touch the resource.

        :raises InvalidResource: with `field` relative to the properties.
        :raises PathNotAllowed: outside what the project may use.
        """

    def identity(self, properties: Mapping[str, Any]) -> str | None:
        """Text that is equal for properties that mean the same thing on a host; None when they do not say.
        An instance with an identity is registered once for each project and host."""
        return None

    def list_instances(self, context: RequestContext, parameters: Mapping[str, Any]) -> Iterable[Resource]:
        """Instances that were never registered but can be discovered. Asked at every such request."""
        return ()

    def dependents(self, resource: Resource) -> Iterable[Resource]:
        """Direct children of a resource, found now. Asked once a run for each resource, on the host that has
        it, before any hook."""
        return ()

    def dependents_of(self, parent: Resource) -> Iterable[Resource]:
        """Resources of this type that are direct children of `parent`, whose type is one of `parent_types`.
        Asked when the parent's own plug-in is asked for its `dependents`; each child counts once, whoever
        names it."""
        return ()


# --- protection ---


class VaultSession(Protocol):
    """An open vault as protections see it. Paths are absolute host paths."""

    def save_tree(
        self,
        path: str,
        *,
        tags: Sequence[str],
        parent: str | None = None,
        excludes: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> SaveReport:
        """Save a directory tree as a snapshot; durable when this returns.

        :param parent: id of a snapshot of the same path; unchanged files are taken from it unread. None: the
            newest snapshot of that path is looked up.
        :param excludes: absolute paths left out, with all below them.
        :raises ResourceUnavailable: the path is not a readable directory.
        """

    def save_stream(
        self,
        source: BinaryIO,
        name: str,
        *,
        tags: Sequence[str],
        progress: Progress | None = None,
        confirm: Callable[[], None] | None = None,
    ) -> SaveReport:
        """Save what can be read from `source`, up to its end, as the one file `name` of a snapshot.

        Takes the same memory however long the stream is.

        :param source: nothing of it was read before. A pipe at best (a program's output): its bytes then do
            not pass through this process.
        :param name: a file name, without `/`.
        :param confirm: called at the end of the stream, before there is a snapshot. A program that failed may
            have ended in the middle: what it raises ends the backup, and there will be none.
        :raises ResourceUnavailable: the stream could not be read to its end.
        """

    def restore_stream(
        self,
        snapshot_id: str,
        tree_id: str,
        name: str,
        write: Callable[[bytes], object],
        progress: Progress | None = None,
    ) -> int:
        """Give what `save_stream` saved to `write`, piece by piece; how many bytes. Each piece is proven
        before it is given, so what was given before an error is good.

        :raises vault.errors.VaultError: the snapshot holds another tree or no such file, or a piece is bad.
        """

    def restore_tree(
        self,
        snapshot_id: str,
        tree_id: str,
        source: str,
        target: str,
        options: RestoreOptions,
        progress: Progress | None = None,
        begin: Callable[[], None] | None = None,
    ) -> RestoreReport:
        """Write what was saved from `source` to `target`; the snapshot must hold root tree `tree_id`.

        :param begin: called once, when the target was found fit and before anything is written into it;
            what it raises ends the restore.
        :raises vault.errors.VaultError: damaged or foreign data, or an unusable target; nothing outside
            the target was written.
        """

    def preview_tree(
        self,
        snapshot_id: str,
        tree_id: str,
        source: str,
        target: str,
        options: RestoreOptions,
        progress: Progress | None = None,
    ) -> RestorePreview:
        """What `restore_tree` would do with the same arguments. Writes nothing.

        :raises vault.errors.VaultError: damaged or foreign data.
        """

    def check(
        self, snapshot_ids: Sequence[str] | None, *, read_data: bool, progress: Progress | None = None
    ) -> CheckReport:
        """Check structure, and with `read_data` every byte (fresh from the bank) that the named snapshots
        (None: all) need."""


class Marks:
    """Short texts by which a repeated operation knows what an earlier attempt of it has begun.

    These last as long as the object; those that the service hands out outlive its process.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = set(known)

    def __contains__(self, mark: str) -> bool:
        return mark in self._known

    def add(self, mark: str) -> None:
        """Safe to repeat. What is marked may be done once this has returned, no earlier."""
        self._known.add(mark)


@dataclass
class HookContext:
    """What every hook of one resource may use. One object for each (operation, resource).

    `parameters` is the type-level object overlaid by the `type#id` one, already checked against the
    plug-in's schema.
    """

    request: RequestContext
    resource: Resource
    parameters: Mapping[str, Any]
    access: Access
    progress: Progress
    vault: VaultSession
    checkpoint_id: str


@dataclass
class ProtectContext(HookContext):
    attempt: str = ""
    """Names this run among those for one checkpoint: a tag of what it saves, so that it can be found."""

    previous_snapshot_id: str | None = None
    """Snapshot of the same resource in the newest earlier checkpoint of the plan."""

    report: SaveReport | None = None
    """Set by the plug-in: what was saved. Without it the resource ends in error."""

    saved_info: dict[str, Any] = field(default_factory=dict)
    """Small JSON the plug-in needs at restore; fits `saved_info_schema`."""


@dataclass
class RestoreContext(HookContext):
    snapshot_id: str = ""
    tree_id: str = ""
    saved_info: Mapping[str, Any] = field(default_factory=dict)
    target_name: str | None = None
    """When several resources go under one type-level path: the name of the directory for this one."""

    paths: Sequence[str] = ()
    """Only these entries of the resource are wanted; none given: all. Absolute as where the resource is known
    to be, or relative to it. See `ProtectionPlugin.restores_paths`."""

    run_id: str = ""
    """Names this restore; the same in each attempt at it."""

    marks: Marks = field(default_factory=Marks)
    report: RestoreReport | None = None
    preview: RestorePreview | None = None
    """Set by the operation of `ProtectionPlugin.preview`: what would be done."""


@dataclass
class VerifyContext(HookContext):
    snapshot_id: str = ""
    tree_id: str = ""
    read_data: bool = False
    report: CheckReport | None = None


@dataclass(frozen=True, slots=True)
class Assertion:
    """Something that a plug-in has tried on restored data. `detail` is shown to people."""

    name: str
    ok: bool
    detail: str = ""


class Operation:
    """One operation on one resource: up to four hooks, each called at most once a run, in this order.

    On the graph of resources: parent's prepare_begin before its children's; children's prepare_finish before
    the parent's; then main (mains of different resources may run side by side); children's complete before
    the parent's. Meant use: quiesce in prepare_begin, snapshot or open in prepare_finish, move data in main,
    close in complete. A hook that raises ends the run, except that other resources' mains still run to their
    end: their results count. `undo` is then called for each resource whose prepare_begin was called, last
    first. A whole run may be repeated from the start.
    """

    def prepare_begin(self) -> None: ...

    def prepare_finish(self) -> None: ...

    def main(self) -> None: ...

    def complete(self) -> None: ...

    def undo(self) -> None:
        """Release what the hooks took. Must not raise."""


class PreviewUnknown(ProtectdError):
    code = "restore.no_preview"
    message = "what a restore of {resource} would do cannot be told beforehand"


class ProtectionPlugin(ABC):
    """Moves data of some types between its home and the vault. Keeps nothing between runs: what a run needs
    lives in its `Operation`.

    :cvar restores_paths: it can restore single entries of a resource (`RestoreContext.paths`).
    """

    restores_paths: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        """Called once at each start for each provider that names it. Touches nothing outside."""

    @abstractmethod
    def supported_types(self) -> Sequence[str]:
        """Types of resources it protects; the same at every call. No other plug-in of the provider may."""

    @abstractmethod
    def options_schema(self, resource_type: str) -> Schema:
        """Parameters of a plan for this type: JSON Schema, object, additionalProperties false."""

    @abstractmethod
    def restore_schema(self, resource_type: str) -> Schema:
        """Parameters of a restore."""

    @abstractmethod
    def saved_info_schema(self, resource_type: str) -> Schema:
        """What `ProtectContext.saved_info` holds after a run."""

    @abstractmethod
    def verify_schema(self, resource_type: str) -> Schema:
        """Parameters of a verification."""

    @abstractmethod
    def check_restore_parameters(self, parameters: Mapping[str, Any], access: Access) -> None:
        """Refuse, in the request already, a target that can never be used.

        :raises InvalidResource: with `field` relative to the parameters.
        :raises PathNotAllowed: outside what the project may use.
        """

    @abstractmethod
    def protect(self, context: ProtectContext) -> Operation:
        """Called once a run for each resource, before any hook. Only makes the operation: what it takes, it
        takes in hooks, which `undo` answers."""

    @abstractmethod
    def restore(self, context: RestoreContext) -> Operation:
        """As `protect`. May be called again for the same restore: what a broken run wrote may be there."""

    def preview(self, context: RestoreContext) -> Operation:
        """As `restore`, but changes nothing: it tells in `context.preview` what `restore` would do.

        :raises PreviewUnknown: it cannot tell.
        """
        raise PreviewUnknown(resource=context.resource.key)

    @abstractmethod
    def verify(self, context: VerifyContext) -> Operation:
        """As `protect`. Changes nothing."""

    def assertions(self, context: VerifyContext, path: str) -> Iterable[Assertion]:
        """What else can be tried in a restore drill, such as to start a database on its restored files.

        Called when all that was saved of the resource lies in the directory `path` and was compared with what
        was recorded, whatever came of that. It may write there, and leave nothing anywhere else.
        """
        return ()


# --- secret stores ---


class SecretDamaged(ProtectdError):
    """A sealed secret does not open: another key, another row, or a changed byte."""

    code = "secret.damaged"
    message = "secret {secret_id} does not open with key {key_id}"


class MasterKeyMissing(SecretDamaged):
    """Nothing is wrong with what was sealed; the key for it is not there, or not any more. Whoever puts it
    back has everything back."""

    status = 503
    code = "secret.master_key_missing"
    message = "{secret_id} needs master key {key_id}, which the secret store does not have"


class NoMasterKey(MasterKeyMissing):
    """Nothing can be sealed. `key rotate` makes the first one; or the store is not where its keys are."""

    code = "secret.no_master_key"
    message = "{secret_id} cannot be sealed: the secret store has no master key"


class MasterKeysFixed(ConfigurationError):
    """This store's master keys are made and dropped elsewhere."""

    code = "secret.master_keys_fixed"
    message = "{where}: {reason}"


class ProjectKeysStay(ConfigurationError):
    """Nothing can be moved to this store, or from it."""

    code = "secret.project_keys_stay"
    message = "{where}: {reason}"


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A project's key, sealed with a master key, to be kept in a row.

    :ivar master_key_id: which one: a name, not a secret.
    :ivar wrapped: empty for the master key itself, with which secrets were sealed at first.
    """

    master_key_id: str
    wrapped: bytes


class ProjectKey(Protocol):
    """The open key of one project. Kept in memory for a short while, never written."""

    def seal(self, plain: bytes, secret_id: str) -> bytes:
        """Safe to repeat: each call gives another text, and all of them open, in the row `secret_id` of the
        project and nowhere else."""

    def open(self, sealed: bytes, secret_id: str) -> bytes:
        """:raises SecretDamaged: it is not what `seal` gave for this row."""


class SecretStorePlugin(ABC):
    """Makes and opens the keys of projects. It has master keys, of which the newest one seals; what it gives
    is kept elsewhere, bound to the row that keeps it. Safe from many threads."""

    @classmethod
    @abstractmethod
    def from_options(cls, options: Mapping[str, str]) -> Self:
        """May read the master keys.

        :raises ConfigurationError: they are missing, short or readable for others.
        """

    @abstractmethod
    def master_key_ids(self) -> Sequence[str]:
        """The master keys there are now, the newest first."""

    @abstractmethod
    def new_key(self, *, key_id: str, project_id: str) -> WrappedKey:
        """A new random key of a project, for the row `key_id`. Raises as `take_in`."""

    @abstractmethod
    def unwrap(self, key: WrappedKey, *, key_id: str, project_id: str) -> ProjectKey:
        """:raises SecretDamaged: it is not what `new_key` or `rewrap` gave for this row.
        :raises MasterKeyMissing: its master key is not there."""

    @abstractmethod
    def rewrap(self, key: WrappedKey, *, key_id: str, project_id: str) -> WrappedKey:
        """The same key, sealed with the newest master key. Raises as `unwrap`."""

    def take_out(self, key: WrappedKey, *, key_id: str, project_id: str) -> bytes:
        """The bare key, for another store to seal at once; it is kept nowhere. Raises as `unwrap`."""
        raise ProjectKeysStay(where=type(self).__name__, reason="no key of a project leaves it")

    def take_in(self, raw: bytes, *, key_id: str, project_id: str) -> WrappedKey:
        """A bare key that another store had, sealed with the newest master key.

        :raises NoMasterKey: there is none."""
        raise ProjectKeysStay(where=type(self).__name__, reason="no key of another store comes in")

    def add_master_key(self) -> str:
        """Make a master key that seals from now on; its id. Processes that run take it up by themselves."""
        raise MasterKeysFixed(where=type(self).__name__, reason="a master key cannot be added from here")

    def drop_master_key(self, master_key_id: str) -> None:
        """Forget a master key for good. The newest one stays."""
        raise MasterKeysFixed(where=type(self).__name__, reason="a master key cannot be dropped from here")


# --- authentication ---


@dataclass(frozen=True, slots=True)
class Identity:
    """:ivar expires_at: from when on the credential is worth nothing; None: it is not known, or never."""

    user_id: str
    project_id: str
    roles: tuple[str, ...]
    expires_at: datetime | None = None


class IdentityLookup(Protocol):
    """What the service offers an authentication plug-in."""

    def by_digest(self, digest: str) -> Identity | None:
        """Identity of the live token (neither expired nor revoked) with this digest."""

    def standing(self, identity: Identity) -> Identity | None:
        """The same user in the same project with those of the roles that their live tokens have; None: they
        have none."""


class AuthPlugin(ABC):
    """Turns the headers of a request into an identity. Called once a request."""

    loopback_only: ClassVar[bool] = False
    """True where anyone who reaches the port is believed."""

    challenge: str = "Bearer"
    """What a 401 says in WWW-Authenticate: where and how to get a credential."""

    remote: ClassVar[bool] = False
    """True where another server is asked who still stands, which no unit of work may wait for."""

    @classmethod
    @abstractmethod
    def from_options(cls, options: Mapping[str, str], lookup: IdentityLookup) -> Self: ...

    @classmethod
    def from_config(cls, conf: Any, lookup: IdentityLookup) -> Self:
        """:param conf: everything that is configured, an `oslo_config.cfg.ConfigOpts`, for a plug-in that has
        a group of options of its own there.
        """
        return cls.from_options({}, lookup)

    @abstractmethod
    def authenticate(self, headers: Mapping[str, str]) -> Identity:
        """:param headers: by lower-case name.
        :raises Unauthorized: no, unknown, expired or revoked credentials, indistinguishably.
        """

    def admit(
        self, environ: MutableMapping[str, Any], headers: Mapping[str, str], service_type: str
    ) -> Identity:
        """As `authenticate`, for a plug-in to which verb and path matter, too.

        :param environ: the request as WSGI has it; may be added to, for filters that stand further in.
        :param service_type: which of the published services is asked, by its name in a catalog.
        """
        return self.authenticate(headers)

    def look_ahead(self, identity: Identity) -> None:  # noqa: B027 - most have nothing to ask ahead
        """`standing` will be asked within the minute, by a unit of work; only where the plug-in is `remote`.

        :raises Unavailable: the other server does not answer.
        """

    def standing(self, identity: Identity) -> Identity | None:
        """Whoever was let in before, as they may act now in what was scheduled then; None: not any more.
        Where nothing more is known than what was said at the door, that stays."""
        return identity


class HandlerPlugin(ABC):
    """Does the operations of a worker. Made without arguments.

    :cvar is_brief: none of them takes longer than its rows, so that one thread does several at a time.
    """

    is_brief: ClassVar[bool] = False

    @abstractmethod
    def operations(self, env: Any) -> Mapping[str, Callable[[], Any]]:
        """:param env: what tasks are given, a `protectd.tasks.env.TaskEnv`.
        :returns: for each operation (`protectd.queue.contract.METHODS`) what makes an object that does it
            once, a `protectd.tasks.base.BaseTask`.
        """

"""What every protection promises, and what directories add to it, on a real vault in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from protectd.common.clock import SystemClock
from protectd.common.context import RequestContext
from protectd.common.errors import ProtectdError
from protectd.common.progress import Progress
from protectd.common.reports import SaveReport
from protectd.plugin.banks.memory import MemoryBank
from protectd.plugin.base import (
    Access,
    HookContext,
    InvalidResource,
    PathNotAllowed,
    ProtectContext,
    ProtectionPlugin,
    Resource,
    ResourceUnavailable,
    RestoreContext,
    VerifyContext,
)
from protectd.plugin.graph import Graph
from protectd.plugin.protections.directory import DirectoryProtection
from protectd.plugin.runner import Job, Outcome, run
from protectd.vault.engine import VaultEngine, VaultSession
from protectd.vault.options import EngineOptions
from protectd.vault.repository import Repository

MEMBER = RequestContext("req-1", "p1", "ada", ("member",))
ADMIN = RequestContext("req-1", "p1", "root", ("admin",))
PLUGIN = DirectoryProtection.from_options({})


@pytest.mark.parametrize("plugin", [PLUGIN])
def test_its_schemas_are_objects_that_refuse_what_is_unknown(plugin: ProtectionPlugin) -> None:
    for type_ in plugin.supported_types():
        for ask in (
            plugin.options_schema,
            plugin.restore_schema,
            plugin.saved_info_schema,
            plugin.verify_schema,
        ):
            Draft202012Validator.check_schema(ask(type_))
            assert ask(type_)["type"] == "object"
            assert ask(type_)["additionalProperties"] is False


# --- directories ---


class World:
    """A host with a directory to protect, and a vault."""

    def __init__(self, root: Path, vault: VaultSession) -> None:
        self.root = root
        self.vault = vault
        self.source = root / "srv/data"
        self.state = root / "state"
        self.access = Access(roots=(str(root / "srv"),), forbidden=(str(self.state),))
        self.source.mkdir(parents=True)
        self.state.mkdir()
        for name in ("keep", "cache/x", "deep/cache/y"):
            self.write(self.source / name)

    @staticmethod
    def write(path: Path, text: str = "content") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def resource(self, path: Path | str | None = None) -> Resource:
        return Resource("r1", "directory", "data", {"path": str(path or self.source)})

    def protect(self, resource: Resource | None = None, **given: Any) -> Outcome:
        return self._run(ProtectContext, PLUGIN.protect, resource, given)

    def restore(self, saved: Outcome, resource: Resource | None = None, **given: Any) -> Outcome:
        assert isinstance(saved.context, ProtectContext)
        given = ids(saved) | {"saved_info": saved.context.saved_info} | given
        return self._run(RestoreContext, PLUGIN.restore, resource, given)

    def verify(self, saved: Outcome) -> Outcome:
        return self._run(VerifyContext, PLUGIN.verify, None, ids(saved) | {"read_data": True})

    def _run(
        self,
        kind: Callable[..., HookContext],
        make: Callable[[Any], Any],
        resource: Resource | None,
        given: dict[str, Any],
    ) -> Outcome:
        def start(resource: Resource, progress: Progress) -> Job:
            common = {"request": MEMBER, "parameters": {}, "access": self.access, "vault": self.vault}
            context = kind(
                **(common | {"resource": resource, "progress": progress, "checkpoint_id": "c1"} | given)
            )
            return Job(make(context), context)

        (outcome,) = run(Graph.build([resource or self.resource()], lambda _: ()), start, Progress())
        return outcome


def ids(saved: Outcome) -> dict[str, str]:
    assert isinstance(saved.report, SaveReport), saved.reason
    return {"snapshot_id": saved.report.snapshot_id, "tree_id": saved.report.tree_id}


def files(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def refused_with(outcome: Outcome, error: type[ProtectdError]) -> bool:
    return isinstance(outcome.error, error)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    options = EngineOptions(workers=1, in_process=True)
    bank = MemoryBank.from_options({})
    key = Repository.create(bank, "password", identity=options.identity(), clock=SystemClock()).key
    engine = VaultEngine(options)
    with engine.session(bank, key) as vault:
        yield World(tmp_path, vault)
    engine.close()


def test_a_directory_is_saved_and_written_elsewhere(world: World) -> None:
    saved = world.protect()
    target = world.root / "srv/back"
    assert world.restore(saved, parameters={"path": str(target)}).reason == ""
    assert files(target) == files(world.source) == ["cache/x", "deep/cache/y", "keep"]
    assert world.verify(saved).ok


def test_a_snapshot_has_the_tags_by_which_a_repeated_run_finds_it(world: World) -> None:
    world.protect()
    (snapshot,) = world.vault.snapshots()
    assert set(snapshot.tags) == {"protectd:checkpoint=c1", "protectd:resource=r1"}


def test_without_a_path_it_goes_back_to_where_it_was(world: World) -> None:
    saved = world.protect()
    world.write(world.source / "keep", "changed")
    assert not world.restore(saved).ok
    assert (world.source / "keep").read_text() == "changed"
    assert world.restore(saved, parameters={"overwrite": True}).reason == ""
    assert (world.source / "keep").read_text() == "content"


@pytest.mark.parametrize("word", ["true", "True", True])
def test_a_client_that_sends_text_only_can_overwrite_too(world: World, word: object) -> None:
    assert world.restore(world.protect(), parameters={"overwrite": word}).ok


@pytest.mark.parametrize("word", ["false", "False", False])
def test_the_word_false_is_not_true(world: World, word: object) -> None:
    assert not world.restore(world.protect(), parameters={"overwrite": word}).ok


@pytest.mark.parametrize(
    ("name", "expected"), [("data", "data"), ("a/b", "r1"), ("..", "r1"), ("", "r1"), ("n" * 300, "r1")]
)
def test_several_resources_under_one_path_get_a_directory_each(
    world: World, name: str, expected: str
) -> None:
    target = world.root / "srv/back"
    assert world.restore(world.protect(), parameters={"path": str(target)}, target_name=name).ok
    assert files(target / expected) == files(world.source)


@pytest.mark.parametrize(
    ("excludes", "expected"),
    [
        (["cache"], ["deep/cache/y", "keep"]),
        (["deep/cache", "keep"], ["cache/x"]),
        ("cache:deep", ["keep"]),
        ("cache:", ["deep/cache/y", "keep"]),
        (["{source}/cache"], ["deep/cache/y", "keep"]),
        (["/elsewhere", "."], ["cache/x", "deep/cache/y", "keep"]),
    ],
)
def test_what_the_plan_excludes_is_left_out(
    world: World, excludes: list[str] | str, expected: list[str]
) -> None:
    if isinstance(excludes, list):
        excludes = [text.format(source=world.source) for text in excludes]
    target = world.root / "srv/back"
    saved = world.protect(parameters={"excludes": excludes})
    assert world.restore(saved, parameters={"path": str(target)}).ok
    assert files(target) == expected


def test_an_excluded_path_is_understood_through_a_link_too(world: World) -> None:
    link = world.root / "srv/link"
    link.symlink_to(world.source)
    resource = world.resource(link)
    saved = world.protect(resource, parameters={"excludes": [f"{link}/cache"]})
    assert world.restore(saved, resource, parameters={"path": str(world.root / "srv/back")}).ok
    assert files(world.root / "srv/back") == ["deep/cache/y", "keep"]


def test_the_services_own_files_are_never_saved(world: World) -> None:
    world.write(world.state / "master.key")
    world.access = Access(roots=None, forbidden=world.access.forbidden)
    saved = world.protect(world.resource(world.root))
    assert world.restore(saved, parameters={"path": str(world.root / "back")}).ok
    assert (world.root / "back/srv/data/keep").exists()
    assert not (world.root / "back/state").exists()


@pytest.mark.parametrize("place", ["state", "srv/../state", "srv/link", "elsewhere", "srv2"])
def test_a_source_that_is_not_allowed_is_not_read(world: World, place: str) -> None:
    (world.root / "srv/link").symlink_to(world.state)
    world.write(world.root / "srv2/x")
    outcome = world.protect(world.resource(f"{world.root}/{place}"))
    assert refused_with(outcome, PathNotAllowed) or refused_with(outcome, InvalidResource)
    assert world.vault.snapshots() == []


@pytest.mark.parametrize("place", ["state/x", "srv/link/x", "elsewhere", "."])
def test_a_target_that_is_not_allowed_is_not_written(world: World, place: str) -> None:
    saved = world.protect()
    (world.root / "srv/link").symlink_to(world.state)
    before = files(world.root)
    outcome = world.restore(saved, parameters={"path": f"{world.root}/{place}", "overwrite": True})
    assert refused_with(outcome, PathNotAllowed)
    assert files(world.root) == before


def test_an_administrator_may_not_write_over_the_services_own_files(world: World) -> None:
    saved = world.protect()
    world.access = Access(roots=None, forbidden=world.access.forbidden)
    for place in (world.root, world.state, world.state / "x"):
        parameters = {"path": str(place), "overwrite": True}
        assert refused_with(world.restore(saved, parameters=parameters, request=ADMIN), PathNotAllowed)


def test_a_directory_that_is_not_there_is_an_error_with_its_reason(world: World) -> None:
    outcome = world.protect(world.resource(world.root / "srv/gone"))
    assert refused_with(outcome, ResourceUnavailable)
    assert "gone" in outcome.reason


def test_a_file_is_no_directory(world: World) -> None:
    assert refused_with(world.protect(world.resource(world.source / "keep")), ResourceUnavailable)


def test_a_resource_without_a_path_is_refused(world: World) -> None:
    outcome = world.protect(Resource("r1", "directory", "data", None))
    assert refused_with(outcome, InvalidResource)


def test_set_id_bits_come_back_for_an_administrator_only(world: World) -> None:
    (world.source / "keep").chmod(0o4755)
    saved = world.protect()
    world.access = Access(roots=None)
    for request, mode in ((MEMBER, 0o755), (ADMIN, 0o4755)):
        target = world.root / "srv" / request.user_id
        assert world.restore(saved, parameters={"path": str(target)}, request=request).ok
        assert (target / "keep").stat().st_mode & 0o7777 == mode

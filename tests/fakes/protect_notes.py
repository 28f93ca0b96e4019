"""Protects, verifies and restores with the toy plug-in, from loading it on. Run in a process of its own.

`python -m tests.fakes.protect_notes DIRECTORY`: it has `providers.d` and files `one` and `two`; the notes
are restored as `one.back` and `two.back`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from protectd.common.clock import SystemClock
from protectd.common.context import RequestContext
from protectd.common.progress import Progress
from protectd.common.reports import SaveReport
from protectd.domain.providers import Provider, load_protectables, load_providers
from protectd.plugin import runner
from protectd.plugin.base import HookContext, ProtectContext, Resource, RestoreContext, VerifyContext
from protectd.plugin.loader import BANKS, PROTECTABLES, PROTECTIONS, Loader
from protectd.plugin.runner import Job, Outcome
from protectd.vault.engine import VaultEngine, VaultSession
from protectd.vault.options import EngineOptions
from protectd.vault.repository import Repository

REQUEST = RequestContext("req-1", "project", "ada", ("member",))
LOADER = Loader({BANKS: ["filesystem"], PROTECTABLES: ["note"], PROTECTIONS: ["note"]})


def main(directory: Path) -> None:
    (provider,) = load_providers(directory / "providers.d", {"state_dir": str(directory / "state")}, LOADER)
    protectables = load_protectables(["note"], LOADER)
    notes = [Resource(name, "note", name, {"path": str(directory / name)}) for name in ("one", "two")]
    graph = protectables.graph(notes)
    engine = VaultEngine(EngineOptions(workers=1))
    with engine.session(*vault_of(provider)) as vault:
        saved = runner.run(graph, lambda *given: protect(provider, vault, *given), Progress())
        stored = {each.resource.key: each for each in saved}
        checked = runner.run(graph, lambda *given: verify(provider, vault, stored, *given), Progress())
        tags = sorted(each.tags for each in vault.snapshots())
        back = runner.run(graph, lambda *given: restore(provider, vault, stored, *given), Progress())
    engine.close()
    print(json.dumps({"saved": told(saved), "checked": told(checked), "restored": told(back), "tags": tags}))


def vault_of(provider: Provider) -> tuple[Any, Any]:
    bank = provider.vault_bank(REQUEST.project_id)
    identity = EngineOptions().identity()
    return bank, Repository.create(bank, "password", identity=identity, clock=SystemClock()).key


def protect(provider: Provider, vault: VaultSession, resource: Resource, progress: Progress) -> Job:
    context = ProtectContext(**common(provider, vault, resource, progress), attempt="run")
    return Job(provider.protections[resource.type].protect(context), context)


def verify(
    provider: Provider, vault: VaultSession, saved: dict[str, Outcome], resource: Resource, progress: Progress
) -> Job:
    context = VerifyContext(
        **common(provider, vault, resource, progress), **ids(saved[resource.key]), read_data=True
    )
    return Job(provider.protections[resource.type].verify(context), context)


def restore(
    provider: Provider, vault: VaultSession, saved: dict[str, Outcome], resource: Resource, progress: Progress
) -> Job:
    outcome = saved[resource.key]
    given = common(provider, vault, resource, progress)
    given["parameters"] = {"path": f"{(resource.extra_info or {})['path']}.back"}
    assert isinstance(outcome.context, ProtectContext)
    context = RestoreContext(**given, **ids(outcome), saved_info=outcome.context.saved_info)
    return Job(provider.protections[resource.type].restore(context), context)


def common(provider: Provider, vault: VaultSession, resource: Resource, progress: Progress) -> dict[str, Any]:
    return {
        "request": REQUEST,
        "resource": resource,
        "parameters": {},
        "access": provider.access(REQUEST.project_id, REQUEST.is_admin),
        "progress": progress,
        "vault": vault,
        "checkpoint_id": "checkpoint",
    }


def ids(saved: Outcome) -> dict[str, str]:
    assert isinstance(saved.report, SaveReport), saved.reason
    return {"snapshot_id": saved.report.snapshot_id, "tree_id": saved.report.tree_id}


def told(outcomes: Iterable[Outcome]) -> dict[str, str]:
    assert all(isinstance(each.context, HookContext) for each in outcomes)
    return {outcome.resource.name: outcome.reason or "ok" for outcome in outcomes}


if __name__ == "__main__":
    main(Path(sys.argv[1]))

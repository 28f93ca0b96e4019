"""The planner of a restore: makes the directories, has workers write the files pack by pack, finishes all."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace

from protectd.common.progress import Counts
from protectd.common.reports import RestoreReport
from protectd.vault.attributes import Policy, apply, drop_other_attributes
from protectd.vault.crew import Crew, Plain
from protectd.vault.errors import TargetUnusable
from protectd.vault.issues import Issues
from protectd.vault.opening import READ_DIRECTORY, Identity
from protectd.vault.pool import Pool
from protectd.vault.restore_plan import FileTarget, Plan, PlannedBlob, Portion, job_blob
from protectd.vault.restore_walk import Done, MadeFolder, TreeWriter
from protectd.vault.restore_worker import (
    NEW_FILE,
    FileLocks,
    RestoreJob,
    RestoreReply,
    RestoreWorker,
)
from protectd.vault.shared import CancelFlag
from protectd.vault.staging import OtherFileSystem, Stage, has_mounts_below
from protectd.vault.target import Target, move_into_place, open_made, remove_made, temporary_name
from protectd.vault.tree_role import SavedTree, TreeRole

_KEPT = "what was there stays as it was, for not all that was to replace it could be brought back"
_FEED_EVERY = 64
"""Entries of the walk between two looks at the workers."""


class RestoreTree(TreeRole[RestoreReport]):
    def bring(self, saved: SavedTree) -> RestoreReport:
        with closing(Target.prepare(self.target, overwrite=self.options.overwrite)) as target:
            saved.reporter.wait_for_go()
            return self._restore(saved, target)

    def _restore(self, saved: SavedTree, target: Target) -> RestoreReport:
        """Beside what is there, if that is wished for and can be, else right in its place."""
        if self.options.staged and not target.is_empty() and not has_mounts_below(target.path):
            with suppress(OtherFileSystem), ExitStack() as stack:
                stage = stack.enter_context(closing(_stage_in(target)))
                written = replace(self, options=replace(self.options, overwrite=False))
                return _Restore(written, saved, stage.target, stack, target, stage).run()
        target.drop_lists()
        with ExitStack() as stack:
            return _Restore(self, saved, target, stack, target).run()


def _stage_in(target: Target) -> Stage:
    try:
        return Stage(target)
    except OSError as error:
        raise TargetUnusable(path=os.fsdecode(target.path), reason=error.strerror) from error


class _Restore:
    def __init__(
        self,
        role: RestoreTree,
        saved: SavedTree,
        target: Target,
        stack: ExitStack,
        home: Target,
        stage: Stage | None = None,
    ) -> None:
        """:param target: where it is written. :param home: where it ends up: the same without a stage."""
        self._role = role
        self._saved = saved
        self._reporter = saved.reporter
        self._target = target
        self._home = home
        self._stage = stage
        self._issues = Issues()
        self._plan = Plan(saved.reader.index)
        self._again: deque[Portion] = deque()
        self._entries = 0
        self._walked = False
        self._crew = self._hire(saved.pool, stack)
        policy = Policy(role.options.trusted, *target.owner, role.options.owners)
        self._writer = TreeWriter(
            saved.reader,
            target,
            policy,
            self._plan,
            self._issues,
            overwrite=role.options.overwrite,
            pause=self._between_entries,
            chosen=saved.chosen,
            home=home,
        )
        self._done = self._writer.done

    def _hire(self, pool: Pool, stack: ExitStack) -> Crew:
        cancel = stack.enter_context(closing(CancelFlag.create()))
        locks = stack.enter_context(closing(FileLocks.create()))
        worker = RestoreWorker(
            bank=self._role.bank,
            key=self._role.key,
            target=self._target.path,
            identity=self._target.identity,
            overwrite=self._role.options.overwrite,
            verify=self._role.options.verify,
            locks=locks.path,
            cancel=cancel.path,
        )
        return stack.enter_context(Crew(pool, [worker] * self._role.engine.worker_count, cancel))

    def run(self) -> RestoreReport:
        try:
            self._writer.write(self._saved.tree_id, self._saved.node)
            self._fill()
        except BaseException:
            self._remove_unfinished()
            if self._stage is None:
                self._finish_folders(self._writer.found)
            raise
        self._link()
        if self._stage is None or self._put_in_place(self._stage):
            self._finish_folders([*self._writer.found, *self._writer.folders])
        self._saved.blame(self._issues)
        return RestoreReport(
            files=self._done.files,
            directories=self._done.directories,
            others=self._done.others,
            written_bytes=self._done.written_bytes,
            issues=tuple(self._issues.kept),
            issue_count=self._issues.count,
            missing_count=self._issues.missing,
        )

    def _put_in_place(self, stage: Stage) -> bool:
        """Whether it was: what is not whole replaces nothing."""
        if not self._issues.missing:
            stage.look(self._issues)
        if self._issues.missing:
            self._issues.add(self._home.path, "kept", _KEPT)
            self._done = Done()
            return False
        self._reporter.check()
        merged = stage.put_in_place(self._issues, everything=self._saved.chosen.all)
        for made in self._writer.folders:
            made.new = made.relative not in merged
        return True

    # --- filling files ---

    def _between_entries(self) -> None:
        """Keep the workers busy with what is ready while the trees are still being walked."""
        self._entries += 1
        if self._entries % _FEED_EVERY == 0:
            self._feed()
            if self._crew.busy:
                self._collect(0)
        self._reporter.check_sometimes()

    def _fill(self) -> None:
        self._walked = True
        while self._feed() or self._crew.busy:
            self._collect(0.25)
        for _ in self._crew.finish():
            pass

    def _feed(self) -> bool:
        """Give out portions while there is room; whether one was given."""
        given = False
        while self._crew.has_room and (portion := self._next()) is not None:
            self._crew.give(self._job(portion), portion)
            given = True
        return given

    def _next(self) -> Portion | None:
        """A portion to read, also one that failed elsewhere."""
        if self._again:
            return self._again.popleft()
        return self._plan.rest() if self._walked else self._plan.ready()

    def _job(self, portion: Portion) -> RestoreJob:
        pack_id, blobs = portion
        numbers = {number for blob in blobs for number, _ in blob.places}
        files = {number: self._file(self._plan.files[number]) for number in numbers}
        return RestoreJob(pack_id, [job_blob(blob) for blob in blobs], files)

    def _file(self, file: FileTarget) -> Plain:
        """What a worker takes for a WholeFile or a PartFile."""
        if file.whole:
            return file.folder, file.name, tuple(file.wanted)
        if not file.written_as and not file.lost:
            try:
                self._begin(file)
            except OSError as error:
                self._lose(file, "refused", error.strerror or str(error))
        return file.folder, file.written_as, file.sparse, *file.identity

    def _begin(self, file: FileTarget) -> None:
        """Make a file of several blobs at its full length: under its name when that is free."""
        folder = self._target.folder(file.folder)
        try:
            file.written_as = file.name
            descriptor = os.open(file.name, NEW_FILE, 0o600, dir_fd=folder)
        except FileExistsError:
            file.written_as = b""
            if not self._role.options.overwrite:
                raise
            file.written_as = temporary_name()
            descriptor = os.open(file.written_as, NEW_FILE, 0o600, dir_fd=folder)
        except OSError:
            file.written_as = b""
            raise
        try:
            file.identity = Identity.of(os.fstat(descriptor))
            _give_length(descriptor, file)
        finally:
            os.close(descriptor)

    def _collect(self, timeout_s: float) -> None:
        for (pack_id, blobs), reply in self._crew.replies(timeout_s):
            self._take(pack_id, blobs, reply)
        counts = Counts(
            "restore",
            self._done.written_bytes,
            self._plan.total_bytes if self._walked else None,
            self._done.files,
            len(self._plan.files) if self._walked else None,
        )
        self._reporter.tell(counts)

    def _take(self, pack_id: bytes, blobs: list[PlannedBlob], reply: RestoreReply) -> None:
        self._done.written_bytes += reply.written_bytes
        for number, reason in reply.bad_files:
            self._lose(self._plan.files[number], "refused", reason)
        for number, trouble in reply.troubles:
            self._issue(self._plan.files[number], "metadata", trouble)
        bad = dict(reply.bad_blobs)
        for place, blob in enumerate(blobs):
            if place in bad:
                self._bad_blob(blob, bad[place])
            else:
                self._filled(blob)

    def _bad_blob(self, blob: PlannedBlob, reason: str) -> None:
        other = self._plan.another_copy(blob)
        if other is not None:
            self._again.append((other[0], [other[1]]))
            return
        for number, _ in blob.places:
            self._lose(self._plan.files[number], "damaged", reason)
        self._filled(blob)

    def _filled(self, blob: PlannedBlob) -> None:
        for number, _ in blob.places:
            file = self._plan.files[number]
            file.missing -= 1
            if not file.missing:
                self._finish(file)

    def _finish(self, file: FileTarget) -> None:
        if file.lost:
            self._remove(file)
            return
        if not file.whole:
            try:
                self._finish_parts(file)
            except OSError as error:
                self._lose(file, "refused", error.strerror or str(error))
                self._remove(file)
                return
        self._done.files += 1

    def _finish_parts(self, file: FileTarget) -> None:
        folder = self._target.folder(file.folder)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = open_made(folder, file.written_as, flags, file.identity)
        try:
            for trouble in apply(descriptor, os.fstat(descriptor), file.wanted):
                self._issue(file, "metadata", trouble)
        finally:
            os.close(descriptor)
        if file.written_as != file.name:
            move_into_place(folder, file.written_as, file.name)
        file.written_as = b""

    # --- what went wrong ---

    def _lose(self, file: FileTarget, kind: str, reason: str) -> None:
        """Leave a file out; said once."""
        if not file.lost:
            file.lost = True
            self._issue(file, kind, reason)

    def _remove(self, file: FileTarget) -> None:
        """Take back what this restore has made; what has taken its place since stays: a restore that was
        frozen may come late, after another has done its work."""
        if file.written_as:
            with suppress(OSError):
                remove_made(self._target.folder(file.folder), file.written_as, file.identity)
        file.written_as = b""

    def _remove_unfinished(self) -> None:
        """After an error nothing half-written stays under any name."""
        for file in self._plan.files:
            self._remove(file)

    def _issue(self, file: FileTarget, kind: str, reason: str) -> None:
        self._issues.add(os.path.join(self._home.path, file.folder, file.name), kind, reason)

    # --- the end ---

    def _link(self) -> None:
        for file in self._plan.files:
            for place in file.links:
                if file.lost:
                    where = os.path.join(self._home.path, *place)
                    self._issues.add(where, "damaged", "the file it is a further name of was left out")
                else:
                    self._link_one((file.folder, file.name), place, regular=True)
        for first, place, regular in self._writer.links:
            self._link_one(first, place, regular=regular)

    def _link_one(self, first: tuple[bytes, bytes], place: tuple[bytes, bytes], *, regular: bool) -> None:
        try:
            self._make_link(first, place)
        except OSError as error:
            where = os.path.join(self._home.path, *place)
            self._issues.add(where, "refused", error.strerror or str(error))
        else:
            self._done.files += regular
            self._done.others += not regular

    def _make_link(self, first: tuple[bytes, bytes], place: tuple[bytes, bytes]) -> None:
        # The second look may close what the first has opened, so the first descriptor is kept apart.
        source = os.dup(self._target.folder(first[0]))
        try:
            folder = self._target.folder(place[0])
            try:
                os.link(first[1], place[1], src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
            except FileExistsError:
                if not self._role.options.overwrite:
                    raise
                temporary = temporary_name()
                os.link(first[1], temporary, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
                move_into_place(folder, temporary, place[1])
        finally:
            os.close(source)

    def _finish_folders(self, folders: Sequence[MadeFolder]) -> None:
        """The innermost first: what is made in a directory changes it."""
        for folder in reversed(folders):
            self._finish_folder(folder)

    def _finish_folder(self, made: MadeFolder) -> None:
        where = os.path.join(self._home.path, made.relative).rstrip(b"/")
        try:
            descriptor = os.open(b".", READ_DIRECTORY, dir_fd=self._home.folder(made.relative))
            try:
                if not made.new:
                    drop_other_attributes(descriptor, made.wanted)
                troubles = apply(descriptor, os.fstat(descriptor), made.wanted)
            finally:
                os.close(descriptor)
        except OSError as error:
            troubles = [error.strerror or str(error)]
        for trouble in troubles:
            self._issues.add(where, "metadata", trouble)


def _give_length(descriptor: int, file: FileTarget) -> None:
    """Room for all of it at once, which several writers fill fastest; holes where it has some."""
    if not file.sparse:
        with suppress(OSError):  # not every file system can
            os.posix_fallocate(descriptor, 0, file.size)
            return
    os.ftruncate(descriptor, file.size)

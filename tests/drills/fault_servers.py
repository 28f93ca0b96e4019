"""A broker, a database and a disk that fail."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from tests.drills import points
from tests.drills.echo import Echo
from tests.drills.own_servers import Server
from tests.drills.scene import Scene
from tests.drills.site import BALLAST
from tests.drills.wires import SPOKEN, Scissors

# --- the broker ---


def cut_broker(scene: Scene) -> None:
    for _ in range(4):
        scene.pause(0.2, 1)
        assert scene.site.broker is not None
        scene.site.broker.cut()


def stall_broker(scene: Scene) -> None:
    assert scene.site.broker is not None
    scene.site.broker.hold()
    scene.pause(4, 6)
    scene.site.broker.release()


def stop_broker(scene: Scene) -> None:
    """As a restart of it looks from here."""
    assert scene.site.broker is not None
    scene.site.broker.down()
    scene.pause(4, 8)
    scene.site.broker.up()


def repeat_messages(scene: Scene) -> None:
    """Every message comes again, some late, some in another order, some never."""
    assert scene.site.bus is not None
    with Echo(scene.site.bus, scene.chance) as echo:
        scene.pause(3, 5)
    assert echo.repeated, "no message was heard"


def restart_broker(scene: Scene) -> None:
    """It is killed while it holds messages that nobody has read, and started again with what its disk has."""
    assert scene.site.servers is not None
    for worker in scene.site.workers:
        scene.site.kill(worker)
    for _ in range(scene.backlog):
        scene.load.ask("checkpoint")
    _restart(scene, scene.site.servers.broker)
    for worker in scene.site.workers:
        worker.start()


def _restart(scene: Scene, server: Server) -> None:
    server.kill()
    scene.pause(0, 3)
    server.start()


# --- the database ---


def restart_database(scene: Scene) -> None:
    """It is killed when it is told the COMMIT that ends a task, and later while a task is under way."""
    site = scene.site
    assert site.servers is not None and site.database is not None
    scissors = Scissors(SPOKEN["end"][site.records.kind], heard=True)
    site.database.arm(scissors)
    scene.protect_big()
    assert scissors.cut.wait(30), "nobody said end"
    _restart(scene, site.servers.database)
    scene.protect_big()
    scene.pause(0, 1)
    _restart(scene, site.servers.database)


def cut_database(scene: Scene) -> None:
    for _ in range(4):
        scene.pause(0.2, 1)
        assert scene.site.database is not None
        scene.site.database.cut()


def stop_database(scene: Scene) -> None:
    assert scene.site.database is not None
    scene.site.database.down()
    scene.pause(3, 6)
    scene.site.database.up()


def kill_connection_at_the_end(scene: Scene) -> None:
    """The server ends the session that is about to end a task."""
    with points.ending(scene.site, scene.protect_big) as met:
        assert met.connection is not None
        scene.site.records.end_connection(met.connection)


def cut_at_commit(word: str, *, heard: bool) -> Callable[[Scene], None]:
    """The connection breaks at a COMMIT: before the server hears it, or before it is known to have."""

    def inject(scene: Scene) -> None:
        site = scene.site
        assert site.database is not None
        for _ in range(2):
            scissors = Scissors(SPOKEN[word][site.records.kind], heard)
            site.database.arm(scissors)
            scene.protect_big()
            assert scissors.cut.wait(30), f"nobody said {word}"
            scene.pause(0.2, 1)

    return inject


def fill_disk(scene: Scene) -> None:
    """Nothing more can be written to the database, for a while."""
    scene.pause(0.5, 1)
    ballast = scene.site.top / "state" / BALLAST
    with suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    scene.pause(3, 5)
    ballast.unlink()

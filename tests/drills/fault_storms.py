"""Everything fails, one thing soon after the other."""

from __future__ import annotations

from tests.drills.scene import Scene
from tests.fakes.daemons import Daemon

BLOWS = 10


def storm(scene: Scene) -> None:
    """What a blow has broken may still be broken when the next one comes."""
    for _ in range(BLOWS):
        scene.chance.choice((_break_broker, _break_database, _kill_one, _kill_one))(scene)
        scene.pause(0.1, 0.8)


def _break_broker(scene: Scene) -> None:
    wire = scene.site.broker
    assert wire is not None
    scene.chance.choice((wire.cut, wire.down, wire.up))()


def _break_database(scene: Scene) -> None:
    assert scene.site.database is not None
    scene.site.database.cut()


def _kill_one(scene: Scene) -> None:
    site = scene.site
    daemon: Daemon = scene.chance.choice([*site.workers, *site.engines])
    if daemon.alive():
        site.kill(daemon, whole=scene.chance.random() < 0.5)
    daemon.start()

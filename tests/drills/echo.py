"""A peer on the message bus that says again what it hears."""

from __future__ import annotations

import json
import random
import socket
import threading
import uuid
from types import TracebackType
from typing import Self

import amqp

from tests.fakes.servers import Bus

LISTEN_S = 0.05
COPIES = 3
LOST = 0.2


class Echo:
    """Hears every message, and takes some away from the workers. At its end it says them all again, up to
    three times each, in any order; some of those it took are lost."""

    def __init__(self, bus: Bus, chance: random.Random) -> None:
        self._bus = bus
        self._chance = chance
        self._stop = threading.Event()
        self._heard: list[amqp.Message] = []
        self._thread = threading.Thread(target=self._run, name="echo")
        self.repeated = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with amqp.Connection("127.0.0.1:5672", userid="guest", password="guest") as connection:
            channel = connection.channel()
            self._listen(channel)
            while not self._stop.is_set():
                try:
                    connection.drain_events(timeout=LISTEN_S)
                except TimeoutError:
                    continue
            self._say(channel)

    def _listen(self, channel: amqp.Channel) -> None:
        own = channel.queue_declare("", exclusive=True).queue
        for key in (self._bus.topic, f"{self._bus.topic}.{socket.gethostname()}"):
            channel.queue_bind(own, self._bus.exchange, key)
            channel.basic_consume(key, no_ack=True, callback=self._take)
        channel.basic_consume(own, no_ack=True, callback=self._heard.append)

    def _take(self, message: amqp.Message) -> None:
        if self._chance.random() > LOST:
            self._heard.append(message)

    def _say(self, channel: amqp.Channel) -> None:
        said = [message for message in self._heard for _ in range(self._chance.randint(1, COPIES))]
        self._chance.shuffle(said)
        for message in said:
            key = message.delivery_info["routing_key"]
            channel.basic_publish(_anew(message), self._bus.exchange, key)
        self.repeated = len(said)


def _anew(message: amqp.Message) -> amqp.Message:
    """With an id of its own: the readers drop what has the id of a recent one."""
    body = json.loads(message.body)
    inner = json.loads(body["oslo.message"])
    inner["_unique_id"] = uuid.uuid4().hex
    body["oslo.message"] = json.dumps(inner)
    return amqp.Message(json.dumps(body), **message.properties)

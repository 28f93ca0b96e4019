"""Orders: a wish that is kept, and what becomes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from protectd.common.errors import Conflict, InvalidField, ProtectdError
from protectd.common.fields import below
from protectd.common.ids import new_id
from protectd.domain import quota
from protectd.domain.key_manager import times
from protectd.domain.key_manager.containers import GENERIC, RSA
from protectd.domain.key_manager.generation import KEY, Made, Wish, check
from protectd.domain.key_manager.payloads import BYTES, kind_of
from protectd.domain.key_manager.secrets import name_of
from protectd.domain.quota import Quotas
from protectd.domain.secrets import Secrets
from protectd.model.models import Container, ContainerSecret, Order, Secret
from protectd.model.states import OrderStatus, move
from protectd.model.unit_of_work import UnitOfWork

PASSPHRASES = ("passphrase", "pass_phrase")
"""The contract's word, and the one that its client sends."""

CONSUMER = ("protectd", "order")
MAX_REASON = 255


class OrderOver(Conflict):
    """What it was to end with is not kept."""

    code = "order.over"
    message = "order {id} does not wait any more"


class Orders:
    """
    :param project_id: the service's own project, whose secrets nobody sees: it keeps passphrases.
    """

    def __init__(self, secrets: Secrets, project_id: str) -> None:
        self._secrets = secrets
        self._project_id = project_id

    def create(
        self,
        uow: UnitOfWork,
        quotas: Quotas,
        project_id: str,
        user_id: str,
        type: str,
        meta: Mapping[str, Any],
        now: datetime,
    ) -> Order:
        """A PENDING order for what can be made. Its passphrase is sealed.

        :raises InvalidField: it cannot, or it would expire at once.
        :raises QuotaReached: the project has as many as it may.
        """
        passphrase = next((meta[name] for name in PASSPHRASES if meta.get(name) is not None), None)
        check(wish_of(type, meta, passphrase))
        kept = _kept_meta(meta, now)
        order = Order(id=new_id(), project_id=project_id, creator_id=user_id, type=type, meta=kept)
        if passphrase is not None:
            order.passphrase_id = self._seal(uow, order.id, passphrase)
        uow.orders.insert(order)
        quotas.take(project_id, orders=1)
        return order

    def _seal(self, uow: UnitOfWork, order_id: str, passphrase: str) -> str:
        kept = self._secrets.add(
            uow, self._project_id, passphrase.encode(), name=f"order {order_id}", secret_type="passphrase"
        )
        self._secrets.add_consumer(uow, kept.id, *CONSUMER, order_id)
        return kept.id

    def wish(self, uow: UnitOfWork, order: Order) -> Wish:
        """With its passphrase in the clear."""
        passphrase = None
        if order.passphrase_id is not None:
            passphrase = self._secrets.open(uow, order.passphrase_id, self._project_id).decode()
        return wish_of(order.type, order.meta, passphrase)

    def fulfil(self, uow: UnitOfWork, order: Order, made: Sequence[Made]) -> None:
        """Keep what was made and say so, all in one transaction. It counts, and is not refused: the contract
        asks for room when an order comes. The order's row is locked by the caller.

        :raises OrderOver: of a key; the unit of work must not go on.
        """
        if order.type == KEY and made:
            return self.keep_keys(uow, [(order, each) for each in made])
        kept = [self._keep(uow, order, each) for each in made]
        result: dict[str, Any] = {"container_id": _contain(uow, order, made, kept).id} if kept else {}
        move(uow.session, Order, order.id, OrderStatus.PENDING, OrderStatus.ACTIVE, **result)
        self._forget_passphrase(uow, order)
        quota.count(uow, order.project_id, secrets=len(kept), containers=int("container_id" in result))
        return None

    def keep_keys(self, uow: UnitOfWork, made: Sequence[tuple[Order, Made]]) -> None:
        """As `fulfil`, of orders of one key each, with as many statements for many as for one. A key has the
        id of its order, so that no order has two.

        :raises OrderOver: one of them; the unit of work must not go on.
        """
        secrets = [_secret_of(order, key, order.id) for order, key in made]
        self._secrets.seal_all(uow, zip(secrets, (key.plain for _, key in made), strict=True))
        uow.secrets.insert_all(secrets)
        if not uow.orders.activate([order.id for order, _ in made]):
            raise OrderOver(id=f"among {len(made)}" if len(made) > 1 else made[0][0].id)
        for project_id, count in sorted(Counter(order.project_id for order, _ in made).items()):
            quota.count(uow, project_id, secrets=count)

    def fail(self, uow: UnitOfWork, order: Order, error: ProtectdError) -> None:
        """Say why nothing was made. The order's row is locked by the caller."""
        if order.status == OrderStatus.PENDING:
            told: dict[str, Any] = {
                "error_status_code": str(error.status),
                "error_reason": str(error)[:MAX_REASON],
            }
            move(uow.session, Order, order.id, OrderStatus.PENDING, OrderStatus.ERROR, **told)
        self._forget_passphrase(uow, order)

    def delete(self, uow: UnitOfWork, order: Order) -> None:
        """What was made stays. A worker that is at it ends without a word."""
        self._forget_passphrase(uow, order)
        uow.orders.delete(order)
        quota.give(uow, order.project_id, orders=1)

    def _keep(self, uow: UnitOfWork, order: Order, made: Made) -> Secret:
        secret = _secret_of(order, made, new_id())
        self._secrets.seal(uow, secret, made.plain)
        return uow.secrets.add(secret)

    def _forget_passphrase(self, uow: UnitOfWork, order: Order) -> None:
        if order.passphrase_id is not None:
            self._secrets.remove_consumer(uow, order.passphrase_id, *CONSUMER, order.id)
            self._secrets.delete(uow, order.passphrase_id, self._project_id)
            order.passphrase_id = None
            uow.flush()


def wish_of(type: str, meta: Mapping[str, Any], passphrase: str | None) -> Wish:
    return Wish(type, meta["algorithm"], meta["bit_length"], meta.get("mode") or "", passphrase)


def _secret_of(order: Order, made: Made, id: str) -> Secret:
    """Named as the order, and not sealed yet."""
    meta = order.meta
    return Secret(
        id=id,
        project_id=order.project_id,
        creator_id=order.creator_id,
        name=meta.get("name"),
        secret_type=made.secret_type,
        algorithm=meta["algorithm"],
        bit_length=meta["bit_length"],
        mode=meta.get("mode"),
        expiration=times.parse(meta["expiration"], "expiration") if meta.get("expiration") else None,
        content_type=kind_of(meta.get("payload_content_type") or BYTES),
    )


def _kept_meta(meta: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """As it is shown: with a name and an expiration in any case, and never with a passphrase.

    :raises InvalidField: the content type is none that is kept, or it would expire at once.
    """
    content_type = meta.get("payload_content_type")
    if content_type and kind_of(content_type) not in (BYTES,):
        raise InvalidField(field="meta.payload_content_type", reason=f"must be {BYTES}")
    with below("meta"):
        expiration = times.expiration(meta.get("expiration"), now)
    kept = {name: value for name, value in meta.items() if name not in PASSPHRASES}
    naive = None if expiration is None else expiration.replace(tzinfo=None)
    told = None if naive is None else naive.isoformat(timespec="microseconds")
    return kept | {"name": name_of(meta.get("name")), "expiration": told}


def _contain(uow: UnitOfWork, order: Order, made: Sequence[Made], kept: Sequence[Secret]) -> Container:
    """A client knows containers of RSA keys; of other pairs it knows generic ones only."""
    is_rsa = order.meta["algorithm"].lower() == RSA
    return uow.containers.add(
        Container(
            id=new_id(),
            project_id=order.project_id,
            creator_id=order.creator_id,
            name=order.meta.get("name"),
            type=RSA if is_rsa else GENERIC,
            secrets=[
                ContainerSecret(name=each.role, secret_id=secret.id)
                for each, secret in zip(made, kept, strict=True)
            ],
        )
    )

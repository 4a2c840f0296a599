"""A password that is not UTF-8: set as its octets, and whoever looks is told that other devices must type it again."""

from __future__ import annotations

import pytest

from mailferry.model.account import Event
from mailferry.roster import accounts
from mailferry.store.remarks import RemarkKind
from tests.passwords.world import World

pytestmark = pytest.mark.deadline(60)

GBK, UTF8 = "密码".encode("gb18030"), "密码".encode()


def remarked(world: World, address: str) -> list[str]:
    return [one["kind"] for one in accounts.show(world.store, address)["remarks"]]


async def test_a_password_in_another_encoding_is_remarked_until_another_takes_its_place(world: World) -> None:
    account = world.account()
    for octets, expected in (
        (b"plain", []),
        (GBK, [RemarkKind.NOT_UTF8.value]),
        (GBK, [RemarkKind.NOT_UTF8.value]),
        (UTF8, []),
    ):
        await world.login_before_flip(account, octets)
        await world.settled()
        assert world.target_takes(octets)
        assert remarked(world, account.address) == expected


async def test_the_first_password_and_one_after_the_flip_are_remarked_too(world: World) -> None:
    first = world.account()
    await world.login_before_flip(first, GBK)
    await world.settled()
    assert remarked(world, first.address) == [RemarkKind.NOT_UTF8.value]
    moved = world.moved(world.moved(first, Event.FREEZE_SET), Event.FLIPPED)
    assert (await world.login_after_flip(moved, UTF8)).in_place
    await world.settled()
    assert remarked(world, first.address) == []

"""A carrier that is asked to wait for more octets tells of them together, and of an end at once."""

from __future__ import annotations

from tests.kit.scripted import dial, hang_up
from tests.net.ears import Door, Ear


async def test_octets_come_together_once_there_are_as_many_as_are_waited_for(carriers: str) -> None:
    door = Door()
    client, other = await dial(door.port), await dial(door.port)
    carrier, ear = await door.carrier(0), Ear()
    carrier.attach(ear)
    carrier.wait_for(10)
    client.send(b"12345")
    beside, heard = await door.carrier(1), Ear()
    beside.attach(heard)
    for turn in range(1, 4):  # what was sent before is here by now
        other.send(b"x")
        await heard.until(lambda turn=turn: len(heard.octets) == turn)  # type: ignore[misc]
    assert ear.octets == (b"" if carriers == "descriptor" else b"12345")
    client.send(b"67890")
    await ear.until(lambda: len(ear.octets) == 10)
    assert len(ear.pieces) == (1 if carriers == "descriptor" else 2)
    await hang_up(client)
    await hang_up(other)
    await door.stop()


async def test_what_is_there_is_told_when_nothing_is_waited_for_any_more() -> None:
    door = Door()
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    carrier.wait_for(1000)
    client.send(b"few")
    carrier.wait_for(1)
    await ear.until(lambda: ear.octets == b"few")
    await hang_up(client)
    await door.stop()


async def test_the_peer_s_end_is_told_with_fewer_octets_than_are_waited_for() -> None:
    door = Door()
    client = await dial(door.port)
    carrier, ear = await door.carrier(), Ear()
    carrier.attach(ear)
    carrier.wait_for(1000)
    client.send(b"the last")
    client.close()
    await client.gone()
    await ear.end()
    assert ear.octets == b"the last"
    carrier.wait_for(1)
    await door.stop()

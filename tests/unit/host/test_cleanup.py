"""Journals of dead runs: of other places, of later versions, of 0.1.0, and damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sevpn.host import cleanup, lock, worker
from sevpn.host.journal import boot_id
from support.host_world import World, in_world
from support.private_netns import ip_json

if TYPE_CHECKING:
    from collections.abc import Callable

OF_0_1_0 = Path(__file__).with_name("journal-0.1.0")

pytestmark = pytest.mark.no_sanitizer


def edit(world: World, change: Callable[[dict[str, Any]], None]) -> None:
    """Change each record of the journal, as somebody else would have written it."""
    path = Path(world.journal)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if "do" in line:
            change(line["do"])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def clean(world: World) -> dict[str, list[str]]:
    return cleanup.clean(world.state_dir, str(world.resolv))


@in_world
def test_resolv_conf_of_another_mount_namespace_is_kept(world: World) -> None:
    """The same path is another file here: its record must not be thrown away."""
    worker.apply(world.journal, [world.dns_step("file")])
    places: list[str] = []

    def move(record: dict[str, Any]) -> None:
        places.append(record["place"])
        record["place"] = "resolv.conf@1-2"

    edit(world, move)
    ours = world.resolv.read_bytes()
    world.resolv.write_bytes(b"nameserver 192.0.2.99\n")  # the file that is here
    for _ in range(2):
        (line,) = clean(world)["left"]
        assert "in another mount namespace, run cleanup there" in line
        assert world.resolv.read_bytes() == b"nameserver 192.0.2.99\n"
    world.resolv.write_bytes(ours)
    edit(world, lambda record: record.update(place=places[0]))  # the right place
    assert clean(world)["left"] == []
    world.assert_as_before()


@in_world
def test_a_container_that_is_gone_leaves_no_record(world: World) -> None:
    worker.apply(world.journal, [world.dns_step("file")])
    edit(world, lambda record: record.update(place="resolv.conf@1-2", boot="gone"))
    assert clean(world)["left"] == []
    assert not Path(world.journal).exists()


@in_world
def test_a_record_of_a_later_version_is_kept_and_named(world: World) -> None:
    worker.apply(world.journal, world.steps()[:-1])
    before = world.look()
    edit(world, lambda record: record.update(v=2))
    left = clean(world)["left"]
    assert left
    assert all("a later sevpn wrote it" in line for line in left)
    assert world.look() == before
    edit(world, lambda record: record.update(v=1))
    assert clean(world)["left"] == []
    world.assert_as_before()


@in_world
def test_a_journal_of_0_1_0(world: World) -> None:
    """What 0.1.0 itself has written; only what differs from host to host is filled in.

    It had neither a version nor a place.
    """
    links = {link["ifname"]: link for link in ip_json("link", "show")}
    worker.apply(world.journal, world.steps())
    text = OF_0_1_0.read_text(encoding="utf-8")
    for mark, value in {
        "@BOOT@": boot_id(),
        "@NETNS@": str(lock.namespace_id()),
        "@MAC@": links["vpn0"]["address"],
        "@LAN@": str(links["lan"]["ifindex"]),
        "@TAP@": str(links["vpn0"]["ifindex"]),
    }.items():
        text = text.replace(mark, value)
    # Its resolv.conf tells the moment that its record was made.
    Path(world.resolv).write_text(json.loads(text.splitlines()[-1])["do"]["text"], encoding="utf-8")
    Path(world.journal).write_text(text, encoding="utf-8")
    assert clean(world)["left"] == []
    world.assert_as_before()


@in_world
def test_one_bad_line_does_not_keep_the_others(world: World) -> None:
    worker.apply(world.journal, world.steps())
    bad = [
        "[" * 100_000,
        '{"do":{"id":"z1","kind":"route","boot":"","netns":{},"network":1}}',
        '{"do":{"id":"z2","kind":"resolv","path":[],"boot":"","netns":0,"place":"x"}}',
        '{"do":{"id":"z3","kind":["rule"],"boot":1,"netns":1}}',
        '{"do":{"id":"z4","kind":"rule","address":"\\ud800","table":"x","boot":0,"netns":0}}',
    ]
    with Path(world.journal).open("a") as file:
        file.write("\n".join(bad) + "\n")
    report = clean(world)
    assert any("makes no sense" in line for line in report["left"])
    Path(world.journal).unlink(missing_ok=True)  # what made no sense stays in it
    world.assert_as_before()

"""Every page says what keeps this host from scanning and importing, since when, and what that means."""

from dataclasses import replace

import pytest

from ingestd.errors import MountUnavailable
from support.mounts import absent_mount
from support.web_client import Visitor, WebClient
from support.world import World, photo

PAGES = ("/", "/tasks", "/ledger")


def test_nothing_is_wrong(web_client: WebClient, olivia: Visitor) -> None:
    assert [olivia.see(page).live("banner").text for page in PAGES] == [""] * 3
    web_client.context.mount.check()
    assert [olivia.see(page).live("banner").text for page in PAGES] == [""] * 3


def test_an_absent_mount(world: World, web_client: WebClient, olivia: Visitor) -> None:
    mount, sync_id = web_client.context.mount, world.put(photo("a"))
    world.scan(web_client.context)
    with absent_mount(world):
        for _ in range(2):
            with pytest.raises(MountUnavailable):
                mount.check()
        (since,) = {olivia.see(page).live("banner").one("time")["datetime"] for page in PAGES}
        shown = olivia.see(f"/batches/{sync_id}").live("banner").text
        assert f"{mount.lost_since:%Y-%m-%dT%H:%M:%SZ}" == since
        assert "The mount is unavailable on" in shown
        assert f"{world.root}: No such file or directory. This host neither scans nor imports" in shown
    mount.check()
    assert olivia.see("/").live("banner").text == ""


def test_another_file_system_is_named_once(web_client: WebClient, olivia: Visitor) -> None:
    context = web_client.context
    found = context.mount.check().origin
    context.gate.refuse(replace(found, fs_type="nfs4", source="elsewhere:/assets"), found)
    with pytest.raises(MountUnavailable):
        context.mount.check()
    shown = olivia.see("/").live("banner")
    assert len(shown.all("section")) == 1
    assert "Another file system is mounted." in shown.text


def test_parts_that_are_not_well(web_client: WebClient, olivia: Visitor) -> None:
    web_client.silent.append("scanner has been silent for 99 s")
    assert "scanner has been silent for 99 s. systemd restarts" in olivia.see("/tasks").live("banner").text
    web_client.lacking.append("worker-1")
    shown = olivia.see("/tasks").live("banner")
    assert "too little memory for: worker-1. They go on by themselves." in shown.text
    assert len(shown.all("section")) == 2

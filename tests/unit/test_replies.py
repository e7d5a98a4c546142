"""What a mount helper sends together reaches the daemon by one write."""

import os
import select
from collections.abc import Iterator
from threading import Thread

import pytest

from ingestd.mount import replies
from ingestd.mount.inbox import Inbox
from ingestd.mount.replies import ReplyChannel
from ingestd.mount.wire import ManifestHead, ManifestProblems, Progress, Reply, decode_reply, frame


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ours, theirs = os.pipe()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def is_empty(fd: int) -> bool:
    return not select.select([fd], [], [], 0)[0]


def received(inbox: Inbox) -> Reply:
    body = inbox.receive()
    assert body is not None
    return decode_reply(body)


HEADS = [ManifestHead(character * 64, 1, is_unchanged=True) for character in "ab"]


def test_buffered_replies_are_sent_together(pipe: tuple[int, int]) -> None:
    ours, channel = pipe[0], ReplyChannel(pipe[1])
    for head in HEADS:
        channel.buffer(head)
    assert is_empty(ours)
    channel.flush()
    assert os.read(ours, 2**16) == b"".join(map(frame, HEADS))
    channel.flush()
    assert is_empty(ours)


def test_many_are_sent_before_the_end(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "MAX_BUFFERED", len(frame(HEADS[0])) + 1)
    channel, inbox = ReplyChannel(pipe[1]), Inbox(pipe[0])
    for head in HEADS:
        channel.buffer(head)
    assert not is_empty(pipe[0])
    assert [received(inbox), received(inbox)] == HEADS


def test_what_an_error_left_is_not_taken_for_a_reply_to_the_next_request(pipe: tuple[int, int]) -> None:
    channel, inbox = ReplyChannel(pipe[1]), Inbox(pipe[0])
    channel.buffer(HEADS[0])
    channel.begin()
    channel.flush()
    channel.send(Progress(1))
    assert received(inbox) == Progress(1)


def test_a_step_is_counted_while_a_long_reply_waits_to_be_received(pipe: tuple[int, int]) -> None:
    channel, inbox = ReplyChannel(pipe[1]), Inbox(pipe[0])
    long = ManifestProblems(["x" * 2**20], "bytes")
    sender = Thread(target=channel.send, args=(long,), daemon=True)
    sender.start()
    select.select([pipe[0]], [], [])
    step = Thread(target=channel.report, args=(7,), daemon=True)
    step.start()
    step.join(10)
    was_counted = not step.is_alive()
    assert received(inbox) == long
    sender.join()
    assert was_counted
    channel.finish()
    assert received(inbox) == Progress(1, 7)

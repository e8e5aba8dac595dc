"""OSC over real sockets: the table against server and page, answers, leases, tokens, and hostile datagrams."""

import math
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from bridge.osc_client import NoAnswerError, OscClient
from bridge.osc_packet import DATAGRAM_MAX, MalformedError, read_packet, write_message
from bridge.osc_server import OscServer
from bridge.osc_table import BY_ADDRESS, EVENTS, REQUESTS, Argument, Value, as_markdown
from streaming.errors import RequestError

OWN = ("/sidechop/subscribe", "/sidechop/unsubscribe", "/sidechop/authorise", "/sidechop/cancel")
REPLIES: dict[str, Value] = {"s": "text", "h": 2**40, "f": 0.5, "d": 0.1, "i": 7}


class Recorder:
    """Handlers that note what they were called with and reply what the table promises."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self.handlers = {m.address: self._handler(m.address) for m in REQUESTS if m.address not in OWN}

    def _handler(self, address: str) -> Callable[..., list[Value]]:
        def handle(*values: Any) -> list[Value]:
            if BY_ADDRESS[address].slow:
                progress, *values = values  # type: ignore[assignment]
                progress(0.5, "half way")
            self.calls.append((address, tuple(values)))
            if values[:1] == ("no such",):
                raise RequestError("no such thing: there are a and b")
            if values[:1] == ("bug",):
                raise KeyError("bug")
            return [REPLIES[a.tag] for a in BY_ADDRESS[address].reply]

        return handle


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def server(recorder: Recorder) -> Iterator[OscServer]:
    server = OscServer(recorder.handlers, "127.0.0.1", 0)
    server.start()
    yield server
    server.close()


@pytest.fixture
def client(server: OscServer) -> Iterator[OscClient]:
    with OscClient(*server.address) as client:
        yield client


def valid(argument: Argument) -> Value:
    if argument.choices:
        return argument.choices[0]
    return {"s": "vocals", "f": 0.25, "i": 1, "h": 3, "d": 0.25, "T": True}[argument.tag]


def test_page_is_printed_from_the_table() -> None:
    page = Path(__file__).parent.parent / "docs" / "osc.md"
    assert page.read_text() == as_markdown(), "run: sidechop osc --table > docs/osc.md"


def test_handlers_must_match_the_table(recorder: Recorder) -> None:
    missing = dict(recorder.handlers)
    del missing["/sidechop/ping"]
    with pytest.raises(ValueError, match="/sidechop/ping"):
        OscServer(missing, "127.0.0.1", 0)


@pytest.mark.parametrize("message", [m for m in REQUESTS if m.address != "/sidechop/cancel"], ids=lambda m: m.address)
def test_every_request_is_answered(message: Any, client: OscClient, recorder: Recorder) -> None:
    arguments = [valid(a) for a in message.arguments]
    progress: list[tuple[float, str]] = []
    reply = client.request(message.address, *arguments, on_progress=lambda f, t: progress.append((f, t)))
    assert len(reply) == len(message.reply)
    assert [a.read(value) for a, value in zip(message.reply, reply, strict=True)] == list(reply)
    assert bool(progress) == message.slow
    if message.address in recorder.handlers:
        assert recorder.calls == [(message.address, tuple(arguments))]


@pytest.mark.parametrize("message", [m for m in REQUESTS if m.arguments], ids=lambda m: m.address)
def test_wrong_arguments_are_refused_with_words(message: Any, client: OscClient, recorder: Recorder) -> None:
    good = [valid(a) for a in message.arguments]
    for i, argument in enumerate(message.arguments):
        bad: list[Value] = [math.nan, math.inf, "x" * 5000]
        bad += [edge + beyond for edge, beyond in ((argument.low, -1), (argument.high, 1)) if edge is not None]
        bad += [True, "text"] if argument.tag not in "Ts" else [2, 0.5]
        for value in bad:
            with pytest.raises(RequestError, match=argument.name):
                client.request(message.address, *good[:i], value, *good[i + 1 :])
    for wrong in (good[:-1], [*good, 1]):
        with pytest.raises(RequestError, match="arguments after the id"):
            client.request(message.address, *wrong)
    assert recorder.calls == []


def test_integers_pass_for_numbers_and_switches(client: OscClient, recorder: Recorder) -> None:
    client.request("/sidechop/stem/gain", "drums", -6)
    client.request("/sidechop/stem/mute", "drums", 1)
    client.request("/sidechop/stem/mute", "drums", False)
    assert [values for _, values in recorder.calls] == [("drums", -6.0), ("drums", True), ("drums", False)]


def test_failures_are_told_and_the_server_lives_on(client: OscClient, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RequestError, match="no such thing: there are a and b"):
        client.request("/sidechop/stem/mute", "no such", True)
    with pytest.raises(RequestError, match="internal error: KeyError"):
        client.request("/sidechop/stem/mute", "bug", True)
    assert "stem/mute failed" in caplog.text
    with pytest.raises(RequestError, match="unknown address /sidechop/nonsense"):
        client.request("/sidechop/nonsense")
    with pytest.raises(RequestError, match="unknown address"):
        client.request("/sidechop/done")
    assert client.request("/sidechop/ping")


def test_answers_go_to_whoever_asked(server: OscServer) -> None:
    with OscClient(*server.address) as one, OscClient(*server.address) as other:
        one.request("/sidechop/ping")
        assert other.event(0.1) is None
        assert other.request("/sidechop/ping")


def test_jobs_run_beside_each_other_and_can_be_cancelled(recorder: Recorder) -> None:
    """Also beside a slow request, which others of its kind wait for."""
    started, go_on = threading.Event(), threading.Event()

    def wait(answer: Any, *_: Any) -> list[Value]:
        answer(0.25, "waiting")
        if answer.cancelled.wait(10):
            raise RequestError("cancelled")
        return []

    def switch(progress: Any, _: str) -> list[Value]:
        started.set()
        assert go_on.wait(10)
        return [7]

    recorder.handlers["/sidechop/chop/lock"] = wait
    recorder.handlers["/sidechop/model"] = switch
    server = OscServer(recorder.handlers, "127.0.0.1", 0)
    server.start()
    with OscClient(*server.address) as client, OscClient(*server.address) as other:
        for id in (11, 12):
            client.send(write_message("/sidechop/chop/lock", (1, 0, True), id=id))
            assert client.event(2) == ("/sidechop/progress", [id, 0.25, "waiting"])
        client.send(write_message("/sidechop/chop/lock", (1, 0, True), id=11))
        assert client.event(2) == ("/sidechop/error", [11, "id 11 is at work already"])
        client.send(write_message("/sidechop/model", ("x",), id=13))
        assert started.wait(5)
        assert other.request("/sidechop/chop/reroll", 1, 5) == [7, 7, 7]
        with pytest.raises(RequestError, match="no job of this client runs with id 11"):
            other.request("/sidechop/cancel", 11)
        client.send(write_message("/sidechop/cancel", (12,), id=14))
        answers = [client.event(2), client.event(2)]
        assert ("/sidechop/done", [14]) in answers
        assert ("/sidechop/error", [12, "cancelled"]) in answers
        go_on.set()
        assert client.event(2) == ("/sidechop/done", [13, 7])
        server.close()
        assert client.event(2) == ("/sidechop/error", [11, "cancelled"]), "closing ends what runs"


def test_jobs_are_bounded_and_items_arrive(recorder: Recorder) -> None:
    go_on = threading.Event()
    count = 200  # as many as a socket holds, however late it is read

    def list_items(answer: Any, *_: Any) -> list[Value]:
        answer.items("/sidechop/chop/item", [(i, 2**40 + i, 2**41, 0.5, "onset", i % 2 == 0) for i in range(count)])
        return [1, count, 44100]

    def wait(answer: Any, *_: Any) -> list[Value]:
        assert go_on.wait(10)
        return []

    recorder.handlers |= {"/sidechop/chop/file": list_items, "/sidechop/chop/lock": wait}
    server = OscServer(recorder.handlers, "127.0.0.1", 0)
    server.start()
    with OscClient(*server.address) as client:
        items: list[Any] = []
        assert client.request("/sidechop/chop/file", "a", 0.0, 0.0, "{}", on_item=items.append) == [1, count, 44100]
        assert items == [[i, 2**40 + i, 2**41, 0.5, "onset", i % 2 == 0] for i in range(count)]
        for id in range(100, 117):
            client.send(write_message("/sidechop/chop/lock", (1, 0, True), id=id))
        assert client.event(2) == ("/sidechop/error", [116, "busy: 16 jobs run already"])
        go_on.set()
        assert {tuple((client.event(2) or ("", [0]))[1]) for _ in range(16)} == {(id,) for id in range(100, 116)}
    server.close()


def test_bundles_are_carried_out_in_order(server: OscServer, client: OscClient, recorder: Recorder) -> None:
    bundle = OscBundleBuilder(2_000_000_000)  # a time far ahead: carried out on arrival all the same
    inner = OscBundleBuilder(0)
    for target, stem in ((bundle, "vocals"), (inner, "drums")):
        builder = OscMessageBuilder("/sidechop/stem/mute")
        for value in (5, stem, True):
            builder.add_arg(value)
        target.add_content(builder.build())
    bundle.add_content(inner.build())
    client.send(bundle.build().dgram)
    client.request("/sidechop/ping")
    assert [values for _, values in recorder.calls[:2]] == [("vocals", True), ("drums", True)]


def test_subscription_pushes_until_its_lease_runs_out(server: OscServer, client: OscClient) -> None:
    assert client.request("/sidechop/subscribe", "levels", 0.3) == [pytest.approx(0.3)]
    server.push("/sidechop/event/levels", 2**40, 48000, "vocals", -6.5, "drums", -20.0)
    server.push("/sidechop/event/engine", "lost", "not subscribed to")
    assert client.event(1) == ("/sidechop/event/levels", [2**40, 48000, "vocals", -6.5, "drums", -20.0])
    assert server.counters()["subscriptions"] == 1
    time.sleep(0.35)
    server.push("/sidechop/event/levels", 1, 48000)
    assert client.event(0.1) is None
    assert server.counters()["subscriptions"] == 0


def test_subscription_to_all_and_unsubscribe(server: OscServer, client: OscClient) -> None:
    client.request("/sidechop/subscribe", "all", 10.0)
    for event in EVENTS:
        server.push(event.address, *[REPLIES[a.tag] for a in event.arguments])
        got = client.event(1)
        assert got is not None
        assert got[0] == event.address
    client.request("/sidechop/unsubscribe", "statistics")
    server.push("/sidechop/event/statistics", "{}")
    assert client.event(0.1) is None
    client.request("/sidechop/unsubscribe", "all")
    assert server.counters()["subscriptions"] == 0


def test_subscribers_are_bounded(server: OscServer) -> None:
    clients = [OscClient(*server.address) for _ in range(65)]
    for client in clients[:64]:
        client.request("/sidechop/subscribe", "events", 60.0)
    with pytest.raises(RequestError, match="64 clients"):
        clients[64].request("/sidechop/subscribe", "events", 60.0)
    clients[0].request("/sidechop/subscribe", "events", 0.0)
    assert clients[64].request("/sidechop/subscribe", "events", 60.0)
    for client in clients:
        client.close()


def test_token_is_asked_for(recorder: Recorder) -> None:
    server = OscServer(recorder.handlers, "127.0.0.1", 0, token="sesame")
    server.start()
    with OscClient(*server.address) as client, OscClient(*server.address) as stranger:
        with pytest.raises(RequestError, match="authorise"):
            client.request("/sidechop/ping")
        with pytest.raises(RequestError, match="wrong token"):
            client.request("/sidechop/authorise", "open")
        with pytest.raises(RequestError, match="wait"):
            client.request("/sidechop/authorise", "sesame")
        time.sleep(0.15)
        client.request("/sidechop/authorise", "sesame")
        assert client.request("/sidechop/ping")
        with pytest.raises(RequestError, match="authorise"):
            stranger.request("/sidechop/quit")
    server.close()
    assert [address for address, _ in recorder.calls] == ["/sidechop/ping"]


def test_other_addresses_need_a_token(recorder: Recorder) -> None:
    with pytest.raises(RequestError, match="--token"):
        OscServer(recorder.handlers, "0.0.0.0", 0)
    OscServer(recorder.handlers, "0.0.0.0", 0, token="t").close()


def test_port_in_use_and_addresses_that_are_not_ours(server: OscServer, recorder: Recorder) -> None:
    with pytest.raises(RequestError, match=f"127.0.0.1:{server.address[1]}: Address already in use"):
        OscServer(recorder.handlers, *server.address)
    with pytest.raises(RequestError, match=r"192\.0\.2\.1"):
        OscServer(recorder.handlers, "192.0.2.1", 0, token="t")
    with pytest.raises(RequestError, match="99999"):
        OscServer(recorder.handlers, "127.0.0.1", 99999)


def test_client_says_when_nobody_answers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with (
            OscClient("127.0.0.1", port, timeout_s=0.1) as client,
            pytest.raises(NoAnswerError, match=r"within 0\.1 s"),
        ):
            client.request("/sidechop/ping")
    with OscClient("127.0.0.1", port) as client, pytest.raises(NoAnswerError, match="no daemon"):
        client.request("/sidechop/ping")


PING = write_message("/sidechop/ping", (), id=9)


def bundle(*elements: bytes, sizes: list[int] | None = None) -> bytes:
    data = b"#bundle\0" + struct.pack(">Q", 1)
    for i, element in enumerate(elements):
        data += struct.pack(">i", sizes[i] if sizes else len(element)) + element
    return data


def nested(depth: int) -> bytes:
    data = PING
    for _ in range(depth):
        data = bundle(data)
    return data


HOSTILE = {
    "empty": b"",
    "zeros": bytes(64),
    "no tags": b"/sidechop/ping\0\0",
    "unknown tag": b"/sidechop/ping\0\0,Z\0\0",
    "array tags": b"/sidechop/ping\0\0,[]\0",
    "no id": b"/sidechop/ping\0\0,\0\0\0",
    "id is text": b"/sidechop/ping\0\0,s\0\0hi\0\0",
    "id is a switch": b"/sidechop/ping\0\0,T\0\0",
    "id is int64": b"/sidechop/ping\0\0,h\0\0" + struct.pack(">q", 2**40),
    "truncated id": b"/sidechop/ping\0\0,i\0\0\0\0",
    "not utf-8": b"/\xff\xfe\xfd/sid\0,i\0\0\0\0\0\1",
    "no end": b"/sidechop/ping/without/end..",
    "huge string": b"/sidechop/stem/mute\0,is\0\0\0\0\1" + b"x" * 60000,
    "many tags": b"/sidechop/ping\0\0," + b"T" * 8000 + bytes(3),
    "blob of negative size": b"/sidechop/ping\0\0,b\0\0" + struct.pack(">i", -8),
    "somebody else's": b"/live/song/get/tempo\0\0\0\0,i\0\0\0\0\0\1",
    "bundle cut short": bundle(PING)[:-3],
    "bundle without time": b"#bundle\0\0\0\0",
    "bundle element of negative size": bundle(PING, sizes=[-4]),
    "bundle element of size zero": bundle(b"", b"", b""),
    "bundle element beyond the end": bundle(PING, sizes=[4000]),
    "bundle of rubbish after a request": bundle(PING, b"rubbish."),
    "deep bundles": nested(300),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_datagrams_are_counted_and_dropped(name: str, server: OscServer, client: OscClient) -> None:
    before = server.malformed
    client.send(HOSTILE[name])
    assert client.request("/sidechop/ping") == ["text"]
    assert server.malformed == before + 1
    assert client.event(0.02) is None


def test_shallow_bundles_pass() -> None:
    assert read_packet(nested(3)) == [("/sidechop/ping", [9])]


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=200).map(lambda tail: PING + tail),
        st.binary(max_size=200).map(lambda tail: b"/sidechop/stem/gain\0," + tail),
        st.lists(st.binary(max_size=60), max_size=5).map(lambda parts: bundle(*parts)),
        st.tuples(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=4), st.binary(max_size=40)).map(
            lambda x: bundle(*[x[1]] * len(x[0]), sizes=x[0])
        ),
        st.tuples(st.text("ihfdsbTFNtrm[]Z", max_size=12), st.binary(max_size=80)).map(
            lambda x: b"/sidechop/ping\0\0" + f",{x[0]}".encode() + bytes(4 - len(f",{x[0]}") % 4) + x[1]
        ),
    )
)
@settings(max_examples=1500, deadline=2000, derandomize=True)
def test_any_bytes_are_read_or_refused(datagram: bytes) -> None:
    try:
        messages = read_packet(datagram)
    except MalformedError:
        return
    assert all(address.startswith("/") for address, _ in messages)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_server_survives_what_is_nearly_osc(data: st.DataObject) -> None:
    _, client = fuzzed()
    address = data.draw(st.sampled_from([m.address for m in REQUESTS if m.address != "/sidechop/subscribe"]))
    values = data.draw(
        st.lists(
            st.one_of(
                st.integers(-(2**63), 2**63 - 1),
                st.floats(width=32, allow_subnormal=False),
                st.booleans(),
                st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
            ),
            max_size=4,
        )
    )
    whole = write_message(address, values, id=data.draw(st.integers(100_000, 2**31 - 1)))
    cut = data.draw(st.integers(0, len(whole)))
    client.send(whole[:cut] if data.draw(st.booleans()) else whole)
    assert client.request("/sidechop/ping") == ["text"]


_FUZZED: list[tuple[OscServer, OscClient]] = []


def fuzzed() -> tuple[OscServer, OscClient]:
    """One server for all examples; closed by the module's fixture."""
    if not _FUZZED:
        server = OscServer(Recorder().handlers, "127.0.0.1", 0)
        server.start()
        _FUZZED.append((server, OscClient(*server.address)))
    return _FUZZED[0]


@pytest.fixture(scope="module", autouse=True)
def _close_fuzzed() -> Iterator[None]:
    yield
    for server, client in _FUZZED:
        client.close()
        server.close()


def test_longest_datagram_is_read(server: OscServer, client: OscClient) -> None:
    filler = [write_message("/sidechop/ping", (), id=i) for i in range((DATAGRAM_MAX - 16) // (4 + len(PING)))]
    client.send(bundle(*filler))
    assert client.request("/sidechop/ping") == ["text"]
    assert server.malformed == 0

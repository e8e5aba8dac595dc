"""What ``sidechop live`` shows: a table that is drawn again and again, or plain lines where there is no terminal."""

import json
import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .daemon import Daemon, Notice
from .levels import LEVEL_FLOOR_DB, level_db

DRAW_EVERY_S = 0.125
LINE_EVERY_S = 10.0
JSON_EVERY_S = 1.0
BAR_FLOOR_DB = -60.0
BAR_WIDTH = 30


class LiveView:
    """Called at every tick of the daemon; draws when it is time to. A context manager round the session."""

    def __init__(self, daemon: Daemon, as_json: bool) -> None:
        self._daemon, self._as_json = daemon, as_json
        self._console = Console()
        drawn = self._console.is_terminal and not as_json
        self._live = Live(console=self._console, auto_refresh=False) if drawn else None
        self._every_s = DRAW_EVERY_S if drawn else JSON_EVERY_S if as_json else LINE_EVERY_S
        self._shown = 0
        self._next = time.monotonic() + self._every_s

    def __enter__(self) -> "LiveView":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._show_notices()
        self._show_state()
        if self._live:
            self._live.stop()

    def tick(self) -> None:
        self._show_notices()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every_s
            self._show_state()

    def _show_notices(self) -> None:
        notices, self._shown = self._daemon.notices_since(self._shown)
        for notice in notices:
            self._show_notice(notice)

    def _show_notice(self, notice: Notice) -> None:
        if self._as_json:
            print(json.dumps({"kind": notice.source, "state": notice.state, "text": notice.text}), flush=True)
        else:
            self._console.print(Text(f"{notice.source}: {notice.state}: {notice.text}"), soft_wrap=True)

    def _show_state(self) -> None:
        if self._live:
            self._live.update(self._table(), refresh=True)
            return
        statistics = self._daemon.remote.statistics()
        if self._as_json:
            print(json.dumps({"kind": "statistics", **statistics}), flush=True)
        else:
            print(statistics_line(statistics), flush=True)

    def _table(self) -> Group:
        daemon = self._daemon
        status, statistics, meters = daemon.remote.status(), daemon.remote.statistics(), daemon.lane.meters()
        table = Table("output", "level", "dB", "gain", "", title=f"sidechop · {status['model']}", title_justify="left")
        faders = {stem["name"]: stem for stem in status["stems"]}
        for name, peak in meters.items():
            level, stem = level_db(peak), faders.get(name)
            gain = f"{stem['gain_db']:+.1f}" if stem else ""
            switches = " ".join(word for word in ("mute", "solo") if stem and stem[word])
            table.add_row(name, _bar(level), "-∞" if level <= LEVEL_FLOOR_DB else f"{level:.1f}", gain, switches)
        host, port = daemon.server.address
        return Group(
            table,
            Text(statistics_line(statistics)),
            Text(f"audio {status['audio']['state']}, engine {status['engine']['state']}, OSC on {host}:{port}"),
            *(Text(query_line(row)) for row in status["queries"] if row["on"]),
            *([Text(chops_line(daemon))] if daemon.listens_for_chops else []),
            *([Text(flags_line(daemon))] if daemon.listens_for_flags else []),
        )


def _bar(level: float) -> Text:
    filled = round(BAR_WIDTH * max(0.0, min(1.0, 1.0 - level / BAR_FLOOR_DB)))
    colour = "red" if level > -1.0 else "yellow" if level > -9.0 else "green"
    return Text("█" * filled + "·" * (BAR_WIDTH - filled), style=colour)


def query_line(row: dict[str, Any]) -> str:
    """What a slot is asked for."""
    unwanted = f", not {row['not']!r}" if row["not"] else ""
    strength = f", strength {row['strength']:g}" if row["strength"] < 1 else ""
    return f"{row['stem']}: {row['text']!r}{unwanted}{strength}"


def chops_line(daemon: Daemon) -> str:
    """How many chops were heard, and where the last one was."""
    last = daemon.last_chop
    where = f", the last at {last.position / daemon.lane.rate:.2f} s ({last.kind}, {last.score:.2f})" if last else ""
    return f"{daemon.chops_heard} chops{where}"


def flags_line(daemon: Daemon) -> str:
    """How many passages were flagged, and which was the last."""
    last, rate = daemon.flags.last, daemon.lane.rate
    where = f", the last at {last.start / rate:.2f} to {last.end / rate:.2f} s ({last.kind})" if last else ""
    return f"{daemon.flags.count} flags{where}"


def statistics_line(statistics: dict[str, Any]) -> str:
    """Hop times and misses in one line."""
    hop = statistics["hop_ms"] or 1.0
    return (
        f"{statistics['position'] / statistics['rate']:.1f} s, {statistics['hops']} hops of {hop:.2f} ms: "
        f"p50 {statistics['p50_ms']:.2f} ms ({statistics['p50_ms'] / hop:.0%}), "
        f"p99 {statistics['p99_ms']:.2f} ms ({statistics['p99_ms'] / hop:.0%}), max {statistics['max_ms']:.2f} ms; "
        f"{statistics['misses']} misses of {statistics['blocks']} blocks, {statistics['dry_s']:.2f} s dry"
    )

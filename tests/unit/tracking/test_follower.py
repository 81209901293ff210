"""Follower: everything of a run arrives once, whatever the destination and the run do."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rayseg.core.errors import CheckpointError
from rayseg.core.record import Record
from rayseg.tracking import courier, recorder, tail
from rayseg.tracking.confusion import write_confusion
from rayseg.tracking.delivery import Delivery
from rayseg.tracking.follower import Follower
from rayseg.tracking.pictures import Picture
from rayseg.tracking.recorder import RunRecorder
from rayseg.tracking.run_file import read_run
from rayseg.tracking.tracker import RunInfo
from tests.unit.tracking.listening import Listener
from tests.unit.tracking.runs import attempt, event, train, val

DEADLINE_S = 20.0


class Server:
    """A destination in memory. ``down`` makes every call fail; a call waits while ``frozen`` is set."""

    def __init__(self) -> None:
        self.down = False
        self.delay_s = 0.0
        self.frozen = threading.Event()
        self.frozen.set()  # set means that it answers
        self.runs: dict[str, str] = {}
        self.lines: list[tuple[str, int, Any]] = []
        self.pictures: list[str] = []
        self.files: list[str] = []
        self.changed = threading.Condition()

    def call(self) -> None:
        self.frozen.wait(DEADLINE_S)
        time.sleep(self.delay_s)
        if self.down:
            raise ConnectionError("no answer from http://me:hunter2hunter2@host\nmore")

    def wait_for_lines(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.lines) >= count, DEADLINE_S), self.lines


class Toy(Follower):
    """Sends to a Server."""

    kind = "toy"

    def __init__(self, server: Server, **options: Any) -> None:
        super().__init__(**options)
        self.server = server

    def destination(self, run: RunInfo) -> str:
        return "http://me:hunter2hunter2@host/x"

    def connect(self, run: RunInfo, delivery: Delivery) -> None:
        self.server.call()
        delivery.run_id = delivery.run_id or f"run-{len(self.server.runs)}"
        self.server.runs[delivery.run_id] = "running"
        run.remember("toy_run_id", delivery.run_id)

    def send_lines(self, lines: list[dict[str, Any]]) -> None:
        self.server.call()
        with self.server.changed:
            self.server.lines += [(line["mode"], line["iter"], line.get("loss")) for line in lines]
            self.server.changed.notify_all()

    def send_picture(self, picture: Picture) -> None:
        self.server.call()
        assert picture.path.read_bytes().startswith(b"\x89PNG")
        self.server.pictures.append(f"{picture.mode}/{picture.iter}/{picture.tag}")

    def send_file(self, path: Path, name: str) -> None:
        self.server.call()
        assert path.is_file()
        self.server.files.append(name)

    def close(self, status: str, error: str | None) -> None:
        self.server.call()
        assert self.delivery.run_id is not None
        self.server.runs[self.delivery.run_id] = f"{status}: {error}" if error else status


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "PAUSE_S", 0.01)
    monkeypatch.setattr(courier, "FIRST_DELAY_S", 0.02)


@pytest.fixture
def server() -> Server:
    return Server()


def begin(run_dir: Path, server: Server, *listeners: Listener, **options: Any) -> RunRecorder:
    run = RunRecorder(run_dir, [*listeners, Toy(server, **options)])
    run.start({"name": "demo"})
    return run


def warnings_of(listener: Listener) -> list[str]:
    return [record.data["message"] for record in listener.records if record.name == "warning"]


def test_numbers_arrive_while_the_run_goes_on(tmp_path: Path, server: Server):
    run = begin(tmp_path, server)
    run.record(train(10))
    server.wait_for_lines(1)
    run.record(train(20))
    server.wait_for_lines(2)
    assert server.runs == {"run-0": "running"}
    run.finish("finished")
    assert [line[:2] for line in server.lines] == [("train", 10), ("train", 20)]
    assert server.runs == {"run-0": "finished"}
    assert run.facts["tracking"] == {"toy_run_id": "run-0"}
    assert {"run.json", "log.txt"} <= set(server.files)


def test_many_lines_are_sent_in_order(tmp_path: Path, server: Server):
    run = begin(tmp_path, server)
    for at in range(1, 1301):
        run.record(train(at))
    run.finish("finished")
    assert [line[1] for line in server.lines] == [*range(1, 1301)]


def test_a_long_run_is_not_read_again_at_every_line(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch):
    decoded: list[bytes] = []
    original = tail.decode_line

    def counted(line: bytes) -> Any:
        decoded.append(line)
        return original(line)

    monkeypatch.setattr(tail, "decode_line", counted)
    run = begin(tmp_path, server)
    for at in range(1, 21):
        run.record(train(at))
        server.wait_for_lines(at)
    assert len(decoded) == 20
    run.finish("finished")


def test_how_the_run_ended_is_told(tmp_path: Path, server: Server):
    run = begin(tmp_path, server)
    run.finish("failed", "it broke")
    assert server.runs == {"run-0": "failed: it broke"}


def test_an_outage_is_told_once_and_nothing_is_lost(tmp_path: Path, server: Server):
    listener = Listener()
    run = begin(tmp_path, server, listener)
    run.record(train(10))
    server.wait_for_lines(1)
    server.down = True
    for at in range(20, 60, 10):
        run.record(train(at))
    tries = threading.Event()
    original = server.call
    count = 0

    def counted() -> None:
        nonlocal count
        count += 1
        if count >= 3:
            tries.set()
        original()

    server.call = counted  # type: ignore[method-assign]
    assert tries.wait(DEADLINE_S), "it tries again"
    server.down = False
    server.wait_for_lines(5)
    run.finish("finished")
    assert [line[1] for line in server.lines] == [10, 20, 30, 40, 50]
    (told,) = warnings_of(listener)
    assert told == (
        "Toy at http://me:***@host/x: ConnectionError: no answer from http://me:***@host; "
        "training goes on, what is not delivered is sent again"
    )
    assert "Toy at http://me:***@host/x answers again" in (tmp_path / "log.txt").read_text()


def test_what_was_not_delivered_is_said_with_the_command_that_will(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recorder, "FLUSH_TIMEOUT_S", 0.3)
    monkeypatch.chdir(tmp_path.parent)
    listener = Listener()
    server.down = True
    run = begin(tmp_path, server, listener)
    for at in (10, 20):
        run.record(train(at))
    run.record(val(20))
    run.finish("finished")
    assert warnings_of(listener)[-1] == (
        "Toy at http://me:***@host/x: 3 lines of metrics.jsonl and 0 pictures were not delivered (ConnectionError: no "
        f"answer from http://me:***@host); they are kept, send them with: rayseg sync {tmp_path.name} --to toy"
    )
    assert server.lines == []


def test_a_server_that_never_answers_holds_up_nothing(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch):
    """``write`` is called while a send waits; the end waits as long as it may, and no longer."""
    monkeypatch.setattr(recorder, "FLUSH_TIMEOUT_S", 0.3)
    listener = Listener()
    server.frozen.clear()
    run = begin(tmp_path, server, listener)
    for at in range(1, 200):
        run.record(train(at))
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 199
    run.finish("finished")
    assert "199 lines" in warnings_of(listener)[-1]
    server.frozen.set()


def test_a_slow_server_is_waited_for_as_long_as_something_arrives(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recorder, "FLUSH_TIMEOUT_S", 0.4)
    listener = Listener()
    run = begin(tmp_path, server, listener)
    for name in "abcdef":
        png(tmp_path / f"visuals/val/iter_10/{name}.png")
    run.record(val(10))
    server.delay_s = 0.15
    run.finish("finished")
    assert len(server.pictures) == 6
    assert warnings_of(listener) == []


def test_a_restarted_run_goes_on_in_the_same_place(tmp_path: Path, server: Server):
    """The first attempt reaches 30; the second starts from 20, makes 30 again, and adds val@20."""
    first = begin(tmp_path, server)
    first.restore(0, "train", [])
    first.record(attempt(1))
    for at in (10, 20, 30):
        first.record(train(at))
    first.finish("failed", "killed")

    second = begin(tmp_path, server)
    second.restore(20, "train", [train(20), val(20)])
    second.record(attempt(2, "iter_20"))
    for record in (train(30, loss=9.0), train(40)):
        second.record(record)
    second.finish("finished")
    assert sorted(line[:2] for line in server.lines) == [
        *(("train", at) for at in (10, 20, 30, 40)),
        ("val", 20),
    ]
    assert {line[1]: line[2] for line in server.lines if line[0] == "train"}[30] == train(30).data["loss"]
    assert server.runs == {"run-0": "finished"}


def test_a_second_delivery_changes_nothing(tmp_path: Path, server: Server):
    run = begin(tmp_path, server)
    run.record(train(10))
    run.finish("finished")
    before = (list(server.lines), list(server.files))
    again = Toy(server)
    again.begin(RunInfo(tmp_path, lambda: run.facts, lambda *_: None, lambda _: None))
    assert again.missing() == (0, 0)
    again.deliver_ended("finished", None)
    assert (server.lines, server.files) == before
    assert server.runs == {"run-0": "finished"}


def test_another_destination_gets_all_of_it(tmp_path: Path, server: Server):
    class Elsewhere(Toy):
        def destination(self, run: RunInfo) -> str:
            return "http://elsewhere"

    run = begin(tmp_path, server)
    run.record(train(10))
    run.finish("finished")
    second = Server()
    follower = Elsewhere(second)
    follower.begin(RunInfo(tmp_path, lambda: run.facts, lambda *_: None, lambda _: None))
    assert follower.missing() == (1, 0)
    follower.deliver_ended("finished", None)
    assert second.lines == server.lines


def png(path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


def test_pictures_and_confusion_matrices_arrive_once(tmp_path: Path, server: Server):
    run = begin(tmp_path, server)
    png(tmp_path / "visuals/val/iter_10/area/a.png")
    (tmp_path / "visuals/val/iter_10/area/.b.png.tmp").write_bytes(b"half")
    write_confusion(tmp_path, "val", 10, ["land", "water"], [[3, 1], [0, 4]])
    run.record(Record("image", 10, 0, 0.0, mode="val", data={"path": "visuals/val/iter_10/area/a.png", "tag": "a"}))
    run.record(val(10))
    run.finish("finished")
    assert sorted(server.pictures) == ["val/10/area/a.png", "val/10/confusion_matrix.png"]


def test_no_thread_is_left_that_draws_while_the_process_ends(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recorder, "FLUSH_TIMEOUT_S", 0.2)
    for index in range(9):
        png(tmp_path / f"visuals/val/iter_1/{index}.png")
    server.delay_s = 0.5
    listener = Listener()
    run = begin(tmp_path, server, listener)
    run.finish("finished")
    assert "rayseg-toy" not in [thread.name for thread in threading.enumerate()]
    left = 9 - len(server.pictures)
    assert left > 0
    (told,) = warnings_of(listener)
    assert f"0 lines of metrics.jsonl and {left} pictures were not delivered (there was no answer in time)" in told


def test_pictures_can_be_left_out(tmp_path: Path, server: Server):
    run = begin(tmp_path, server, pictures=False)
    png(tmp_path / "visuals/val/iter_10/a.png")
    run.record(val(10))
    run.finish("finished")
    assert server.pictures == []


def test_a_damaged_matrix_is_told_and_left_out(tmp_path: Path, server: Server):
    listener = Listener()
    run = begin(tmp_path, server, listener)
    (tmp_path / "confusion/val").mkdir(parents=True)
    (tmp_path / "confusion/val/iter_10.json").write_text('{"classes": ["a"], "matrix": [[1, 2]]}')
    run.record(val(10))
    run.finish("finished")
    assert server.pictures == []
    assert len([line for line in warnings_of(listener) if "no confusion matrix" in line]) == 1
    assert server.runs == {"run-0": "finished"}


class Store:
    """Checkpoints of a run."""

    def names(self, policy: str) -> list[str]:
        return {"all": ["iter_1", "iter_2"], "last": ["iter_2"], "best": ["iter_1"]}[policy]

    def fetch(self, name: str, folder: Path) -> None:
        if name == "iter_1":
            raise CheckpointError("it is gone")
        (folder / "model.safetensors").write_bytes(b"weights")


@pytest.mark.parametrize(
    ("policy", "sent"), [("none", []), ("last", ["checkpoints/iter_2/model.safetensors"]), ("best", [])]
)
def test_checkpoints_by_policy(tmp_path: Path, server: Server, policy: str, sent: list[str]):
    run = RunRecorder(tmp_path, [Toy(server, checkpoints=policy)], checkpoints=Store())
    run.start({})
    run.record(event("checkpoint", 2, name="iter_2"))
    run.finish("finished")
    assert [name for name in server.files if name.startswith("checkpoints")] == sent


def test_a_checkpoint_that_is_gone_is_told(tmp_path: Path, server: Server):
    listener = Listener()
    run = RunRecorder(tmp_path, [listener, Toy(server, checkpoints="all")], checkpoints=Store())
    run.start({})
    run.finish("finished")
    assert warnings_of(listener) == ["checkpoint iter_1 is not sent: it is gone"]
    assert "checkpoints/iter_2/model.safetensors" in server.files


class Whole(Toy):
    """A destination that cannot be continued."""

    whole = True


def test_a_destination_that_cannot_be_continued_is_built_at_the_end(tmp_path: Path, server: Server):
    def part(begin_at: int, *records: Record) -> None:
        run = RunRecorder(tmp_path, [Whole(server)])
        run.start({})
        run.restore(begin_at, "train", [])
        for record in records:
            run.record(record)
        assert server.lines == []
        run.finish("finished")

    part(0, train(10), train(20))
    assert [line[1] for line in server.lines] == [10, 20]
    server.lines.clear()
    part(20, train(30))
    assert [line[1] for line in server.lines] == [10, 20, 30]
    server.lines.clear()
    again = Whole(server)
    again.begin(RunInfo(tmp_path, lambda: read_run(tmp_path), lambda *_: None, lambda _: None))
    again.deliver_ended("finished", None)
    assert server.lines == [], "nothing new, so nothing is built"


SWEEP = {"sweep": {"uid": "a", "name": "first"}}


def test_a_trial_waits_shorter_for_a_server_than_a_run(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch):
    waits: list[float] = []
    monkeypatch.setattr(courier.Courier, "drain", lambda self, timeout_s: waits.append(timeout_s) or False)
    for facts, options in (({}, {}), (SWEEP, {}), (SWEEP, {"trouble": "away"}), (SWEEP, {"whole": True})):
        toy = Toy(server)
        toy.start(RunInfo(tmp_path, lambda facts=facts: facts, lambda *_: None, pytest.fail))
        toy.whole, toy._trouble = bool(options.get("whole")), str(options.get("trouble", ""))
        toy.flush(30.0)
        toy._started.stop()
    assert waits == [30.0, 10.0, 2.0, 30.0]


def test_lines_of_what_has_no_metrics_file(tmp_path: Path, server: Server):
    class Lines:
        def new_lines(self):
            yield {"mode": "best", "iter": 1, "time": 1.0, "loss": 0.5}

    cursors: list[dict[str, int]] = []

    def lines_behind(cursor: Any) -> Lines:
        cursors.append(dict(cursor))
        return Lines()

    toy = Toy(server)
    toy.begin(RunInfo(tmp_path, dict, lambda *_: None, pytest.fail, tail=lines_behind))
    assert toy.missing() == (1, 0)
    toy.deliver_ended("finished", None)
    assert server.lines == [("best", 1, 0.5)]
    toy.missing()
    assert cursors == [{}, {}, {"best": 1}]


def test_the_end_that_a_destination_knows_of_is_noted(tmp_path: Path, server: Server):
    def known() -> str | None:
        return Delivery(tmp_path, "toy", "http://me:***@host/x").status

    run = begin(tmp_path, server)
    run.record(train(10))
    server.wait_for_lines(1)
    assert known() is None
    run.finish("failed", "it broke")
    assert known() == "failed"
    again = begin(tmp_path, server)
    again.record(train(20))
    server.wait_for_lines(2)
    assert known() is None, "it runs again"
    again.finish("interrupted")
    assert known() == "interrupted"

"""From the decision that a trial goes on from another one's checkpoint to a directory that does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rayseg.config import load_config
from rayseg.core.errors import CheckpointError
from rayseg.engine.checkpoint_store import CheckpointStore
from rayseg.tuning.exploiting import Exploits
from rayseg.tuning.mailbox import SweepMailbox
from rayseg.tuning.standing import Standing
from rayseg.tuning.taking_over import take_over
from rayseg.tuning.trial_dir import make_trial_dir
from tests.checkpoints import damage, holds_what_was_saved, save
from tests.unit.tuning.population import LR, problem


class Mailbox:
    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}

    def request_takeover(self, trial: str, order: dict[str, Any]) -> None:
        self.orders[trial] = order


@pytest.mark.parametrize("place", ["local", "fsspec"])
def test_a_takeover_between_stores(tmp_path: Path, place: str) -> None:
    """From and to a local path or an object store; what the child had is gone, labels and all."""
    roots = {"local": str(tmp_path / "stores"), "fsspec": f"memory://{tmp_path.name}"}
    donor, run_dir = CheckpointStore(f"{roots[place]}/donor"), tmp_path / "child"
    for store, by in ((donor, "donor"), (CheckpointStore(f"{roots[place]}/child"), "child")):
        attempt = store.claim_attempt()
        for iteration in (3, 6):
            save(store, iteration, attempt, by=by)
        store.pin("best_mIoU", "iter_6")
        store.pin("pbt", "iter_3")
    run_dir.mkdir()
    (run_dir / "config.py").write_text(f"checkpoint_store = dict(url='{roots[place]}/child')\n")
    (run_dir / "inherited.jsonl").write_text("")
    take_over(run_dir, {"store": donor.root, "checkpoint": "iter_6"})
    child = CheckpointStore(f"{roots[place]}/child")
    assert [one.name for one in child.list()] == ["iter_6"]
    assert holds_what_was_saved(child.load("last"))
    assert child.load("last").facts["by"] == "donor"
    assert child.pins() == {}, "a best at the same iteration is found again by the validation there"


def test_a_damaged_donor_is_not_taken(tmp_path: Path, sweep: Any) -> None:
    exploits, _, mailbox, _ = sweep
    exploits.exploit("0001", [("0000", 4)])
    damage(CheckpointStore(tmp_path / "trials/0000/checkpoints"), "iter_4/model.safetensors")
    with pytest.raises(CheckpointError, match="is not what was written"):
        take_over(tmp_path / "trials/0001", mailbox.orders["0001"])
    kept = CheckpointStore(tmp_path / "trials/0001/checkpoints")
    assert [one.name for one in kept.list()] == ["iter_2", "iter_4"]


def test_the_mailbox() -> None:
    mailbox = SweepMailbox()
    mailbox.hold("a")
    mailbox.request_takeover("a", {"number": 1})
    assert mailbox.takeover("a") == (True, {"number": 1})
    assert mailbox.takeover("b") == (False, None)
    mailbox.release(["a", "b"])
    mailbox.took_over("a", 1)
    assert mailbox.takeover("a") == (False, None)
    assert mailbox.drain() == [{"event": "took_over", "trial": "a", "number": 1}]
    mailbox.hold("a")
    mailbox.request_stop("Ctrl-C")
    assert mailbox.takeover("a") == (False, None), "who is to stop waits for nobody"


@pytest.fixture
def sweep(tmp_path: Path) -> tuple[Exploits, Standing, Mailbox, list[dict[str, Any]]]:
    """Two trials at iteration 4; the first has better numbers, and a checkpoint of its best from before."""
    posed_problem, standing, mailbox, journal = problem(tmp_path), Standing(), Mailbox(), []

    def note(event: str, **facts: Any) -> None:
        journal.append({"event": event, "time": 0.0, **facts})
        standing.take(journal[-1])

    for number, rate in enumerate((0.05, 0.002)):
        name = f"{number:04d}"
        note("proposed", trial=name, number=number, draw={LR: rate})
        make_trial_dir(posed_problem, tmp_path, name, {LR: rate})
        store = CheckpointStore(tmp_path / "trials" / name / "checkpoints")
        attempt = store.claim_attempt()
        for iteration in (2, 4):
            save(store, iteration, attempt, by=name)
        store.pin("best_mIoU", "iter_2")
        numbers = [{"mode": "train", "iter": at, "epoch": 0, "time": 0.0, "loss": rate} for at in (2, 4, 6)]
        text = "".join(json.dumps(line) + "\n" for line in numbers)
        (tmp_path / "trials" / name / "metrics.jsonl").write_text(text)
        note("result", trial=name, iter=4, values={"mIoU": rate})
    return Exploits(posed_problem, tmp_path, standing, note, mailbox), standing, mailbox, journal  # type: ignore[arg-type]


def test_a_takeover_from_its_decision_to_its_end(tmp_path: Path, sweep: Any) -> None:
    exploits, standing, mailbox, _ = sweep
    donor = CheckpointStore(tmp_path / "trials/0000/checkpoints")
    assert exploits.exploit("0001", [("0000", 4)]) == 4
    rate = standing.trials["0001"].draw[LR]
    assert rate != 0.05
    assert standing.trials["0001"].results == {}
    donor.prune(0, spare_newest=False)
    assert {one.name for one in donor.list()} == {"iter_2", "iter_4"}, "the donor cannot lose it"
    assert json.loads((tmp_path / "lineage.json").read_text()) == {
        "0000": [],
        "0001": [{"iter": 4, "donor": "0000", "checkpoint": "iter_4", "changes": {LR: rate}}],
    }
    config = load_config(tmp_path / "trials/0001/config.py")
    assert config["optim_wrapper"]["optimizer"]["lr"] == 0.05
    assert config["custom_hooks"][-1]["changes"] == [{"iter": 4, "values": {LR: rate}}]
    for _ in range(2):  # what is interrupted is done again
        take_over(tmp_path / "trials/0001", mailbox.orders["0001"])
        store = CheckpointStore(tmp_path / "trials/0001/checkpoints")
        assert [one.files for one in store.list()] == [one.files for one in donor.list()]
        assert store.pins() == {"best_mIoU": "iter_2"}
        text = (tmp_path / "trials/0001/metrics.jsonl").read_text()
        assert [json.loads(line)["loss"] for line in text.splitlines()] == [0.05, 0.05]
    line = {"event": "took_over", "trial": "0001", "number": 1}
    standing.take(line)
    exploits.follow(line)
    assert donor.pins() == {"best_mIoU": "iter_2"}
    assert not (tmp_path / "trials/0001/inherited.jsonl").exists()


def test_what_was_decided_and_not_done_is_asked_for_again(tmp_path: Path, sweep: Any) -> None:
    exploits, _, mailbox, journal = sweep
    exploits.exploit("0001", [("0000", 4)])
    later, again = Mailbox(), Standing(journal)
    make_trial_dir(exploits._problem, tmp_path, "0001", {LR: 0.002})  # killed before the config was there
    Exploits(exploits._problem, tmp_path, again, None, later).go_on()  # type: ignore[arg-type]
    assert later.orders == mailbox.orders
    assert load_config(tmp_path / "trials/0001/config.py")["custom_hooks"][-1]["type"] == "HyperparameterScheduleHook"
    again.take({"event": "took_over", "trial": "0001", "number": 1})
    done = Mailbox()
    Exploits(exploits._problem, tmp_path, again, None, done).go_on()  # type: ignore[arg-type]
    assert done.orders == {}


def test_a_donor_without_its_checkpoint_is_none(sweep: Any) -> None:
    exploits, standing, mailbox, _ = sweep
    assert exploits.exploit("0001", [("0000", 3)]) is None
    assert mailbox.orders == {}
    assert standing.trials["0001"].lineage == []


def test_the_same_seed_gives_the_same_children(sweep: Any) -> None:
    exploits, standing, _, journal = sweep
    count = len(journal)
    exploits.exploit("0001", [("0000", 4)])
    first = journal[count]["changes"]
    standing.trials["0001"].lineage.clear()
    exploits.exploit("0001", [("0000", 4)])
    assert journal[-1]["changes"] == first
    exploits.exploit("0001", [("0000", 4)])
    assert journal[-1]["changes"] != first

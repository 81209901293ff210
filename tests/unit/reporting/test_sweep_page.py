"""The page of a sweep: whole, escaped, self-contained, whatever the directory holds."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rayseg.core.errors import ConfigError
from rayseg.reporting import write_report
from tests.unit.reporting.run_dirs import Page, make_run
from tests.unit.reporting.sweep_dirs import (
    ADAM_LR,
    DIMENSIONS,
    JOURNAL,
    LAUNCH,
    SGD_LR,
    WRAPPER,
    adam,
    make_sweep,
    sgd,
    trial,
)

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;"
MANY = [LAUNCH, *(line for n in range(12) for line in trial(f"{n:04d}", sgd(0.001 * (n + 1)), {20: 0.05 * (n + 1)}))]


def page_of(sweep: Path) -> Page:
    return Page(write_report([sweep]))


def drawn(page: Page) -> dict[str, Any]:
    """What the page's script draws."""
    (text,) = (text for kind, text in page.scripts if kind == "application/json")
    return json.loads(text)


def section(page: Page, heading: str) -> str:
    """The text from a heading of the body on."""
    return page.text[page.text.rindex(heading) :]


def test_a_sweep_in_words(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", runs=["0000"])
    assert write_report([sweep]) == sweep / "report.html"
    text = Page(sweep / "report.html").text
    assert "Finished: 3 trials in 1 min 40 s; 1 ran to the end, 1 stopped early, 1 failed." in text
    best = "The best mIoU is 75.00 %, by trial 0000 at iteration 40, 50.00 points ahead of trial 0001"
    assert f"{best}: optim_wrapper sgd, optimizer.lr 0.02." in text
    assert "Hardware: 1 worker on cpu, Fast CPU, 4 cores." in text
    assert "Trials done 3 of 3, 1 failed" in text
    assert "Iterations 80 44 % of what all trials at full length take" in text
    assert "ASHA (grace_iters=20)" in text


def test_trials_are_listed_best_first_and_those_with_a_report_are_linked(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", runs=["0000", "0001"])
    (sweep / "trials" / "0001" / "report.html").write_text("")
    page = page_of(sweep)
    table = section(page, "Best first.")
    assert table.index("0000") < table.index("0001") < table.index("0002")
    assert "stopped by ASHA at iteration 20" in table
    links = {a["href"] for a in page.all("a") if not a["href"].startswith("#")}
    assert links == {"trials/0001/report.html"}
    assert [trial["href"] for trial in drawn(page)["trials"]] == [None, "trials/0001/report.html", None]


def test_dimensions_of_two_branches_with_one_key_share_an_axis(tmp_path):
    data = drawn(page_of(make_sweep(tmp_path / "sweep")))
    assert [axis["title"] for axis in data["axes"]] == ["optim_wrapper", "optimizer.lr"]
    assert data["axes"][0] == {
        "title": "optim_wrapper", "full": "optim_wrapper", "branches": ["optim_wrapper"], "kind": "option",
        "labels": ["sgd", "adam"],
    }  # fmt: skip
    assert data["axes"][1] == {
        "title": "optimizer.lr", "full": "optim_wrapper.optimizer.lr", "branches": ["sgd", "adam"], "kind": "log",
        "low": 0.0001, "high": 0.1,
    }  # fmt: skip
    rows = {trial["name"]: trial for trial in data["trials"]}
    assert rows["0000"]["values"] == [0, 0.02]
    assert rows["0000"]["branches"] == [0, 0]
    assert rows["0001"]["values"] == [1, 0.002]
    assert rows["0001"]["branches"] == [0, 1]
    assert (rows["0000"]["score"], rows["0000"]["share"], rows["0000"]["at"]) == (75, 1, 40)
    assert (rows["0002"]["score"], rows["0002"]["share"], rows["0002"]["at"]) == (None, None, None)


def test_a_dimension_that_a_trial_has_not_drawn_is_a_gap(tmp_path):
    dimensions = [WRAPPER, SGD_LR, {"name": "optim_wrapper[adam].eps", "key": "optim_wrapper.eps", "kind": "uniform",
                                    "low": 0, "high": 1}]  # fmt: skip
    journal = [LAUNCH, *trial("0000", sgd(0.02), {20: 0.5}),
               *trial("0001", {"optim_wrapper": "adam", "optim_wrapper[adam].eps": 0.5}, {20: 0.4})]  # fmt: skip
    page = page_of(make_sweep(tmp_path / "sweep", journal, space={"dimensions": dimensions}))
    assert [trial["values"] for trial in drawn(page)["trials"]] == [[0, 0.02, None], [1, None, 0.5]]
    assert "its line is dashed and goes through the lane at the bottom" in page.text


def test_scores_over_iterations_and_the_best_so_far_over_the_time_of_the_sweep(tmp_path):
    data = drawn(page_of(make_sweep(tmp_path / "sweep")))
    assert data["curves"]["lines"][0] == {"t": 0, "x": [20, 40, 60], "y": [50, 75, 70]}
    assert data["progress"]["unit"] == "seconds"
    assert data["progress"]["best"] == {"x": [11, 12, 100], "y": [50, 75, 75]}
    assert data["progress"]["dots"] == [{"t": 0, "x": [12], "y": [75]}, {"t": 1, "x": [21], "y": [25]}]


def test_slices_begin_with_the_rates(tmp_path):
    page = page_of(make_sweep(tmp_path / "sweep"))
    assert drawn(page)["slices"] == [1, 0]
    plots = [figure["data-plot"] for figure in page.all("figure")]
    assert plots == ["parallel", "curves", "progress", "slice:1", "slice:0"]


def test_the_best_trial_against_the_rest(tmp_path):
    journal = [*JOURNAL, *trial("0003", sgd(0.04), {20: 0.6}), *trial("0004", sgd(0.0999), {20: 0.8})]
    text = section(page_of(make_sweep(tmp_path / "sweep", journal)), "Best trial against the rest")
    assert "optim_wrapper sgd sgd sgd adam 2 × sgd, 1 × adam" in text
    assert "optim_wrapper.optimizer.lr 0.0999 0.02 0.04 0.002 median 0.03, 0.02 to 0.04; 1 without" in text
    assert "near the high end of its range, 0.1" in text


def test_failures_and_their_reasons(tmp_path):
    retried = {"event": "retried", "time": 1015.0, "trial": "0000", "reason": "worker died"}
    journal = [*JOURNAL, retried, *trial("0005", sgd(0.09), {}, "failed", "ValueError: too fast")]
    text = section(page_of(make_sweep(tmp_path / "sweep", journal)), "Failures")
    assert "failed 2 0002, 0005 ValueError: too fast started again 1 0000 worker died" in text


def test_seeds_beside_the_baseline(tmp_path):
    def repeat(of: str, seed: int, score: float, status: str = "finished") -> list[dict[str, Any]]:
        lines = trial(f"{of}_seed{seed}", sgd(0.02), {60: score}, status)
        lines[0] |= {"repeat_of": of, "seed": seed}
        return lines

    repeats = [repeat("baseline", 0, 0.5), repeat("baseline", 1, 0.7), repeat("0000", 0, 0.8), repeat("0000", 1, 0.9)]
    journal = [*JOURNAL, *(line for lines in repeats for line in lines), *repeat("0001", 0, 0.1, "failed")]
    page = page_of(make_sweep(tmp_path / "sweep", journal))
    text = section(page, "Seeds config")
    assert "trial 0000 85.00 % ± 7.07 points +25.00 points 80.00 % 90.00 %" in text
    assert "trial 0001 – – failed –" in text
    assert "baseline 60.00 % ± 14.14 points 50.00 % 70.00 %" in text
    assert [row["name"] for row in drawn(page)["trials"]] == ["0000", "0001", "0002"]
    assert "The best mIoU is 75.00 %" in page.text


def test_seeds_out_of_sweep_json_alone(tmp_path):
    seeds = {"0000": {"values": {"3": 0.8}, "mean": 0.8, "std": None}}
    text = section(page_of(make_sweep(tmp_path / "sweep", seeds=seeds)), "Seeds config")
    assert "seed 3 trial 0000 80.00 % – 80.00 %" in text


def test_lineage_of_population_based_training(tmp_path):
    taken = {"event": "exploited", "time": 1030.0, "trial": "0001", "donor": "0000", "checkpoint": "iter_40",
             "iter": 40, "changes": {"optim_wrapper.optimizer.lr": 0.024}, "draw": sgd(0.024)}  # fmt: skip
    after = {"event": "result", "time": 1031.0, "trial": "0001", "iter": 60, "values": {"mIoU": 0.9}}
    journal = [*trial("0000", sgd(0.02), {20: 0.5, 40: 0.6}), *trial("0001", sgd(0.01), {20: 0.3, 40: 0.95}, "running")]
    page = page_of(make_sweep(tmp_path / "sweep", [LAUNCH, *journal, taken, after]))
    text = section(page, "Lineage The")
    assert "The best trial's model: 0000 (0 to 40) → 0001 (40 to 60)." in text
    assert "30 s 0001 40 0000 optim_wrapper.optimizer.lr 0.024" in text
    assert "The best mIoU is 90.00 %, by trial 0001 at iteration 60" in page.text  # 95 % was another model's
    data = drawn(page)
    assert data["trials"][0]["values"] == [0, 0.024]
    assert data["curves"]["lines"][0] == {"t": 0, "x": [20, 40, 60, 60], "y": [30, 95, None, 90]}


def test_a_metric_of_which_less_is_better(tmp_path):
    journal = [LAUNCH]
    for number, loss in enumerate([0.4, 0.3, 0.5, 0.45, 0.35, 1e9]):
        journal += trial(f"{number:04d}", sgd(0.02), {20: {"loss": loss}})
    page = page_of(make_sweep(tmp_path / "sweep", journal, metric="loss", mode="min"))
    assert "The lowest loss is 0.3000, by trial 0001 at iteration 20, 0.05 below trial 0004" in page.text
    data = drawn(page)
    assert (data["score"]["low"], data["score"]["high"], data["score"]["unit"]) == (0.3, 0.5, "")
    assert [row["share"] for row in data["trials"]] == [1, 0.775, 0.55, 0.325, 0.1, 0]
    assert "1 much worse trial is drawn at the edge of the scale" in page.text


def test_importance_of_what_matters_and_a_note_when_the_trials_are_few(tmp_path):
    text = section(page_of(make_sweep(tmp_path / "many", MANY)), "Importance of each dimension")
    assert "optim_wrapper[sgd].optimizer.lr 100 % 12" in text
    assert "12 trials are few: take this as a hint." in text
    few = section(page_of(make_sweep(tmp_path / "few")), "Importance of each dimension")
    assert "Not computed: 2 trials have a score, it takes 8 or more." in few


@pytest.mark.parametrize(
    ("journal", "facts", "words"),
    [
        (JOURNAL[:7], {"status": "running", "finished": None, "total": 12}, "1 of 12 trials"),
        (JOURNAL, {"status": "interrupted"}, "Interrupted: 3 trials"),
        (
            JOURNAL,
            {"stopping": "the time budget of 60 s is spent"},
            "It proposed no more since the time budget of 60 s",
        ),
        (JOURNAL[-3:], {"status": "failed", "error": "no trial gave a mIoU\nwhy"}, "Error: no trial gave a mIoU"),
        (JOURNAL[:7], {"total": 1}, "Finished: 1 trial in 1 min 40 s; 1 ran to the end. The best mIoU is 75.00 %"),
        ([LAUNCH], {"status": "running", "finished": None}, "No trial has a mIoU yet."),
    ],
    ids=["running", "interrupted", "time budget", "all failed", "one trial", "before the first"],
)
def test_sweeps_that_did_not_go_as_planned(tmp_path, journal, facts, words):
    assert words in page_of(make_sweep(tmp_path / "sweep", journal, **facts)).text


def test_missing_and_damaged_files_are_notes(tmp_path):
    sweep = make_sweep(tmp_path / "sweep")
    journal = sweep / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b"[1]\n\xff\xfe\n" + b'{"event": "ended", "tr')
    (sweep / "sweep.json").write_text('{"a')
    text = page_of(sweep).text
    assert "journal.jsonl: 3 damaged lines left out" in text
    assert "sweep.json is left out (it is damaged): status, space and versions are not known" in text
    assert "trials are compared by mIoU, since nothing says by what" in text
    assert "The best mIoU is 75.00 %, by trial 0000" in text
    journal.unlink()
    assert "without it no trial is known" in Page(_with_facts(sweep)).text


def _with_facts(sweep: Path) -> Path:
    (sweep / "sweep.json").write_text(json.dumps({"status": "finished", "total": 3}))
    return write_report([sweep])


def test_junk_of_the_right_shape_does_not_end_the_report(tmp_path):
    journal = [
        {"event": "proposed", "trial": ["x"], "draw": 3, "number": "a"},
        {"event": "result", "trial": "['x']", "iter": "a", "values": [1]},
        {"event": "exploited", "trial": "x"},
        {"event": "launch", "time": None},
        {"event": "proposed", "trial": "../../etc", "draw": {"a": {"b": [1]}, "c": [1], "d": None, "e": 1e999}},
        {"event": "result", "trial": "../../etc", "iter": 3, "values": {"mIoU": 0.5}, "time": "x"},
        {"event": "ended", "trial": "../../etc", "status": 3, "iter": {}},
    ]
    facts = {"space": [1], "total": "x", "started": "y", "versions": 3, "searcher": 4, "trials": 1}
    facts |= {"seeds": {"a": {"values": 3}, "b": 4}, "max_iters": 0, "updated": [], "finished": "z", "launched": {}}
    page = page_of(make_sweep(tmp_path / "sweep", journal, **facts))
    assert "by trial ../../etc at iteration 3" in page.text
    assert not [a for a in page.all("a") if not a["href"].startswith("#")]


def evil_sweep(path: Path, word: str) -> Path:
    """A sweep with a word in every place that a sweep can write to."""
    dimensions = [
        {"name": word, "key": word, "kind": "choice", "options": [word, "b"]},
        {"name": f"{word}[{word}].lr", "key": f"{word}.lr", "kind": "uniform", "low": 0, "high": 1},
    ]
    draw = {word: word, f"{word}[{word}].lr": 0.5}
    journal = [LAUNCH, *trial(word, draw, {20: 0.5}, "stopped", word), *trial("0001", draw, {}, "failed", word)]
    journal += [{"event": "retried", "time": 1.0, "trial": "0001", "reason": word}]
    taken = {"trial": word, "donor": word, "iter": 10, "changes": {word: word}}
    journal += [{"event": "exploited", "time": 2.0, **taken}]
    journal += trial("0002", draw, {5: 0.25})
    return make_sweep(
        path, journal, name=word, experiment=word, status=word, error=f"{word}\n{word}", metric="mIoU",
        space={"dimensions": dimensions}, searcher={"type": word}, scheduler={"type": word, word: word}, command=word,
        host=word, versions={word: word}, seeds={word: {"values": {word: 0.5}}},
    )  # fmt: skip


def test_nothing_of_a_sweep_becomes_markup(tmp_path):
    tame, evil = page_of(evil_sweep(tmp_path / "tame", "word")), page_of(evil_sweep(tmp_path / "evil", EVIL))
    assert [name for name, _ in evil.tags if name != "wbr"] == [name for name, _ in tame.tags if name != "wbr"]
    assert len(evil.scripts) == 2
    assert drawn(evil)["axes"][0]["labels"] == [EVIL, "b"]
    assert not [attributes for _, attributes in evil.tags if "onerror" in attributes]


def test_the_page_runs_no_script_but_its_own_and_loads_nothing(tmp_path):
    page = page_of(make_sweep(tmp_path / "sweep"))
    digest = base64.b64encode(hashlib.sha256(page.scripts[1][1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.html
    assert "default-src 'none'" in page.html
    assert not page.all("link")
    assert not [attributes for attributes in page.all("img") if attributes.get("src")]


def test_a_sweep_of_many_trials_is_of_bounded_size(tmp_path):
    journal = [LAUNCH]
    for n in range(700):
        scores = {i: n / 1000 + i / 1e6 for i in range(1, 4 if n % 7 else 120)}
        journal += trial(
            f"{n:04d}", adam(0.0001 + n * 1e-6), scores if n % 5 else {}, "finished" if n % 5 else "failed"
        )
    page = page_of(make_sweep(tmp_path / "sweep", journal, total=700, space={"size": None, "dimensions": DIMENSIONS}))
    data = drawn(page)
    assert len(data["trials"]) == 500
    assert data["trials"][0]["name"] == "0699"
    assert "The best 500 of 700; all of them are in trials.csv." in page.text
    assert len(page.html) < 1_000_000
    assert data["axes"][1]["low"] == ADAM_LR["low"]


def test_a_sweep_is_reported_on_alone(tmp_path):
    sweep, run = make_sweep(tmp_path / "sweep"), make_run(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"sweep: this is a sweep, which is reported on alone.*sweep/trials/0000"):
        write_report([run, sweep])
    assert write_report([sweep, sweep], tmp_path / "out.html") == tmp_path / "out.html"


def test_it_needs_no_ray(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", MANY)
    code = (
        "import sys; from pathlib import Path; from rayseg.reporting import write_report;"
        f"write_report([Path({str(sweep)!r})]); assert not sys.modules.keys() & {{'ray', 'torch', 'rayseg.tuning'}}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)

"""The page of one run: whole, escaped, self-contained, whatever the directory holds."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rayseg.core.errors import ConfigError
from rayseg.reporting import write_report
from rayseg.reporting.page import embedded_json
from rayseg.tracking.files import RecordingError
from tests.unit.reporting.run_dirs import Page, draw, make_run, train, val, write_json

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;"


def page_of(run_dir) -> Page:
    return Page(write_report([run_dir]))


def test_a_run_in_words_numbers_and_curves(tmp_path):
    run = make_run(tmp_path / "run", hardware={"cpu": "Fast CPU", "cores": 4, "gpus": ["G", "G"]})
    assert write_report([run]) == run / "report.html"
    page = Page(run / "report.html")
    assert "Finished after 300 iterations in 3 min 20 s." in page.text
    assert "The best mIoU is 75.00 %, at iteration 200, 3 min 20 s after the start." in page.text
    assert "2 × G, Fast CPU, 4 cores" in page.text
    charts = page.charts()
    assert list(charts) == ["Loss", "Scores", "IoU by class", "Learning rate", "Speed"]
    assert charts["Scores"]["lines"][0] == {"name": "mIoU", "x": [100, 200, 300], "y": [50, 75, 70], "tx": [], "ty": []}
    assert charts["Scores"]["marks"] == [[200, "best"]]
    assert len(page.all("figure")) == len(charts)
    assert "rayseg train a b.py" in page.text


def test_readers_without_scripts_get_the_last_values(tmp_path):
    page = page_of(make_run(tmp_path / "run"))
    tables = re.findall(r"<noscript>(.*?)</noscript>", page.html, re.DOTALL)
    assert len(tables) == len(page.charts())
    assert all(text in tables[1] for text in ("mIoU", "70.00 %", "50.00 %", "75.00 %"))


def test_classes_of_the_best_validation_worst_first(tmp_path):
    text = page_of(make_run(tmp_path / "run")).text
    section = text[text.index("Scores by class") :]
    assert "Validation at iteration 200, the best one; 2 classes, worst first." in section
    assert section.index("land") < section.index("70.00 %") < section.index("water") < section.index("80.00 %")


def test_two_names_of_one_score_are_one_column(tmp_path):
    lines = [val(1, **{f"{score}.{name}": 0.5 for score in ("IoU", "Acc", "Recall") for name in ("land", "water")})]
    page = page_of(make_run(tmp_path / "run", lines, best={}))
    section = page.text[page.text.index("Scores by class") :]
    assert "class IoU Acc = Recall land" in section
    assert section.count("50.00 %") == 4


def test_a_best_score_of_the_last_iteration_and_the_data_by_its_directory(tmp_path):
    data = {"train": {"type": "FolderDataset", "root": "data/marble", "images": 3}}
    page = page_of(make_run(tmp_path / "run", best={"mIoU": {"value": 0.7, "iter": 300}}, data=data))
    assert "The best mIoU is 70.00 %, at the last iteration. Data: marble, 3 images (train)" in page.text


def full_run(path, word: str):
    """A run that has every section, with a word in every place that a run can write to."""
    lines = [
        train(100, **{f"loss_{word}": 1.0, f"lr.{word}": 0.1, word: 3.0}),
        val(100, mIoU=0.5, **{f"IoU.{word}": 0.5}),
    ]
    run = make_run(
        path, lines, f"model = dict(type={word!r})\n", name=word, status=word, error=word, command=word, cwd=word,
        host=word, git={"commit": word, "dirty": True}, versions={word: word}, tracking={word: word}, device=word,
        hardware={"cpu": word, "gpus": [word]},
        data={word: {"name": word, "root": word, "images": 3, "fingerprint": word}},
        config={"file": word, "changed": {"model.type": word}}, warnings=[{"time": 1, "iter": 1, "message": word}],
        attempts=[{"attempt": n, "reason": word, "start_from": word} for n in (1, 2)], times={"data": 9.0, word: 5.0},
        best={word: {"value": 0.5, "iter": 100}},
    )  # fmt: skip
    write_json(run / "confusion/val/iter_100.json", {"classes": [word, word + "2"], "matrix": [[5, 1], [2, 3]]})
    write_json(run / "test/a.json", {"checkpoint": word, "images": 2, "metrics": {"mIoU": 0.5, word: 1.0}})
    (run / "metrics.attempt_1.jsonl").write_text('{"mode": "train", "iter": 120}\n{"mode"')
    draw(run / "visuals/val/iter_100/a & <b>.png")
    draw(run / "visuals/val/iter_100/worst/c.png")
    write_json(run / "visuals/val/iter_100/worst.json", [{"picture": "worst/c.png", "mIoU": 0.41}])
    return run


def test_every_section_and_everything_escaped(tmp_path):
    plain, evil = page_of(full_run(tmp_path / "plain", "word")), page_of(full_run(tmp_path / "evil", EVIL))
    for heading in (
        "Confusions",
        "Pictures",
        "Tests",
        "Where the time went",
        "Warnings",
        "Environment",
        "Data",
        "Config",
    ):
        assert f">{heading}</h" in plain.html
    assert [tag for tag, _ in plain.tags] == [tag for tag, _ in evil.tags]  # no tag came from the run
    assert [sorted(attributes) for _, attributes in plain.tags] == [sorted(attributes) for _, attributes in evil.tags]
    assert len(evil.scripts) == 2
    assert EVIL in evil.text
    assert f"train loss_{EVIL}" in [line["name"] for line in evil.charts()["Loss"]["lines"]]
    assert "alert" not in evil.scripts[1][1]


def test_embedded_json_gives_back_what_went_in():
    value = {"a": [EVIL, "\u2028 <!-- ü 水"]}
    text = embedded_json(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028") & set(text)


def test_the_page_loads_nothing(tmp_path):
    page = page_of(full_run(tmp_path / "run", "http://example.org/x.js"))
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "video", "audio", "source")
        for name in ("src", "href", "srcset", "action", "poster", "data", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/jpeg;base64,"))
        assert "url(" not in attributes.get("style", "")
    assert not re.search(r"@import|url\(|https?:", page.style)
    script = page.scripts[1][1]
    assert not re.search(r"https?:|fetch\(|XMLHttpRequest|import\(|WebSocket", script)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_the_policy_allows_just_this_script(tmp_path):
    import base64
    import hashlib

    page = page_of(make_run(tmp_path / "run"))
    digest = base64.b64encode(hashlib.sha256(page.scripts[1][1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.html


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_a_run_before_its_first_line(tmp_path, status):
    run = make_run(
        tmp_path / "run", [], None, status=status, iter=0, best={}, finished=None, error="ValueError: no images"
    )
    page = page_of(run)
    assert "before the first iteration was recorded" in page.text
    assert "ValueError: no images." in page.text
    assert "No validation has given a score yet." in page.text
    assert page.charts() == {}


def test_restarts_are_told_and_lost_lines_counted(tmp_path):
    attempts = [
        {"attempt": 1, "time": 1000, "reason": "", "start_from": None, "world_size": 2},
        {"attempt": 2, "time": 1100, "reason": "a worker died", "start_from": "iter_100", "world_size": 1},
    ]
    run = make_run(tmp_path / "run", attempts=attempts)
    (run / "metrics.attempt_1.jsonl").write_text("{}\n{}\n{}\ntorn")
    page = page_of(run)
    text = page.text[page.text.index("lines cut back") :]
    assert re.search(r"1 1970-01-01 00:16 UTC 2 the beginning 3 2 1970-01-01 00:18 UTC 1 iter_100 a worker died", text)
    assert page.charts()["Loss"]["marks"] == [[100, "attempt 2"]]


def test_an_error_of_many_lines_is_told_in_one_and_then_whole(tmp_path):
    error = "OSError: no disk\nTraceback (most recent call last):\n  File 'a.py', line 7"
    page = page_of(make_run(tmp_path / "run", status="failed", error=error))
    assert "after the start: OSError: no disk. The best mIoU" in page.text
    assert "Error OSError: no disk Traceback (most recent call last): File 'a.py', line 7 Curves" in page.text


def test_a_run_that_was_gone_on_with_by_hand_lost_no_lines(tmp_path):
    attempts = [
        {"attempt": 1, "time": 1000, "reason": "", "start_from": None, "world_size": 2},
        {"attempt": 2, "time": 1100, "reason": "", "start_from": "iter_100", "world_size": 2},
    ]
    page = page_of(make_run(tmp_path / "run", attempts=attempts))
    assert "2 1970-01-01 00:18 UTC 2 iter_100 resumed by hand No warning." in page.text
    assert "cut back" not in page.text


def test_the_same_warning_once_with_its_count(tmp_path):
    warnings = [{"time": 1, "iter": n, "message": "loss is NaN"} for n in (5, 6, 7)]
    page = page_of(make_run(tmp_path / "run", warnings=warnings))
    assert page.text.count("loss is NaN") == 1
    assert "3 5 · 1970-01-01 00:00 UTC loss is NaN" in page.text


def test_time_that_no_part_accounts_for_is_other(tmp_path):
    page = page_of(make_run(tmp_path / "run", times={"data": 50.0, "forward": 100.0}))
    assert "waiting for data 50 s 25.0 % forward 1 min 40 s 50.0 % other 50 s 25.0 % together 3 min 20 s" in page.text


def test_time_between_launches_is_no_part(tmp_path):
    page = page_of(make_run(tmp_path / "run", times={"data": 50.0, "forward": 50.0}, launched=1150.0))
    assert "forward 50 s 50.0 % together 1 min 40 s" in page.text
    assert " other " not in page.text


def test_what_differs_from_the_base_is_marked(tmp_path):
    changed = {"optim_wrapper.optimizer.lr": "command line"}
    page = page_of(make_run(tmp_path / "run", config={"file": "a.py", "changed": changed}))
    assert "only what differs from the base (1 of 3)" in page.text
    assert "optim_wrapper.optimizer.lr 0.001 command line" in page.text
    assert sum(row.get("class") == "changed" for row in page.all("tr")) == 1


def test_nan_scores_have_no_bar_and_come_last(tmp_path):
    lines = [val(1, mIoU=None, **{"IoU.a": None, "IoU.b": 0.5, "IoU.c": "Infinity"}), val(2, mIoU=math.nan)]
    page = page_of(make_run(tmp_path / "run", lines, best={}))
    section = page.text[page.text.index("Scores by class") :]
    assert section.index(" b ") < section.index(" a ")
    assert not re.search(r"\b(nan|inf)\b", page.text, re.IGNORECASE)


def test_many_classes_and_many_lines_stay_small(tmp_path):
    classes = {f"IoU.c{index}": index / 150 for index in range(150)}
    lines = [train(n, lr=0.1, **{f"lr.g{k}": 0.1 for k in range(20)}) for n in range(1, 5001)]
    run = make_run(tmp_path / "run", [*lines, val(5000, mIoU=0.5, **classes)], best={})
    counts = [[100 if row == column else (row * column) % 7 for column in range(150)] for row in range(150)]
    write_json(run / "confusion/val/iter_5000.json", {"classes": list(classes), "matrix": counts})
    page = page_of(run)
    assert "150 classes, worst first" in page.text
    assert "the 8 worst of 150 classes" in page.text
    assert "8 of 21 parameter groups" in page.text
    assert max(len(line["x"]) for chart in page.charts().values() for line in chart["lines"]) <= 2000
    assert len(page.html) < 1_000_000
    heat = page.html[page.html.index('class="heat many"') :]
    assert heat[: heat.index("</table>")].count("<td") == 20 * 20 + 1


DAMAGE = {
    "run.json": "run.json is damaged",
    "metrics.jsonl": "metrics.jsonl holds no numbers",
    "test/a.json": "test/a.json is left out",
    "confusion/val/iter_100.json": "confusion/val/iter_100.json is left out",
    "visuals/val/iter_100/worst.json": "worst.json of iter_100 is left out",
    "visuals/val/iter_100/worst/c.png": "the picture c.png is left out",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_said(tmp_path, name):
    run = full_run(tmp_path / "run", "word")
    (run / name).write_bytes(b"\xff{\x00[")
    assert DAMAGE[name] in page_of(run).text


@pytest.mark.parametrize(
    "name",
    ["metrics.jsonl", "config.py", "test", "confusion", "visuals", "metrics.attempt_1.jsonl"],
)
def test_a_directory_in_a_files_place_and_a_file_in_a_directorys(tmp_path, name):
    run = full_run(tmp_path / "run", "word")
    path = run / name
    if path.is_dir():
        path.rename(run / "away")
        path.write_text("a file")
    else:
        path.unlink()
        path.mkdir()
    assert "word" in page_of(run).text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
KEYS = (
    "name", "status", "iter", "best", "world_size", "max_iters", "started", "updated", "launched", "versions", "git",
    "command", "tracking", "times", "hardware", "data", "config", "attempts", "warnings", "error", "device",
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8))
def test_any_run_json_makes_a_page(tmp_path, facts):
    run = tmp_path / "run"
    if not run.exists():
        make_run(run)
    (run / "run.json").write_text(json.dumps(facts))
    assert "</html>" in page_of(run).html


def test_directories_that_are_no_runs_are_all_named(tmp_path):
    good = make_run(tmp_path / "runs" / "good")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError) as caught:
        write_report([good, tmp_path / "empty", tmp_path / "absent", tmp_path / "runs"])
    message = str(caught.value)
    assert f"{tmp_path / 'empty'}: no run directory: it has no run.json" in message
    assert f"{tmp_path / 'absent'}: no such directory; expected a run directory" in message
    assert f"it holds run directories, such as {good}" in message
    assert len(caught.value.problems) == 3
    assert not (good / "report.html").exists()
    with pytest.raises(ConfigError, match="no run directory is given"):
        write_report([])


def test_the_old_page_stays_when_a_new_one_cannot_be_written(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run")
    write_report([run])
    before = sorted(os.listdir(run))
    (run / "report.html").write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RecordingError, match="No space left"):
        write_report([run])
    assert (run / "report.html").read_text() == "old"
    assert sorted(os.listdir(run)) == before


def test_a_page_elsewhere_leaves_the_run_as_it_is(tmp_path):
    run = make_run(tmp_path / "run")
    before = sorted(os.listdir(run))
    out = tmp_path / "new" / "page.html"
    assert write_report([run, run], out) == out
    assert "Training run" in Page(out).text
    assert sorted(os.listdir(run)) == before
    with pytest.raises(ConfigError, match="is a directory"):
        write_report([run], tmp_path)


def test_the_room_is_cheap_to_import():
    code = "import sys, rayseg.reporting; print(sorted({'jinja2', 'PIL', 'numpy', 'torch'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"

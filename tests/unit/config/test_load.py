# ruff: noqa: C408, E501 (tables of configs, written as configs are)
from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from rayseg.config import load_config
from rayseg.core.errors import ConfigError
from rayseg.search import choice, loguniform

from tests.unit.config.conftest import Write  # isort: skip


def test_bases_merge_in_order_and_children_win(write: Write) -> None:
    path = write(
        {
            "_base_/model.py": "model = dict(type='Segmentor', net=dict(type='Net', depth=1), loss=[1, 2])",
            "_base_/more.yaml": "model: {net: {height: 2}}\nresume: true",
            "mid.py": "_base_ = ['_base_/model.py', '_base_/more.yaml']\nmodel = dict(net=dict(width=3.0))",
            "sub/leaf.py": "_base_ = '../mid.py'\nmodel = dict(loss=[3])\nload_from = 'x.pth'",
        }
    )
    config = load_config(path)
    assert config == {
        "model": {"type": "Segmentor", "net": {"type": "Net", "depth": 1, "height": 2, "width": 3.0}, "loss": [3]},
        "resume": True,
        "load_from": "x.pth",
    }
    assert config.filename == Path("sub/leaf.py").absolute()
    origins = {key: config.origin(f"model.{key}") for key in ("type", "net.type", "net.height", "net.width", "loss.0")}
    assert origins == {
        "type": "_base_/model.py",
        "net.type": "_base_/model.py",
        "net.height": "_base_/more.yaml",
        "net.width": "mid.py",
        "loss.0": "sub/leaf.py",
    }


def test_delete_replaces_and_is_dropped_everywhere(write: Write) -> None:
    path = write(
        {
            "base.py": "model = dict(net=dict(type='A', x=1))",
            "child.py": (
                "_base_ = 'base.py'\n"
                "model = dict(net=dict(_delete_=True, type='B'), new=dict(_delete_=True, y=[dict(_delete_=True)]))"
            ),
        }
    )
    assert load_config(path).model == {"net": {"type": "B"}, "new": {"y": [{}]}}
    assert load_config(path).origin("model.net.type") == "child.py"


def test_dict_replaces_what_is_no_dict(write: Write) -> None:
    path = write(
        {
            "base.py": "from rayseg.search import choice\ntrackers = dict(wandb=None, a=choice([1]))",
            "child.py": "_base_ = 'base.py'\ntrackers = dict(wandb=dict(type='W'), a=dict(b=1))",
        }
    )
    assert load_config(path).trackers == {"wandb": {"type": "W"}, "a": {"b": 1}}


def test_references_to_the_base(write: Write) -> None:
    path = write(
        {
            "base.py": "crop = (4, 8)\nmodel = dict(net=dict(depth=3, names=['a', 'b']))\nn = 5\nwork_dir = 'w'",
            "child.py": (
                "_base_ = 'base.py'\n"
                "size = _base_.crop\n"
                "custom_hooks = [dict(a={{_base_.crop}}, b='{{_base_.model.net}}', c='x{{ _base_.n }}y{{_base_.work_dir}}')]\n"
                "trackers = dict(names='{{_base_.model.net.names.1}}', size=size, deep=_base_.model.net.depth + 1,\n"
                "    length=len('{{_base_.work_dir}}'))\n"
            ),
            "grandchild.yaml": (
                "_base_: child.py\nload_from: 'a/{{_base_.n}}'\nvisualizer: {crop: {{_base_.crop}}, d: ['{{_base_.trackers.deep}}']}"
            ),
        }
    )
    config = load_config(path)
    assert config.custom_hooks == [dict(a=(4, 8), b=dict(depth=3, names=["a", "b"]), c="x5yw")]
    assert config.trackers == dict(names="b", size=(4, 8), deep=4, length=1)
    assert config.load_from == "a/5"
    assert config.visualizer == dict(crop=(4, 8), d=[4])


def test_edits_of_the_child_do_not_reach_the_base(write: Write) -> None:
    path = write(
        {
            "base.py": "hooks = [dict(a=1)]\ncustom_hooks = hooks\nmodel = dict(net=dict(depth=1))",
            "child.py": (
                "_base_ = 'base.py'\n"
                "mine = _base_.hooks\n"
                "mine[0]['a'] = 2\n"
                "mine.append(3)\n"
                "net = _base_.model\n"
                "net['net']['depth'] = 9\n"
                "trackers = dict(mine=mine, again=_base_.hooks)"
            ),
        }
    )
    config = load_config(path)
    assert config.custom_hooks == [dict(a=1)]
    assert config.model.net.depth == 1
    assert config.trackers == dict(mine=[dict(a=2), 3], again=[dict(a=1)])


EDIT = "a.py:2: {!r} would change a copy of the base's value and be lost; write hooks = _base_.hooks first, and change hooks"


@pytest.mark.parametrize(
    "edit",
    [
        "_base_.hooks[0] = 1",
        "_base_.hooks[0]['a'] += 1",
        "del _base_['hooks'][0]",
        "_base_.hooks[0].a = 2",
        "_base_.hooks.append(3)",
    ],
)
def test_edits_that_would_be_lost(write: Write, edit: str) -> None:
    path = write({"base.py": "hooks = [dict(a=1)]", "a.py": f"_base_ = 'base.py'\n{edit}"})
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value) == EDIT.format(edit)


def test_variables_of_the_environment(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYSEG_ROOT", "/data")
    monkeypatch.setenv("RAYSEG_EMPTY", "")
    text = (
        "work_dir = '{{$RAYSEG_ROOT:/default}}/runs'\nload_from = '{{ $RAYSEG_UNSET:a/b:c }}'\n"
        "train_cfg = dict(max_iters={{'$RAYSEG_ITERS:80'}}, val_interval={{$RAYSEG_EMPTY:5}})"
    )
    config = load_config(write({"a.py": text, "b.yaml": "_base_: a.py\nlauncher: '{{$RAYSEG_ROOT:x}}'"}))
    assert config == dict(
        work_dir="/data/runs", load_from="a/b:c", train_cfg=dict(max_iters=80, val_interval=5), launcher="/data"
    )


def test_predefined_variables(write: Write, tmp_path: Path) -> None:
    text = "work_dir = '{{ fileDirname }}/runs/{{fileBasenameNoExtension}}'\nload_from = f'{{ fileBasename }}{{fileExtname}}'"
    config = load_config(
        write({"_base_/a.py": text, "b.yaml": "_base_: '{{ fileDirname }}/_base_/a.py'\nlauncher: {{ fileExtname }}"})
    )
    assert config == dict(work_dir=f"{tmp_path}/_base_/runs/a", load_from="a.py.py", launcher=".yaml")


def test_helpers_and_imports_are_dropped(write: Write) -> None:
    path = write(
        {
            "my_helpers.py": "WIDTH = 7\ndef f(): return 3\nclass Tune: pass",
            "a.py": (
                "import os\nimport os.path as model\nfrom my_helpers import f, WIDTH, Tune as tune\nfrom pathlib import Path\n"
                "norm_cfg = dict(type='BN')\noptimizer = dict(type='SGD')\n_private = 1\n"
                "custom_hooks = [dict(x=f() + i) for i in range(2)]\nwork_dir = Path('w') / 'x'\n"
                "launcher = os.path.basename('a/b')"
            ),
        }
    )
    config = load_config(path)
    assert config == dict(custom_hooks=[dict(x=3), dict(x=4)], work_dir="w/x", launcher="b")
    assert config.provenance.problems == ()


def test_numbers_of_numpy_become_plain(write: Write) -> None:
    config = load_config(write({"a.py": "import numpy as np\ntrackers = dict(a=np.float64(0.5), b=np.int64(3))"}))
    assert [type(value) for value in config.trackers.values()] == [float, int]


def test_sys_path_is_put_back(write: Write) -> None:
    import sys

    before = list(sys.path)
    load_config(write({"a.py": "resume = False"}))
    assert sys.path == before


@pytest.mark.parametrize(
    ("helper", "section"),
    [
        ("modle = dict(a=1)", "model"),
        ("optim_wraper = dict(a=1)", "optim_wrapper"),
        ("custom_hook = [1]", "custom_hooks"),
        ("tuned = dict()", "tune"),
        ("modle = 1", None),
        ("models_cfg = dict(a=1)", None),
        ("crop_size = [4, 4]", None),
    ],
)
def test_a_helper_one_letter_from_a_section(write: Write, helper: str, section: str | None) -> None:
    problems = load_config(write({"a.py": helper})).provenance.problems
    name = helper.partition(" ")[0]
    expected = [f"a.py: {name}: no such section; did you mean {section!r}?"] if section else []
    assert [str(problem) for problem in problems] == expected


def test_a_section_of_older_mm_is_no_helper(write: Write) -> None:
    config = load_config(write({"a.py": "lr_config = dict(policy='poly')\nrunner = 3\nmax_iters = runner"}))
    assert [str(problem) for problem in config.provenance.problems] == [
        f"{config.provenance.name}: lr_config: no such section; say param_scheduler"
    ]


@pytest.mark.parametrize(("use", "reported"), [("", True), ("scaling = dict(num_workers=num_workers)", False)])
def test_a_num_workers_that_nobody_reads(write: Write, use: str, reported: bool) -> None:
    config = load_config(
        write({"base.py": "num_workers = 4", "a.py": f"_base_ = 'base.py'\n{use.replace('=num', '=_base_.num')}"})
    )
    assert bool(config.provenance.problems) == reported


YAML = """
model:
  type: Segmentor
  net: {type: Net, depth: 2}
optim_wrapper:
  optimizer: {type: SGD, lr: 1e-4, betas: [.9, 1e0], eps: 1.0e-8, weight_decay: {$search: loguniform, low: 1e-5, high: 1E-2}}
  constructor: {$search: choice, options: {a: {x: 1}, b: {x: {$search: choice, options: [1, 2]}}}}
randomness: {deterministic: no, seed: 010}
work_dir: 2024-01-01
trackers: {wandb: null, a: true, b: .inf}
"""


def test_yaml(write: Write) -> None:
    config = load_config(write({"a.yml": YAML}))
    assert config.optim_wrapper.optimizer == dict(
        type="SGD", lr=1e-4, betas=[0.9, 1.0], eps=1e-8, weight_decay=loguniform(1e-5, 1e-2)
    )
    assert type(config.optim_wrapper.optimizer.lr) is float
    assert config.optim_wrapper.constructor == choice(a=dict(x=1), b=dict(x=choice([1, 2])))
    assert config.randomness == dict(deterministic="no", seed=10)
    assert config.work_dir == "2024-01-01"
    assert config.trackers == dict(wandb=None, a=True, b=math.inf)


def test_json_says_what_python_says(write: Write) -> None:
    tree: dict[str, Any] = dict(
        _base_=["base.json"],
        model=dict(net=dict(_delete_=True, type="N", lr={"$search": "uniform", "low": 0, "high": 1})),
    )
    path = write({"base.json": '{"model": {"net": {"x": 1}, "type": "S"}}', "a.json": json.dumps(tree)})
    write({"a.py": "from rayseg.search import uniform\nmodel = dict(type='S', net=dict(type='N', lr=uniform(0, 1)))"})
    assert load_config(path) == load_config("a.py")


def test_unknown_sections_of_yaml_are_kept_for_the_checker(write: Write) -> None:
    assert load_config(write({"a.yaml": "modle: {a: 1}"})) == {"modle": {"a": 1}}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": ""}, "a.txt: expected a file that ends in .py, .yaml, .yml, .json"),
        ({"a.py": "_base_ = 'b.py'"}, "a.py: _base_: no such file: b.py"),
        ({"sub/a.py": "_base_ = '../x/b.py'"}, "sub/a.py: _base_: no such file: x/b.py"),
        ({"a.py": "x = 1\nmodel = dict(\n"}, "a.py:2: syntax error: '(' was never closed"),
        ({"a.py": "x = 1\n\ny = 1 / 0"}, "a.py:3: ZeroDivisionError: division by zero"),
        ({"b.py": "def f():\n  raise OSError('x')", "a.py": "from b import f\n\nf()"}, "a.py:3: OSError: x"),
        ({"a.py": "import sys\nsys.exit(3)"}, "a.py:2: SystemExit: 3"),
        ({"a.py": "import missing_module"}, "a.py:1: ModuleNotFoundError: No module named 'missing_module'"),
        ({"a.py": "_base_ = [x]"}, "a.py:1: _base_ must be a file name or a list of them, found [x]"),
        ({"a.py": "\n_base_ = 3"}, "a.py:2: _base_ must be a file name or a list of them, found 3"),
        ({"a.yaml": "_base_: 3"}, "a.yaml: _base_: expected a file name or a list of them (not a file name or a list of them)"),
        ({"b.py": "model = 1", "a.py": "_base_ = 'b.py'\n\nx = _base_.modle"}, "a.py:3: AttributeError: _base_ has no 'modle'; did you mean 'model'?"),
        ({"b.py": "model = dict(net=1)", "a.py": "_base_ = 'b.py'\nx = '{{_base_.model.nett}}'"}, "a.py:2: _base_.model.nett: model has no 'nett'; did you mean 'net'?"),
        ({"b.py": "model = dict(net=1)", "a.py": "_base_ = 'b.py'\nx = 'a{{_base_.model}}'"}, "a.py:2: _base_.model is a dict and cannot stand inside a text"),
        ({"b.py": "model = [1]", "a.yaml": "_base_: b.py\nresume: '{{_base_.model.1}}'"}, "a.yaml: resume: _base_.model.1: model has 1 items and no '1'"),
        ({"b.py": "model = dict(net=1)", "a.py": "_base_ = 'b.py'\n_base_.model.net = 2"}, "a.py:2: '_base_.model.net = 2' would change a copy of the base's value and be lost; write model = _base_.model first, and change model"),
        ({"b.py": "model = dict(net=1)", "a.py": "_base_ = 'b.py'\n_base_.model = 2"}, "a.py:2: '_base_.model = 2' would change a copy of the base's value and be lost; write model = _base_.model first, and change model"),
        ({"a.py": "from rayseg.search import uniform\nx = 1\nlr = uniform(2, 1)"}, "a.py:3: uniform(2, 1): low must be below high"),
        ({"a.yaml": "model: {lr: {$search: uniform, low: 2, high: 1}}"}, "a.yaml: model: uniform(2, 1): low must be below high"),
        ({"a.yaml": "a: 1\nb: [1\nc: 2"}, "a.yaml:3: YAML: expected ',' or ']', but got ':'"),
        ({"a.yaml": "model: 1\nresume: 2\nmodel: 3"}, "a.yaml:3: YAML: key 'model' is given twice"),
        ({"a.yaml": "- 1"}, "a.yaml: expected a mapping of sections, found list"),
        ({"a.yaml": "a: !!python/object/apply:os.getcwd []"}, "a.yaml:1: YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.getcwd'"),
        ({"a.json": '{\n"a": 1,}'}, "a.json:2: JSON: Expecting property name enclosed in double quotes"),
        ({"a.json": '{"a": 1, "a": 2}'}, "a.json: key 'a' is given twice"),
        ({"a.py": "x = '{{$DATA}}'"}, "a.py: found {{$DATA}}; write {{$DATA:default}}, or '${env:DATA}' for a secret"),
        ({"a.py": "x = '{{$RAYSEG_UNSET:}}/y'"}, "a.py: found {{$RAYSEG_UNSET:}}; the environment variable RAYSEG_UNSET is not set, and there is no default"),
        ({"a.py": "x = '{{ fileDirnam }}'"}, "a.py: found {{ fileDirnam }}; there are fileDirname, fileBasename, fileBasenameNoExtension, fileExtname; did you mean 'fileDirname'?"),
        ({"a.py": "_base_ = 'mmseg::x/y.py'"}, "a.py: _base_: 'mmseg::x/y.py' names a file of an installed package, which is not read; copy it and name the copy"),
        ({"a.py": "from mmengine.config import read_base"}, "a.py:1: MM's lazy style (read_base) is not read; name the base files in _base_ = [...] instead"),
    ],
)  # fmt: skip
def test_bad_files(write: Write, files: dict[str, str], message: str) -> None:
    path = write(files)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value) == message


def test_missing_file(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"^missing\.py: no such file$"):
        load_config("missing.py")


def test_cyclic_bases(write: Write, tmp_path: Path) -> None:
    path = write({"b.py": "_base_ = 'a.py'", "a.py": "_base_ = 'b.py'"})
    with pytest.raises(ConfigError) as error:
        load_config(path)
    a, b = tmp_path / "a.py", tmp_path / "b.py"
    assert str(error.value) == f"a.py: _base_: the file is based on itself: {a} -> {b} -> {a}"


def test_a_base_that_two_files_share_is_no_cycle(write: Write) -> None:
    path = write(
        {
            "common.py": "resume = True",
            "b.py": "_base_ = 'common.py'\nlauncher = 'b'",
            "c.py": "_base_ = 'common.py'",
            "a.py": "_base_ = ['b.py', 'c.py']",
        }
    )
    assert load_config(path) == dict(resume=True, launcher="b")


def test_two_bases_that_set_a_key_differently(write: Write) -> None:
    path = write(
        {
            "b.py": "model = dict(type='A', net=dict(depth=1), loss=[1])\nresume = True",
            "c.yaml": "model: {type: A, net: 3, loss: [2]}\nresume: true",
            "d.py": "_base_ = ['b.py', 'c.yaml']\nmodel = dict(net=1)",
        }
    )
    with pytest.raises(ConfigError) as error:
        load_config(path)
    advice = "; take it out of one of them, or let one be based on the other"
    assert str(error.value).splitlines() == [
        f"d.py: model.net: two bases set it, b.py to dict(depth=1) and c.yaml to 3{advice}",
        f"d.py: model.loss: two bases set it, b.py to [1] and c.yaml to [2]{advice}",
    ]


def test_a_base_that_undoes_what_another_changed(write: Write) -> None:
    path = write(
        {
            "common.py": "resume = True\ntrain_cfg = dict(max_iters=1)",
            "b.py": "_base_ = 'common.py'\nresume = False",
            "c.py": "_base_ = 'common.py'\nlauncher = 'c'",
            "a.py": "_base_ = ['b.py', 'c.py']",
        }
    )
    with pytest.raises(ConfigError, match=r"^a\.py: resume: two bases set it, b\.py to False and common\.py to True; "):
        load_config(path)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("crop = (3, 3)\nload_from = str(crop)", None),
        ("load_from = _base_.norm['type']", None),
        ("load_from = str(_base_.crop)", "a.py:2: _base_.crop: two bases set it to different values, b.py and c.py"),
        (
            "x = 1\nload_from = '{{_base_.crop.0}}'",
            "a.py:3: _base_.crop: two bases set it to different values, b.py and c.py",
        ),
    ],
)
def test_a_helper_of_two_bases(write: Write, use: str, message: str | None) -> None:
    helpers = "crop = ({0}, {0})\nnorm = dict(type='BN')\nwork_dir = 'w'"
    path = write({"b.py": helpers.format(1), "c.py": helpers.format(2), "a.py": f"_base_ = ['b.py', 'c.py']\n{use}"})
    if message is None:
        assert load_config(path).load_from in ("(3, 3)", "BN")
        return
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value) == message


def test_an_empty_file_is_an_empty_config(write: Write) -> None:
    assert load_config(write({"a.py": ""})) == {} == load_config(write({"a.yaml": "# nothing"}))

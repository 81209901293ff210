"""check_config: everything that can be known to be wrong before anything is built, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rayseg.config.checker import Checker
from rayseg.config.complete import completed_for_check
from rayseg.config.config import Config
from rayseg.config.describe import shown
from rayseg.config.imports import config_import_path, import_custom
from rayseg.config.overrides import apply_overrides
from rayseg.config.search import Choice
from rayseg.config.secrets import literal_secrets
from rayseg.config.sections import SECTIONS, unknown_section
from rayseg.config.tree import parents
from rayseg.core.errors import ConfigError, Problem, did_you_mean

TRAINING_SECTIONS = ("model", "train_dataloader", "train_cfg", "optim_wrapper")


def check_config(config: Config, needs: Iterable[str] = TRAINING_SECTIONS) -> list[str]:
    """Check a config against the signatures of the components it names; completed or not makes no difference.

    The libraries and modules that the config names are imported.

    Args:
        config: what to check.
        needs: sections that must be there.

    Returns:
        Lines for ``--dry-run``: sections that mean nothing here, arguments that only a ``**kwargs`` takes.

    Raises:
        ConfigError: with every problem.
    """
    config = completed_for_check(config)
    problems = [*config.provenance.problems, *literal_secrets(config, config.origin)]
    problems += [unknown_section(name, config.origin(name)) for name in config if name not in SECTIONS]
    with config_import_path(config):
        notes, failed_imports = _import_custom(config)
        checker = _check_sections(config, SECTIONS)
        _check_variants(config, checker)
    problems += failed_imports + checker.problems + _check_evaluation(config)
    problems += [
        Problem("the section is missing", name, config.origin(name)) for name in needs if config.get(name) is None
    ]
    problems = _without_echoes(problems, config.provenance.inherited)
    if problems := _once(problems, config.provenance.inherited):
        raise ConfigError(problems)
    return list(dict.fromkeys(notes + checker.notes))


def _import_custom(config: Config) -> tuple[list[str], list[Problem]]:
    checker = Checker(config.origin)
    section = config.get("custom_imports")
    if section is not None:
        checker.value(section, SECTIONS["custom_imports"].annotation, "custom_imports")
    if checker.problems:
        return [], []
    try:
        return import_custom(config), []
    except ConfigError as error:
        return [], list(error.problems)


def _check_sections(config: Config, names: Iterable[str]) -> Checker:
    checker = Checker(config.origin)
    for name in names:
        if config.get(name) is None:
            continue
        section = SECTIONS[name]
        checker.value(config[name], section.annotation, name)
        if section.note:
            checker.notes.append(f"{name}: {section.note}")
    return checker


def _check_variants(config: Config, checker: Checker) -> None:
    """Apply each branch of each variant, and note what is wrong then and was not before."""
    variants = config.get("variants")
    for name, variant in variants.items() if isinstance(variants, Mapping) else ():
        if not isinstance(variant, Choice) or not all(isinstance(option, Mapping) for option in variant.options):
            message = f"expected choice(...) over dicts of dotted keys, found {shown(variant)}"
            checker.problem(message, f"variants.{name}")
            continue
        for label, branch in variant.branches():
            _check_branch(config, checker, f"variants.{name}[{label}]", branch)


def _check_branch(config: Config, checker: Checker, path: str, branch: Mapping[str, Any]) -> None:
    touched = {str(key).partition(".")[0]: key for key in branch}
    for section in [section for section in touched if section not in SECTIONS]:
        checker.problem(f"no such section {section!r}{did_you_mean(section, SECTIONS)}", f"{path}.{touched[section]}")
    try:
        tree = apply_overrides(config, {str(key): value for key, value in branch.items()}, {})
    except ConfigError as error:
        for problem in error.problems:
            checker.problem(problem.message, f"{path}.{problem.key}")
        return
    known = {(problem.key, problem.message) for problem in checker.problems}
    varied = _check_sections(Config(tree, config.provenance), [name for name in touched if name in SECTIONS])
    for problem in varied.problems:
        if (problem.key, problem.message) not in known:
            checker.problem(f"{problem.key}: {problem.message}", path, config.origin("variants"))


def _check_evaluation(config: Config) -> list[Problem]:
    """A data loader for evaluation needs a loop and a metric."""
    problems = []
    for mode in ("val", "test"):
        if config.get(f"{mode}_dataloader") is None:
            continue
        for name in (f"{mode}_cfg", f"{mode}_evaluator"):
            if config.get(name) is None:
                message = f"None beside a {mode}_dataloader; set {mode}_dataloader=None to leave it out"
                problems.append(Problem(message, name, config.origin(name)))
    return problems


def _without_echoes(problems: list[Problem], inherited: Mapping[str, str]) -> list[Problem]:
    """The problems without those that another one brings about.

    That is "no type" of a data set that would have it from training's, if that were right, and whatever is wrong with
    a tracker that stands for a backend of MM's, if that is wrong itself.
    """
    keys = {problem.key for problem in problems}
    is_training_wrong = bool({"train_dataloader", "train_dataloader.dataset"} & keys)
    heirs = ("val_dataloader.dataset", "test_dataloader.dataset") if is_training_wrong else ()
    backends = tuple(
        path for path, source in inherited.items() if path.startswith("trackers.") and _any_below(source, keys)
    )
    return [
        problem
        for problem in problems
        if (problem.key not in heirs or "needs a 'type'" not in problem.message)
        and not any(path in backends for path in parents(problem.key))
    ]


def _any_below(path: str, keys: Iterable[str]) -> bool:
    return any(path in parents(key) for key in keys)


def _once(problems: list[Problem], inherited: Mapping[str, str]) -> list[Problem]:
    """The problems without those of a value that is taken over from where the same problem is reported."""
    known = {(problem.key, problem.message) for problem in problems}
    return [
        problem
        for problem in dict.fromkeys(problems)
        if (source := _source_of(problem.key, inherited)) is None or (source, problem.message) not in known
    ]


def _source_of(key: str, inherited: Mapping[str, str]) -> str | None:
    """Where the value at ``key``, or the type of the component there, is taken over from."""
    for path in parents(key):
        if path in inherited:
            return inherited[path] + key[len(path) :]
    return inherited[f"{key}.type"].removesuffix(".type") if f"{key}.type" in inherited else None

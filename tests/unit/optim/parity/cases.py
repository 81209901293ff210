"""The cases of the parity data: plain data, read by make_expected.py."""

from __future__ import annotations

from typing import Any

SGD_GROUPS = [{}, {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.04}]
SGD = {"optimizer": "SGD", "groups": SGD_GROUPS, "defaults": {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.01}}
ADAMW_GROUPS = [{}, {"lr": 1e-4, "betas": [0.8, 0.99]}]
ADAMW = {"optimizer": "AdamW", "groups": ADAMW_GROUPS, "defaults": {"lr": 1e-3, "betas": [0.9, 0.999]}}
PEAKS = [0.5, 5.0]

SHAPES: dict[str, dict[str, Any]] = {
    "constant": {"type": "Constant", "factor": 0.2},
    "linear": {"type": "Linear", "start_factor": 0.1},
    "linear_down": {"type": "Linear", "start_factor": 0.75, "end_factor": 0.25},
    "exponential": {"type": "Exponential", "gamma": 0.9},
    "step": {"type": "Step", "step_size": 3, "gamma": 0.5},
    "multistep": {"type": "MultiStep", "milestones": [2, 5, 5, 7], "gamma": 0.5},
    "poly": {"type": "Poly", "power": 0.9},
    "poly_min": {"type": "Poly", "power": 2.0, "eta_min": 0.02},
    "cosine": {"type": "CosineAnnealing"},
    "cosine_min": {"type": "CosineAnnealing", "eta_min": 0.001},
    "cosine_t_max": {"type": "CosineAnnealing", "T_max": 4, "eta_min_ratio": 0.1},
    "restart": {"type": "CosineRestart", "periods": [3, 4], "restart_weights": [1.0, 0.5], "eta_min": 0.001},
    "restart_ratio": {"type": "CosineRestart", "periods": [2, 2], "restart_weights": [1.0, 0.25], "eta_min_ratio": 0.1},
    "one_cycle": {"type": "OneCycle", "eta_max": PEAKS},
    "one_cycle_linear": {"type": "OneCycle", "eta_max": PEAKS, "anneal_strategy": "linear", "pct_start": 0.5},
    "one_cycle_phases": {"type": "OneCycle", "eta_max": PEAKS, "three_phase": True, "div_factor": 10.0},
}
WINDOWS: dict[str, dict[str, Any]] = {
    "whole": {"by_epoch": False},
    "window": {"by_epoch": False, "begin": 5, "end": 14},
    "late": {"by_epoch": False, "begin": 17},
    "epochs": {"by_epoch": True},
    "epochs_window": {"by_epoch": True, "begin": 2, "end": 7},
    "converted": {"by_epoch": True, "convert_to_iter_based": True},
    "converted_window": {"by_epoch": True, "convert_to_iter_based": True, "begin": 1, "end": 6},
}


def schedule(*configs: dict[str, Any], like: dict[str, Any] = SGD, **options: Any) -> dict[str, Any]:
    """A case: 24 iterations in epochs of 3."""
    case = {"iters": 24, "epoch_length": 3, "by_epoch_loop": True, "param_name": "lr", "metrics": [], **like}
    return {**case, "param_scheduler": list(configs), **options}


def each_alone() -> dict[str, dict[str, Any]]:
    cases = {}
    for name, shape in SHAPES.items():
        for window, limits in WINDOWS.items():
            if not (name.startswith("one_cycle") and window == "late"):
                config = {**shape, "type": f"{shape['type']}LR", **limits}
                cases[f"lr/{name}/{window}"] = schedule(config)
        if name.startswith("one_cycle"):
            continue
        for window in ("whole", "window", "epochs", "converted_window"):
            config = {**shape, "type": f"{shape['type']}Momentum", **WINDOWS[window]}
            cases[f"momentum/{name}/{window}"] = schedule(config, param_name="momentum")
            cases[f"betas/{name}/{window}"] = schedule(config, param_name="momentum", like=ADAMW)
        for param in ("lr", "momentum", "weight_decay"):
            config = {**shape, "type": f"{shape['type']}ParamScheduler", "param_name": param, **WINDOWS["window"]}
            cases[f"named/{param}/{name}"] = schedule(config, param_name=param)
    return cases


WARM_UP = {"type": "LinearLR", "start_factor": 1e-3, "by_epoch": False, "begin": 0, "end": 8}
CHAINS: dict[str, dict[str, Any]] = {
    "mmseg_vit": schedule(
        WARM_UP, {"type": "PolyLR", "power": 1.0, "eta_min": 0, "by_epoch": False, "begin": 8, "end": 24}
    ),
    "mmseg_poly_min": schedule(
        WARM_UP, {"type": "PolyLR", "power": 0.9, "eta_min": 1e-4, "by_epoch": False, "begin": 8, "end": 22}
    ),
    "mmdet_1x": schedule(
        WARM_UP, {"type": "MultiStepLR", "milestones": [4, 6], "by_epoch": True, "begin": 0, "end": 8}
    ),
    "mmpretrain": schedule(
        {"type": "LinearLR", "start_factor": 1e-3, "by_epoch": True, "end": 2, "convert_to_iter_based": True},
        {"type": "CosineAnnealingLR", "T_max": 6, "eta_min": 1e-5, "by_epoch": True, "begin": 2, "end": 8},
    ),
    "overlap_cosine": schedule(WARM_UP, {"type": "CosineAnnealingLR", "by_epoch": False, "begin": 0, "end": 24}),
    "overlap_steps": schedule(
        {"type": "ExponentialLR", "gamma": 0.95, "by_epoch": False, "begin": 3, "end": 20},
        {"type": "StepLR", "step_size": 4, "gamma": 0.5, "by_epoch": False, "begin": 6, "end": 18},
        {"type": "ConstantLR", "factor": 0.5, "by_epoch": False, "begin": 8, "end": 14},
    ),
    "gap": schedule(
        WARM_UP,
        {"type": "PolyLR", "by_epoch": False, "begin": 10, "end": 15, "eta_min": 1e-3},
        {"type": "CosineAnnealingLR", "by_epoch": False, "begin": 18, "end": 24},
    ),
    "iterations_and_epochs": schedule(
        {"type": "LinearLR", "start_factor": 0.5, "by_epoch": False, "end": 8},
        {"type": "ExponentialLR", "gamma": 0.8, "by_epoch": True},
        {"type": "PolyLR", "power": 0.9, "by_epoch": False, "begin": 12},
    ),
    "lr_and_momentum": schedule(
        {"type": "CosineAnnealingLR", "by_epoch": False},
        {"type": "LinearMomentum", "start_factor": 0.5, "by_epoch": False, "end": 12},
        {"type": "CosineAnnealingMomentum", "by_epoch": False, "begin": 12, "eta_min": 0.85},
        param_name="momentum",
    ),
    "iteration_loop": schedule(
        WARM_UP, {"type": "PolyLR", "power": 0.9, "by_epoch": False, "begin": 8}, by_epoch_loop=False
    ),
}

METRICS = [0.1, 0.2, 0.2, 0.15, 0.2, 0.3, 0.3, 0.3]
PLATEAU = {"type": "ReduceOnPlateauLR", "monitor": "mIoU", "rule": "greater", "patience": 0, "by_epoch": True}
PLATEAUS: dict[str, dict[str, Any]] = {
    "greater": PLATEAU,
    "less": {**PLATEAU, "rule": "less"},
    "patient": {**PLATEAU, "patience": 1, "factor": 0.5},
    "cooldown": {**PLATEAU, "factor": 0.5, "cooldown": 2},
    "absolute": {**PLATEAU, "factor": 0.5, "threshold": 0.11, "threshold_rule": "abs"},
    "absolute_less": {**PLATEAU, "rule": "less", "factor": 0.5, "threshold": 0.11, "threshold_rule": "abs"},
    "relative": {**PLATEAU, "factor": 0.5, "threshold": 0.6},
    "minimum": {**PLATEAU, "factor": 0.3, "min_value": 0.002},
    "minima": {**PLATEAU, "factor": 0.3, "min_value": [0.002, 0.03]},
    "eps": {**PLATEAU, "factor": 0.5, "eps": 0.002},
    "window": {**PLATEAU, "factor": 0.5, "begin": 2, "end": 6},
    "momentum": {**PLATEAU, "type": "ReduceOnPlateauMomentum", "factor": 0.5},
    "named": {**PLATEAU, "type": "ReduceOnPlateauParamScheduler", "param_name": "weight_decay", "factor": 0.5},
}

# Where rayseg differs on purpose; why is said in test_parity.py.
DIFFERENT: dict[str, dict[str, Any]] = {
    "one_cycle_groups": schedule({"type": "OneCycleLR", "eta_max": 0.5, "by_epoch": False}),
    "one_cycle_past_its_end": schedule({"type": "OneCycleLR", "eta_max": PEAKS, "total_steps": 12, "by_epoch": False}),
    "overlap_with_a_minimum": schedule(
        WARM_UP, {"type": "CosineAnnealingLR", "eta_min": 1e-3, "by_epoch": False, "begin": 0, "end": 24}
    ),
    "restart_over_a_warm_up": schedule(
        WARM_UP,
        {"type": "CosineRestartLR", "periods": [12, 12], "restart_weights": [1, 1], "eta_min": 0, "by_epoch": False},
    ),
    "cosine_past_t_max_in_a_chain": schedule(
        {"type": "ConstantLR", "factor": 0.5, "by_epoch": False, "end": 100},
        {"type": "CosineAnnealingLR", "T_max": 10, "by_epoch": False},
    ),
    "constant_of_nothing": schedule({"type": "ConstantLR", "factor": 0.0, "by_epoch": False}),
    "linear_from_nothing": schedule({"type": "LinearLR", "start_factor": 0.0, "by_epoch": False}),
    "converted_without_end_in_an_iteration_loop": schedule(
        {"type": "PolyLR", "by_epoch": True, "convert_to_iter_based": True}, by_epoch_loop=False
    ),
    "weight_decay_of_nothing_is_raised": schedule(
        {"type": "CosineAnnealingParamScheduler", "param_name": "weight_decay", "eta_min": 0.4, "by_epoch": False},
        param_name="weight_decay",
        groups=[{}, {"weight_decay": 0.0}],
    ),
    "named_momentum_of_adam": schedule(
        {"type": "ConstantParamScheduler", "param_name": "momentum", "by_epoch": False},
        param_name="momentum",
        like=ADAMW,
    ),
    "a_window_of_one": schedule({"type": "PolyLR", "by_epoch": False, "begin": 5, "end": 6, "eta_min": 1e-3}),
    # Errors in rayseg.
    "by_epoch_in_an_iteration_loop": schedule({"type": "PolyLR", "by_epoch": True}, by_epoch_loop=False),
    "momentum_of_nothing": schedule(
        {"type": "LinearMomentum", "by_epoch": False}, param_name="momentum", groups=[{}], defaults={"lr": 0.1}
    ),
    "cosine_minimum_twice": schedule(
        {"type": "CosineAnnealingLR", "eta_min": 0.0, "eta_min_ratio": 0.1, "by_epoch": False}
    ),
    "no_momentum": schedule(
        {"type": "LinearMomentum", "by_epoch": False}, optimizer="Adagrad", groups=[{}], defaults={"lr": 0.1}
    ),
}

SCHEDULES: dict[str, dict[str, Any]] = {
    **each_alone(),
    **{f"chain/{name}": case for name, case in CHAINS.items()},
    **{
        f"plateau/{name}": schedule(
            config, metrics=METRICS, param_name={"momentum": "momentum", "named": "weight_decay"}.get(name, "lr")
        )
        for name, config in PLATEAUS.items()
    },
    **{f"different/{name}": case for name, case in DIFFERENT.items()},
}


def recipe(iters: int, *configs: dict[str, Any], lr: float = 0.01) -> dict[str, Any]:
    """A case by iterations, looked at in 24 of them and around each window's ends."""
    edges = {at + by for config in configs for at in (config["begin"], config["end"]) for by in (-1, 0, 1)}
    looked_at = {*range(0, iters, iters // 24), *edges, iters - 1}
    case = schedule(*({**config, "by_epoch": False} for config in configs), defaults={"lr": lr})
    groups = [{}, {"lr": 10 * lr}]
    return {**case, "groups": groups, "iters": iters, "by_epoch_loop": False, "at": sorted(looked_at & {*range(iters)})}


def poly(begin: int, end: int, power: float = 0.9, **options: Any) -> dict[str, Any]:
    return {"type": "PolyLR", "power": power, "begin": begin, "end": end, **options}


def linear(end: int, start_factor: float) -> dict[str, Any]:
    return {"type": "LinearLR", "start_factor": start_factor, "begin": 0, "end": end}


# The schedules that the configs of mmsegmentation 1.2.2 have, at their lengths.
RECIPES: dict[str, dict[str, Any]] = {
    **{f"poly_{end}": recipe(end, poly(0, end, eta_min=1e-4)) for end in (20000, 40000, 60000, 80000, 160000)},
    "poly_to_nothing_90000": recipe(90000, poly(0, 90000, eta_min=0)),
    "poly_line_60000": recipe(60000, poly(0, 60000, 1.0, eta_min=0.0)),
    "poly_of_half_the_run": recipe(80000, poly(0, 40000, eta_min=2e-4)),
    "vit_20000": recipe(20000, linear(1500, 1e-6), poly(1500, 20000, 1.0, eta_min=0.0), lr=6e-5),
    "vit_160000": recipe(160000, linear(1500, 1e-6), poly(1500, 160000, 1.0, eta_min=0.0), lr=6e-5),
    "warm_up_200": recipe(80000, linear(200, 0.1), poly(200, 80000, eta_min=1e-4)),
    "warm_up_1000": recipe(160000, linear(1000, 0.1), poly(1000, 160000, eta_min=1e-4)),
    "pointrend_80000": recipe(
        80000,
        linear(1000, 0.001),
        {"type": "MultiStepLR", "begin": 1000, "end": 80000, "milestones": [60000, 72000]},
    ),
    "ratio_25000": recipe(
        25000,
        linear(12000, 0.03),
        {"type": "PolyLRRatio", "eta_min_ratio": 0.03, "power": 0.9, "begin": 12000, "end": 24000},
        {"type": "ConstantLR", "factor": 1, "begin": 24000, "end": 25000},
    ),
}


def step(
    wrapper: dict[str, Any], optimizer: str = "SGD", begin: int = 0, iters: int = 10, **defaults: Any
) -> dict[str, Any]:
    """A case: ``iters`` calls of update_params."""
    return {
        "wrapper": wrapper,
        "optimizer": optimizer,
        "begin": begin,
        "iters": iters,
        "defaults": defaults or {"lr": 0.05},
    }


CLIPS: dict[str, dict[str, Any]] = {
    "norm": {"max_norm": 0.7},
    "norm_1": {"max_norm": 0.7, "norm_type": 1},
    "norm_inf": {"max_norm": 0.3, "norm_type": "inf"},
    "loose": {"max_norm": 1e6, "norm_type": 2},
    "value": {"type": "value", "clip_value": 0.2},
}
STEPS: dict[str, dict[str, Any]] = {
    **{
        f"accumulate/{n}/of_{iters}": step({"accumulative_counts": n}, iters=iters)
        for n in (1, 2, 3, 4, 7)
        for iters in (9, 10)
    },
    **{f"clip/{name}": step({"clip_grad": clip}) for name, clip in CLIPS.items()},
    **{
        f"clip/{name}/accumulate_3": step({"clip_grad": clip, "accumulative_counts": 3}) for name, clip in CLIPS.items()
    },
    **{
        f"adamw/{name}": step({"clip_grad": clip, "accumulative_counts": 4}, "AdamW", lr=0.05, weight_decay=0.1)
        for name, clip in CLIPS.items()
    },
    "momentum/accumulate_4": step({"accumulative_counts": 4}, lr=0.05, momentum=0.9),
    "resumed/at_a_boundary": step({"accumulative_counts": 3}, begin=6),
    "different/resumed_inside_a_window": step({"accumulative_counts": 4}, begin=6),
}

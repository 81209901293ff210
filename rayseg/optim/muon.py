"""MuonAdamW: Muon for matrices, AdamW for everything else, as one optimizer with one learning rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch.optim import AdamW, Muon, Optimizer

Algorithm = Literal["muon", "adamw"]


class MuonAdamW(Optimizer):
    """Muon steps the 2-D parameters (linear layers, attention), AdamW convolutions, norms, biases, embeddings.

    Each group becomes one for each algorithm that it needs, named ``default.muon`` and ``default.adamw``. A group
    may choose with an entry ``algorithm``, such as ``custom_keys={'bias_table': dict(algorithm='adamw')}``. With
    ``match_rms_adamw`` the updates of Muon are as large as those of AdamW, so that one ``lr`` and ``weight_decay``
    serve both. Sources: Jordan et al., Muon, 2024; Liu et al., Muon is Scalable for LLM Training, 2025 (arXiv
    2502.16982).

    Args:
        params: parameters or groups.
        lr: of both.
        weight_decay: of both, decoupled.
        momentum: Muon's.
        nesterov: Muon's.
        ns_steps: Newton-Schulz iterations of Muon.
        adjust_lr_fn: how Muon scales its updates by a matrix's shape; None is Jordan's way.
        betas: AdamW's.
        eps: AdamW's.
        fused: AdamW's.

    Raises:
        ValueError: an argument out of its range, or a group that gives Muon what is no matrix.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        adjust_lr_fn: Literal["original", "match_rms_adamw"] | None = "match_rms_adamw",
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fused: bool | None = None,
    ) -> None:
        seed = [torch.zeros(1, 1)]  # neither takes an empty list
        muon = Muon(
            seed,
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            ns_steps=ns_steps,
            adjust_lr_fn=adjust_lr_fn,
        )
        adamw = AdamW(seed, lr=lr, weight_decay=weight_decay, betas=betas, eps=eps, fused=fused)
        self._parts: dict[str, Optimizer] = {"muon": muon, "adamw": adamw}
        for part in self._parts.values():
            part.param_groups = []
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        self._link()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as one for each algorithm that its parameters need."""
        entries = dict(param_group)
        params = entries.pop("params")
        params = [params] if isinstance(params, torch.Tensor) else list(params)
        name, chosen = entries.pop("name", None), entries.get("algorithm")
        for algorithm, part in self._parts.items():
            if own := [tensor for tensor in params if (chosen or _algorithm_of(tensor)) == algorithm]:
                label = {} if name is None else {"name": f"{name}.{algorithm}"}
                part.add_param_group({"params": own, **entries, **label, "algorithm": algorithm})
                self.param_groups.append(part.param_groups[-1])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts.values():
            if part.param_groups:
                part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a state back."""
        super().load_state_dict(state_dict)
        self._link()

    def _link(self) -> None:
        """Let both algorithms work on this optimizer's groups and state."""
        for algorithm, part in self._parts.items():
            part.param_groups = [group for group in self.param_groups if group["algorithm"] == algorithm]
            part.state = self.state


def _algorithm_of(tensor: torch.Tensor) -> Algorithm:
    return "muon" if tensor.ndim == 2 else "adamw"

"""What some optimizers ask of the parameters that they step, said before training in words of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim import Muon, SparseAdam

from rayseg.core.errors import ConfigError
from rayseg.optim.grouping import NamedParameter

_WHERE = "optim_wrapper.optimizer.type"


def check_needs(optimizer: Any, parameters: Sequence[NamedParameter]) -> None:
    """Refuse parameters that an optimizer's class cannot step.

    Raises:
        ConfigError: Muon with what is no matrix, SparseAdam with gradients that are dense. The message names the
            first such parameter.
    """
    if not isinstance(optimizer, type):
        return
    no_matrix = next((named for named in parameters if named.parameter.ndim != 2), None)
    if issubclass(optimizer, Muon) and no_matrix is not None:
        shape = tuple(no_matrix.parameter.shape)
        raise ConfigError(
            f"{_WHERE}: Muon takes only matrices, and {no_matrix.name} has the shape {shape}; "
            "MuonAdamW gives AdamW what is none"
        )
    dense = next((named for named in parameters if not _is_sparse(named)), None)
    if issubclass(optimizer, SparseAdam) and dense is not None:
        raise ConfigError(
            f"{_WHERE}: SparseAdam takes only the sparse gradients of nn.Embedding(..., sparse=True), "
            f"and that of {dense.name} is dense; use Adam"
        )


def _is_sparse(named: NamedParameter) -> bool:
    if not named.parameter.requires_grad:
        return True
    return isinstance(named.module, nn.Embedding | nn.EmbeddingBag) and named.module.sparse

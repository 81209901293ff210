"""What docs/scaling.md says of several workers and only a clock or the network can tell.

- the bytes that an all-reduce of DDP's gradients puts on the wire, by the counter of the loopback device, at 1, 2 and
  4 ranks, beside the formula of a ring;
- the time of a control point at 2 and 4 ranks;
- the questions a second that one mailbox answers.

Ranks share two cores here, so the times are upper bounds for ranks that have their own.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import torch
from _paired import Report
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))
from rayseg.core import distributed
from rayseg.engine.control import ControlGroup
from tests.distributed import run_ranks

SIDE, REDUCTIONS = 1600, 5
AGREEMENTS = 300
ASKED = 4000
ALLOWED_OVERHEAD = 1.05


def sent() -> int:
    """Bytes that this machine has sent to itself."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    return next(int(line.split(":")[1].split()[8]) for line in lines if line.strip().startswith("lo:"))


def reductions() -> tuple[int, int]:
    """Bytes of the gradients, and bytes that all ranks together put on the wire in an iteration."""
    model: nn.Module = nn.Sequential(*(nn.Linear(SIDE, SIDE) for _ in range(4)))
    gradients = sum(value.numel() * value.element_size() for value in model.parameters())
    if distributed.get_world_size() > 1:
        model = nn.parallel.DistributedDataParallel(model)
    for _ in range(2):  # DDP makes its buckets anew after the first
        model(torch.ones(1, SIDE)).sum().backward()
    distributed.barrier()
    before = sent()
    distributed.barrier()
    for _ in range(REDUCTIONS):
        model(torch.ones(1, SIDE)).sum().backward()
    distributed.barrier()
    return gradients, (sent() - before) // REDUCTIONS


def agreements() -> float:
    """Median seconds of a control point."""
    control, took = ControlGroup(), []
    for _ in range(AGREEMENTS):
        begin = time.perf_counter()
        control.agree(stop=False, staged_iter=-1, failed=False)
        took.append(time.perf_counter() - begin)
    return statistics.median(took)


def questions() -> float:
    """Answers a second of a mailbox to one process that keeps 100 questions under way."""
    import ray

    from rayseg.config.settings import Scaling
    from rayseg.orchestration.cluster import actor_here, connected
    from rayseg.orchestration.mailbox import Mailbox

    with connected(Scaling()):
        mailbox = actor_here(Mailbox)
        ray.get(mailbox.wishes.remote())
        begin = time.perf_counter()
        for _ in range(ASKED // 100):
            ray.get([mailbox.wishes.remote() for _ in range(100)])
        return ASKED / (time.perf_counter() - begin)


def main() -> int:
    """Measure, print, and say whether the formula holds."""
    report = Report("several workers: bytes on the wire, control points, questions", "torch", "ray", "rayseg")
    for ranks in (1, 2, 4):
        gradients, together = run_ranks(reductions, ranks)[0]
        formula = 2 * (ranks - 1) / ranks * gradients
        found = f"{together / ranks / 1e6:.2f} MB a rank, by the formula {formula / 1e6:.2f}"
        holds = formula <= together / ranks <= ALLOWED_OVERHEAD * formula + 1000
        report.require(f"{gradients / 1e6:.1f} MB of gradients, {ranks} ranks", holds, found)
    for ranks in (2, 4):
        report.note(f"a control point of {ranks} ranks: {run_ranks(agreements, ranks)[0] * 1e6:.0f} µs")
    report.note(f"a mailbox answers {questions():.0f} questions a second")
    return report.exit_code


if __name__ == "__main__":
    raise SystemExit(main())

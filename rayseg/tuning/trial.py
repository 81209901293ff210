"""TrialActor: what Ray Tune runs for each trial. It holds one life after another and reports their validations."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import ray
from ray.tune import Trainable

from rayseg.core.errors import RaysegError
from rayseg.orchestration.results import RunResult
from rayseg.orchestration.worker import write_output_to
from rayseg.tuning.life import Life, SweepArguments
from rayseg.tuning.taking_over import take_over
from rayseg.tuning.trial_dir import trial_dir

POLL_SECONDS = 0.2


class TrialFailedError(RaysegError):
    """A trial's run has failed; the message is its reason."""


class TrialActor(Trainable):
    """A process that runs trials, one at a time; the next one uses what the last one has imported."""

    def setup(self, config: dict[str, Any], arguments: SweepArguments) -> None:  # type: ignore[override]
        """Take a trial; nothing begins before the first ``step``."""
        self._arguments = arguments
        self._name: str = config["trial"]
        self._life: Life | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial."""
        self.cleanup()
        self._name = new_config["trial"]
        return True

    def step(self) -> dict[str, Any]:
        """Go on to the next validation, or to the end of the trial.

        Returns:
            ``iter`` and ``values`` after a validation; ``status``, ``iter``, ``reason`` and ``done`` at the end.

        Raises:
            TrialFailedError: the run has failed, and may be tried again.
        """
        self._wait_for_others()
        if self._life is None:
            self._begin()
        assert self._life is not None
        try:
            found = self._life.next()
        except BaseException:
            self._life = None
            raise
        if isinstance(found, RunResult):
            life, self._life = self._life, None
            return self._ending(found, life)
        return {"iter": found.iter, "values": found.values}

    def cleanup(self) -> None:
        """Let a run that goes on save and end."""
        if self._life is not None:
            self._life.end("the trial was taken away")
            self._life = None

    def _wait_for_others(self) -> None:
        """While the trial is held back; then take over from another one, if it should."""
        mailbox = self._arguments.mailbox
        while True:
            is_held, order = ray.get(mailbox.takeover.remote(self._name))
            if not is_held:
                break
            time.sleep(POLL_SECONDS)
        if order is not None:
            self._take_over(order)

    def _take_over(self, order: dict[str, Any]) -> None:
        """End the present life; the next one goes on from another trial's checkpoint."""
        if self._life is not None:
            self._life.end(f"goes on from {order['checkpoint']} of trial {order['donor']}")
            self._life = None
        take_over(trial_dir(self._arguments.sweep_dir, self._name), order)
        ray.get(self._arguments.mailbox.took_over.remote(self._name, order["number"]))

    def _begin(self) -> None:
        write_output_to(trial_dir(self._arguments.sweep_dir, self._name) / "logs" / "trial.log")
        node = ray.get_runtime_context().get_node_id()
        self._tell("started", host=socket.gethostname(), node=node, pid=os.getpid())
        self._life = Life(self._name, self._arguments, self._wishes)

    def _ending(self, result: RunResult, life: Life) -> dict[str, Any]:
        if result.status == "failed" and life.request.failure is None:
            raise TrialFailedError(result.error or "the run failed")
        ended = {"finished": "stopped" if life.request.end_reason else "finished"}
        reason = life.request.failure or life.request.end_reason or life.request.reason or ""
        status = ended.get(result.status, result.status)
        return {"done": True, "iter": result.iter, "status": status, "reason": "" if status == "finished" else reason}

    def _wishes(self) -> tuple[str | None, str | None]:
        wishes: tuple[str | None, str | None] = ray.get(self._arguments.mailbox.wishes.remote(self._name))
        return wishes

    def _tell(self, event: str, **facts: Any) -> None:
        """Let the driver know, before it can hear of anything that follows."""
        ray.get(self._arguments.mailbox.tell.remote({"event": event, "trial": self._name, **facts}))

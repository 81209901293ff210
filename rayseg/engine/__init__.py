"""The training engine: Runner, loops, hooks, the checkpoint store and the Host interface. It never imports Ray."""

from rayseg.engine.hook import Hook
from rayseg.engine.host import Host, LocalHost
from rayseg.engine.runner import Runner

__all__ = ["Hook", "Host", "LocalHost", "Runner"]

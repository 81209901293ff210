"""Writing a run down: its numbers, log and facts, and the trackers that follow them. Cheap to import: no torch."""

from rayseg.tracking.console import Console
from rayseg.tracking.files import RecordingError
from rayseg.tracking.recorder import RunRecorder
from rayseg.tracking.tail import MetricsTail, read_metrics
from rayseg.tracking.tracker import RunInfo, Tracker

__all__ = ["Console", "MetricsTail", "RecordingError", "RunInfo", "RunRecorder", "Tracker", "read_metrics"]

"""What several runs share is touched by one process at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rayseg.tracking.lock import alone

OTHER = """
import sys
from pathlib import Path
from rayseg.tracking.lock import alone
print("asks", flush=True)
with alone(Path(sys.argv[1])):
    print(Path(sys.argv[1]).read_text())
"""


def test_another_process_waits(tmp_path: Path):
    file = tmp_path / "new" / "mlflow.db"
    with alone(file):
        other = subprocess.Popen([sys.executable, "-c", OTHER, str(file)], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "asks\n"
        file.write_text("whole")
    rest, _ = other.communicate(timeout=60)
    assert (rest, other.returncode) == ("whole\n", 0)


def test_a_server_is_no_file():
    with alone(None):
        pass

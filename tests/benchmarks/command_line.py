"""What the command line costs before it does anything: ``rayseg --help`` and ``rayseg config``, as whole processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from _paired import Report, in_turn

HEAVY = ("torch", "ray", "mlflow", "wandb")
REPETITIONS = int(os.environ.get("RAYSEG_BENCHMARK_PAIRS", "9"))
ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "experiments" / "quickstart" / "bluemarble_unet.py"
# The libraries of the components that the config names: torch (SGD, schedules, loss) and smp (the network).
NAMED = "import torch, segmentation_models_pytorch"
HELP = """
import json, sys
sys.argv = ["rayseg", "--help"]
from rayseg.cli.main import main
main()
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python process, which must end well."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def main() -> int:
    """Measure, print, and say whether the bounds were kept."""
    report = Report("the command line", "typer", "rich", "torch", "segmentation-models-pytorch")
    loaded = set(json.loads(run("-c", HELP).stderr.splitlines()[-1]))
    heavy = [name for name in HEAVY if name in loaded]
    report.require("--help imports no heavy library", not heavy, ", ".join(heavy) or f"none of {', '.join(HEAVY)}")
    with tempfile.TemporaryDirectory() as home:
        os.environ["RAYSEG_HOME"] = home
        helped = in_turn(
            lambda: run("-m", "rayseg.cli.main", "--help"),
            lambda: run("-c", "import typer, rich"),
            repetitions=REPETITIONS,
        )
        report.ratio("rayseg --help against import typer, rich", helped, bound=3.0)
        config = in_turn(
            lambda: run("-m", "rayseg.cli.main", "config", str(CONFIG)),
            lambda: run("-c", NAMED),
            repetitions=REPETITIONS,
        )
        report.ratio(f"rayseg config {CONFIG.name} against {NAMED}", config, bound=1.2)
    return report.exit_code


if __name__ == "__main__":
    raise SystemExit(main())

"""A cluster of several nodes on this machine: ``python cluster_of_nodes.py DIRECTORY``.

It writes its address to ``DIRECTORY/address`` and then does what files in the directory tell: ``add`` starts a node of
one CPU, ``kill`` holds the id of one to kill; a file that was obeyed is taken away.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ray.cluster_utils import Cluster

from tests.distributed import free_port

NODES = 3


def main(directory: Path) -> None:
    """Run until the process is killed."""
    head = {"num_cpus": 0, "include_dashboard": True, "dashboard_port": free_port(), "gcs_server_port": free_port()}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(NODES):
        cluster.add_node(num_cpus=1)
    partial = directory / "address.partial"
    partial.write_text(cluster.address)
    partial.rename(directory / "address")
    while True:
        obey(cluster, directory / "add", directory / "kill")
        time.sleep(0.1)


def obey(cluster: Cluster, add: Path, kill: Path) -> None:
    """Do what the files tell, if they are there."""
    if add.exists():
        cluster.add_node(num_cpus=1)
        add.unlink()
    if kill.exists():
        wanted = kill.read_text()
        node = next(node for node in cluster.list_all_nodes() if node.node_id == wanted)
        cluster.remove_node(node, allow_graceful=False)
        kill.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

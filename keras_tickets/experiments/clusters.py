"""The cluster that this process is a worker of: from TF_CONFIG, Slurm or Kubernetes."""

import json
import os
import re
from typing import Any

import tensorflow as tf

from keras_tickets._optional import import_optional

resolvers = tf.distribute.cluster_resolver
PORT = 8470
WORKERS = ("chief", "worker")


def resolve() -> "tf.distribute.cluster_resolver.ClusterResolver":
    """What tells a strategy the addresses of all workers, and which of them this one is.

    `TF_CONFIG` comes first; then a job step of Slurm (`srun`); then Kubernetes, where
    `KERAS_TICKETS_PODS` is the label selector of the workers' pods.

    Raises:
        ValueError: None of them is there, or what they say makes no sense.
    """
    if "TF_CONFIG" in os.environ:
        jobs, task = read_tf_config()
        return _resolver(jobs, task["type"], task["index"])
    if "SLURM_STEP_NUM_TASKS" in os.environ:
        return slurm()
    if "KERAS_TICKETS_PODS" in os.environ:
        return kubernetes()
    raise ValueError(
        'strategy="multi_worker" needs to know the other workers: set TF_CONFIG, start the workers '
        "with srun, or set KERAS_TICKETS_PODS in the pods; see docs/scaling.md"
    )


def count_in_tf_config() -> int:
    """Number of workers that `TF_CONFIG` names, 0 without it.

    Raises:
        ValueError: It makes no sense.
    """
    if "TF_CONFIG" not in os.environ:
        return 0
    jobs, _ = read_tf_config()
    return sum(map(len, jobs.values()))


def read_tf_config() -> tuple[dict[str, list[str]], dict[str, Any]]:
    """What `TF_CONFIG` says: the addresses of each job, and the task of this process.

    Raises:
        ValueError: It is not JSON, lacks something, or this task is none of its own.
    """
    text = os.environ["TF_CONFIG"]
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ValueError(f"TF_CONFIG is not JSON: {error}. Received: {text!r}") from error
    jobs = config.get("cluster") if isinstance(config, dict) else None
    task = config.get("task") if isinstance(config, dict) else None
    if not isinstance(jobs, dict) or not all(_addresses(tasks) for tasks in jobs.values()):
        raise ValueError(
            'TF_CONFIG must have "cluster": {"worker": ["host:port", …]}. Received: ' + repr(text)
        )
    if unknown := sorted(set(jobs) - set(WORKERS)):
        raise ValueError(
            f"TF_CONFIG has jobs {unknown}, and all processes are workers here: only "
            f"{' and '.join(WORKERS)} can be named"
        )
    task = task if isinstance(task, dict) else {}
    kind, index = task.get("type"), task.get("index")
    size = len(jobs.get(kind, ())) if isinstance(kind, str) else 0
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < size:
        known = ", ".join(f"{job} 0 to {len(tasks) - 1}" for job, tasks in jobs.items())
        raise ValueError(
            f'TF_CONFIG: its "task" must be one of the cluster: {known}. Received: type={kind!r}, '
            f"index={index!r}"
        )
    return jobs, {"type": kind, "index": index}


def slurm() -> "tf.distribute.cluster_resolver.ClusterResolver":
    """The tasks of this job step of Slurm, as TensorFlow's resolver finds them.

    Every process uses the devices that Slurm lets it see.

    Raises:
        ValueError: The variables of Slurm are missing or do not go together, or this process runs
            on another node than the resolver takes it to.
    """
    try:
        tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
        # That many devices, one a task, for the resolver alone: it leaves out tasks without any.
        found = resolvers.SlurmClusterResolver(
            port_base=PORT, gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
        )
        spec = found.cluster_spec().as_dict()
        kind, index = found.get_task_info()
        addresses = sorted(spec["worker"], key=_as_slurm_counts)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"Slurm does not say which tasks there are: {error}") from error
    here, node = os.environ.get("SLURMD_NODENAME"), addresses[index].rpartition(":")[0]
    if here not in (None, node):
        raise ValueError(
            f"task {index} runs on node {here!r} and was expected on {node!r}: start the tasks "
            "with `srun --distribution=block`"
        )
    return _resolver({kind: addresses}, kind, index)


def kubernetes(client: Any = None) -> "tf.distribute.cluster_resolver.ClusterResolver":
    """The pods of the label selector in `KERAS_TICKETS_PODS`, as TensorFlow's resolver finds them.

    They are one to a node: TensorFlow reaches them at their nodes' addresses. `HOST_IP` says which
    of them this one is.

    Args:
        client: A `kubernetes.client.CoreV1Api`. None: that of the cluster that this pod is in.

    Raises:
        ValueError: No pod runs on the node that `HOST_IP` names, a pod is not running, or the API
            cannot be reached.
    """
    selector = os.environ["KERAS_TICKETS_PODS"]
    try:
        client = client or _kubernetes_client()
        found = resolvers.KubernetesClusterResolver(
            {"worker": [selector]}, tf_server_port=PORT, override_client=client
        )
        addresses = found.cluster_spec().as_dict().get("worker", [])
    except Exception as error:  # whatever the client and the resolver raise
        raise ValueError(f"Kubernetes does not say which pods there are: {error}") from error
    host = os.environ.get("HOST_IP")
    own = f"{host}:{PORT}"
    if addresses.count(own) != 1:
        raise ValueError(
            f"the pods of KERAS_TICKETS_PODS={selector!r} must be one to a node, and HOST_IP the "
            f"address of this pod's node. Received: HOST_IP={host!r} with pods at {addresses}"
        )
    return _resolver({"worker": addresses}, "worker", addresses.index(own))


def _kubernetes_client():
    """The client inside of a cluster; TensorFlow's resolver makes that of a machine outside."""
    package = import_optional("kubernetes", "keras-tickets[kubernetes]", "Workers in Kubernetes")
    package.config.load_incluster_config()
    return package.client.CoreV1Api()


def _resolver(jobs, kind, index) -> "tf.distribute.cluster_resolver.ClusterResolver":
    gpus = len(tf.config.list_physical_devices("GPU"))
    return resolvers.SimpleClusterResolver(
        tf.train.ClusterSpec(jobs),
        task_type=kind,
        task_id=index,
        num_accelerators={"GPU": gpus},
        rpc_layer="grpc",
    )


def _addresses(tasks) -> bool:
    return (
        isinstance(tasks, list)
        and bool(tasks)
        and all(isinstance(task, str) and re.fullmatch(r".+:\d+", task) for task in tasks)
    )


def _as_slurm_counts(address: str) -> list:
    """Sorts node2 before node10."""
    parts = re.split(r"(\d+)", address)
    return [int(part) if part.isdigit() else part for part in parts]

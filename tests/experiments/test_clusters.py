"""What TF_CONFIG, Slurm and Kubernetes say, without a cluster."""

import json
from types import SimpleNamespace

import pytest

from keras_tickets.experiments import clusters, strategies

TWO = {"worker": ["a:1", "b:2"]}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    names = ("STEP_NUM_TASKS", "PROCID", "STEP_NODELIST", "STEP_TASKS_PER_NODE")
    for name in ("TF_CONFIG", "KERAS_TICKETS_PODS", *(f"SLURM_{name}" for name in names)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("SLURMD_NODENAME", raising=False)


def tf_config(monkeypatch, cluster, **task):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))


def found(resolver):
    return resolver.cluster_spec().as_dict(), resolver.task_type, resolver.task_id


def test_tf_config(monkeypatch):
    tf_config(monkeypatch, TWO, type="worker", index=1)
    assert found(clusters.resolve()) == (TWO, "worker", 1)
    assert clusters.count_in_tf_config() == 2


BAD = {
    "{": "TF_CONFIG is not JSON",
    "[]": 'TF_CONFIG must have "cluster"',
    '{"cluster": {"worker": "a:1"}}': 'TF_CONFIG must have "cluster"',
    '{"cluster": {"worker": ["a"]}}': 'TF_CONFIG must have "cluster"',
    '{"cluster": {"ps": ["a:1"]}}': r"has jobs \['ps'\]",
    '{"cluster": {"worker": ["a:1"]}}': "worker 0 to 0. Received: type=None, index=None",
}


@pytest.mark.parametrize("text", BAD)
def test_a_tf_config_that_makes_no_sense(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=BAD[text]):
        clusters.resolve()


@pytest.mark.parametrize("index", [2, -1, "1", True, None])
def test_a_task_index_out_of_range(index, monkeypatch):
    tf_config(monkeypatch, TWO, type="worker", index=index)
    with pytest.raises(ValueError, match="worker 0 to 1. Received: type='worker', index="):
        clusters.resolve()


def slurm(monkeypatch, rank, nodes="n[9-10]", each="2,1", tasks=3, here=None):
    values = {
        "SLURM_PROCID": rank,
        "SLURM_STEP_NUM_TASKS": tasks,
        "SLURM_STEP_NODELIST": nodes,
        "SLURM_STEP_TASKS_PER_NODE": each,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))
    if here:
        monkeypatch.setenv("SLURMD_NODENAME", here)


@pytest.mark.parametrize("rank, here", [(0, "n9"), (1, "n9"), (2, "n10")])
def test_slurm_counts_tasks_node_by_node(rank, here, monkeypatch):
    slurm(monkeypatch, rank, here=here)
    expected = {"worker": ["n9:8470", "n9:8471", "n10:8470"]}
    assert found(clusters.resolve()) == (expected, "worker", rank)


def test_slurm_tasks_that_are_dealt_out_in_turn(monkeypatch):
    slurm(monkeypatch, 1, here="n10")
    with pytest.raises(ValueError, match="task 1 runs on node 'n10' and was expected on 'n9'"):
        clusters.resolve()


def test_slurm_without_its_variables(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    with pytest.raises(ValueError, match="Slurm does not say .*SLURM_PROCID not found"):
        clusters.resolve()


def pods(*addresses, phase="Running"):
    """A client of Kubernetes that lists pods on nodes with these addresses."""
    items = [
        SimpleNamespace(
            metadata=SimpleNamespace(name=f"pod-{i}"),
            status=SimpleNamespace(phase=phase, host_ip=address),
        )
        for i, address in enumerate(addresses)
    ]

    def list_pod_for_all_namespaces(label_selector):
        assert label_selector == "job-name=study"
        return SimpleNamespace(items=items)

    return SimpleNamespace(list_pod_for_all_namespaces=list_pod_for_all_namespaces)


@pytest.fixture
def pod(monkeypatch):
    monkeypatch.setenv("KERAS_TICKETS_PODS", "job-name=study")
    monkeypatch.setenv("HOST_IP", "10.0.0.2")


def test_kubernetes(pod):
    expected = {"worker": ["10.0.0.1:8470", "10.0.0.2:8470"]}
    assert found(clusters.kubernetes(pods("10.0.0.1", "10.0.0.2"))) == (expected, "worker", 1)


def test_kubernetes_with_pods_that_cannot_be_told_apart(pod):
    for addresses in (["10.0.0.2", "10.0.0.2"], ["10.0.0.1"]):
        with pytest.raises(ValueError, match="must be one to a node.*HOST_IP='10.0.0.2'"):
            clusters.kubernetes(pods(*addresses))
    with pytest.raises(ValueError, match='Pod "pod-0" is not running'):
        clusters.kubernetes(pods("10.0.0.2", phase="Pending"))


def test_no_cluster_at_all():
    with pytest.raises(ValueError, match="set TF_CONFIG, start the workers with srun"):
        strategies.make("multi_worker")


@pytest.mark.parametrize("name", ["none", "mirrored"])
def test_workers_that_would_train_each_for_itself(name, monkeypatch):
    tf_config(monkeypatch, TWO, type="worker", index=1)
    with pytest.raises(ValueError, match=f"TF_CONFIG names 2 workers, and strategy='{name}'"):
        strategies.make(name)


def test_a_cluster_of_one_is_no_cluster(monkeypatch):
    tf_config(monkeypatch, {"worker": ["a:1"]}, type="worker", index=0)
    assert strategies.make("none").num_replicas_in_sync == 1


def test_no_tpu_is_one_line(monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    with pytest.raises(ValueError, match='strategy="tpu" needs a TPU.*on this machine') as error:
        strategies.make("tpu")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_settings_of_strategies():
    for name, replicas, message in [
        ("many", None, "Received: strategy='many'"),
        ("mirrored", 0, "`replicas` must be a positive integer"),
        ("none", 2, "replicas=2, strategy='none'"),
    ]:
        with pytest.raises(ValueError, match=message):
            strategies.check_settings(name, replicas)


def test_a_batch_that_replicas_do_not_divide():
    strategy = SimpleNamespace(num_replicas_in_sync=3)
    strategies.check_batch(99, strategy, "mirrored")
    with pytest.raises(ValueError, match="of replicas, 3, .*batch_size=100 with strategy='mirr"):
        strategies.check_batch(100, strategy, "mirrored")

"""Several hosts: one that dies, falls silent, joins late or comes back, and ways that lead nowhere."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import PAUSE, Network, why_not
from slow_link import Link

REASON = why_not()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(REASON), reason=REASON),
    pytest.mark.timeout(400),
]

TRAIN = ["train", "cem", "--env", "hosts:Slow", "--population", "40", "--eval-episodes", "2", "--target", "none"]
TRAIN += ["--seed", "3", "--run-dir", "run", "--checkpoint-seconds", "1", "--eval-every", "1000"]

TESTS = str(Path(__file__).parent.parent)


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{TESTS}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def launch(network: Network, host: str, generations: int, *options: str, pause: float = 0.01) -> Any:
    command = [sys.executable, "-m", "torchpolicy", "launch", "--first", "a", "--hosts", "1:2", *options]
    command += [*TRAIN, "--generations", str(generations)]
    return network.start(host, command, Path(f"{host}.log"), **{PAUSE: str(pause)})


def facts(run_dir: str) -> tuple[str, list[dict[str, Any]]]:
    rows = [json.loads(line) for line in (Path(run_dir) / "metrics.jsonl").read_text().splitlines()]
    metrics = [{key: value for key, value in row.items() if not key.startswith("time/")} for row in rows]
    return json.loads((Path(run_dir) / "policy" / "policy.json").read_text())["sha256"], metrics


def untouched(generations: int) -> tuple[str, list[dict[str, Any]]]:
    """The bits of a run in one process, whose steps do not sleep."""
    words = [*TRAIN, "--generations", str(generations)]
    words[words.index("run")] = "alone"
    subprocess.run([sys.executable, "-m", "torchpolicy", *words], check=True, capture_output=True)
    return facts("alone")


def log(host: str) -> str:
    path = Path(f"{host}.log")
    return path.read_text() if path.exists() else ""


def seconds_until(condition: Callable[[], Any], limit: float) -> float:
    """Seconds until a condition holds."""
    begin = time.monotonic()
    while not condition():
        passed = time.monotonic() - begin
        assert passed < limit, f"not within {limit} s:\na: {log('a')}\nb: {log('b')}"
        time.sleep(0.2)
    return time.monotonic() - begin


def generation() -> int:
    path = Path("run/metrics.jsonl")
    return path.read_bytes().count(b"\n") if path.exists() else 0


def goes_on(limit: float) -> float:
    """Seconds until two more generations are written."""
    reached = generation()
    return seconds_until(lambda: generation() >= reached + 2, limit)


def ends(process: "subprocess.Popen[bytes]", generations: int, limit: float = 120) -> None:
    seconds_until(lambda: process.poll() is not None, limit)
    assert process.returncode == 0, log("a") + log("b")
    assert facts("run") == untouched(generations)


def together(network: Network, generations: int, **options: Any) -> tuple[Any, Any]:
    """Two hosts at work."""
    first, second = (launch(network, host, generations, **options) for host in "ab")
    seconds_until(lambda: "2 processes on 2 hosts: a (0), b (1)" in log("a") + log("b"), 150)
    seconds_until(lambda: generation() >= 3, 150)
    return first, second


def told(line: str, seconds: float) -> None:
    """Write a measured time down, for whoever asks with -s."""
    print(f"{line}: {seconds:.1f} s")


def test_two_hosts_give_the_same_bits_and_say_what_happens(network: Network) -> None:
    first, second = together(network, 20)
    ends(first, 20)
    seconds_until(lambda: second.poll() is not None, 30)
    assert second.returncode == 0
    for host in "ab":
        assert f"torchpolicy: {host}: the run has ended" in log(host)
    assert "has joined: processes 1 of 2" in log("a") + log("b")
    assert "torchpolicy resume" not in log("a") + log("b")


def test_a_host_that_dies_is_left_behind_within_30_seconds(network: Network) -> None:
    first, _ = together(network, 120)
    network.signal_all("b", signal.SIGKILL)
    told("killed", goes_on(90))  # some 20
    ends(first, 120)


def test_a_host_whose_link_is_down_is_left_behind_and_comes_back(network: Network) -> None:
    first, second = together(network, 500)
    network.unplug("b")
    told("link down", goes_on(150))  # some 70 on a machine with nothing else to do
    assert "no sign of life from process" in log("a") + log("b")
    network.plug("b")
    joins = (log("a") + log("b")).count("2 processes on 2 hosts")
    told("back", seconds_until(lambda: (log("a") + log("b")).count("2 processes on 2 hosts") > joins, 150))
    goes_on(30)
    ends(first, 500, 200)
    seconds_until(lambda: second.poll() is not None, 150)


def test_a_host_that_is_frozen_is_left_behind(network: Network) -> None:
    first, _ = together(network, 120)
    network.signal_all("b", signal.SIGSTOP)
    told("frozen", goes_on(150))
    ends(first, 120)


def test_a_host_that_joins_late_is_at_work_within_30_seconds(network: Network) -> None:
    first = launch(network, "a", 150)
    seconds_until(lambda: generation() >= 5, 150)
    second = launch(network, "b", 150)
    told("joined", seconds_until(lambda: "2 processes on 2 hosts" in log("a") + log("b"), 60))
    goes_on(20)
    ends(first, 150)
    seconds_until(lambda: second.poll() is not None, 30)


@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="a slow link needs /dev/net/tun")
def test_a_slow_and_lossy_link_gives_the_same_bits(network: Network) -> None:
    link = Link(network, delay=0.05, loss=0.01)
    link.start()
    first, second = together(network, 60)
    ends(first, 60)
    seconds_until(lambda: second.poll() is not None, 60)
    assert second.returncode == 0
    assert link.lost > 0
    told(f"{link.lost} of {link.carried + link.lost} packets were lost", 0.0)


def test_debians_line_in_the_hosts_file_does_no_harm(network: Network) -> None:
    for host, other in ("ab", "ba"):
        network.write_hosts(host, {host: "127.0.1.1", other: network.address(other)})
    first, _ = together(network, 10)
    assert f"a ({network.address('a')}), the first host" in log("a")
    ends(first, 10)


def test_a_mesh_that_fails_names_the_address_and_what_to_set(network: Network) -> None:
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "29400", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "torchpolicy", *TRAIN, "--generations", "3"]
    for rank, host in enumerate("ab"):
        network.start(host, command, Path(f"{host}.log"), RANK=str(rank), LOCAL_RANK="0", **place)
    seconds_until(lambda: "set GLOO_SOCKET_IFNAME on this host" in log("a") + log("b"), 120)
    assert "They should reach it at 127.0.0.1 (lo)" in log("a") + log("b")


def test_four_variables_on_two_hosts_give_the_same_bits(network: Network) -> None:
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "29400"}
    command = [sys.executable, "-m", "torchpolicy", *TRAIN, "--generations", "10"]
    processes = [
        network.start(host, command, Path(f"{host}.log"), RANK=str(rank), LOCAL_RANK="0", **place)
        for rank, host in enumerate("ab")
    ]
    ends(processes[0], 10)


def test_a_mistake_ends_all_hosts_at_once(network: Network) -> None:
    for host in "ab":
        command = [sys.executable, "-m", "torchpolicy", "launch", "--first", "a", "--hosts", "2", *TRAIN, "--std", "-1"]
        network.start(host, command, Path(f"{host}.log"))
    seconds_until(lambda: all("std" in log(host) for host in "ab"), 150)
    seconds_until(lambda: not network.pids("a") and not network.pids("b"), 150)
    assert log("a").count("std must be") == 1
    assert "Traceback" not in log("a") + log("b")

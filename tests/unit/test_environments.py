"""Where ``-e`` finds the system: in this machine's stack, in a compose project, in a cluster; and what it says else."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from cli.environments import ComposeServer, find_environment
from cli.terminal.output import ExitCode, Failure
from tests.builders.machines import WITHIN_S, Machine, a_machine, a_thing, is_alive, wait_until

DEPLOYED = a_thing("Namespace", "cash-flow") | a_thing("Service", "gateway", spec={"ports": [{"port": 80}]})


class Answering(BaseHTTPRequestHandler):
    """Answers its server's name to whatever is asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"the gateway")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[int]:
    """The port of something that answers as the gateway."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    for name in ("CASH_URL", "CASH_MAILBOX_URL", "COMPOSE_PROJECT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CASH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CASH_CONFIG_HOME", str(tmp_path / "config"))
    with a_machine(tmp_path) as made:
        yield made


def refused(name: str | None, url: str | None = None) -> Failure:
    with pytest.raises(Failure) as failed, find_environment(name, url):
        pass
    return failed.value


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).text == "the gateway"
    except httpx.HTTPError:
        return False


# --- this machine's stack ---------------------------------------------------------------------------------------------


def test_without_a_stack_it_says_how_to_start_one(machine: Machine) -> None:
    failure = refused("local")

    assert "cash up -d" in str(failure)
    assert failure.code == ExitCode.NOT_READY


def test_an_address_overrides_the_local_stack_and_a_missing_mailbox_is_said_when_it_is_needed(machine: Machine) -> None:
    with find_environment("local", "https://cash.example.org/") as environment:
        assert environment.server.url == "https://cash.example.org"
        with pytest.raises(Failure, match="no local stack"):
            _ = environment.mailbox


# --- compose ----------------------------------------------------------------------------------------------------------

PORTS = 'case "$5" in gateway) echo 0.0.0.0:49153;; mailpit) echo "[::]:49154";; esac'


def test_the_ports_that_compose_published_are_found_by_the_projects_name(machine: Machine) -> None:
    machine.add("docker", f'test "$1 $2 $3 $4" = "compose -p cash-flow port" && {PORTS}')

    with find_environment("docker", None) as environment:
        assert environment.server == ComposeServer("http://127.0.0.1:49153", service="gateway")
        assert environment.mailbox.url == "http://127.0.0.1:49154"


def test_the_proxy_is_talked_to_where_there_is_one(machine: Machine) -> None:
    machine.add("docker", f'test "$5" = proxy && echo 127.0.0.1:49155 && exit; {PORTS}')

    with find_environment("docker", None) as environment:
        assert environment.server == ComposeServer("http://127.0.0.1:49155", service="gateway")


def test_another_project_name_and_another_mailbox_can_be_said(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.add("docker", f'test "$3" = second || exit 9; {PORTS}')
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "second")
    monkeypatch.setenv("CASH_MAILBOX_URL", "http://mail.example.org")

    with find_environment("docker", None) as environment:
        assert environment.server.url == "http://127.0.0.1:49153"
        assert environment.mailbox.url == "http://mail.example.org"


def test_an_address_needs_no_docker(machine: Machine) -> None:
    with find_environment("docker", "http://127.0.0.1:1") as environment:
        assert environment.server.url == "http://127.0.0.1:1"
        with pytest.raises(Failure, match="no docker on this machine"):
            _ = environment.mailbox


@pytest.mark.parametrize(
    ("docker", "sentence", "code"),
    [
        (None, "install Docker", ExitCode.FAILED),
        ("echo 'docker: unknown command: docker compose' >&2; exit 1", "compose plugin", ExitCode.FAILED),
        (
            "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.' >&2; exit 1",
            "start Docker",
            ExitCode.UNREACHABLE,
        ),
        (
            "echo 'permission denied while trying to connect to the docker API at unix:///var/run/docker.sock' >&2;"
            "exit 1",
            "you may not use the container engine",
            ExitCode.FAILED,
        ),
        ("echo 'no such service: gateway' >&2; exit 1", "docker compose up -d", ExitCode.NOT_READY),
        ("echo 'service \"gateway\" is not running' >&2; exit 1", "docker compose up -d", ExitCode.NOT_READY),
        ("echo ':0'", "does not publish its port 8000", ExitCode.NOT_READY),
        ("true", "does not publish its port 8000", ExitCode.NOT_READY),
        ("echo 'a very \033[31mred\033[0m one' >&2; exit 1", "--url", ExitCode.FAILED),
    ],
)
def test_what_keeps_compose_from_being_found_is_one_sentence(
    machine: Machine, docker: str | None, sentence: str, code: ExitCode
) -> None:
    if docker:
        machine.add("docker", docker)

    failure = refused("docker")

    assert sentence in str(failure)
    assert failure.code == code
    assert "\033" not in str(failure)
    assert "\n" not in str(failure)


# --- the cluster ------------------------------------------------------------------------------------------------------


def test_the_gateway_is_forwarded_while_the_command_runs_and_not_longer(machine: Machine, gateway: int) -> None:
    machine.add_cluster(objects=DEPLOYED, targets={"gateway": gateway, "mailpit": gateway})

    with find_environment("kube", None) as environment:
        urls = [environment.server.url, environment.mailbox.url]
        assert urls[0] != urls[1]
        assert all(answers(url) for url in urls)
        children = machine.cluster["forwards"]
        assert len(children) == 2

    assert not any(is_alive(child) for child in children)
    assert not any(answers(url) for url in urls)


def test_a_cluster_without_a_mailbox_is_told_when_a_mail_is_needed(machine: Machine, gateway: int) -> None:
    machine.add_cluster(objects=DEPLOYED, targets={"gateway": gateway})

    with find_environment("kube", None) as environment:
        assert answers(environment.server.url)
        with pytest.raises(Failure, match="mailpit"):
            _ = environment.mailbox


def test_an_address_overrides_the_service(machine: Machine, gateway: int) -> None:
    machine.add_cluster(targets={"mailpit": gateway})

    with find_environment("kube", "http://127.0.0.1:1") as environment:
        assert environment.server.url == "http://127.0.0.1:1"
        assert answers(environment.mailbox.url)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGKILL])
def test_a_forward_that_was_lost_is_opened_again_at_the_same_port(
    machine: Machine, gateway: int, number: signal.Signals
) -> None:
    machine.add_cluster(objects=DEPLOYED, targets={"gateway": gateway})

    with find_environment("kube", None) as environment:
        (child,) = machine.cluster["forwards"]
        os.kill(child, number)
        wait_until(lambda: len(machine.cluster["forwards"]) == 2)
        wait_until(lambda: answers(environment.server.url))


def test_a_forward_that_stays_lost_is_said_with_the_reason(machine: Machine, gateway: int) -> None:
    machine.add_cluster(objects=DEPLOYED, targets={"gateway": gateway})

    with find_environment("kube", None) as environment:
        (child,) = machine.cluster["forwards"]
        machine.change_cluster(forward_error="error: unable to forward port because pod is not running")
        os.kill(child, signal.SIGUSR1)
        wait_until(lambda: "pod is not running" in str(environment.server.unreachable()))
        failure = environment.server.unreachable()

    assert "the connection into the cluster was lost" in str(failure)
    assert failure.code == ExitCode.UNREACHABLE


def test_a_port_of_a_node_that_answers_is_used_without_a_forward(machine: Machine, gateway: int) -> None:
    service = a_thing("Service", "gateway", spec={"ports": [{"port": 80, "nodePort": gateway}]})
    node = a_thing("Node", "one", status={"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]})
    machine.add_cluster(objects=DEPLOYED | service | node)

    with find_environment("kube", None) as environment:
        assert environment.server.url == f"http://127.0.0.1:{gateway}"
        assert machine.cluster["forwards"] == []


def test_what_does_not_answer_or_would_send_passwords_in_clear_is_forwarded(machine: Machine, gateway: int) -> None:
    service = a_thing("Service", "gateway", spec={"ports": [{"port": 80, "nodePort": 1}]})
    addresses = [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "ExternalIP", "address": "1.1.1.1"}]
    node = a_thing("Node", "one", status={"addresses": addresses})
    path = {"path": "/", "backend": {"service": {"name": "gateway"}}}
    rules = [{"host": "127.0.0.1", "http": {"paths": [path]}}]
    ingress = a_thing("Ingress", "gateway", spec={"rules": rules})
    machine.add_cluster(objects=DEPLOYED | service | node | ingress, targets={"gateway": gateway})

    with find_environment("kube", None) as environment:
        assert answers(environment.server.url)
        assert len(machine.cluster["forwards"]) == 1


NAMESPACE = a_thing("Namespace", "cash-flow")


@pytest.mark.parametrize(
    ("cluster", "sentence", "code"),
    [
        (None, "install it", ExitCode.FAILED),
        ({"context": None}, "minikube start", ExitCode.UNREACHABLE),
        (
            {"context": "prod", "servers": {"prod": "https://prod.example.org"}},
            "`k8s forward --context prod` and name its address with --url",
            ExitCode.USAGE,
        ),
        (
            {"error": "The connection to the server localhost:8080 was refused - did you specify the right host?"},
            "minikube start",
            ExitCode.UNREACHABLE,
        ),
        ({"error": "error: You must be logged in to the server (Unauthorized)"}, "sign in to it", ExitCode.FAILED),
        ({"error": 'Error from server (Forbidden): services "gateway" is forbidden'}, "may not", ExitCode.REFUSED),
        ({"error": "panic: no idea"}, "no idea", ExitCode.FAILED),
        ({}, "has no namespace cash-flow", ExitCode.NOT_READY),
        ({"objects": NAMESPACE}, "has no service gateway", ExitCode.NOT_READY),
        (
            {"objects": DEPLOYED, "forward_error": "error: unable to forward port: Current status=Pending"},
            "k8s status",
            ExitCode.NOT_READY,
        ),
    ],
)
def test_what_keeps_the_cluster_from_being_reached_is_one_sentence(
    machine: Machine, cluster: dict[str, object] | None, sentence: str, code: ExitCode
) -> None:
    if cluster is not None:
        machine.add_cluster(**cluster)

    failure = refused("kube")

    assert sentence in str(failure)
    assert failure.code == code
    assert "\n" not in str(failure)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_no_kubectl_is_left_however_the_command_is_ended(
    machine: Machine, gateway: int, number: signal.Signals
) -> None:
    machine.add_cluster(objects=DEPLOYED, targets={"gateway": gateway, "mailpit": gateway})
    waiting = (
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from cli.environments import find_environment\n"
        "with find_environment('kube', None) as environment:\n"
        "    print(environment.server.url, environment.mailbox.url, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", waiting],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline().startswith(b"http://127.0.0.1:")
        children = machine.cluster["forwards"]
        assert len(children) == 2
        command.send_signal(number)
        command.wait(WITHIN_S)

    assert not any(is_alive(child) for child in children)

"""A rendering of the chart, run by ``podman kube play`` until a ticket is done: part of ``make test-deploy``.

podman makes pods of Deployments and volumes of claims; it ignores Services, probes and disruption budgets.  All ways are
encrypted, and the portal is below a path.
"""

import json
import logging
import shlex
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from deploy.engines import Engine
from deploy.played_servers import NETWORK, PREFIX, Servers
from support.charts import Chart, Manifest, containers, of_kind
from support.stacks import free_port
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(1800)  # builds the images where it runs alone

log = logging.getLogger(__name__)

LUNGS = "lung-segmentation"
DEPLOYMENTS = {
    "portal": "dss-portal",
    "dispatch": f"dss-dispatch-{LUNGS}",
    "inference": "dss-inference-rules",
}
UID = 1000660000
"""A large number, as OpenShift chooses one for each namespace."""
AUTHORITIES = "authorities"


@dataclass(frozen=True)
class Played:
    servers: Servers
    public_url: str

    def exec(self, program: str, *words: str) -> "subprocess.CompletedProcess[str]":
        engine = self.servers.engine
        (name,) = (
            n for n in names_of(engine, f"{DEPLOYMENTS[program]}-pod") if n.endswith(f"-{program}")
        )
        return engine.podman("exec", name, *words, check=False)

    def logs(self) -> str:
        return logs_of(self.servers.engine)


def names_of(engine: Engine, prefix: str = "") -> list[str]:
    """Containers whose name begins so."""
    names = engine.podman("ps", "--all", "--format", "{{.Names}}").stdout.split()
    return [name for name in names if name.startswith(prefix)]


def logs_of(engine: Engine) -> str:
    """The last lines of each container, below its name."""
    names = names_of(engine)
    said = [engine.podman("logs", "--tail", "20", name, check=False) for name in names]
    return "\n".join(f"{n}\n{s.stdout}{s.stderr}" for n, s in zip(names, said, strict=True))


def pod_address(engine: Engine, deployment: str) -> str:
    """The address of the deployment's first pod; newer podmans number the pods."""
    listed = engine.podman("pod", "ps", "--format", "{{.Name}} {{.InfraID}}").stdout.splitlines()
    infra = next(line.split()[1] for line in listed if line.startswith(f"{deployment}-pod"))
    (facts,) = json.loads(engine.podman("inspect", infra).stdout)
    return str(facts["NetworkSettings"]["Networks"][NETWORK]["IPAddress"])


def store_secret(engine: Engine, name: str, values: dict[str, str]) -> None:
    """Store a secret in the form that ``secretKeyRef`` of this podman reads: a map of texts in base64."""
    encoded = {key: b64encode(value.encode()).decode() for key, value in values.items()}
    text = shlex.quote(json.dumps(encoded))
    engine.run(f"printf %s {text} | podman secret create {name} -", engine.folder)


def store_secrets(servers: Servers) -> None:
    programs = ("portal", "dispatch", "inference")
    amqp_urls = {program: servers.amqp_url(program) for program in programs}
    store_secret(servers.engine, "dss-rabbitmq", amqp_urls)
    store_secret(servers.engine, "dss-database", {"url": servers.database_url})
    store_secret(servers.engine, "dss-portal", {"secret-key": servers.secret("secret_key")})


@pytest.fixture(scope="module")
def servers(
    images: Engine, checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("played")
    images.run(f"{sys.executable} -m dss_broker.site_secrets {folder}/secrets", folder)
    found = Servers(images, folder, checkout)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def rendering(chart: Chart, public_url: str, authority: Path) -> list[Manifest]:
    values = [
        f"publicUrl={public_url}",
        f"security.runAsUser={UID}",
        f"security.fsGroup={UID}",
        f"certificates.configMap={AUTHORITIES}",
        "portal.trustedProxies={10.0.0.0/8}",
    ]
    certificates = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": AUTHORITIES},
        "data": {"ca-bundle.crt": authority.read_text(encoding="utf-8")},
    }
    objects = chart.render("laptop", values)
    for deployment in of_kind(objects, "Deployment"):
        for container in containers(deployment):
            container.pop("ports", None)  # podman publishes each on this machine, and all have 9100
        # Under Always, as each Deployment has it, podman 4 starts an init container again that has ended well.
        deployment["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    return [certificates, *objects]


@pytest.fixture(scope="module")
def played(servers: Servers, chart: Chart) -> Iterator[Played]:
    engine, port = servers.engine, free_port()
    public_url = f"https://localhost:{port}{PREFIX}"
    manifests = rendering(chart, public_url, servers.authority)
    for image in {c["image"] for m in of_kind(manifests, "Deployment") for c in containers(m)}:
        engine.podman("tag", f"{image.partition(':')[0]}:latest", image)
    file = servers.folder / "dss.yaml"
    file.write_text(yaml.safe_dump_all(manifests), encoding="utf-8")
    try:
        store_secrets(servers)
        done = engine.podman("kube", "play", "--network", NETWORK, str(file), check=False)
        assert done.returncode == 0, f"{done.stderr}\n{logs_of(engine)}"
        servers.start_nginx(f"http://{pod_address(engine, DEPLOYMENTS['portal'])}:8080", port)
        yield Played(servers, public_url)
    finally:
        engine.podman("kube", "down", str(file), check=False)
        engine.podman("volume", "rm", "--force", "dss-datastore", check=False)
        engine.podman("secret", "rm", "--all", check=False)


def test_a_ticket_is_done_on_a_rendering_of_the_chart(played: Played) -> None:
    def offered() -> bool:
        return LUNGS in played.exec("portal", "dss-portal", "services", "list").stdout

    wait_until(offered, 240, played.logs)
    added = played.exec("portal", "dss-portal", "users", "add", "ann@example.org").stdout
    ours = Path(sys.executable).parent
    said = played.servers.engine.run(
        f"{ours}/dss-phantom sample;"
        f" {ours}/dss send sample/ct.nii.gz --service {LUNGS} --jar jar --output results",
        played.servers.folder,
        DSS_SERVER=played.public_url,
        DSS_TOKEN=added.split()[-1],
        SSL_CERT_FILE=str(played.servers.authority),
    )

    assert "left lung" in said
    assert "right lung" in said


@pytest.mark.parametrize("program", DEPLOYMENTS)
def test_a_pod_runs_under_the_namespace_s_user_without_rights(played: Played, program: str) -> None:
    status = played.exec(program, "cat", "/proc/1/status").stdout
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    assert facts["Uid"].split()[0] == str(UID)
    assert facts["Gid"].split()[0] == "0"
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert played.exec(program, "touch", "/opt/dss/x").returncode != 0
    assert played.exec(program, "touch", "/tmp/x").returncode == 0
    assert played.exec(program, "python", "-m", "dss_observability.health").returncode == 0


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("portal", "DSS_DATABASE_URL"),
        ("dispatch", "The encrypted connection to RabbitMQ at DSS_AMQP_URL failed"),
        ("inference", "The encrypted connection to RabbitMQ at DSS_AMQP_URL failed"),
    ],
)
def test_a_program_without_the_servers_authority_says_whom_it_does_not_trust(
    played: Played, program: str, sentence: str
) -> None:
    """The image of the pod, without the certificates of the pod."""
    engine, name = played.servers.engine, "dss-distrusting"
    settings = [
        f"DSS_AMQP_URL={played.servers.amqp_url(program)}",
        f"DSS_DATABASE_URL={played.servers.database_url}",
        f"DSS_SECRET_KEY={'k' * 40}",
    ]
    words = [word for setting in settings for word in ("--env", setting)]
    run = [
        "run",
        "--detach",
        "--name",
        name,
        "--user",
        f"{UID}:0",
        "--read-only",
        "--tmpfs",
        "/tmp",
    ]
    engine.podman(*run, "--network", NETWORK, *words, f"dss-{program}")
    try:
        ready = ("exec", name, "python", "-m", "dss_observability.health")

        def told() -> str:
            logged = engine.podman("logs", name, check=False)
            return engine.podman(*ready, check=False).stderr + logged.stdout + logged.stderr

        wait_until(lambda: sentence in told(), 60, told)
        assert "Traceback" not in told()
    finally:
        engine.podman("rm", "--force", "--time", "0", "--volumes", name, check=False)

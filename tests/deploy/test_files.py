"""What is under deploy/, and Dockerfile.cuda: they parse, and keep the promises that SECURITY.md and docs/gpu.md make of them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from dovetail.serve.config.server import ServerConfig
from dovetail.serve.config.sources import load_config

ROOT = Path(__file__).parents[2]
Steps = list[tuple[str, str]]


def dockerfile() -> Steps:
    """Instructions and their arguments, lines joined, comments left out."""
    lines = [line for line in (ROOT / "Dockerfile.cuda").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(step[0], step[2]) for line in joined.splitlines() if (step := line.partition(" ")) and line.strip()]


def final_stage(steps: Steps) -> Steps:
    last = max(i for i, (name, _) in enumerate(steps) if name == "FROM")
    return steps[last:]


def load(name: str) -> dict[str, Any]:
    documents = list(yaml.safe_load_all((ROOT / "deploy" / name).read_text()))
    assert len(documents) == 1
    loaded: dict[str, Any] = documents[0]
    return loaded


def test_every_base_is_pinned_by_a_digest_that_has_no_default() -> None:
    steps = dockerfile()
    assert [argument for name, argument in steps if name == "ARG"] == [
        "BASE=docker.io/library/python:3.12-slim-bookworm",
        "BASE_DIGEST",
    ]
    bases = [argument.split(" ")[0] for name, argument in steps if name == "FROM"]
    assert len(bases) == 2 and set(bases) == {"${BASE}@${BASE_DIGEST}"}


def test_the_image_runs_as_nobody_in_particular() -> None:
    stage = final_stage(dockerfile())
    names = [name for name, _ in stage]
    user = dict(stage)["USER"]
    assert re.fullmatch(r"\d+:\d+", user) and not user.startswith("0:")
    assert names.index("USER") < names.index("ENTRYPOINT") and "RUN" not in names[names.index("USER") :]


def test_the_image_says_how_it_is() -> None:
    check = dict(final_stage(dockerfile()))["HEALTHCHECK"]
    command = json.loads(check.partition("CMD ")[2])
    assert command[0] == "python" and "/ready" in command[2]
    compile(command[2], "HEALTHCHECK", "exec")
    assert all(word in check for word in ("--interval=", "--timeout=", "--start-period="))


@pytest.mark.parametrize("rule", ["latest", "ADD", "sudo", "curl", "chmod 777"])
def test_what_a_dockerfile_should_not_have(rule: str) -> None:
    assert not any(rule == name or (rule != "ADD" and rule in argument) for name, argument in dockerfile())


def test_packages_leave_no_lists_and_no_recommendations() -> None:
    installs = [argument for name, argument in dockerfile() if name == "RUN" and "apt-get install" in argument]
    assert len(installs) == 2
    for argument in installs:
        assert "--no-install-recommends" in argument and "rm -rf /var/lib/apt/lists/*" in argument


def test_what_is_installed_is_pinned() -> None:
    (line,) = [argument for name, argument in dockerfile() if name == "RUN" and "pip install" in argument]
    words = shlex.split(line)
    assert words[words.index("-c") + 1] == "constraints.txt" and (ROOT / "constraints.txt").is_file()


def test_the_settings_are_the_servers() -> None:
    """Every DOVETAIL_ variable of the image, of compose and of Kubernetes is one that the server takes."""
    pairs = shlex.split(dict(final_stage(dockerfile()))["ENV"])
    variables = dict(pair.split("=", 1) for pair in pairs)
    variables |= load("docker-compose.yml")["services"]["dovetail"]["environment"]
    variables |= {each["name"]: each["value"] for each in container()["env"]}
    config = load_config({}, {name: value for name, value in variables.items() if name.startswith("DOVETAIL_")})
    assert config.device == "cuda" and config.host == "0.0.0.0" and config.keys, "reachable, so with keys"
    assert config.kv_offload_memory == 16 * 2**30


def test_containers_log_in_json() -> None:
    """What collects the lines of containers reads objects."""
    several, *_ = yaml.safe_load_all((ROOT / "deploy/kubernetes/several/deployment.yaml").read_text())
    (one,) = several["spec"]["template"]["spec"]["containers"]
    told = [{each["name"]: each.get("value") for each in env} for env in (container()["env"], one["env"])]
    told.append(load("docker-compose.yml")["services"]["dovetail"]["environment"])
    told.append(dict(pair.split("=", 1) for pair in shlex.split(dict(final_stage(dockerfile()))["ENV"])))
    assert [each["DOVETAIL_LOG_FORMAT"] for each in told] == ["json"] * 4


def test_compose_holds_the_container_in() -> None:
    service = load("docker-compose.yml")["services"]["dovetail"]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"] and not service["user"].startswith("0")
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    model = next(each for each in service["volumes"] if isinstance(each, dict))
    assert model["target"] == "/model" and model["read_only"] is True
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia" and device["capabilities"] == ["gpu"]
    assert int(service["stop_grace_period"].rstrip("s")) > ServerConfig().drain_seconds


def container() -> dict[str, Any]:
    (one,) = pod()["containers"]
    found: dict[str, Any] = one
    return found


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = load("kubernetes/deployment.yaml")["spec"]["template"]["spec"]
    return spec


def test_kubernetes_asks_for_a_gpu_and_gives_nothing_else() -> None:
    spec, one = pod(), container()
    assert one["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert spec["securityContext"]["runAsNonRoot"] is True and spec["automountServiceAccountToken"] is False
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    volumes = {each["name"] for each in spec["volumes"]}
    assert {each["name"] for each in one["volumeMounts"]} == volumes


def test_kubernetes_drains() -> None:
    spec, one = pod(), container()
    drain = int(next(each["value"] for each in one["env"] if each["name"] == "DOVETAIL_DRAIN_SECONDS"))
    pause = int(one["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] > drain + pause
    assert one["readinessProbe"]["httpGet"]["path"] == one["startupProbe"]["httpGet"]["path"] == "/ready"
    assert one["livenessProbe"]["httpGet"]["path"] == "/health"


def test_kubernetes_parts_belong_together() -> None:
    deployment, service = load("kubernetes/deployment.yaml"), load("kubernetes/service.yaml")
    network = load("kubernetes/networkpolicy.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert network["spec"]["podSelector"]["matchLabels"] == labels
    assert network["spec"]["egress"] == [] and "Egress" in network["spec"]["policyTypes"]
    assert service["spec"]["ports"][0]["targetPort"] == container()["ports"][0]["name"]

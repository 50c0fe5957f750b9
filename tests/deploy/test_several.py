"""deploy/nginx, deploy/envoy and deploy/kubernetes/several: they parse, belong together, and agree with the server's own names and limits.

make test-gateway runs the proxies, and holds the manifests against Kubernetes' schemas.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dovetail.serve.api.affinity import HEADER
from dovetail.serve.api.http.failures import REFUSED
from dovetail.serve.api.security.declined import SESSION_HEADERS
from dovetail.serve.config.server import MIB, ServerConfig
from dovetail.serve.config.sources import load_config

DEPLOY = Path(__file__).parents[2] / "deploy"
SEVERAL = DEPLOY / "kubernetes" / "several"
NGINX = (DEPLOY / "nginx" / "nginx.conf").read_text()
ENVOY = (DEPLOY / "envoy" / "envoy.yaml").read_text()


def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    """By kind and name."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(SEVERAL.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if "kind" in document:
                found[document["kind"], document["metadata"]["name"]] = document
    return found


def headers_of_nginx() -> list[str]:
    """In the order in which they count."""
    maps = re.findall(r"map \$http_(\w+) \$dovetail_(?!request_id)\w+ \{", NGINX)
    return [name.replace("_", "-") for name in maps]


def test_both_proxies_look_at_the_same_headers_in_the_same_order() -> None:
    routes = yaml.safe_load(ENVOY)["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = routes["route_config"]["virtual_hosts"]
    policies = [each["route"]["hash_policy"] for each in host["routes"] if "route" in each]
    names = [each["header"]["header_name"] for each in policies[0] if "header" in each]
    assert policies[0] == policies[1] and names == headers_of_nginx()
    assert names.index(HEADER) < names.index("authorization")
    sessions = set(names[: names.index(HEADER)])
    assert sessions < set(SESSION_HEADERS), "the server knows them as sessions too"
    (retried,) = host["retry_policy"]["retriable_headers"]
    assert retried["name"] == REFUSED and REFUSED.replace("-", "_") in NGINX


def test_bodies_may_be_as_large_as_the_servers_take_them() -> None:
    size = ServerConfig().max_body_bytes
    assert f"client_max_body_size        {size // MIB}m;" in NGINX
    assert f"max_request_bytes: {size}" in ENVOY and f"request_body_buffer_limit: {size}" in ENVOY


def test_no_request_is_sent_twice() -> None:
    directives = [line for line in NGINX.splitlines() if not line.lstrip().startswith("#")]
    tried = [line for line in directives if "proxy_next_upstream " in line]
    assert len(tried) == 2 and not any("non_idempotent" in line for line in tried)
    assert "keepalive 6" not in NGINX and "max_requests_per_connection: 1" in ENVOY
    assert "retry_on: connect-failure,refused-stream,retriable-headers" in ENVOY


def test_envoys_servers_can_be_a_name() -> None:
    """The two sed expressions in gateway.yaml and docs/scale-out.md."""
    command = (
        "sed -e '/address: 10.0.0.1[23]/d' -e 's/10.0.0.11/dovetail-servers/' deploy/envoy/envoy.yaml > envoy.yaml"
    )
    for page in (SEVERAL / "gateway.yaml", DEPLOY.parent / "docs" / "scale-out.md"):
        assert command in page.read_text(), page
    text = "\n".join(line for line in ENVOY.splitlines() if not re.search("address: 10.0.0.1[23]", line))
    cluster = yaml.safe_load(text.replace("10.0.0.11", "dovetail-servers"))["static_resources"]["clusters"][0]
    (locality,) = cluster["load_assignment"]["endpoints"]
    (endpoint,) = locality["lb_endpoints"]
    address = endpoint["endpoint"]["address"]["socket_address"]
    service = manifests()["Service", "dovetail-servers"]
    assert service["spec"]["clusterIP"] == "None"
    assert address == {"address": service["metadata"]["name"], "port_value": service["spec"]["ports"][0]["port"]}


def test_the_parts_belong_together() -> None:
    found = manifests()
    servers = found["Deployment", "dovetail"]["spec"]["template"]
    labels = servers["metadata"]["labels"]
    assert found["Service", "dovetail-servers"]["spec"]["selector"] == labels
    assert found["PodDisruptionBudget", "dovetail"]["spec"]["selector"]["matchLabels"] == labels
    assert found["NetworkPolicy", "dovetail"]["spec"]["podSelector"]["matchLabels"] == labels
    gateway = found["Deployment", "dovetail-gateway"]["spec"]["template"]["metadata"]["labels"]
    assert found["Service", "dovetail"]["spec"]["selector"] == gateway
    scaler = found["HorizontalPodAutoscaler", "dovetail"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == "dovetail"
    (rule,) = yaml.safe_load((SEVERAL / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert scaler["metrics"][0]["pods"]["metric"]["name"] == rule["name"]["as"]
    assert "dovetail_engine_running" in rule["metricsQuery"] and "dovetail_engine_waiting" in rule["metricsQuery"]


@pytest.mark.parametrize("name", ["dovetail", "dovetail-gateway"])
def test_pods_are_held_in_and_drain(name: str) -> None:
    spec = manifests()["Deployment", name]["spec"]["template"]["spec"]
    (one,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True and spec["automountServiceAccountToken"] is False
    assert one["securityContext"]["readOnlyRootFilesystem"] is True
    assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {each["name"] for each in one["volumeMounts"]} == {each["name"] for each in spec["volumes"]}
    if name == "dovetail":
        values = {each["name"]: each.get("value", "postgresql://db/x") for each in one["env"]}
        config = load_config({}, values)
        assert config.store == config.keys, "what several servers share lies in one database"
        assert spec["terminationGracePeriodSeconds"] > config.drain_seconds
    else:
        pause = int(one["lifecycle"]["preStop"]["exec"]["command"][1])
        assert spec["terminationGracePeriodSeconds"] > pause

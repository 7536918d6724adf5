"""The Helm chart: what it renders is recorded, valid for Kubernetes, and agrees with the server."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml

from spanloom import config, serving

CHART = Path(__file__).resolve().parent.parent.parent / "deploy" / "helm" / "spanloom"
RECORDED = Path(__file__).resolve().parent / "charts"
NAMES = ("default", "full", "fixed")
KUBERNETES = "1.34"
# Given by the chart, or not for a pod.
NOT_SETTINGS = {
    "database",
    "control_database",
    "read_database",
    "grpc_address",
    "http_address",
    "no_auth",
    "log_format",
}
SCHEMA = jsonschema_rs.validator_for(json.loads((CHART / "values.schema.json").read_text()))
JUDGE = {"judge_base_url", "judge_api_key", "judge_model"}
TLS = {"tls_certificate", "tls_key", "tls_client_ca"}


def template(values: str | Path) -> list[str]:
    """The command that renders the chart with a file of values."""
    return [
        *("helm", "template", "spanloom", str(CHART), "--namespace", "traces"),
        *("--kube-version", KUBERNETES, "--values", str(values)),
    ]


def helm(*command: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("helm") is None:
        pytest.skip("no helm on this machine: go install helm.sh/helm/v3/cmd/helm@latest")
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def recorded(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((RECORDED / f"{name}.yaml").read_text()))


def of_kind(name: str, kind: str) -> list[dict[str, Any]]:
    return [thing for thing in recorded(name) if thing["kind"] == kind]


def container(name: str) -> dict[str, Any]:
    (deployment,) = of_kind(name, "Deployment")
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(only)


@pytest.mark.parametrize("name", NAMES)
def test_the_chart_renders_what_is_recorded(name: str) -> None:
    """After a change on purpose, write the output of the command to charts/<name>.yaml."""
    command = template(RECORDED / f"{name}.values.yaml")
    done = helm(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (RECORDED / f"{name}.yaml").read_text(), " ".join(command)


def test_the_chart_passes_helm_s_lint() -> None:
    done = helm("helm", "lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


def test_helm_refuses_what_the_schema_refuses(tmp_path: Path) -> None:
    file = tmp_path / "values.json"
    file.write_text('{"settings": {"workrs": 2}}')
    done = helm(*template(file))
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr


@pytest.mark.parametrize(
    "values",
    [
        {"settings": {"workrs": 2, "drain_timeout": 1}},
        {"settings": {"no_auth": True, "drain_timeout": 1}},
        {"settings": {"workers": 0, "drain_timeout": 1}},
        {"database": {"url": "postgresql+psycopg://..."}},
        {"preStopSeconds": 0},
        {"replica": 3},
    ],
    ids=str,
)
def test_the_schema_refuses_wrong_values(values: dict[str, Any]) -> None:
    assert not SCHEMA.is_valid(values)


@pytest.mark.parametrize("file", ["default", "full", "fixed", ""])
def test_the_values_follow_the_schema(file: str) -> None:
    path = RECORDED / f"{file}.values.yaml" if file else CHART / "values.yaml"
    assert [str(error) for error in SCHEMA.iter_errors(yaml.safe_load(path.read_text()))] == []


@pytest.mark.parametrize("name", NAMES)
def test_kubernetes_would_take_it(name: str) -> None:
    things = recorded(name)
    assert things
    for thing in things:
        kubernetes_validate.validate(thing, KUBERNETES, strict=True)
        assert len(thing["metadata"]["name"]) <= 63


def test_every_setting_of_the_server_has_a_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    settings = set(schema["properties"]["settings"]["properties"])
    real = {field.name for field in dataclasses.fields(config.Settings)}
    assert settings == real - NOT_SETTINGS - JUDGE - TLS


@pytest.mark.parametrize("name", NAMES)
def test_the_server_takes_the_environment_of_its_pod(name: str) -> None:
    environ = {
        entry["name"]: entry.get("value", "sqlite:///from-a-secret.db")
        for entry in container(name)["env"]
    }
    settings = config.load({}, environ)
    known = {config.PREFIX + field.name.upper() for field in dataclasses.fields(settings)}
    assert set(environ) <= known
    ports = {port["name"]: port["containerPort"] for port in container(name)["ports"]}
    assert config.split_address(settings.grpc_address) == ("0.0.0.0", ports["grpc"])
    assert config.split_address(settings.http_address) == ("0.0.0.0", ports["http"])


@pytest.mark.parametrize("name", NAMES)
def test_secrets_are_references(name: str) -> None:
    assert of_kind(name, "Secret") == []
    environ = {entry["name"]: entry for entry in container(name)["env"]}
    for secret in ("SPANLOOM_DATABASE", "SPANLOOM_JUDGE_API_KEY"):
        if secret in environ:
            assert set(environ[secret]["valueFrom"]) == {"secretKeyRef"}
    assert ("SPANLOOM_JUDGE_API_KEY" in environ) == (name == "full")


@pytest.mark.parametrize("name", NAMES)
def test_a_pod_has_the_time_to_leave_and_to_drain(name: str) -> None:
    (deployment,) = of_kind(name, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    environ = {entry["name"]: entry.get("value") for entry in container(name)["env"]}
    pause = container(name)["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = math.ceil(float(environ["SPANLOOM_DRAIN_TIMEOUT"])) + serving._GRACE_SECONDS
    assert pod["terminationGracePeriodSeconds"] > pause + drain
    ready = container(name)["readinessProbe"]
    assert ready["httpGet"]["path"] == "/readyz"
    assert container(name)["livenessProbe"]["httpGet"]["path"] == "/healthz"
    probes = ("startupProbe", "livenessProbe", "readinessProbe")
    schemes = {container(name)[probe]["httpGet"].get("scheme", "HTTP") for probe in probes}
    assert schemes == {"HTTPS" if "SPANLOOM_TLS_CERTIFICATE" in environ else "HTTP"}


@pytest.mark.parametrize("name", NAMES)
def test_the_files_of_tls_are_those_of_a_secret_that_is_mounted(name: str) -> None:
    (deployment,) = of_kind(name, "Deployment")
    volumes = {v["name"]: v for v in deployment["spec"]["template"]["spec"]["volumes"]}
    mounts = {m["name"]: m["mountPath"] for m in container(name)["volumeMounts"]}
    settings = config.load({}, {e["name"]: e.get("value", "x") for e in container(name)["env"]})
    files = [settings.tls_certificate, settings.tls_key, settings.tls_client_ca]
    assert any(files) == all(files) == ("tls" in mounts) == (name == "full")
    for file in filter(None, files):
        assert file.rpartition("/")[0] == mounts["tls"]
        assert set(volumes["tls"]) == {"name", "secret"}


@pytest.mark.parametrize("name", NAMES)
def test_pods_have_no_rights(name: str) -> None:
    (deployment,) = of_kind(name, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    dockerfile = (CHART.parent.parent / "Dockerfile").read_text()
    user = pod["securityContext"]["runAsUser"]
    assert f"\nUSER {user}:{user}\n" in dockerfile
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("name", NAMES)
def test_selectors_find_the_pods(name: str) -> None:
    (deployment,) = of_kind(name, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        *(service["spec"]["selector"] for service in of_kind(name, "Service")),
        *(p["spec"]["selector"]["matchLabels"] for p in of_kind(name, "PodDisruptionBudget")),
        *(p["spec"]["podSelector"]["matchLabels"] for p in of_kind(name, "NetworkPolicy")),
    ]
    assert len(selectors) >= 4
    assert all(selector.items() <= labels for selector in selectors)


def test_only_one_of_replicas_and_autoscaler_is_there() -> None:
    for name in NAMES:
        (deployment,) = of_kind(name, "Deployment")
        scaled = bool(of_kind(name, "HorizontalPodAutoscaler"))
        assert scaled == ("replicas" not in deployment["spec"])
        assert scaled == (name != "fixed")

"""OTLP's MetricsService: metrics are accepted and dropped."""

from __future__ import annotations

from prometheus_client import REGISTRY

from tests.contract.conftest import Project

EXPORT = "opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


def dropped(kind: str) -> float:
    return REGISTRY.get_sample_value("spanloom_otlp_dropped_total", {"kind": kind}) or 0


def test_export_takes_metrics_and_stores_none(project: Project) -> None:
    metric = {"name": "gen_ai.client.token.usage", "gauge": {"dataPoints": [{"asInt": "7"}]}}
    sent = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    before = dropped("metric")
    assert not project.send(EXPORT, **sent).HasField("partial_success")
    assert dropped("metric") == before + 1

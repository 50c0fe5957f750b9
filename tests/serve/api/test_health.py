"""Health, readiness, metrics, the model list and request ids."""

from __future__ import annotations


async def test_health_and_ready(api, make_api):
    assert (await api.client.get("/health")).json()["status"] == "ok"
    assert (await api.client.head("/health")).status_code == 200
    ready = await api.client.get("/ready")
    assert (ready.status_code, ready.json()["server"]) == (200, "dovetail")
    loading = make_api(ready=False)
    assert (await loading.client.get("/health")).status_code == 200
    answer = await loading.client.get("/ready")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    loading.engine.ready = True
    assert (await loading.client.get("/ready")).status_code == 200


async def test_models(api):
    [entry] = (await api.client.get("/v1/models")).json()["data"]
    assert (entry["id"], entry["context_length"], entry["object"]) == ("tiny", 4096, "model")
    assert (await api.client.get("/v1/models/tiny")).json() == entry
    missing = await api.client.get("/v1/models/org/other")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


async def test_request_ids(api):
    mine = await api.client.get("/health", headers={"x-request-id": "abc-1"})
    assert mine.headers["x-request-id"] == "abc-1"
    strange = await api.client.get("/health", headers={"x-request-id": "a b"})
    assert strange.headers["x-request-id"] not in ("a b", "")
    assert (await api.client.get("/nowhere")).headers["x-request-id"]


async def test_metrics(api):
    await api.post("/v1/completions", {"prompt": "x"})
    await api.post("/v1/completions", {"prompt": 1})
    await api.client.get("/no/such/path")
    text = (await api.client.get("/metrics")).text
    for line in (
        'dovetail_requests_total{endpoint="/v1/completions",status="200"} 1.0',
        'dovetail_requests_total{endpoint="/v1/completions",status="400"} 1.0',
        'dovetail_requests_total{endpoint="unknown",status="404"} 1.0',
        'dovetail_completion_tokens_total{endpoint="/v1/completions"} 13.0',
        'dovetail_prompt_tokens_total{endpoint="/v1/completions"} 2.0',
        'dovetail_time_to_first_token_seconds_count{endpoint="/v1/completions"} 1.0',
        'dovetail_request_duration_seconds_count{endpoint="/v1/completions"} 2.0',
        "dovetail_guarantee_violations_total 0.0",
        "dovetail_engine_kv_blocks 8.0",
        'dovetail_engine_finished_total{reason="stop"} 1.0',
    ):
        assert line in text


async def test_docs_when_asked_for(make_api):
    documented = make_api(docs=True)
    assert (await documented.client.get("/openapi.json")).status_code == 200
    assert (await documented.client.get("/docs")).status_code == 200

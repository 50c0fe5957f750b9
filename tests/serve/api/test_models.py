"""/v1/models in the three forms that clients read."""

from __future__ import annotations

from dataclasses import replace

from anthropic.types import ModelInfo
from marked_dialect import MarkedDialect, marked_model

REQUIRED_BY_CODEX = {
    "slug",
    "display_name",
    "supported_reasoning_levels",
    "shell_type",
    "visibility",
    "supported_in_api",
    "priority",
    "support_verbosity",
    "truncation_policy",
    "experimental_supported_tools",
    "base_instructions",
}


async def test_openai_and_codex_read_the_same_body(api):
    body = (await api.client.get("/v1/models?client_version=0.169.0")).json()
    assert [model["id"] for model in body["data"]] == ["tiny"]
    [entry] = body["models"]
    assert set(entry) >= REQUIRED_BY_CODEX
    assert (entry["slug"], entry["context_window"], entry["apply_patch_tool_type"]) == ("tiny", 4096, "freeform")


async def test_codex_is_offered_no_patch_tool_that_the_model_cannot_be_held_to(make_api):
    dialect = MarkedDialect()
    dialect.plain_inputs = False
    api = make_api(served=replace(marked_model(), dialect=dialect))
    [entry] = (await api.client.get("/v1/models")).json()["models"]
    assert "apply_patch_tool_type" not in entry
    assert set(entry) >= REQUIRED_BY_CODEX
    assert "apply_patch" not in entry["base_instructions"]


async def test_anthropics_form(api):
    headers = {"anthropic-version": "2023-06-01", "x-api-key": "any"}
    body = (await api.client.get("/v1/models?limit=1000", headers=headers)).json()
    assert (body["first_id"], body["last_id"], body["has_more"]) == ("tiny", "tiny", False)
    model = ModelInfo.model_validate(body["data"][0])
    assert model.max_input_tokens == 4096
    assert (await api.client.get("/v1/models/tiny", headers=headers)).json() == body["data"][0]
    assert (await api.client.get("/v1/models/tiny")).json()["object"] == "model"
    assert (await api.client.get("/v1/models/other", headers=headers)).status_code == 404

"""Secrets of the usual shapes never reach the disk, wherever in a record they stand."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.serve.govern.audit.log import AuditLog, Private
from dovetail.serve.govern.audit.redact import redact
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.audit.show import Filter, records

WORD = string.ascii_letters + string.digits


def letters(low: int, high: int, alphabet: str = WORD) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=low, max_size=high)


BODIES = st.lists(letters(20, 64, WORD + "+/="), min_size=1, max_size=6)
SECRETS: dict[str, tuple[str, st.SearchStrategy[str], str]] = {
    "openai": ("sk-proj-", letters(20, 60), ""),
    "anthropic": ("sk-ant-api03-", letters(20, 60, WORD + "-_"), ""),
    "stripe": ("sk_live_", letters(24, 40), ""),
    "own": ("dvt_", st.builds("{}_{}".format, letters(12, 12), letters(43, 43)), ""),
    "github": ("ghp_", letters(36, 36), ""),
    "github-fine": ("github_pat_", letters(40, 82, WORD + "_"), ""),
    "gitlab": ("glpat-", letters(20, 30), ""),
    "aws": ("AKIA", letters(16, 16, string.ascii_uppercase + string.digits), ""),
    "aws-secret": ("aws_secret_access_key = ", letters(40, 40, WORD + "+/"), ""),
    "google": ("AIza", letters(35, 35, WORD + "-_"), ""),
    "slack": ("xoxb-", letters(20, 50, WORD + "-"), ""),
    "npm": ("npm_", letters(36, 36), ""),
    "pypi": ("pypi-", letters(40, 80, WORD + "-_"), ""),
    "hugging-face": ("hf_", letters(34, 34), ""),
    "jwt": (
        "eyJ",
        st.builds("{0}.eyJ{1}.{2}".format, letters(10, 40), letters(10, 60), letters(20, 60, WORD + "-_")),
        "",
    ),
    "bearer": ("Authorization: Bearer ", letters(16, 60, WORD + "-._~+/"), ""),
    "basic": ("authorization: basic ", letters(16, 60, WORD + "+/"), ""),
    "url": ("postgresql://admin:", letters(6, 30, WORD + "!$%-"), "@db.internal:5432/x"),
    "url-query": ("https://x.test/?api_key=", letters(12, 40), "&a=1"),
    "assigned": ('"password": "', letters(8, 30, WORD + " !$%-"), '"'),
    "quoted-json": ('{\\"client_secret\\": \\"', letters(12, 30), '\\"}'),
    "env": ("export DB_PASSWORD=", letters(8, 30), "\nnext"),
    "private-key": ("-----BEGIN RSA PRIVATE KEY-----\n", BODIES.map("\n".join), "\n-----END RSA PRIVATE KEY-----"),
    "escaped-private-key": ("-----BEGIN PRIVATE KEY-----\\n", BODIES.map("\\n".join), "\\n-----END PRIVATE KEY-----"),
    "cut-private-key": ("-----BEGIN OPENSSH PRIVATE KEY-----\n", BODIES.map("\n".join), ""),
}
AROUND = st.text(st.characters(codec="utf-8", exclude_characters="-"), max_size=30).map(lambda text: text + " ")
AFTER = st.sampled_from(["", " and more", "\n", '"', "')", " — ü"])


def fragments(secret: str) -> list[str]:
    """What would show that a secret got through: any eight characters of it, of lines of keys too."""
    return [
        line[at : at + 8] for line in secret.replace("\\n", "\n").split("\n") for at in range(max(1, len(line) - 7))
    ]


@pytest.mark.parametrize("kind", SECRETS)
def test_nothing_of_a_secret_is_left(kind: str) -> None:
    before, bodies, behind = SECRETS[kind]

    @settings(max_examples=60, deadline=None)
    @given(AROUND, bodies, AFTER)
    def check(around: str, body: str, after: str) -> None:
        shown = redact(around + before + body + behind + after)
        assert "[redacted:" in shown
        shown = re.sub(r"\[redacted:[a-z-]+\]", "", shown)  # a secret may spell a part of that
        for fragment in fragments(body.strip()):
            assert fragment not in shown or fragment in around + before + behind + after, shown

    check()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_secrets_are_on_no_disk(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(SECRETS)), min_size=1, max_size=4))
    secrets = [(SECRETS[kind][0], data.draw(SECRETS[kind][1]), SECRETS[kind][2]) for kind in kinds]
    text = " and ".join("".join(parts) for parts in secrets)
    folder: Path = tmp_path_factory.mktemp("log")
    audit = AuditSettings(folder=folder / "log", text="full")
    log = AuditLog(audit)
    fields = {"who": {"id": text}, "prompts": [Private(text)], text: {"deep": [text, (text,)]}}
    log.record("answered", fields).result(10)
    log.close()
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file()).decode("utf-8", "replace")
    shown = str([*records(audit, Filter())])
    for before, body, behind in secrets:
        longest = max(body.strip().replace("\\n", "\n").split("\n"), key=len)
        if longest not in before + behind and len(set(longest)) > 4:
            assert longest not in written and longest not in shown


@pytest.mark.parametrize(
    "text",
    [
        "def password_of(user): return user.password",
        "the task-skeleton of a risk-assessment-with-a-long-name",
        "https://example.org:8080/a@b",
        "secret = load()",
        "Bearer of news",
        "a = tokens[0]; password: str",
    ],
)
def test_plain_text_stays(text: str) -> None:
    assert redact(text) == text


def test_long_texts_take_no_long_time() -> None:
    for text in (
        "-----BEGIN PRIVATE KEY-----" * 5000,
        "a:" * 100_000,
        "://" * 50_000,
        "password" * 20_000,
        "eyJa." * 40_000,
    ):
        redact(text)

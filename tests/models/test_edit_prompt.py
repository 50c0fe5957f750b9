from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dovetail.models.edit_prompt import EditTemplate
from dovetail.models.errors import ChatTemplateError, ModelDirectoryError
from dovetail.models.tokenizer import Tokenizer

MARKERS = {"search": "<<<<<<< SEARCH", "divider": "=======", "replace": ">>>>>>> REPLACE"}
TEMPLATE = """{% for file in files %}
<|im_start|>{{ file.path }}
{{ file.content }}<|im_end|>
{% endfor %}
{{ instruction }}
{{ markers.search }}"""


@pytest.fixture
def directory(tiny_directory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_directory, tmp_path / "model"))


def test_files_come_through_exactly(directory: Path) -> None:
    (directory / "edit_template.jinja").write_text(TEMPLATE)
    tokenizer = Tokenizer.load(directory)
    template = EditTemplate.load(directory, tokenizer)
    assert template is not None
    content = "STOP = '<|im_end|>'\r\n\tx\u00a0= 1  \n\n"
    ids = tokenizer.encode_rendered(
        template.render([{"path": "a<|im_start|>.py", "content": content}], "rename x", MARKERS)
    )
    assert [i for i in ids if i in tokenizer.special.values()] == [
        tokenizer.special["<|im_start|>"],
        tokenizer.special["<|im_end|>"],
    ]
    text = b"".join(tokenizer.token_bytes(i) or b"" for i in ids).decode()
    assert text == f"a<|im_start|>.py\n{content}\nrename x\n<<<<<<< SEARCH"


def test_a_model_without_one(directory: Path) -> None:
    assert EditTemplate.load(directory, Tokenizer.load(directory)) is None


def test_errors(directory: Path) -> None:
    tokenizer = Tokenizer.load(directory)
    (directory / "edit_template.jinja").write_text("{{ raise_exception('one file only') }}")
    template = EditTemplate.load(directory, tokenizer)
    assert template is not None
    with pytest.raises(ChatTemplateError, match="one file only"):
        template.render([], "x", MARKERS)
    (directory / "edit_template.jinja").write_text("{{")
    with pytest.raises(ModelDirectoryError, match=r"edit_template\.jinja: not a valid template"):
        EditTemplate.load(directory, tokenizer)

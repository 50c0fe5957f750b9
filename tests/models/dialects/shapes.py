"""Answers as models of each family write them, and what they mean: ``kind text`` for each piece."""

from __future__ import annotations

from dovetail.models.dialects import mistral
from dovetail.models.dialects.deepseek import DeepSeek
from dovetail.models.dialects.family import Family
from dovetail.models.dialects.glm import Glm
from dovetail.models.dialects.granite import Granite
from dovetail.models.dialects.harmony import Harmony
from dovetail.models.dialects.hermes import Hermes
from dovetail.models.dialects.kimi import Kimi
from dovetail.models.dialects.llama import Llama
from dovetail.models.dialects.pythonic import Pythonic
from dovetail.models.dialects.qwen_coder import QwenCoder

FAMILIES: tuple[Family, ...] = (
    Hermes(),
    QwenCoder(),
    Glm(),
    DeepSeek(fenced=True),
    DeepSeek(fenced=False),
    Kimi(),
    mistral.Mistral(named=True),
    mistral.Mistral(named=False),
    Granite(),
    Llama(),
    Pythonic(),
    Harmony(),
)

Means = list[tuple[str, str]]
END = ("end", "")


def call(name: str, arguments: str) -> Means:
    return [("call", name), ("arguments", arguments), END]


A = call("read", '{"path": "a.py"}')
NOW = call("now", "{}")
TWO = A + NOW

CALLS: list[tuple[Family, str, Means]] = [
    (Hermes(), '<tool_call>\n{"name": "read", "arguments": {"path": "a.py"}}\n</tool_call>', A),
    (
        Hermes(),
        '<tool_call>\n{"name": "read", "arguments": {"path": "a.py"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
        TWO,
    ),
    (
        Hermes(),
        '<tool_call>\n{"name": "patch", "arguments": "below"}\n*** Begin\n+x\n*** End\n</tool_call>',
        call("patch", "*** Begin\n+x\n*** End"),
    ),
    (
        Hermes(),
        '<tool_call>\n{"name": "digits", "arguments": {"input": "12/3"}}\n</tool_call>',
        call("digits", "12/3"),
    ),
    (
        QwenCoder(),
        "<tool_call>\n<function=read>\n<parameter=path>\na.py\n</parameter>\n<parameter=lines>\n3\n</parameter>\n"
        "</function>\n</tool_call>",
        call("read", '{"path": "a.py", "lines": 3}'),
    ),
    (
        QwenCoder(),
        "<tool_call>\n<function=patch>\n<parameter=input>\n*** Begin\n+x\n*** End\n</parameter>\n</function>\n</tool_call>\n"
        "<tool_call>\n<function=now>\n</function>\n</tool_call>",
        call("patch", "*** Begin\n+x\n*** End") + NOW,
    ),
    (
        Glm(),
        "<tool_call>read\n<arg_key>path</arg_key>\n<arg_value>a.py</arg_value>\n<arg_key>tags</arg_key>\n"
        "<arg_value>[1, 2]</arg_value>\n</tool_call>\n<tool_call>now\n</tool_call>",
        call("read", '{"path": "a.py", "tags": [1, 2]}') + NOW,
    ),
    (
        Glm(lines=False),
        "<tool_call>read<arg_key>path</arg_key><arg_value>a.py</arg_value><arg_key>lines</arg_key><arg_value>3</arg_value>"
        "</tool_call><tool_call>now</tool_call>",
        call("read", '{"path": "a.py", "lines": 3}') + NOW,
    ),
    (
        DeepSeek(fenced=True),
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>read\n```json\n"
        '{"path": "a.py"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```'
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        TWO,
    ),
    (
        DeepSeek(fenced=False),
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>read<｜tool▁sep｜>{"path": "a.py"}<｜tool▁call▁end｜>'
        "<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        TWO,
    ),
    (
        Kimi(),
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.read:0<|tool_call_argument_begin|>"
        '{"path": "a.py"}<|tool_call_end|><|tool_call_begin|>functions.patch:1<|tool_call_argument_begin|>'
        "*** Begin\n+x\n*** End<|tool_call_end|><|tool_calls_section_end|>",
        A + call("patch", "*** Begin\n+x\n*** End"),
    ),
    (mistral.Mistral(named=True), '[TOOL_CALLS]read[ARGS]{"path": "a.py"}[TOOL_CALLS]now[ARGS]{}', TWO),
    (
        mistral.Mistral(named=True),
        "[TOOL_CALLS]patch[ARGS]*** Begin\n+x\n*** End[TOOL_CALLS]digits[ARGS]12/3",
        call("patch", "*** Begin\n+x\n*** End") + call("digits", "12/3"),
    ),
    (
        mistral.Mistral(named=False),
        '[TOOL_CALLS] [{"name": "read", "arguments": {"path": "a.py"}}, {"name": "now", "arguments": {}}]',
        TWO,
    ),
    (mistral.Mistral(named=True), '[TOOL_CALLS]read[CALL_ID]abcdefghi[ARGS]{"path": "a.py"}', A),
    (
        mistral.Mistral(named=False),
        '[TOOL_CALLS][{"name": "read", "arguments": {"path": "a.py"}, "id": "abcdefghi"}, '
        '{"name": "now", "arguments": {}, "id": "a1b2c3d4e"}]',
        TWO,
    ),
    (
        Granite(),
        '<|tool_call|>[{"name": "read", "arguments": {"path": "a.py"}}, {"name": "now", "arguments": {}}]',
        TWO,
    ),
    (Llama(), '{"name": "read", "parameters": {"path": "a.py"}}; {"name": "now", "parameters": {}}', TWO),
    (Pythonic(), '[read(path="a.py"), now()]', TWO),
]
"""Calls as the families write them; the same that their grammars allow."""

READ: list[tuple[Family, str, Means]] = [
    *CALLS,
    (Hermes(), "  Hello \n", [("text", "  Hello \n")]),
    (Hermes(), 'Hi.\n<tool_call>{"arguments": {}, "name": "now"}</tool_call>\n', [("text", "Hi."), *NOW]),
    (Hermes(), '<tool_call>{"name": "now"}</tool_call> bye', [*NOW, ("text", "bye")]),
    (Hermes(), '<tool_call>{"name": "now"},\n{"name": "now"}</tool_call>', NOW + NOW),
    (Hermes(), '<tool_call>{"name": "read", "arguments": "{\\"path\\": \\"a.py\\"}"}</tool_call>', A),
    (Hermes(), '<tool_call>{"type": "function", "function": {"name": "now", "arguments": {}}}</tool_call>', NOW),
    (
        Hermes(),
        '<tool_call>{"name": "read", "arguments": {"path": "</tool_call> {\n"}}</tool_call>',
        call("read", '{"path": "</tool_call> {\\n"}'),
    ),
    (Hermes(), "a <tool_call> b", [("text", "a <tool_call> b")]),
    (Hermes(), "<tool_call>{}</tool_call>", [("text", "<tool_call>{}</tool_call>")]),
    (Hermes(), "<tool_call></tool_call>", [("text", "<tool_call></tool_call>")]),
    (Hermes(), '<tool_call>\n{"name": "re', [("text", '<tool_call>\n{"name": "re')]),
    (Hermes(), '<tool_call>{"name": "read", "arguments": {"path": "a', call("read", '{"path": "a')),
    (Hermes(), '<tool_call>{"name": "shell", "arguments": {"input": "ls\\n"}}</tool_call>', call("shell", "ls\n")),
    (Hermes(), '<tool_call>{"name": "shell", "arguments": {"input": "ls -', call("shell", "ls -")),
    (
        QwenCoder(),
        "So:\n\n<function=read>\n<parameter=path>\n</parameter>\n</parameter>\n</function>",
        [("text", "So:"), *call("read", '{"path": "</parameter>"}')],
    ),
    (QwenCoder(), "<tool_call>\nread", [("text", "<tool_call>\nread")]),
    (QwenCoder(), "<function=read>\n<parameter=path>\na", call("read", '{"path": "a"}')),
    (
        QwenCoder(),
        "<function=read>\n<parameter=lines>\nmany\n</parameter>\n</function>",
        call("read", '{"lines": "many"}'),
    ),
    (Glm(), "<tool_call>now</tool_call>", NOW),
    (Glm(), "<tool_call></tool_call>", [("text", "<tool_call></tool_call>")]),
    (Kimi(), "<|tool_call_begin|>read", [("text", "<|tool_call_begin|>read")]),
    (
        mistral.Mistral(named=True),
        'Ok.[TOOL_CALLS]read[CALL_ID]abcdefghi[ARGS]{"path": "a.py"}',
        [("text", "Ok."), *A],
    ),
    (mistral.Mistral(named=True), '[TOOL_CALLS]read{"path": "a.py"}', A),
    (mistral.Mistral(named=True), '[TOOL_CALLS]shell[ARGS] "x"\n', call("shell", ' "x"\n')),
    (mistral.Mistral(named=True), '[TOOL_CALLS]shell[ARGS]{"input": "x"}', call("shell", "x")),
    (mistral.Mistral(named=True), "[TOOL_CALLS]read me", [("text", "[TOOL_CALLS]read me")]),
    (mistral.Mistral(named=False), "[TOOL_CALLS][", [("text", "[TOOL_CALLS][")]),
    (Llama(), '{"name": "Bob", "age": 3}', [("text", '{"name": "Bob", "age": 3}')]),
    (Llama(), '<|python_tag|>{"name": "read", "parameters": {"path": "a.py"}}', A),
    (Llama(), "<|python_tag|>print(1)", [("text", "<|python_tag|>print(1)")]),
    (Pythonic(), "[1, 2, 3] is a list", [("text", "[1, 2, 3] is a list")]),
    (Pythonic(), "[read(path=open())]", [("text", "[read(path=open())]")]),
    (
        Harmony(),
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.read "
        '<|constrain|>json<|message|>{"path": "a.py"}<|call|>',
        [("reasoning", "Hm."), *A],
    ),
    (Harmony(), ' to=functions.read<|channel|>commentary json<|message|>{"path": "a.py"}<|call|>', A),
    (Harmony(), " to= be or not", [("text", " to= be or not")]),
    (
        Harmony(),
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hello",
        [("reasoning", "Hm."), ("text", "Hello")],
    ),
]

"""Chat templates as models have them, cut down to what their dialects turn on."""

from __future__ import annotations

QWEN = """{%- if tools %}<|im_start|>system
{%- if messages[0].role == 'system' %}
{{ messages[0].content }}{% endif %}
# Tools
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
Answer with <tool_call>...</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% elif message.tool_calls %}<|im_start|>assistant
{{ message.content }}
{%- for call in message.tool_calls %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% elif not (tools and loop.first and message.role == 'system') %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking %}<think>
{% endif %}{% endif %}"""

BARE = """{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

STRICT = """{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}[SYS]{{ messages[0].content }}[/SYS]
{% else %}{% set rest = messages %}{% endif %}
{%- for message in rest %}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}
{%- if message.role == 'user' %}[INST]{{ message.content }}[/INST]{% else %}{{ message.content }}</s>{% endif %}
{%- endfor %}"""

GEMMA = """{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}
<turn>{{ message.role }}
{{ message.content | trim }}
{% endfor %}"""

SILENT = """{% for message in messages %}{% if message.role == 'system' and loop.first %}S: {{ message.content }}
{% elif message.role in ('user', 'assistant') %}{{ message.role }}: {{ message.content }}
{% endif %}{% endfor %}"""
"""Drops what it does not know without a word."""

MISTRAL = """{%- for message in messages %}
{%- if message.role == 'user' %}
{%- if loop.last and tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}
{#- -#}[INST]{{ message.content }}[/INST]
{%- elif message.role == 'assistant' and message.tool_calls %}[TOOL_CALLS]
{%- for call in message.tool_calls %}
{%- if call.id | length != 9 %}{{ raise_exception('ids have nine characters') }}{% endif %}
{{- call.function.name }}[ARGS]{{ call.function.arguments }}
{%- endfor %}</s>
{%- elif message.role == 'tool' %}
{%- if message.tool_call_id | length != 9 %}{{ raise_exception('ids have nine characters') }}{% endif %}
{#- -#}[TOOL_RESULTS]{{ message.content }}[/TOOL_RESULTS]
{%- else %}{{ message.content }}{% endif %}
{%- endfor %}"""

KIMI = """{%- if tools %}<|im_system|>{{ tools | tojson }}{% endif %}
{%- for message in messages %}<|{{ message.role }}|>{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}<|tool_calls_section_begin|><|tool_call_begin|>{{ call.id }}
{#- -#}<|tool_call_argument_begin|>{{ call.function.arguments }}<|tool_call_end|><|tool_calls_section_end|>
{%- endfor %}{% if message.role == 'tool' %}## Return of {{ message.tool_call_id }}{% endif %}
{%- endfor %}"""

DEEPSEEK = """{% for message in messages %}<｜{{ message.role }}｜>{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}<｜tool▁calls▁begin｜>{{ call.function.arguments }}{% endfor %}
{%- endfor %}"""
"""Shows calls, and no tools: those are for the caller to describe."""

GRANITE = """{%- if tools %}<|tools|>{{ tools | tojson }}
Write <|tool_call|> before the calls.
{% endif %}
{%- for message in messages %}<|role|>{{ message.role }}: {{ message.content }}
{% endfor %}"""
"""Shows tools and results, and no earlier calls."""

QUOTING = MISTRAL.replace("{{ call.function.name }}", "").replace(
    "call.function.arguments", "call.function.arguments | tojson"
)
"""Writes arguments as JSON itself, and would write text of JSON twice."""

FOREIGN = """{%- if tools %}Tools: {{ tools | tojson }}
{% endif %}
{%- for message in messages %}{{ message.role }}: {{ message.content }}
{%- for call in message.tool_calls or [] %}<invoke>{{ call.function.arguments }}</invoke>{% endfor %}
{% endfor %}"""
"""Has a way to write calls that no family here has."""

ALL = {
    "qwen": QWEN,
    "bare": BARE,
    "strict": STRICT,
    "gemma": GEMMA,
    "silent": SILENT,
    "mistral": MISTRAL,
    "kimi": KIMI,
    "deepseek": DEEPSEEK,
    "granite": GRANITE,
    "quoting": QUOTING,
    "foreign": FOREIGN,
}

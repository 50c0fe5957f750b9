"""Secure-coding findings in generated code: scanned whole and while it is written, told as SARIF."""

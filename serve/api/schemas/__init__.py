"""The shape of every answer, for the OpenAPI document and for tests. Nothing that is sent is made or checked by these."""

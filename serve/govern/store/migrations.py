"""The tables of governance, of shared stored objects and of shared audit logs, by version. A version that was released is never changed: the next one alters it."""

from __future__ import annotations

from collections.abc import Sequence

MIGRATIONS: Sequence[Sequence[str]] = (
    (
        """
        CREATE TABLE api_keys (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, owner_group TEXT, scopes TEXT NOT NULL, quota TEXT NOT NULL,
            created DOUBLE PRECISION NOT NULL, expires DOUBLE PRECISION, revoked DOUBLE PRECISION,
            salt TEXT NOT NULL, digest TEXT NOT NULL, earlier_digest TEXT, earlier_until DOUBLE PRECISION
        )
        """,
        "CREATE TABLE changes (what TEXT PRIMARY KEY, version BIGINT NOT NULL)",
        "INSERT INTO changes VALUES ('api_keys', 0)",
        """
        CREATE TABLE usage_by_hour (
            hour BIGINT NOT NULL, principal TEXT NOT NULL, name TEXT NOT NULL, owner_group TEXT NOT NULL,
            model TEXT NOT NULL, endpoint TEXT NOT NULL, requests BIGINT NOT NULL, refused BIGINT NOT NULL,
            prompt_tokens BIGINT NOT NULL, completion_tokens BIGINT NOT NULL,
            PRIMARY KEY (hour, principal, owner_group, model, endpoint)
        )
        """,
    ),
    (
        """
        CREATE TABLE quota_counts (
            server TEXT NOT NULL, account TEXT NOT NULL, counter TEXT NOT NULL, part BIGINT NOT NULL,
            amount BIGINT NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (server, account, counter, part)
        )
        """,
        "CREATE INDEX quota_counts_by_version ON quota_counts (version)",
        "INSERT INTO changes VALUES ('quotas', 0)",
    ),
    (
        """
        CREATE TABLE stored_records (
            kind TEXT NOT NULL, tenant TEXT NOT NULL, id TEXT NOT NULL, created DOUBLE PRECISION NOT NULL,
            record TEXT NOT NULL, PRIMARY KEY (kind, tenant, id)
        )
        """,
        """
        CREATE TABLE claims (
            name TEXT PRIMARY KEY, server TEXT NOT NULL, until DOUBLE PRECISION NOT NULL, ending BIGINT NOT NULL
        )
        """,
    ),
    (
        """
        CREATE TABLE audit_chains (
            name TEXT PRIMARY KEY, count BIGINT NOT NULL, hash TEXT NOT NULL, closed BIGINT NOT NULL, time TEXT NOT NULL,
            seal TEXT NOT NULL, writer TEXT NOT NULL, until DOUBLE PRECISION NOT NULL
        )
        """,
        """
        CREATE TABLE audit_records (
            chain TEXT NOT NULL, seq BIGINT NOT NULL, at_ms BIGINT NOT NULL, line TEXT NOT NULL, PRIMARY KEY (chain, seq)
        )
        """,
        "CREATE INDEX audit_records_by_time ON audit_records (at_ms, chain, seq)",
    ),
)
"""Statements that both SQLite and PostgreSQL understand. The database's version is the number of entries applied."""

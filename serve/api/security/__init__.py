"""Security of answers over HTTP: findings in code, requests that are declined, scans and moderations."""

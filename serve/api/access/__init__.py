"""Between HTTP and governance: credentials out of headers, quotas into headers, and who each request is counted for."""

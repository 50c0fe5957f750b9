"""Fetch a document over HTTP, trying again when the network hiccups."""

import time
import urllib.error
import urllib.request


class FetchError(Exception):
    """The document could not be fetched."""


def fetch(url, attempts=3, timeout=10.0):
    """Return the body of ``url`` as bytes."""
    delay = 0.5
    for attempt in range(attempts):
        try:
            with urllib.request.urlopen(url, timeout=timeout) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise FetchError(f"{url}: {error.code}") from error
        except urllib.error.URLError:
            pass
        if attempt + 1 < attempts:
            time.sleep(delay)
            delay *= 2
    raise FetchError(f"{url}: gave up after {attempts} attempts")


def fetch_text(url, encoding="utf-8"):
    """Return the body of ``url`` as text."""
    return fetch(url).decode(encoding)

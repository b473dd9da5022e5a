"""The faults of the gauntlet: which strikes what, how the slot ends, and what the user sees.

Belongs here: the table. Does not: running it (`gauntlet`), what must hold after it (`test_gauntlet`).
"""

from __future__ import annotations

from typing import Any

from tests.reliability.gauntlet import MEBIBYTE, NEW_TOKEN, Case, Strike, Trouble

KEY = "?sig=5ec4e7"
NOTHING_SEEN = "the poll asks once more; the slot is loaded"


def passing(fault: str, dataset: str, kind: str, leg: str = "api", count: int = 1, name: str = "", **params: Any) -> Case:
    """A fault that the retries of one poll are enough for: each strike costs a request."""
    return Case(name or fault, dataset, ((fault, NOTHING_SEEN),), (Strike(kind, leg, count, params),), 1 + count)


def odd(fault: str, sees: str, dataset: str, leg: str, kind: str, name: str = "", is_odd: bool = True, **params: Any) -> Case:
    """An answer that is odd and right all the same."""
    return Case(name or fault, dataset, ((fault, sees),), (Strike(kind, leg, None, params),), 1, is_odd=is_odd)


def refused(
    fault: str, sees: str, dataset: str, kind: str, leg: str = "api", requests: int = 1, verdict: str = "failed",
    mend: str = "`htw poll`", name: str = "", **params: Any,
) -> Case:  # fmt: skip
    """A fault that lasts for the whole poll, and is over at the next."""
    strikes = (Strike(kind, leg, None, params),)
    return Case(name or fault, dataset, ((fault, sees),), strikes, requests, verdict, mend)


def astray(fault: str, sees: str, location: str, dataset: str = "open_positions", name: str = "") -> Case:
    """A link that leads where nobody may be sent."""
    mend = "HTW_STORAGE_HOSTS"
    if dataset == "order_snapshots":
        return refused(fault, sees, dataset, "merge", mend=mend, name=name, members={"downloadUrl": location})
    return refused(fault, sees, dataset, "status", mend=mend, name=name, status=302, headers={"Location": location}, body="")


TRANSPORT = (
    passing("reset-before-headers", "coins", "reset"),
    passing("reset-in-body", "open_positions", "reset", "storage", fraction=0.5),
    refused(
        "reset-in-body", "where it stays so, the slot fails: “the connection was reset”", "open_positions", "reset", "storage",
        requests=3, name="reset-in-body, staying", mend="`htw doctor`", fraction=0.5,
    ),
    refused(
        "body-short", "where it stays so, the slot fails: “the answer broke off or is no HTTP”", "order_snapshots", "cut",
        "storage", requests=3, name="body-short, staying", mend="`htw doctor`",
    ),
    passing("cut-at-line-end", "open_positions", "cut", "storage", at_line_end=True),
    passing("zero-bytes", "coins", "empty"),
    refused(
        "zero-bytes", "where it stays so, the payload is quarantined: “0 bytes”", "open_positions", "empty", "storage",
        requests=3, verdict="quarantined", mend="kept in the vault", name="zero-bytes, staying",
    ),
    passing("html", "order_snapshots", "html", "storage"),
    refused(
        "html", "where it stays so, the payload is quarantined: “the answer cannot be data: a web page or an XML error”", "coins",
        "html", requests=3, verdict="quarantined", mend="kept in the vault", name="html, staying",
    ),
    refused(
        "xml", "the payload is quarantined: “the answer cannot be data: a web page or an XML error”", "open_positions", "xml",
        "storage", requests=3, verdict="quarantined", mend="kept in the vault",
    ),
    refused(
        "no-content", "where it stays so, the slot fails: “the API answers with status 204”", "coins", "status", requests=5,
        name="no-content, staying", status=204, body="",
    ),
    odd(
        "content-type", "nothing: what it is called does not matter, the slot is loaded", "open_positions", "storage", "headers",
        is_odd=False, content_type="text/html",
    ),
    odd("bom", "nothing: CSV with a mark is loaded", "open_positions", "storage", "replace", old="id,", new="\ufeffid,", times=1),
    odd("crlf", "nothing: the slot is loaded", "open_positions", "storage", "replace", old="\n", new="\r\n"),
    passing("double-gzip", "order_snapshots", "packed", "storage", mode="twice"),
    refused(
        "double-gzip", "where it stays so, the payload is quarantined: “the file is compressed twice”", "order_snapshots",
        "packed", "storage", requests=3, verdict="quarantined", mend="kept in the vault",
        name="double-gzip, staying", mode="twice",
    ),
    passing("bad-crc", "order_snapshots", "packed", "storage", mode="bad_crc"),
    refused(
        "bad-crc", "where it stays so, the payload is quarantined: “the file's compression is damaged”",
        "order_snapshots", "packed", "storage", requests=3, verdict="quarantined", mend="kept in the vault",
        name="bad-crc, staying", mode="bad_crc",
    ),
    refused(
        "bomb", "the slot fails before it is inflated: “more than 2,097,152 bytes”", "order_snapshots", "packed", "storage",
        mend="`cap_bytes`", mode="bomb", bytes=64 * MEBIBYTE,
    ),
    refused(
        "endless-line", "the payload is quarantined: “columns missing: id, address”", "open_positions", "status", "storage",
        verdict="quarantined", mend="kept in the vault", status=200, body="x" * MEBIBYTE,
    ),
    refused(
        "endless-line", "above the cap of the dataset the slot fails: “more than 2,097,152”", "order_snapshots", "status",
        "storage", mend="`cap_bytes`", name="endless-line above the cap", status=200, body="x" * 3 * MEBIBYTE,
    ),
)  # fmt: skip

REDIRECTS = (
    refused(
        "redirect-loop", "the slot fails: “redirects more than 3 times in a row”", "open_positions", "status", "storage",
        mend="HTW_STORAGE_HOSTS", status=302, headers={"Location": f"/hypertracker/positions/open/coin/BTC-ETH-SOL-again{KEY}"},
        body="",
    ),
    refused(
        "redirect-chain", "the slot fails: “redirects more than 3 times in a row”", "open_positions", "detour", "storage",
        mend="HTW_STORAGE_HOSTS",
    ),
    refused(
        "location-missing", "the slot fails: “the API redirects with status 302 and does not say where”", "open_positions",
        "status", requests=5, status=302, body="",
    ),
    astray("plain-http", "the slot fails: “is http, not https”", f"http://bucket.s3.amazonaws.com/a.csv{KEY}"),
    astray("other-scheme", "the slot fails: “is ftp, not https”", f"ftp://bucket.s3.amazonaws.com/a.csv{KEY}"),
    astray("private-address", "the slot fails: “169.254.169.254 is not among HTW_STORAGE_HOSTS”",
           f"https://169.254.169.254/latest/meta-data{KEY}", "order_snapshots"),
    astray("host-unlisted", "the slot fails: “elsewhere.example is not among HTW_STORAGE_HOSTS”",
           f"https://elsewhere.example/a.csv{KEY}", "order_snapshots"),
    passing("link-expired", "open_positions", "expired", "storage", count=2),
    refused(
        "link-expired", "where fresh links are refused too, the slot fails: “storage refuses the link with status 403”",
        "order_snapshots", "expired", "storage", requests=3, name="link-expired, staying",
    ),
    passing("link-expired-in-body", "order_snapshots", "cut", "storage", count=2, fraction=0.7),
)  # fmt: skip

BY_NAME_ONLY = "`htw poll order_snapshots`"
MEANING = (
    Case(
        "400", "order_snapshots",
        (("400", "the slot fails: “the request is refused with status 400: {"
          "\"message\":[\"start should not be empty\"]}”; then “not asked again so soon”, and the mend says when and how"),),
        (Strike("status", params={"status": 400, "body": {"message": ["start should not be empty"]}}),), 1, "failed",
        "documentation", by_name=True,
    ),
    Case(
        "403", "order_snapshots",
        (("403", "its slots fail, the others go on: “this token may not read it”; “not asked again so soon”"),),
        (Strike("status", params={"status": 403, "body": {"message": "Forbidden"}}),), 1, "failed", "HTW_DATASETS", by_name=True,
    ),
    refused(
        "404", "the coin is absent, the others go on: “not found: {\"message\":\"Snapshot file is not available\"}”; it is asked "
        "again at every slot", "order_snapshots", "status", verdict="absent", mend="`htw query",
        status=404, body={"message": "Snapshot file is not available"},
    ),
    passing("5xx-seconds", "coins", "status", count=3, status=503),
    passing("5xx-seconds", "open_positions", "status", "storage", count=2, name="5xx-seconds of storage", status=500),
)  # fmt: skip

PAGING = (
    refused("cursor-repeats", "the slot fails: “page 2 leads back to a page already read”", "market_metrics", "sticky",
            requests=2, names=["nextCursor"]),
    refused("has-more-contradicts", "the slot fails: “the answer says that there is more and gives no cursor”", "market_metrics",
            "merge", members={"nextCursor": None, "hasMore": True}),
    Case("pages-overlap", "market_metrics", (("pages-overlap", "nothing: every row counts once"),),
         (Strike("overlap", params={"name": "metrics", "rows": 2}),), 4, is_odd=True),
    Case("pages-shrink", "market_metrics", (("pages-shrink", "nothing: the pages are read to their end"),),
         (Strike("shrink", params={"rows": 6}),), 7, is_odd=True),
    Case("pages-reorder", "market_metrics", (("pages-reorder", "nothing: rows have no order"),),
         (Strike("reorder", params={"name": "metrics"}),), 4, is_odd=True),
)  # fmt: skip

CASES = (*TRANSPORT, *REDIRECTS, *MEANING, *PAGING)

TROUBLES = (
    Trouble(
        "refused", (("refused", "every slot fails, no request is counted: “the connection is refused”"),),
        api_url="http://127.0.0.1:1", mend="`htw doctor`",
    ),
    Trouble(
        "dns", (("dns", "every slot fails, no request is counted: “nowhere.invalid: the name is unknown”"),),
        api_url="http://nowhere.invalid", mend="`htw doctor`",
    ),
    Trouble(
        "5xx-minutes", (("5xx-minutes", "every slot fails: “the API answers with status 502”; they are filled while in force"),),
        Strike("status", params={"status": 502}), mend="`htw poll`",
    ),
    Trouble(
        "401", (("401", "the poll stops: “the token is not accepted”; what was not asked says “not asked: the token is not "
                 "accepted”, and the mend “put a valid token into HTW_API_TOKEN”; then the same slot is filled"),),
        Strike("revoke", count=1, params={"token": NEW_TOKEN}), after=2, verdicts=frozenset({"failed", "incomplete", "loaded"}),
        mend="HTW_API_TOKEN",
    ),
    Trouble(
        "402", (("402", "the poll stops: “the quota is spent”; nobody asks until it may be asked again"),),
        Strike("status", params={"status": 402, "body": {"message": "Payment Required"}, "headers": {"Retry-After": "10"}}),
        mend="HTW_PLAN",
    ),
    Trouble(
        "429-day", (("429-day", "the poll stops: “the day's quota is spent”; nobody asks until it may be asked again"),),
        Strike("status", params={"status": 429, "body": "You have reached the daily limit", "headers": {"Retry-After": "10"}}),
        mend="HTW_PLAN",
    ),
    Trouble(
        "429-storm", (("429-storm", "nothing: all wait as long as they are told, and every slot is loaded"),),
        Strike("status", count=8, params={"status": 429, "body": {"retry_after": 0.5}}), after=1,
        verdicts=frozenset({"loaded"}),
    ),
)  # fmt: skip

"""The storage host: serves pre-signed links the way an object store does, and refuses as one does.

It knows nothing of tokens; which links exist belongs to `links`.
"""

from __future__ import annotations

from sandbox.wire import Exchange, Reply

XML_TYPE = "application/xml"


def xml_error(status: int, code: str, message: str) -> Reply:
    """Refuse in the object store's XML."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Reply(status=status, body=body.encode(), content_type=XML_TYPE)


def expired() -> Reply:
    """Refuse an expired link."""
    return xml_error(403, "AccessDenied", "Request has expired")


def serve_link(exchange: Exchange) -> Reply:
    """Serve the file of a link: 400 with an Authorization header, 403 unsigned or expired, 404 where there is none."""
    if exchange.authorization is not None:
        text = "Only one auth mechanism allowed; only the signature query parameter or the Authorization header"
        return xml_error(400, "InvalidArgument", f"{text} should be specified")
    links = exchange.core.links
    link = links.find(exchange.path)
    if link is None:
        return xml_error(404, "NoSuchKey", "The specified key does not exist.")
    if exchange.param("sig") != link.signature:
        return xml_error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.")
    if links.is_expired(link):
        return expired()
    return Reply(body=link.render(), content_type=link.content_type)

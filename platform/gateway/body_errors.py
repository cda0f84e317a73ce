"""Refusals of what is sent with a request, beside those of `gateway.errors`."""

from __future__ import annotations

from gateway.errors import GatewayError


class BadBody(GatewayError):
    """The body of the request is not what this address reads."""

    code = "bad_body"
    status = 400


class UnsupportedBody(BadBody):
    """The body is of a type that is not read here."""

    code = "unsupported_body"
    status = 415


class BodyTooSlow(BadBody):
    """The body came too slowly, or stopped coming. Send it again over a better connection."""

    code = "body_too_slow"
    status = 408


class BodyTooLarge(BadBody):
    """The body of the request is larger than anything this address could want."""

    code = "body_too_large"
    status = 413


class UploadTooLarge(BadBody):
    """The audio is larger than this service takes. Send it in parts, or compressed: Opus, FLAC, MP3."""

    code = "upload_too_large"
    status = 413

"""Refusals of those who come back, beside those of `gateway.errors`.

GatewayError
├── ResumeBadToken      not one of ours
├── ResumeForeign       of another project's stream
├── ResumeLate          the stream has ended, or nobody has waited for so long
├── ResumeConflict      somebody else has it: twice at once
├── ResumeUnsuitable    what is asked for now does not fit what the stream was
├── ResumeOff           switched off
└── StreamError
    └── ResumedElsewhere    said to the connection that the stream has left
"""

from __future__ import annotations

from gateway.errors import GatewayError, StreamError


class ResumeBadToken(GatewayError):
    """This is no resume_token that was given here. Use the last one that the stream was given, or open a new
    stream."""

    code = "resume_bad_token"
    status = 400


class ResumeForeign(GatewayError):
    """This resume_token is for a stream of another project. Use a key of the project that opened it."""

    code = "resume_foreign"
    status = 403


class ResumeLate(GatewayError):
    """The stream has ended, or it is too late to come back to it. Open a new one."""

    code = "resume_late"
    status = 410


class ResumeConflict(GatewayError):
    """This resume_token has been used, and the stream goes on on another connection. If that is not yours any
    more, try again after the time in Retry-After."""

    code = "resume_conflict"
    status = 409
    retry_after_s = 6.0


class ResumeUnsuitable(GatewayError):
    """A stream goes on as it began. Come back with the parameters that it was opened with."""

    code = "resume_unsuitable"
    status = 400


class ResumeOff(GatewayError):
    """Streams cannot be resumed here: it is switched off. Open a new one."""

    code = "resume_off"
    status = 403


class ResumedElsewhere(StreamError):
    """The client has come back to this stream on another connection, where it goes on."""

    code = "resumed_elsewhere"
    status = 409
    close_code = 4409

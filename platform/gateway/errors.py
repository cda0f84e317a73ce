"""Every refusal of the gateway: its stable code, HTTP status, close code, and the sentence the client reads.

    GatewayError
    ├── BadParameter            a query parameter has a bad value
    ├── FetchFailed             a URL that the client gave does not work
    ├── BadBody …               what was sent with the request cannot be taken: see `gateway.body_errors`
    ├── UpgradeRequired, MethodNotAllowed
    ├── AccessRefused           the key is missing, wrong, or not allowed to do this: see `tenants.errors`
    ├── OtherProject            the key is of another project than the one that is to be changed
    ├── ChangeRefused           what was asked makes no sense: see `tenants.errors.Refused`
    ├── NotFound                no such path
    ├── UnknownId               no such project, key, request or model, for this key
    ├── TooManyFailures         too many bad keys from one address
    ├── LimitReached …          the plan or the project allows no more; the detail says how much, and whose
    ├── Unavailable …           nothing here can serve the stream now; try again
    └── StreamError …           the stream was open and cannot go on

The docstring of a class is its sentence. The close code is for a socket that is already open: 1008 for what
the client did, 4xxx for what happened to us. Never 1011 for ours but the one Deepgram documents, because
some clients answer 1011 by reconnecting thirty times at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tenants.errors import (
    AccessError,
    ExpiryPast,
    NameMissing,
    OriginMalformed,
    ProjectArchived,
    Refused,
    RoleNotAllowed,
    ScopeUnknown,
)


class GatewayError(Exception):
    """The request cannot be served."""

    code = "error"
    status = 500
    close_code = 1008
    retry_after_s: float | None = None
    resumable = False  # whether a client may come back to a stream that ended so
    headers: Mapping[str, str] = {}  # of the answer, beside those that every refusal has
    more: Mapping[str, str] = {}  # of its body

    def __init__(self, detail: str = "", *, retry_after_s: float | None = None) -> None:
        self.detail = detail
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        base = " ".join((type(self).__doc__ or "").split())
        return f"{base} {self.detail}".strip()


class BadParameter(GatewayError):
    """A parameter has a value that is not allowed."""

    code = "bad_parameter"
    status = 400


class UrlRefused(BadParameter):
    """A URL in the request is not one that can be called from here. Give a public http or https URL."""

    code = "url_refused"


class FetchFailed(GatewayError):
    """A URL in the request did not work. Check that it can be reached from the internet."""

    # 400 and not 502: the URL is the client's to repair, and clients repeat a 5xx by themselves.
    code = "fetch_failed"
    status = 400


class TranslationNotOffered(BadParameter):
    """Audio is transcribed here, not translated. Use /v1/audio/transcriptions."""

    code = "translation_not_offered"


class UpgradeRequired(GatewayError):
    """Live streaming needs a WebSocket handshake here. Recordings are sent with POST /v1/listen."""

    code = "upgrade_required"
    status = 426
    headers = {"upgrade": "websocket", "allow": "GET, POST"}


class MethodNotAllowed(GatewayError):
    """This address answers other methods only. The Allow header names them."""

    code = "method_not_allowed"
    status = 405
    headers = {"allow": "POST"}

    def __init__(self, detail: str = "", *, allow: str = "POST") -> None:
        super().__init__(detail)
        self.headers = {"allow": allow}


class AccessRefused(GatewayError):
    """The API key does not open this."""

    code = "access_refused"
    status = 401

    def __init__(self, cause: AccessError) -> None:
        self.code, self.status = cause.code, cause.status
        super().__init__(str(cause))

    @property
    def sentence(self) -> str:
        return self.detail


class OtherProject(GatewayError):
    """An API key does this in its own project only. Use a key of that project."""

    code = "other_project"
    status = 403


class ChangeRefused(GatewayError):
    """This change was refused."""

    code = "refused"
    status = 400
    # Those that a key can run into; the others are for people.
    STATUSES: ClassVar[dict[type[Refused], int]] = {
        ExpiryPast: 400,
        NameMissing: 400,
        OriginMalformed: 400,
        ProjectArchived: 409,
        RoleNotAllowed: 403,
        ScopeUnknown: 400,
    }

    def __init__(self, cause: Refused) -> None:
        self.code, self.status = cause.code, self.STATUSES.get(type(cause), 400)
        super().__init__(str(cause))

    @property
    def sentence(self) -> str:
        return self.detail


class NotFound(GatewayError):
    """Nothing answers at this path. Live streaming is at /v1/listen."""

    code = "not_found"
    status = 404


class UnknownHost(GatewayError):
    """This gateway does not answer to this host name. Its operator can add it to ALLOWED_HOSTS."""

    code = "unknown_host"
    status = 400


class UnknownId(GatewayError):
    """There is nothing with this id here, or it is not yours to see."""

    code = "unknown_id"
    status = 404


class TooManyFailures(GatewayError):
    """Too many requests with a bad API key came from this address. Wait, then try with a good one."""

    code = "too_many_failures"
    status = 429
    retry_after_s = 60.0


class LimitReached(GatewayError):
    """A limit is reached. Wait as Retry-After says, or have the limit raised."""

    code = "limit_reached"
    status = 429
    retry_after_s = 1.0


class TooManyStreams(LimitReached):
    """Too many streams are open at once. Close one or wait until one ends, or have the limit raised."""

    code = "too_many_streams"
    retry_after_s = 2.0


class TooManyOpenings(LimitReached):
    """Too many streams were opened in the last minute. Wait as Retry-After says, or have the limit raised."""

    code = "too_many_openings"


class TooManyRequests(LimitReached):
    """Too many requests came in the last second. Wait as Retry-After says, or have the limit raised."""

    code = "too_many_requests"


class AudioLimitReached(LimitReached):
    """The audio of this day is used up. It begins anew at midnight UTC; or have the limit raised."""

    code = "audio_limit_reached"


class Unavailable(GatewayError):
    """The service cannot take this now. Try again."""

    code = "unavailable"
    status = 503
    close_code = 4503
    retry_after_s = 1.0


class NoCapacity(Unavailable):
    """Every worker is full. Try again after the time in Retry-After."""

    code = "no_capacity"


class NoWorker(Unavailable):
    """No inference worker is ready. Try again after the time in Retry-After."""

    code = "no_worker"


class UploadsFull(Unavailable):
    """Too much recorded audio is being received here. Try again after the time in Retry-After."""

    code = "uploads_full"
    retry_after_s = 10.0


class UnknownModel(BadParameter):
    """No worker here serves this model or language. GET /v1/models lists what is served."""

    code = "unknown_model"


class ControlDatabaseUnreachable(Unavailable):
    """The control database cannot be reached, and this needs it. Try again as Retry-After says."""

    code = "control_database_unreachable"
    retry_after_s = 5.0


class GatewayDraining(Unavailable):
    """This gateway is stopping. Connect again to reach another."""

    resumable = True
    code = "gateway_draining"
    close_code = 1012


class StreamError(GatewayError):
    """The stream cannot go on. Open a new one."""

    code = "stream_error"
    close_code = 4000


class BadMessage(StreamError):
    """A text message is not one this protocol has."""

    code = "bad_message"
    status = 400
    close_code = 1008
    # What the client calls its message, in a dialect in which messages have names.
    event_id: str | None = None


class FeatureNotConfigurable(StreamError):
    """Configure has a feature that cannot be changed in an open stream. Nothing was changed."""

    # Never the end of a stream; the code is in the answer, in the manner of Deepgram's own.
    code = "CONFIGURE_FEATURE_NOT_SUPPORTED"
    status = 400
    close_code = 1008


class TooManyKeyterms(StreamError):
    """Configure has too many keyterms, or too long ones. Nothing was changed."""

    code = "CONFIGURE_KEYTERM_LIMIT_EXCEEDED"
    status = 400
    close_code = 1008


class BadAudio(StreamError):
    """The audio cannot be decoded. Check that encoding, sample_rate and channels say what is sent."""

    code = "bad_audio"
    status = 415
    close_code = 1008


class NoAudio(BadAudio):
    """There is no audio in what was sent. Check that the file has a sound track."""

    code = "no_audio"
    status = 422


class AudioTooLong(BadAudio):
    """The recording is longer than this service takes. Send it in parts."""

    code = "audio_too_long"
    status = 422


class IdleTimeout(StreamError):
    """Neither audio nor KeepAlive came for too long. Send KeepAlive while there is no audio."""

    resumable = True  # a network that is gone looks the same from here
    # Deepgram's own code and close code for this, which its clients know.
    code = "NET-0001"
    status = 408
    close_code = 1011


class StreamTooLong(StreamError):
    """The stream reached the longest time allowed. Open a new one."""

    code = "stream_too_long"
    close_code = 1008


class ClientTooSlow(StreamError):
    """The client did not read its results for too long. Read them while audio is sent."""

    resumable = True
    code = "client_too_slow"
    close_code = 1008


class WorkerLost(StreamError):
    """The inference worker is gone. Open a new stream and send the audio after the last final."""

    resumable = True
    code = "worker_lost"
    retry_after_s = 1
    status = 503
    close_code = 4503


class EngineFailed(StreamError):
    """The engine failed on this stream. Open a new stream and send the audio after the last final."""

    resumable = True
    code = "engine_failed"
    status = 503
    close_code = 4500


class InternalError(StreamError):
    """Something is broken on our side. The request id finds it in the logs."""

    resumable = True
    code = "internal_error"
    close_code = 4500

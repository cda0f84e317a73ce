"""Recorded audio over HTTP: Deepgram's `POST /v1/listen` and OpenAI's `POST /v1/audio/transcriptions`.

Plain ASGI applications, because they begin before the body has come. Whatever they are asked through, the
recording is laid on the disk, then heard in one pass by a `Stream` like any other.
"""

"""The REST API beside the streams: tokens, projects, keys, usage, requests, models. In Deepgram's shapes."""

"""`multipart/form-data`, piece by piece: the audio goes on as it comes, the few fields we know are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.body_errors import BadBody, UnsupportedBody

MAX_FIELD_BYTES = 64 * 1024  # of all fields together
MAX_PARTS = 200
FILE = "file"


class Form:
    """Feed it the body; it hands the bytes of the part named `file` to `on_audio`."""

    def __init__(self, content_type: str, known: Collection[str], on_audio: Callable[[bytes], None]) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise UnsupportedBody(
                "Send multipart/form-data with the recording in a part named file, "
                "as a form or an OpenAI client does."
            )
        self.fields: dict[str, list[str]] = {}
        self.has_file = False
        self._known, self._on_audio = known, on_audio
        self._parts = self._field_bytes = 0
        self._name = ""
        self._header = self._header_value = b""
        self._value: bytearray | None = None
        self._done = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._add_to_header,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise BadBody("Its boundary is longer than one may be.") from None

    def feed(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError:
            raise BadBody("It is not well-formed multipart/form-data.") from None

    def finish(self) -> None:
        if not self._done:
            raise BadBody("It ends before its last boundary.")
        if not self.has_file:
            raise BadBody("It has no part named file.")

    # ---- what the parser says

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise BadBody(f"It has more than {MAX_PARTS} parts.")
        self._name = ""
        self._header = self._header_value = b""
        self._value = None

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_to_header(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._header_value)
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._header = self._header_value = b""

    def _headers_finished(self) -> None:
        if self._name == FILE:
            if self.has_file:
                raise BadBody("It has more than one part named file.")
            self.has_file = True
        elif self._plain_name in self._known:
            self._value = bytearray()

    @property
    def _plain_name(self) -> str:
        return self._name.split("[")[0]  # `include[]` is a list, `chunking_strategy[type]` an object

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == FILE:
            self._on_audio(data[start:end])
        elif self._value is not None:
            self._field_bytes += end - start
            if self._field_bytes > MAX_FIELD_BYTES:
                raise BadBody(f"Its fields are more than {MAX_FIELD_BYTES} bytes.")
            self._value += data[start:end]

    def _part_end(self) -> None:
        if self._value is not None:
            try:
                text = self._value.decode()
            except UnicodeDecodeError:
                raise BadBody(f"Its field {self._plain_name} is not UTF-8.") from None
            self.fields.setdefault(self._plain_name, []).append(text)
            self._value = None

    def _end(self) -> None:
        self._done = True

"""Pages that say how many there are, which is only known when the last one is made."""

from __future__ import annotations

from typing import Any

from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas


class Numbered(Canvas):
    footer: tuple[str, str, Any, float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._finished: list[dict[str, Any]] = []

    @classmethod
    def with_footer(cls, text: str, font: str, color: Any, margin: float) -> type[Numbered]:
        return type("Footed", (cls,), {"footer": (text, font, color, margin)})

    def showPage(self) -> None:  # reportlab's name
        self._finished.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        count = len(self._finished)
        for page in self._finished:
            self.__dict__.update(page)
            self._foot(count)
            super().showPage()
        super().save()

    def _foot(self, count: int) -> None:
        text, font, color, margin = self.footer
        width = self._pagesize[0]
        self.setFont(font, 7.5)
        self.setFillColor(color)
        numbers = f"Page {self._pageNumber} of {count}"
        room = width - 2 * margin - self.stringWidth(numbers, font, 7.5) - 6 * mm
        while text and self.stringWidth(text, font, 7.5) > room:
            text = text[:-2] + "…" if len(text) > 2 else ""
        self.drawString(margin, 12 * mm, text)
        self.drawRightString(width - margin, 12 * mm, numbers)

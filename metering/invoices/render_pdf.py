"""The document as a PDF: A4 or Letter, with the letters that it needs in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4, LETTER
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, KeepTogether, PageBreak, Paragraph, SimpleDocTemplate, Spacer
from reportlab.platypus import Table as Grid

from metering.invoices.letters import drawn
from metering.invoices.pages import Numbered
from metering.invoices.view import Row, Table, View, view

PAPERS = {"a4": A4, "letter": LETTER}
MARGIN = 20 * mm
PADDING = 6  # of reportlab's frames, all around
INK, FAINT, HAIR = HexColor("#111827"), HexColor("#6b7280"), HexColor("#d1d5db")
PLAIN, BOLD = "Invoice", "Invoice-Bold"
FONTS = Path(__file__).parent / "fonts"
# Of the width of the page, by number of columns of a table.
WIDTHS = {
    2: (0.72, 0.28),
    3: (0.56, 0.2, 0.24),
    4: (0.49, 0.16, 0.15, 0.2),
    5: (0.36, 0.16, 0.21, 0.11, 0.16),
}
PRICE_WIDTHS = (0.23, 0.19, 0.22, 0.2, 0.16)


def render_pdf(document: dict[str, Any], paper: str = "a4") -> bytes:
    out = BytesIO()
    write_pdf(document, out, paper)
    return out.getvalue()


def write_pdf(document: dict[str, Any], out: BinaryIO, paper: str = "a4") -> None:
    fonts()
    shown = view(document)
    name = " ".join(filter(None, (shown.title, shown.number)))
    template = SimpleDocTemplate(
        out, pagesize=PAPERS[paper], leftMargin=MARGIN - PADDING, rightMargin=MARGIN - PADDING,
        topMargin=MARGIN - PADDING, bottomMargin=22 * mm, title=name, author=shown.seller[0],
        # So that the same document is the same file.
        invariant=1,
    )  # fmt: skip
    footer = _text(" · ".join(filter(None, (shown.seller[0], name))), BOLD)
    canvas = Numbered.with_footer(footer, PLAIN, FAINT, MARGIN)
    template.build(list(_story(shown, template.width - 2 * PADDING)), canvasmaker=canvas)


@cache
def fonts() -> None:
    pdfmetrics.registerFont(TTFont(PLAIN, str(FONTS / "DejaVuSans.ttf")))
    pdfmetrics.registerFont(TTFont(BOLD, str(FONTS / "DejaVuSans-Bold.ttf")))
    pdfmetrics.registerFontFamily(PLAIN, normal=PLAIN, bold=BOLD, italic=PLAIN, boldItalic=BOLD)


def _text(text: str, font: str = PLAIN) -> str:
    return drawn(text, pdfmetrics.getFont(font).face.charToGlyph)


def _style(size: float = 8.5, *, bold: bool = False, right: bool = False, **more: Any) -> ParagraphStyle:
    style: dict[str, Any] = {"textColor": INK, "leading": size * 1.4, "splitLongWords": 1, **more}
    return ParagraphStyle(
        "", fontName=BOLD if bold else PLAIN, fontSize=size, alignment=TA_RIGHT if right else 0, **style
    )


def _paragraph(text: str, style: ParagraphStyle) -> Paragraph:
    return Paragraph(escape(_text(text, style.fontName)), style)


def _lines(texts: Sequence[str], style: ParagraphStyle, first: ParagraphStyle) -> list[Paragraph]:
    return [_paragraph(text, style if i else first) for i, text in enumerate(texts)]


def _story(shown: View, width: float) -> list[Flowable]:
    story = _head(shown, width)
    story += [Spacer(1, 7 * mm), *_table(shown.lines, width), _totals(shown.totals, width)]
    faint = _style(8, textColor=FAINT)
    story += [Spacer(1, 3 * mm), *(_paragraph(note, faint) for note in shown.notes)]
    for table in filter(None, (shown.payments, *shown.summaries, shown.prices)):
        story += _section(table, width)
    if shown.streams:
        story += [PageBreak(), *_section(shown.streams, width)]
    if shown.proof:
        story += [Spacer(1, 6 * mm), _paragraph(shown.proof, _style(7, textColor=FAINT, splitLongWords=1))]
    return story


def _head(shown: View, width: float) -> list[Flowable]:
    faint, small = _style(8, textColor=FAINT), _style(8.5)
    seller = _lines(shown.seller, faint, _style(12, bold=True))
    title = [_paragraph(shown.title, _style(20, bold=True, right=True, leading=25))]
    top = Grid([[seller, title]], colWidths=[width * 0.6, width * 0.4], style=_flat())
    bill_to = [_paragraph("Bill to", faint), *_lines(shown.customer, small, _style(10, bold=True))]
    facts = Grid(
        [[_paragraph(name, faint), _paragraph(text, _style(8.5, right=True))] for name, text in shown.facts],
        colWidths=[width * 0.15, width * 0.27],
        style=[*_flat(), ("BOTTOMPADDING", (0, 0), (-1, -1), 2)],
    )
    people = Grid([[bill_to, "", facts]], colWidths=[width * 0.53, width * 0.05, width * 0.42], style=_flat())
    name, amount = shown.headline
    box = Grid(
        [[_paragraph(name, _style(10)), _paragraph(amount, _style(14, bold=True, right=True, leading=18))]],
        colWidths=[width * 0.45, width * 0.55],
        style=[
            ("BACKGROUND", (0, 0), (-1, -1), HexColor("#f3f4f6")), ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ("LEFTPADDING", (0, 0), (0, 0), 10), ("RIGHTPADDING", (-1, 0), (-1, 0), 10),
            ("TOPPADDING", (0, 0), (-1, -1), 8), ("BOTTOMPADDING", (0, 0), (-1, -1), 9),
        ],
    )  # fmt: skip
    return [top, Spacer(1, 12 * mm), people, Spacer(1, 9 * mm), box]


def _flat() -> list[tuple[Any, ...]]:
    return [
        ("LEFTPADDING", (0, 0), (-1, -1), 0), ("RIGHTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 0), ("BOTTOMPADDING", (0, 0), (-1, -1), 0),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]  # fmt: skip


def _section(table: Table, width: float) -> list[Flowable]:
    heading = _paragraph(
        table.title, _style(10.5, bold=True, spaceBefore=8 * mm, spaceAfter=2.5 * mm, keepWithNext=1)
    )
    body = _table(table, width)
    short = len(table.rows) <= 12
    return [KeepTogether([heading, *body])] if short else [heading, *body]


def _table(table: Table, width: float) -> list[Flowable]:
    columns = len(table.header)
    size = 7.5 if columns == 5 else 8.5
    header = [
        _paragraph(text, _style(size - 1, textColor=FAINT, right=i >= table.texts))
        for i, text in enumerate(table.header)
    ]
    rows = [_row(row, table.texts, size) for row in table.rows]
    shares = PRICE_WIDTHS if table.texts == 4 else (0.2, 0.5, 0.3) if table.texts == 2 else WIDTHS[columns]
    style: list[tuple[Any, ...]] = [
        *_flat(), ("TOPPADDING", (0, 0), (-1, -1), 3), ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, INK), ("RIGHTPADDING", (0, 0), (-2, -1), 8),
    ]  # fmt: skip
    for i, row in enumerate(table.rows, 1):
        if row.style == "part":
            style += [("TOPPADDING", (0, i), (-1, i), 0), ("LEFTPADDING", (0, i), (0, i), 10)]
        else:
            style.append(("LINEABOVE", (0, i), (-1, i), 0.4 if i > 1 else 0, HAIR))
    widths = [width * share for share in shares]
    grid = Grid([header, *rows], colWidths=widths, repeatRows=1, style=style)
    note = [_paragraph(table.note, _style(8, textColor=FAINT, spaceBefore=2 * mm))] if table.note else []
    return [grid, *note]


def _row(row: Row, texts: int, size: float) -> list[Paragraph]:
    part = row.style == "part"
    color = FAINT if part else INK
    size = size - 0.5 if part else size
    return [
        _paragraph(text, _style(size, right=i >= texts, textColor=color)) for i, text in enumerate(row.cells)
    ]


def _totals(rows: Sequence[Row], width: float) -> Flowable:
    cells = []
    for row in rows:
        strong = row.style == "strong"
        size = 10 if strong else 8.5
        cells.append(
            [
                "",
                _paragraph(row.cells[0], _style(size, bold=strong)),
                _paragraph(row.cells[1], _style(size, bold=strong, right=True)),
            ]
        )
    style: list[tuple[Any, ...]] = [
        *_flat(), ("TOPPADDING", (0, 0), (-1, -1), 4), ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ("LINEABOVE", (0, 0), (-1, 0), 0.8, INK), ("LINEABOVE", (1, -1), (-1, -1), 0.8, INK),
    ]  # fmt: skip
    return Grid(cells, colWidths=[width * 0.5, width * 0.25, width * 0.25], style=style)

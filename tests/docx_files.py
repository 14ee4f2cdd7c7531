"""Word documents for tests, written by hand."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from io import BytesIO

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_DRAWING = (
    'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"'
)
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_TYPES = "application/vnd.openxmlformats-officedocument.wordprocessingml"
CONTENT_TYPES = (
    f'{_HEAD}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/><Default Extension="png" ContentType="image/png"/>'
    f'<Override PartName="/word/document.xml" ContentType="{_TYPES}.document.main+xml"/></Types>'
)
STYLES = {  # name and outline level by id
    "Title": ("Title", None),
    "berschrift1": ("heading 1", 0),
    "berschrift2": ("heading 2", 1),
    "Chapter": ("My 'own' chapter", 0),
    "Code": ("Source Code", None),
    "TOC1": ("toc 1", None),
}


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(*runs: str, style: str = "") -> str:
    """A paragraph of runs, or of texts."""
    own = "".join(part if part.startswith("<") else run(part) for part in runs)
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{properties}{own}</w:p>"


def table(*rows: tuple[str, ...]) -> str:
    cells = ("".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) for row in rows)
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in cells)}</w:tbl>"


def image(description: str) -> str:
    return (
        f'<w:r><w:drawing><wp:inline><wp:docPr id="1" name="x" descr="{description}"/><a:graphic><a:graphicData><pic:pic>'
        '<pic:blipFill><a:blip r:embed="rImage"/></pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline>'
        "</w:drawing></w:r>"
    )


def footnote_mark(number: int, kind: str = "footnote") -> str:
    return f'<w:r><w:{kind}Reference w:id="{number}"/></w:r>'


def docx_file(
    *body: str, notes: Mapping[int, str] | None = None, parts: Mapping[str, str | bytes] | None = None
) -> bytes:
    """A document. `notes`: XML of footnotes by number; `parts`: further files in it, or other ones."""
    namespaces = f'xmlns:w="{_W}" xmlns:r="{_R}" {_DRAWING}'
    own = "".join(f'<w:footnote w:id="{number}">{text}</w:footnote>' for number, text in (notes or {}).items())
    files: dict[str, str | bytes] = {
        "[Content_Types].xml": CONTENT_TYPES,
        "_rels/.rels": _relationships(("officeDocument", "word/document.xml")),
        "word/_rels/document.xml.rels": _relationships(
            ("styles", "styles.xml"), ("footnotes", "footnotes.xml"), ("image", "media/x.png")
        ),
        "word/document.xml": f"{_HEAD}<w:document {namespaces}><w:body>{''.join(body)}</w:body></w:document>",
        "word/styles.xml": f'{_HEAD}<w:styles xmlns:w="{_W}">{"".join(map(_style, STYLES))}</w:styles>',
        "word/footnotes.xml": f"{_HEAD}<w:footnotes {namespaces}>{own}</w:footnotes>",
        "word/media/x.png": b"\x89PNG\r\n\x1a\n",
        "docProps/core.xml": f'{_HEAD}<cp:coreProperties xmlns:cp="c" xmlns:dc="d"><dc:title>The Book</dc:title>'
        "<dc:creator>Ann &amp; Bob</dc:creator><dc:language>en-GB</dc:language></cp:coreProperties>",
        **(parts or {}),
    }
    data = BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return data.getvalue()


def _relationships(*targets: tuple[str, str]) -> str:
    own = "".join(
        f'<Relationship Id="r{kind.capitalize()}" Type="{_R}/{kind}" Target="{target}"/>' for kind, target in targets
    )
    return f'{_HEAD}<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{own}</Relationships>'


def _style(name: str) -> str:
    title, level = STYLES[name]
    outline = "" if level is None else f'<w:pPr><w:outlineLvl w:val="{level}"/></w:pPr>'
    return f'<w:style w:type="paragraph" w:styleId="{name}"><w:name w:val="{title}"/>{outline}</w:style>'

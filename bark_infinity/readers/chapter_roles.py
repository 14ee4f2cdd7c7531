"""What a chapter is if it is not the book's own text, such as the cover or the index: by its declared type, or by its title."""

from __future__ import annotations

import re
from collections.abc import Iterable

COVER, TITLE_PAGE, CONTENTS, COPYRIGHT = "cover", "title page", "contents", "copyright"
INDEX, NOTES, BIBLIOGRAPHY = "index", "notes", "bibliography"

_TYPES = {  # of EPUB 3 (epub:type, and roles after "doc-") and of the guide of EPUB 2
    **dict.fromkeys(("cover", "frontcover"), COVER),
    **dict.fromkeys(("titlepage", "title-page", "halftitlepage", "halftitle"), TITLE_PAGE),
    **dict.fromkeys(("toc", "toc-brief", "landmarks", "page-list", "pagelist", "loi", "lot", "loa", "lov"), CONTENTS),
    **dict.fromkeys(("copyright-page", "imprint", "colophon"), COPYRIGHT),
    "index": INDEX,
    **dict.fromkeys(("footnotes", "endnotes", "rearnotes", "notes"), NOTES),
    "bibliography": BIBLIOGRAPHY,
}
_TITLES = {  # in the languages of Bark's voices
    COVER: "cover, front cover, back cover, book cover, cover page, cover image, umschlag, titelbild, couverture, cubierta, "
    "portada, copertina, capa, okładka, обложка, kapak, 封面, 表紙, 표지, आवरण",
    TITLE_PAGE: "title page, titlepage, half title, half title page, titelseite, titelblatt, schmutztitel, page de titre, "
    "faux titre, portadilla, página de título, frontespizio, folha de rosto, página de título, strona tytułowa, "
    "титульный лист, титул, iç kapak, 书名页, 扉页, 扉, 속표지, मुखपृष्ठ",
    CONTENTS: "contents, table of contents, toc, list of illustrations, list of figures, list of tables, list of maps, "
    "inhalt, inhaltsverzeichnis, abbildungsverzeichnis, table des matières, sommaire, table des illustrations, índice, "
    "índice general, contenido, contenidos, tabla de contenido, tabla de contenidos, indice, sommario, sumário, conteúdo, "
    "spis treści, содержание, оглавление, içindekiler, 目录, 目錄, 目次, 차례, 목차, विषय सूची, विषयसूची, अनुक्रम",
    COPYRIGHT: "copyright, copyright page, copyright notice, copyright information, legal notice, imprint, colophon, "
    "uncopyright, the full project gutenberg license, the full project gutenberg™ license, impressum, droits d'auteur, "
    "mentions légales, créditos, página de créditos, página legal, "
    "derechos de autor, diritti d'autore, note legali, ficha técnica, direitos autorais, prawa autorskie, "
    "strona redakcyjna, авторские права, выходные данные, telif hakkı, künye, 版权, 版权页, 版權頁, 奥付, 著作権, 판권, "
    "저작권, कॉपीराइट",
    INDEX: "index, general index, subject index, index of names, register, stichwortverzeichnis, personenregister, "
    "sachregister, namensregister, namenverzeichnis, index général, index des noms, índice alfabético, "
    "índice onomástico, índice analítico, índice de nombres, indice analitico, indice dei nomi, índice remissivo, indeks, "
    "indeks nazwisk, skorowidz, указатель, предметный указатель, именной указатель, dizin, 索引, 색인, 찾아보기, अनुक्रमणिका",
    NOTES: "notes, endnotes, end notes, footnotes, notes and references, anmerkungen, endnoten, fußnoten, notes de fin, "
    "notes de bas de page, notas, notas al pie, notas finales, note, note al testo, note a piè di pagina, "
    "notas de rodapé, przypisy, примечания, сноски, комментарии, notlar, dipnotlar, 注释, 註釋, 尾注, 脚注, 注, 注記, "
    "각주, 미주, 주석, टिप्पणियाँ, पाद टिप्पणियाँ",
    BIBLIOGRAPHY: "bibliography, select bibliography, selected bibliography, references, works cited, literatur, "
    "literaturverzeichnis, quellenverzeichnis, bibliografie, bibliographie, références, bibliografía, referencias, "
    "bibliografia, riferimenti bibliografici, referências, библиография, список литературы, kaynakça, 参考文献, 參考文獻, "
    "참고문헌, संदर्भ ग्रंथ",
}
_ROLES = {title: role for role, titles in _TITLES.items() for title in titles.split(", ")}
_FILES = re.compile(  # names of documents, without their ending
    r"(?P<cover>(?:front)?cover(?:[_-]?page)?)|(?P<title>(?:half)?[_-]?title[_-]?page)|(?P<contents>toc|contents|nav)"
    r"|(?P<copyright>copyright(?:[_-]?page)?|imprint|colophon)|(?P<notes>(?:end|foot)notes)",
    re.IGNORECASE,
)
_OF_GROUPS = {"cover": COVER, "title": TITLE_PAGE, "contents": CONTENTS, "copyright": COPYRIGHT, "notes": NOTES}
_COPYRIGHT_TEXT = re.compile(
    r"©|copyright \d{4}|all rights reserved|alle rechte vorbehalten|tous droits réservés|todos los derechos reservados"
    r"|\bISBN\b",
    re.IGNORECASE,
)
_MAX_COPYRIGHT_LENGTH = 5_000  # characters of the text of a page


def role_of_types(types: Iterable[str]) -> str | None:
    """The role that the values of epub:type, of `role`, or of a guide's type declare."""
    return next((_TYPES[name] for kind in types if (name := kind.lower().removeprefix("doc-")) in _TYPES), None)


def role_of_title(title: str) -> str | None:
    """The role of a chapter with this title, in any of Bark's languages."""
    return _ROLES.get(" ".join(title.casefold().replace("’", "'").split()).strip(" .:–—-*"))


def role_of_page(file_stem: str, text: str) -> str | None:
    """The role of a document without a title: by the name of its file, or because it says whose rights are reserved."""
    match = _FILES.fullmatch(file_stem)
    if match is not None:
        return _OF_GROUPS[str(match.lastgroup)]
    is_short = len(text) <= _MAX_COPYRIGHT_LENGTH
    return COPYRIGHT if is_short and _COPYRIGHT_TEXT.search(text) else None

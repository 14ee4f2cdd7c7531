"""Where sentences end, in Bark's 13 languages: en de es fr hi it ja ko pl pt ru tr zh.

Whether a period ends a sentence is judged by nltk's Punkt, with the word lists below in place of a trained model, so
that nothing is downloaded. All languages share one set of lists, because nobody says which language a text is in; a
word of one language that is an abbreviation in another ("no", "art") is therefore one only before a number. Everything
else that can end a sentence (! ? … 。 ।) needs no lists.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nltk.tokenize.punkt import PunktSentenceTokenizer


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What these announce, a name or an example, is still to come: their period ends nothing, whatever the next word is.
# Capitals count: "Sen. Smith" is a senator, Turkish "sen" is "you"; "Me. Dupont" is a lawyer.
_ANNOUNCING = _words(
    """
    Mr Mrs Ms Messrs Mx Dr Drs Prof Rev Hon Gen Col Maj Capt Cmdr Lt Sgt Cpl Gov Sen Rep Pres Supt St Ste Mt Ft
    mr mrs dr prof vs viz cf e.g i.e E.g I.e esp approx ca op.cit
    Hr Frl Dipl Ing bzw vgl Vgl z.B Z.B z.T d.h D.h u.a i.d.R s.o s.u o.g ggf evtl sog bspw insb einschl inkl exkl zzgl
    Sra Srta Sres Sr.ª Dn Dña Ud Uds Vd Vds Avda Dpto p.ej P.ej
    Mme Mlle Mlles Mgr Me p.ex P.ex env
    Sig Sigg Sig.ra Sig.na Dott Dott.ssa Avv Arch Geom On p.es P.es cfr Cfr
    Exmo Exma Ilmo Profa Dra Eng Av
    tzn tzw tj np m.in M.in hab inż mgr ks św Św ul Ul
    т.е т.к т.н напр Напр ср гр проф Проф акад доц инж ул пл Св
    örn Örn bkz Bkz Sn Doç Yrd Uzm Öğr Alb Org
    डॉ डा प्रो श्री श्रीमती कु पं सं क्र मो रु बी सी डी एफ एच आई जे एल एम एन पी आर एस टी यू वी
    """
)

# These end a sentence or not: Punkt decides by the next word.
_ABBREVIATIONS = _words(
    """
    jr sr esq inc ltd co corp bros llc etc et.al a.m p.m b.c a.d b.c.e c.e ph.d m.d b.a m.a d.d.s u.s u.k u.n e.u u.s.a
    d.c l.a n.y dept univ assn bldg ave blvd usw usf u.s.w u.v.m v.chr n.chr chr jh jhd jhdt mio mrd co.kg e.v
    ee.uu s.a s.l s.r.l a.c cía j.-c s.a.r.l ecc s.p.a ltda itd itp n.e p.n.e
    гг вв др пр руб коп тыс млн млрд т.д т.п н.э vb m.ö m.s a.ş ई.पू
    """
)

# Ordinary words as well, or the ends of sentences: their period ends nothing only before a number ("no. 5", "Mar. 3").
_BEFORE_NUMBERS = _words(
    """
    no nos nr nº n.º nn art fig figs eq sec ch vol vols p pp cap abs bd abb tab kap s pos max min tel apt
    jan feb mar apr jun jul aug sept sep oct nov dec pág págs pag pagg núm n lib lit par ust rozdz ur гл ст стр рис табл
    тел
    """
)

# After an ordinal ("3. Oktober", "2. Weltkrieg", "2. Dünya Savaşı") the noun is capitalised in these languages.
_AFTER_ORDINALS = _words(
    """
    januar jänner februar märz april mai juni juli august september oktober november dezember
    jahrhundert jahrhunderts jahrhunderten jahrtausend weltkrieg weltkriegs weltkrieges klasse platz stock etage tag liga
    bundesliga runde kapitel auflage geburtstag mal lebensjahr semester
    ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık dünya yüzyıl
    """
)

# Capitalised after an abbreviation or an initial, these begin a sentence: the names that follow one are other words.
_STARTERS = _words(
    """
    the he she it we they you this that these those there then but and so if when while after before because although
    however what who why where how in on at for with from his her its our their my your not now once another some many
    der die das ein eine einer einem einen er sie es wir ihr ich dann da danach aber und oder doch wenn als weil nachdem
    obwohl was wer wie wo warum dieser diese dieses jetzt heute morgen gestern nun auch nur noch bei mit nach seit für im
    él ella ellos ellas esto esta este eso pero entonces luego después cuando porque aunque si no sí qué quién cómo dónde
    en con por para sin desde ahora hoy ayer mañana una unos nosotros
    il elle ils elles nous vous ce cet cette ces mais puis alors ensuite quand lorsque parce si que qui où pourquoi comment
    dans avec pour sans depuis après avant aujourd hier demain une
    lui lei loro noi voi questo questa questi queste ma poi allora quando perché anche se che chi dove come nel nella con
    per dopo prima oggi ieri domani un
    ele ela eles elas nós isto isso este esta mas então depois quando porque embora se quem onde como em no na com por
    hoje ontem amanhã uma
    on ona ono oni one my wy to ten ta te ale i potem gdy kiedy ponieważ chociaż jeśli co kto gdzie jak dlaczego w na po
    dziś wczoraj jutro teraz
    он она оно они мы вы это этот эта эти но потом затем тогда когда потому хотя если что кто где как почему после перед
    сегодня вчера завтра теперь сейчас там тут здесь все всё его её их для при на по из
    bu şu o onlar biz siz ben ama sonra çünkü eğer ne kim nerede nasıl neden niçin bugün dün yarın şimdi bir her
    """
)

# Articles that begin sentences, but surnames too ("M. Le Pen", "G. La Russa"): a start only after an abbreviation.
_ARTICLES = _words("le la les lo gli l des du el los las os as")

SPACELESS = "々〇〻\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaffぁ-ゖァ-ヺー\U00020000-\U0003ffff"
"""Characters of scripts written without spaces, for use inside the brackets of a regular expression."""

_CLOSERS = "\"'”’»›)\\]}*_♪"
_WIDE_CLOSERS = "」』）】》〉］｝"
_END = re.compile(
    rf"""(?P<mark> (?<![.!?…])(?<![.!?…]\ )             # from the first mark on: a long row of them is tried once
                   [.!?…]+ (?:\ [.!?…]+)* )             # also "Quoi ? !" and ". . ."
         [{_CLOSERS}“]* (?:\ »(?!\S))?                  # “ closes a German quotation: „…“
         (?=\s|$|(?<=[{SPACELESS}][.!?])(?![.!?…]))      # Chinese typed with ASCII marks has no space after them
      |  (?P<danda> [।॥]+ ) [{_CLOSERS}]*
      |  (?P<wide> (?:[。！？｡]|．(?!\d)) [。！？｡!?…]* )
         (?P<wide_closer> [{_CLOSERS}{_WIDE_CLOSERS}]* )
    """,
    re.VERBOSE,
)
_WORD = re.compile(r"\w+")
_LETTER = re.compile(r"[^\W\d_]")
_SPOKEN = re.compile(r"[^\W_]")
_ENUMERATOR = re.compile(r"\W*(\d+|[A-Za-zА-я]|[ivxIVX]+)\.\W*")  # "1." or "b." at the head of a list item
_REACH = 80  # characters before and after a mark that are looked at; more is not a word and its punctuation


def sentence_ends(text: str) -> list[int]:
    """Offsets just behind the sentences of `text`, closing quotes and brackets included, the end of the text excluded.

    A line end counts as a space. Every sentence has at least one letter or digit.
    """
    ends = []
    start = looked_at = 0
    spoken = False
    for match in _END.finditer(text):
        end = match.end()
        spoken = spoken or _SPOKEN.search(text, looked_at, end) is not None
        looked_at = end
        if spoken and _is_end(match, start) and not _ENUMERATOR.fullmatch(text, start, end):
            ends.append(end)
            start = end
            spoken = False
    if ends and not _SPOKEN.search(text, ends[-1]):
        ends.pop()  # only punctuation is left: it belongs to the last sentence
    return ends


def _is_end(match: re.Match[str], start: int) -> bool:
    """Whether the sentence that began at `start` ends at this match."""
    text, end, mark = match.string, match.end(), match["mark"]
    if match["danda"]:
        return True
    if match["wide"]:
        # 「行くぞ！」と彼は言った。 goes on after its quotation.
        return not match["wide_closer"] or not _SPOKEN.match(text, end)
    following = _WORD.search(text, end, end + _REACH)
    if following is None:
        return mark != "."
    word = following.group()
    if "…" in mark or mark.count(".") > 1:
        return not word[0].islower() and word != "I"
    if word[0].islower() and _begins_with_capital(text, start):
        return False  # who begins sentences with capitals does not end one before a small letter: "What?" he asked.
    if mark != "." or not text[end].isspace():
        return True
    return _ends_at_period(_word_before(text, match.start()), word)


def _begins_with_capital(text: str, start: int) -> bool:
    first = _LETTER.search(text, start, start + _REACH)
    return first is not None and first.group().isupper()


def _word_before(text: str, end: int) -> str:
    words = text[max(0, end - _REACH) : end].split()
    return words[-1].lstrip("\"'“‘„«»¿¡([{*_-—–") if words else ""


def _ends_at_period(before: str, after: str) -> bool:
    """Whether a sentence ends between the word `before` with its period and the word `after`."""
    if "가" <= before[-1:] <= "힣":
        return True  # Punkt would take the one syllable of 네 ("yes") for an initial
    return before not in _ANNOUNCING and _punkt().text_contains_sentbreak(f"{before}. {after}")


@functools.cache
def _punkt() -> PunktSentenceTokenizer:
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer  # takes a second, and few prompts need it

    number = "##number##"  # Punkt's name for any number
    seen_in_small_letters = 1 << 5  # Punkt's _ORTHO_MID_LC: a capital on such a word marks the start of a sentence
    starters = [word for word in _STARTERS if len(word) > 1]  # one letter is rather an initial
    params = PunktParameters()
    params.abbrev_types.update(_ABBREVIATIONS)
    params.sent_starters.update(starters, _ARTICLES)
    params.ortho_context.update(dict.fromkeys(starters, seen_in_small_letters))
    params.collocations.add(("ee", "uu"))  # EE. UU., the United States in Spanish
    params.collocations.update((word, number) for word in _BEFORE_NUMBERS)
    params.collocations.update((number, noun) for noun in _AFTER_ORDINALS)
    return PunktSentenceTokenizer(params)

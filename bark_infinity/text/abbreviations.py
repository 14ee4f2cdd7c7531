"""Lists of abbreviations in Bark's 13 languages, whose period may not end a sentence, and of words that begin sentences.

All languages share one set of lists, because the language of a text is not known. A word of one language that is an
abbreviation in another ("no", "art") therefore counts as an abbreviation only before a number.
"""

from __future__ import annotations

import re
import unicodedata


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# These come before a name or an example, so their period never ends a sentence, whatever the next word is.
# Case matters: "Sen. Smith" is a senator, Turkish "sen" is "you"; "Me. Dupont" is a lawyer.
ANNOUNCING = _words(
    """
    Mr Mrs Ms Messrs Mx Dr Drs Prof Rev Hon Gen Col Maj Capt Cmdr Lt Sgt Cpl Gov Sen Rep Pres Supt St Ste Mt Ft
    Adm Fr Insp Det Msgr Mgr Amb Atty Brig Cdr Supt Fig Figs Bros Feat feat approx Approx
    mr mrs dr prof vs viz cf e.g i.e E.g I.e esp ca op.cit
    Hr Frl Dipl Ing bzw vgl Vgl z.B Z.B z.T d.h D.h u.a i.d.R s.o s.u o.g ggf evtl sog bspw insb einschl inkl exkl zzgl
    med jur phil geb Geb gest verh Fa Hbf Nr u
    Sra Srta Sres Sr.ª Dn Dña Ud Uds Vd Vds Avda Dpto p.ej P.ej Sto Sta Gral Lic Arq Mons Excmo Excma Cía Tte EE
    MM Mme Mlle Mlles Me Pr p.ex P.ex env Env Sté av
    Sig Sigg Sig.ra Sig.na Dott Dott.ssa Prof.ssa Avv Arch Geom On p.es P.es cfr Cfr Card Cav Comm Mons Rag P.za C.so
    Exmo Exma Ilmo Ilma Profa Dra Eng Av Cel Pe Gal Des
    tzn tzw tj np Np m.in M.in hab inż mgr ks św Św bł Bł ul Ul gen Gen płk ppłk kpt por im al pl
    т.е т.к т.н напр Напр ср гр проф Проф акад Акад доц инж ул пл пер просп наб Св св ген Ген им полк кап г-н г-жа
    örn Örn bkz Bkz Sn Doç Yrd Uzm Öğr Alb Org Hz Op Cad Sok Mah Blv İst Üniv Av Ar Gör Müh
    डॉ डा प्रो श्री श्रीमती सुश्री स्व कु पं सं क्र मो रु पृ ज़ि लि ए बी सी डी ई एफ एच आई जे के एल एम एन ओ पी क्यू आर एस टी यू वी
    डब्ल्यू एक्स वाई
    """
)

# The period of these ends a sentence only before a word of `STARTERS`.
ABBREVIATIONS = _words(
    """
    jr sr esq inc ltd co corp bros llc etc et.al al op cit a.m p.m b.c a.d b.c.e c.e ph.d m.d b.a m.a d.d.s u.s u.k u.n
    e.u u.s.a d.c l.a n.y dept univ assn bldg ave blvd oz lb lbs ed eds trans
    usw usf u.s.w u.v.m v.chr n.chr chr jh jhd jhdt mio mrd co.kg e.v u u.co mwst
    ee.uu uu s.a s.l s.r.l a.c cía j.-c s.a.r.l ecc s.p.a ltda itd itp n.e p.n.e sp z o.o
    гг вв др пр руб коп тыс млн млрд т.д т.п н.э куб кв эл vb vs m.ö m.s a.ş ई.पू
    """
)

# These are also ordinary words or ends of sentences: only before a number ("no. 5", "Mar. 3") are they abbreviations.
BEFORE_NUMBERS = _words(
    """
    no nos nr nº n° n.º № nn art fig figs eq sec ch vol vols p pp cap abs bd abb tab kap s pos max min tel apt ext chap h hr
    jan feb mar apr jun jul aug sept sep oct okt nov dec dez janv févr avr juil déc gen ene abr ago dic pág págs pag pagg
    núm n lib lit par ust rozdz ur godz str rys wew séc sec int r apto apart casa böl kat kod
    гл ст стр рис табл тел д кв корп оф п янв февр апр авг сент окт нояб дек
    """
)

# Capitalised nouns before which a number with a period is an ordinal: "3. Oktober", "2. Weltkrieg", "2. Dünya Savaşı".
AFTER_ORDINALS = _words(
    """
    januar jänner februar märz april mai juni juli august september oktober november dezember
    jan feb mär apr jun jul aug sep sept okt nov dez
    jahrhundert jahrhunderts jahrhunderten jahrtausend weltkrieg weltkriegs weltkrieges klasse platz stock etage tag liga
    bundesliga runde kapitel auflage geburtstag mal lebensjahr semester
    ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık dünya yüzyıl
    जनवरी फ़रवरी फरवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर सितम्बर अक्टूबर नवंबर नवम्बर दिसंबर दिसम्बर
    """
)

# Capitalised after an abbreviation or an initial, these begin a sentence, because they are not names.
STARTERS = _words(
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

# Articles, which also begin surnames ("M. Le Pen", "G. La Russa"): they begin a sentence only after an abbreviation.
ARTICLES = _words("le la les lo gli l des du el los las os as")

# English titles, and the abbreviations that may end a sentence before one: "It opens at 6 p.m. Mr. Smith is there."
TITLES = _words("Mr Mrs Ms Mx Messrs Miss Dr Prof")
MAY_END_BEFORE_TITLES = _words(
    "a.m p.m inc ltd co corp bros llc jr sr esq etc u.s u.k u.s.a d.c n.y l.a ph.d m.d b.a m.a d.d.s st ave blvd bldg dept"
)

# A sentence that begins with one of these may still wait for its subject: "At half past 5 a.m. Mr. Smith went out."
BEFORE_SUBJECTS = _words(
    """
    at by on in around about until till before after since from to for during within with without near outside inside
    every each next last today tomorrow yesterday and but so then when while if as because though although unless
    """
)

# Behind a period without a space these end a name of a file or a host, also with a capital: "Report.Pdf".
NAME_ENDINGS = _words("com net org edu gov txt doc docx pdf jpg jpeg png gif wav zip exe csv json html xml")

# After a number these end a sentence before any capital, unless it has just begun: "В 1905 г. Россия", "W 1990 r. Polska".
UNITS = _words("г гг м с ч r w h m s l g t руб коп тыс млн млрд mio mrd oz lb lbs чел стр шт zł gr")

_WORDS_OF_CONSONANTS = _words(
    "km cm mm dm kg mg ml cl hl kb mb gb tb км см мм дм кг мг мл"
)  # these often end a sentence
_INTERJECTIONS = _words("hm hmm hmmm mm mmm sh shh ssh pst psst brr grr tsk pf pff pfft zzz гм хм тсс")
_VOWELS = frozenset("aeiouyıæœøаеёиоуыэюяіїє")
_MOST_CONSONANTS = 4


def is_announcing(word: str) -> bool:
    """Whether a word is in `ANNOUNCING`, as it is or with its first letter in lower case, as at the start of a sentence."""
    return word in ANNOUNCING or word[:1].lower() + word[1:] in ANNOUNCING


def has_no_vowel(word: str) -> bool:
    """Whether a word has only consonants, like unlisted abbreviations ("płk", "Pvt"); false for all capitals ("TV")."""
    if not 2 <= len(word) <= _MOST_CONSONANTS or not word.isalpha() or word.isupper():
        return False
    letters = unicodedata.normalize("NFD", word.lower())
    if not re.match("[a-zа-яё]", letters) or letters in _INTERJECTIONS or letters in _WORDS_OF_CONSONANTS:
        return False
    return _VOWELS.isdisjoint(letters)

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_infinity.text.blocks import is_ornament
from bark_infinity.text.breaks import SYLLABLE_LENGTH
from bark_infinity.text.splitting import estimate_seconds, normalize_text, split_text

# `|` marks where split_text must split each text.
LANGUAGES = {
    "en": "However little known the feelings or views of such a man may be on his first entering a neighbourhood,| this "
    "truth is so well fixed in the minds of the surrounding families, that he is considered the rightful property of some "
    "one or other of their daughters.| Dr. Long has just been here. She told us.",
    "de": "Am 3. Oktober 1990 kam Dr. Müller nach Berlin. Er sagte: „Das ist, wie Sie wissen, z. B. für die Kinder ein "
    "großer Tag. Wir feiern heute.“| Danach ging er, ohne sich umzusehen, durch die lange, leere Straße, in der noch am "
    "Abend zuvor Tausende gestanden, gesungen und geweint hatten, nach Hause.| »Wirklich?«, fragte sie. Ja.",
    "es": "—¿Qué haces aquí? —preguntó Juan mirando a la Sra. López. —Nada —respondió ella—. Solo quería ver el mar. ¡Qué "
    "día tan bonito!| El tren, que había salido de Madrid a las 10.30 con más de cuarenta minutos de retraso,| llegó "
    "finalmente a Sevilla cuando ya nadie lo esperaba; en el andén solo quedaba un perro.",
    "fr": "« Où vas-tu ? » demanda-t-il. « Nulle part ! »| Elle partit, sans un mot, vers la gare de l'Est| où M. Dupont "
    "l'attendait depuis 15 h 30 avec 1 234 567 francs dans une valise.| Quoi ? C'est vrai : il n'y avait personne d'autre ; "
    "le train était déjà parti…",
    "hi": 'डॉ. शर्मा आज सुबह दिल्ली पहुँचे। उन्होंने कहा, "मैं यहाँ बहुत खुश हूँ। सब लोग अच्छे हैं।"| फिर वे अपने पुराने मित्रों से मिलने के '
    "लिए शहर के दूसरे हिस्से में गए, जहाँ वे बचपन में रहा करते थे, और जहाँ अब भी उनका पुराना घर खड़ा है।| क्या आप भी आएँगे? हाँ!",
    "it": "Il Sig. Rossi arrivò alle 10.30. «Buongiorno», disse. «Ha visto il Dott. Bianchi?» Nessuno rispose.| Fuori "
    "pioveva, come sempre in novembre, e le strade, lucide di pioggia,| riflettevano le luci dei caffè dove pochi clienti, "
    "stanchi e silenziosi, aspettavano che la notte finisse. Poi tutto tacque.",
    "ja": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。|何でも薄暗いじめじめした所でニャーニャー泣いていた事だけは記憶している。"
    "吾輩はここで始めて人間というものを見た。|「おい、どこへ行くんだ？早く帰ってこい。」と彼は言った。",
    "ko": "안녕하세요. 저는 서울에 사는 김민수입니다.| 오늘은 날씨가 아주 좋아서, 친구들과 함께 한강 공원에 가서 자전거를 타고,| 점심으로 김밥을 먹고, "
    '저녁에는 영화를 보기로 했습니다. "정말요?" 그녀가 물었다.| "네." 그가 대답했다. 3.5킬로미터를 걸었다.',
    "pl": "Prof. Nowak mieszka na ul. Długiej, tzn. niedaleko stąd. „Dzień dobry! Jak się pan ma?” – zapytała sąsiadka.| Nie "
    "odpowiedział, bo myślał o bracie, który w 1990 r. wyjechał do Ameryki, obiecał pisać co tydzień, a potem przez lata nie "
    "przysłał ani jednego listu.| Tak.",
    "pt": "O Sr. Silva chegou às 15.30. “Bom dia! Tudo bem?”, perguntou ele.| A rua estava vazia, o sol queimava as pedras "
    "antigas da calçada, e ao longe, muito ao longe,| ouvia-se o sino da igreja onde, dizem, ninguém entra desde a grande "
    "cheia de 1967. Não sei.",
    "ru": "— Привет! — сказал он. — Как дела? — Хорошо, — ответила А. С. Иванова и улыбнулась.| В 1837 г. в Петербурге, на "
    "наб. реки Мойки, после тяжёлой дуэли скончался поэт, которого, по словам современников, оплакивал весь город, и т. д.| "
    "Потом наступила тишина. «Что? Не может быть!» — воскликнул кто-то.",
    "tr": "Prof. Dr. Yılmaz geldi. “Nasılsınız? İyi misiniz?” diye sordu.| İkinci Dünya Savaşı'ndan sonra, yani yaklaşık "
    "olarak yetmiş beş yıl önce, bu küçük kasabada,| denizin hemen kıyısında, yaşlı bir balıkçı ile onun hiç konuşmayan "
    "kedisi birlikte yaşarlardı. Evet.",
    "zh": "今天天气很好，我们一起去公园吧！“好啊，我也想去。你等等我。”他说。第二天，他们出发了。|鲁镇的酒店的格局，是和别处不同的：都是当街一个曲尺形的大柜台，"
    "柜里面预备着热水，可以随时温酒。|只有穿长衫的，才踱进店面隔壁的房子里，要酒要菜，慢慢地坐喝。",
}


def bare(text: str) -> str:
    return "".join(text.split())


def spoken(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def check(marked: str, **lengths: int) -> None:
    assert split_text(marked.replace("|", ""), **lengths) == [part.strip() for part in marked.split("|")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_split_at_sentences(language: str) -> None:
    check(LANGUAGES[language])


def test_segments_end_near_the_goal_and_before_the_maximum() -> None:
    check("One two three. Four five six.| Seven eight nine. Ten eleven.| It is over.", goal_length=28, max_length=40)
    check("One two three four five.| Six seven eight nine ten.", goal_length=45, max_length=48)
    assert split_text("a b c d e. " * 2, goal_length=21, max_length=21) == ["a b c d e. a b c d e."]


def test_long_sentence_is_split_into_even_parts() -> None:
    parts = split_text("word " * 60)
    assert len(parts) == 3
    assert max(map(len, parts)) - min(map(len, parts)) <= 10


def test_sentence_without_commas_is_split_before_conjunctions() -> None:
    check(
        "The meeting dragged on without an end in sight| while the rain was beating against the windows of the old hall| "
        "and the mayor was fast asleep in his chair by the fire again.",
        goal_length=60,
        max_length=80,
    )


def test_beginning_of_a_long_sentence_stays_with_it() -> None:
    assert split_text("It was late by then. " + "All the birds had gone to sleep, " * 7)[0] == "It was late by then."


def test_paragraphs_and_headings_end_segments() -> None:
    assert split_text("Chapter One\n\nIt was late.\n \nHe left\nthe house.") == [
        "Chapter One",
        "It was late.",
        "He left the house.",
    ]


def test_short_last_paragraph_joins_the_previous_one() -> None:
    assert split_text("And so they lived.\n\nThe End.") == ["And so they lived. The End."]


def test_punctuation_alone_is_not_a_segment() -> None:
    assert split_text("It was late.\n\n* * *\n\nHe left the house.\n\n...") == [
        "It was late.",
        "He left the house. ...",
    ]
    assert split_text(" ?! \n\n ... ") == ["?! ..."]
    assert split_text("♪♪") == ["♪♪"]
    assert split_text(" \n\n ") == []


def test_each_speaker_of_a_dialogue_begins_a_segment() -> None:
    parts = split_text(
        "WOMAN: I would like an oatmilk latte please.\nMAN: Wow, that's expensive! [laughs]\n"
        "OLD MAN: I know a place downtown where you can get the same for half, if you do not mind waiting\nin line for it\n"
        "[WOMAN] No thanks, I am fine."
    )
    assert [part.split()[0] for part in parts] == ["WOMAN:", "MAN:", "OLD", "[WOMAN]"]


@pytest.mark.parametrize(
    "marked",
    [
        "WOMAN: Hello to you.|\n\nMAN: Goodbye.",
        "WOMAN: Yes.|\n\nMAN: No.|\n\nWOMAN: Why?",
        "[WOMAN] Yes.|\n\n[OLD MAN] No.",
        "WOMAN: Yes.|\nMAN: No.",
        "WOMAN: Yes.| MAN: No.",
        "Yes.|\n\nMAN: No.",
        "ALICE: Well, that is all there is to say.|\n\nDR. BOB: Yes.",
        "АННА: Да.|\n\nИВАН: Нет.",
        "WOMAN:\n\nYes.|\n\nMAN:\n\nNo.",
        "He left at last.|\n\n... MAN: Oh.",
    ],
)
def test_segments_are_never_joined_over_a_change_of_speaker(marked: str) -> None:
    assert split_text(marked.replace("|", "")) == [" ".join(part.split()) for part in marked.split("|")]


@pytest.mark.parametrize("text", ["Yes.\n\nNo.", "WOMAN: Yes.\n\nWOMAN: No.", "WOMAN: It is so.\n\nThe end."])
def test_short_paragraphs_of_one_voice_are_joined(text: str) -> None:
    assert split_text(text) == [" ".join(text.split())]


@given(st.integers(5, 60))
def test_speaker_tag_keeps_its_first_word(goal: int) -> None:
    for part in split_text(
        "MAN: Hello you all there. [WOMAN] Hi to you. OLD MAN: Yes indeed, my dear.", goal_length=goal
    ):
        assert not part.endswith((":", "WOMAN]", "OLD"))


UNITS = [
    "[clears throat, slowly]",
    "♪ In the jungle. The lion. ♪",
    '"Stop it. Now, please."',
    "“Stop it. Now, please.”",
    "«Ça va. Et toi, Luc ?»",
    "„Ja. Nein, doch.“",
    "「行こう。早く、ね。」",
    "‘I don’t. I won’t, no.’",
    "1,234.56",
    "1 234 567",
    "12-34",
    "3:45",
    "https://a.org/b--c,d;e?f=1",
    "me.too@example.org",
]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("before", range(0, 30, 3))
def test_quotations_numbers_tags_and_addresses_are_not_split(unit: str, before: int) -> None:
    text = "word, " * before + unit + " and some more words, to the end of it."
    assert (
        sum(unit in part for part in split_text(text, goal_length=30, max_length=32 if "行" not in unit else 60)) == 1
    )


def test_long_lyrics_are_split_and_keep_their_marks() -> None:
    parts = split_text("♪ " + "la la la, " * 40 + "oh ♪ And that was that, my dear.")
    assert parts[0].startswith("♪ la") and all(len(part) <= 170 for part in parts)
    assert any("oh ♪" in part for part in parts)


def test_emoji_and_combined_characters_stay_whole() -> None:
    family, accent = "👩‍👩‍👧‍👦", "x\u0301\u0302"
    for sign in (family, accent, "👍🏽"):
        parts = split_text("a" + sign * 200, max_ids=20)
        assert len(parts) > 5
        assert "".join(parts) == "a" + sign * 200
        assert all(part.removeprefix("a").startswith(sign) for part in parts)


def test_very_long_word_is_split_into_even_parts() -> None:
    for parts in (split_text("x" * 20_000), split_text("x" * 20_000, count_ids=len)):
        assert "".join(parts) == "x" * 20_000
        assert max(map(len, parts)) - min(map(len, parts)) <= len(parts)
        assert len(parts) in (40, 79)  # of 256 ids each


@pytest.mark.parametrize("text", ["😀", "😀 🎉 👩‍👩‍👧‍👦 " * 30, "\u200b", "٭ ٭"])
def test_text_of_symbols_alone_is_one_segment(text: str) -> None:
    assert split_text(text) == [" ".join(text.split())]


def test_text_between_two_german_quotations_is_not_a_quotation() -> None:
    text = "»Bist du sicher?« Anna sah ihn lange an. »Ich war noch nie so sicher.« Er legte den Schlüssel hin. " * 3
    parts = split_text(text, goal_length=20, max_length=60)
    assert parts[:2] == [
        "»Bist du sicher?« Anna sah ihn lange an.",
        "»Ich war noch nie so sicher.« Er legte den Schlüssel hin.",
    ]
    assert all(len(part) <= 60 and part.count("»") == part.count("«") for part in parts)
    whole = "»Ja. Das ist gut, sagte er. Nun komm.«"
    parts = split_text(f"Er rief: {whole} Dann ging er und kam nie wieder.", goal_length=40, max_length=45)
    assert any(whole in part for part in parts)


def test_list_items_without_full_stops_are_separate_segments() -> None:
    text = "Do the following:\n1. Open the box on the left\n2. Take out the old\nlamp\n3. Close the box again"
    assert split_text(text) == [
        "Do the following:",
        "1. Open the box on the left",
        "2. Take out the old lamp",
        "3. Close the box again",
    ]
    with_stops = text.replace("\n2", ".\n2").replace("\n3", ".\n3")
    assert split_text(with_stops)[1] == "1. Open the box on the left. 2. Take out the old lamp. 3. Close the box again"
    assert split_text("It was on page\n12. Then we found\nthe rest of it.") == [
        "It was on page 12. Then we found the rest of it."
    ]


@pytest.mark.parametrize(
    "marked",
    [
        "a) apples|\nb) pears|\nc) plums",
        "• apples|\n• pears|\n• plums",
        "- apples;|\n- pears;|\n- plums.",
        "1 Open the box|\n2 Close the box|\n3 Test the lamp",
        "1 醤油|\n2 味噌",
        "i) eggs|\nii) milk|\niii) tea|\niv) oil|\nv) salt",
        "I. Eggs|\nII. Milk",
        "1. Fruit|\na) apples|\nb) pears|\n2. Bread|\n3. Salt",
        "1) Boil|\n\n2) Stir|\n\n3) Wait|\n\n4) Eat|\n\n5) Rest|\n\n6) Wash",
        "• apples|\n• pears|\n\nYes.",
        "You need: • apples| • pears| • plums|\n\nYes.",
        "1) Wash the rice| 2) Boil it",
        "⁃9. The first item| ⁃10. The second item",
        "Buy:\n- apples|\n- pears",  # the colon is pause enough behind one word
    ],
)
def test_list_items_are_separate_segments_also_when_short(marked: str) -> None:
    assert split_text(marked.replace("|", "")) == [" ".join(part.split()) for part in marked.split("|")]


@pytest.mark.parametrize(
    "text",
    [
        "It was on page\n1 and then on\n2 more pages.",
        "1 Open the box\n3 Test the lamp",
        "There are\n2 boxes and\n3 lamps.",
    ],
)
def test_lines_that_begin_with_other_numbers_are_not_items(text: str) -> None:
    assert split_text(text) == [" ".join(text.split())]


def test_sound_tags_stay_with_the_sentence_before_and_speaker_tags_with_the_one_after() -> None:
    for tag in ("[laughs]", "[LAUGHS]", "(sighs)", "*coughs*", "[clears throat]"):
        assert split_text(f"That was all of it. {tag} Then he went.", goal_length=10, max_length=40) == [
            f"That was all of it. {tag}",
            "Then he went.",
        ]
    assert split_text("That was all of it. [OLD MAN] Then he went.", goal_length=10, max_length=40)[1][0] == "["


def test_lower_case_verse_is_recognised() -> None:
    lines = ["walking down the road again", "with my pockets full of rain", "every window has a light"]
    lines += ["but there's none for me tonight", "so i sing it to the moon", "and the moon is leaving soon"] * 3
    parts = split_text("\n".join(lines))
    assert len(parts) > 1 and all(any(part.endswith(line) for line in lines) for part in parts)


def test_digits_are_counted_as_the_words_they_are_read_as() -> None:
    assert estimate_seconds("514") == pytest.approx(estimate_seconds("five hundred fourteen"), rel=0.3)
    assert estimate_seconds("2000") == pytest.approx(estimate_seconds("two thousand"), rel=0.3)
    run = " ".join(str(number) for number in range(101, 999, 7))
    parts = split_text(f"The numbers are {run} and that is all.")
    assert len(parts) > 10 and max(map(estimate_seconds, parts)) < 13
    assert " ".join(parts) == f"The numbers are {run} and that is all."
    assert max(map(len, split_text("一二三四五六七八九十" * 100))) <= 60


def test_right_to_left_text_is_split_at_its_own_punctuation() -> None:
    check(
        "ذهبت إلى السوق صباح اليوم، واشتريت الخبز والحليب؛ ثم عدت إلى البيت.| هل تريد أن تأكل معي؟ نعم، بكل سرور!",
        goal_length=60,
        max_length=70,
    )
    check(
        "ذهبت إلى السوق صباح اليوم الجميل،| واشتريت الخبز والحليب والبيض واللحم؛| ثم عدت إلى البيت مسرعا جدا.",
        goal_length=36,
        max_length=45,
    )
    check("میں آج بازار گیا۔ وہاں میں نے روٹی خریدی۔| کیا آپ کھانا کھائیں گے؟ جی ہاں۔", goal_length=30, max_length=45)
    check("הלכתי היום לשוק בבוקר,| וקניתי לחם וחלב טרי מאוד.| האם אתה רוצה לאכול איתי?", goal_length=25, max_length=30)


def test_line_endings_of_every_system_are_recognised() -> None:
    text = "First line.\nSecond line.\n\nNew paragraph here.\n"
    for line_end in ("\n", "\r\n", "\r", "\x85"):
        raw = "\ufeff" + text.replace("\n", line_end).replace("line", "li\x00ne")
        assert split_text(normalize_text(raw)) == ["First line. Second line.", "New paragraph here."]


VERSE = (
    "|The fog comes in on silent feet/And sits there looking over all/The harbour and the sleeping town|/It waits a \
while upon its knees/And looks at me with yellow eyes/Then on it goes into the night"
)


def test_verse_is_split_at_line_ends_and_prose_is_not() -> None:
    check_verse(VERSE)
    chinese = "鲁镇的酒店的格局，是和别处不同的都是当街一个曲尺形的大柜台/柜里面预备着热水可以随时温酒，做工的人傍午傍晚散了工每每花四文/铜钱买一碗酒。"
    for prose in (VERSE.replace("/It", "/it"), VERSE.replace("eyes", "eyes " * 10), chinese):  # wrapped, or too long
        lines = prose.replace("|", "").replace("/", "\n")
        assert split_text(lines) == split_text(lines.replace("\n", " "))


def check_verse(marked: str) -> None:
    """Check that the text is split at `|`, and is not split there when written in one line."""
    halves = [" ".join(half.split("/")).strip() for half in marked.split("|")[1:]]
    text = marked.replace("|", "")
    assert split_text("It is a poem.\n\n" + text.replace("/", "\n"))[-2:] == halves
    assert split_text(text.replace("/", " ")) != halves


def test_token_limit_is_never_exceeded() -> None:
    url = "https://example.org/" + "a" * 400
    assert split_text(f"See {url} now, please.", count_ids=lambda text: 1) == ["See", url, "now, please."]
    for parts in (split_text(url), split_text(url, count_ids=len)):
        assert "".join(parts) == url
    assert all(len(part) <= 256 for part in split_text(url, count_ids=len))
    assert all(len(part) <= 40 for part in split_text("What a day, she said. " * 20, count_ids=len, max_ids=40))


def test_chinese_characters_are_counted_by_their_speaking_time() -> None:
    for part in split_text("床前明月光，疑是地上霜。举头望明月，低头思故乡。" * 20):
        assert SYLLABLE_LENGTH * sum(map(str.isalpha, part)) <= 170
        assert part[-1] in "。，"
        assert 5 < estimate_seconds(part) < 14


def test_jitter_is_seeded_and_bounded() -> None:
    text = "One sentence of some words. " * 100
    by_seed = {seed: split_text(text, jitter=60, seed=seed) for seed in range(8)}
    assert by_seed[3] == split_text(text, jitter=60, seed=3)
    assert len({len(parts) for parts in by_seed.values()}) > 1
    assert all(len(part) <= 230 for parts in by_seed.values() for part in parts)
    assert all(len(part) > 10 for part in split_text(text, jitter=1000, seed=1))


@pytest.mark.parametrize(
    "wrong", [{"goal_length": 200}, {"goal_length": 0}, {"max_length": 0}, {"jitter": -1}, {"max_ids": 0}]
)
def test_invalid_lengths_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        split_text("Hello.", **wrong)


TEXTS = st.text(max_size=200) | st.lists(
    st.sampled_from(
        [
            "word",
            "Dr.",
            "end.",
            "Why?",
            ",",
            "—",
            '"',
            "“",
            "”",
            "♪",
            "[laughs]",
            "MAN:",
            "\n\n",
            "\n",
            "3.14",
            "...",
            "«",
        ]
        + ["»", "今天", "天气。", "ありがとう", "हिन्दी", "है।", "👩‍👩‍👧", "x" * 30, "*", "（", "」", "It", "’", "- "]
    ),
    max_size=60,
).map(" ".join)
LENGTHS = st.tuples(st.integers(1, 60), st.integers(0, 60))


@settings(max_examples=150, deadline=None)
@given(TEXTS, LENGTHS, st.integers(0, 30))
def test_no_text_is_lost_and_no_segment_is_empty(text: str, lengths: tuple[int, int], jitter: int) -> None:
    parts = split_text(text, goal_length=lengths[0], max_length=sum(lengths), jitter=jitter, max_ids=1000)
    assert spoken("".join(parts)) == spoken(text)
    assert bare("".join(parts)) == bare(text) or any(map(is_ornament, text))  # scene breaks may be left out
    for part in parts:
        assert part and part == " ".join(part.split())
        assert len(parts) == 1 or any(char.isalnum() for char in part)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["a", "word", "Hm,", "end.", "Why?", "so —", "\n\n"]), max_size=80), LENGTHS)
def test_length_limits_hold_for_texts_of_short_words(words: list[str], lengths: tuple[int, int]) -> None:
    limit = sum(lengths)
    for part in split_text(" ".join(words), goal_length=lengths[0], max_length=limit):
        assert len(part) <= limit or len(part.rstrip(" —").split()) == 1


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.integers(1, 40))
def test_no_segment_exceeds_the_token_limit(text: str, max_ids: int) -> None:
    parts = split_text("a" + text, count_ids=len, max_ids=max_ids)
    assert all(len(part) <= max_ids for part in parts)
    assert spoken("".join(parts)) == spoken("a" + text)


@pytest.mark.parametrize("unit", ["x", "1) A ", "- a\n\n", "a. ", '1! "', "漢字を見た", "♪ la ", "- ", "“a ", "MAN: "])
def test_time_is_linear_in_the_length(unit: str) -> None:
    start = time.perf_counter()
    split_text("Hello there. " + unit * (100_000 // len(unit)))
    assert time.perf_counter() - start < 5


def test_normalize_text() -> None:
    assert normalize_text("\ufeffA\r\nb\rc\x00\td\x07\x9b\x7f e\u0301") == "A\nb\nc\td é"
    assert normalize_text("page one\fpage two") == "page one\npage two"


@given(st.text())
def test_normalize_text_is_idempotent(text: str) -> None:
    text = normalize_text(text)
    assert normalize_text(text) == text
    assert unicodedata.is_normalized("NFC", text)
    assert all(char in "\n\t" or unicodedata.category(char) != "Cc" for char in text)


def test_estimate_seconds() -> None:
    assert estimate_seconds("") == 0
    assert estimate_seconds("a  b\n" * 35) == pytest.approx(139 / 14)
    assert estimate_seconds("床前明月光疑是地上霜") == pytest.approx(10 / 4.5)

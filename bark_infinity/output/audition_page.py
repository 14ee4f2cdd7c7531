"""The page of --audition: one HTML file beside the clips, to hear the same text in several voices one after the other.

It needs no network and no other file but the clips, so it can be opened from a folder or copied along with it.
"""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ..files import write_whole
from ..run.naming import numbered

_NAME = "audition"


@dataclass(frozen=True)
class AuditionedClip:
    """A clip on the page. `voice`: as --history_prompt takes it."""

    voice: str
    text: str
    audio: Path  # beside the page


def write_audition_page(folder: Path, clips: Sequence[AuditionedClip]) -> Path:
    """Write the page under the first free name in `folder`. Returns its path. Raises OutputError."""
    page = format_page(clips).encode("utf-8", "replace")
    for stem in numbered(_NAME):
        path = folder / f"{stem}.html"
        try:
            write_whole(path, lambda file: file.write(page), overwrite=False)
        except FileExistsError:
            continue
        return path
    raise AssertionError("there is always another name")


def format_page(clips: Sequence[AuditionedClip]) -> str:
    """The page as HTML: a section for each text, with a row for each clip."""
    texts = list(dict.fromkeys(clip.text for clip in clips))
    sections = "".join(_section(text, [clip for clip in clips if clip.text == text]) for text in texts)
    return _PAGE.replace("{style}", _STYLE).replace("{script}", _SCRIPT).replace("{sections}", sections)


def _section(text: str, clips: Sequence[AuditionedClip]) -> str:
    rows = "".join(map(_row, clips))
    return f"<section>\n<blockquote>{html.escape(text.strip())}</blockquote>\n<ol>\n{rows}</ol>\n</section>\n"


def _row(clip: AuditionedClip) -> str:
    address = html.escape(quote(os.fsencode(clip.audio.name)))
    voice = html.escape(clip.voice)
    return (
        f'<li tabindex="-1"><b>{voice}</b>'
        f'<audio controls preload="metadata" src="{address}" aria-label="{voice}"></audio></li>\n'
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; media-src 'self' file:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Audition</title>
<style>{style}</style>
</head>
<body>
<main>
<header>
<h1>Audition</h1>
<p><kbd>space</kbd> plays and pauses, <kbd>j</kbd> and <kbd>k</kbd> go to the next and the previous voice.</p>
</header>
{sections}</main>
<script>{script}</script>
</body>
</html>
"""

_STYLE = """
:root { --ink: #1d2330; --soft: #5b6475; --paper: #f6f5f1; --card: #ffffff; --line: #dcd9d0; --mark: #1f5fa8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e9e6df; --soft: #a3a9b5; --paper: #14161b; --card: #1d2027; --line: #33373f; --mark: #7fb2ec; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 52rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { margin: 0; font-size: 1.6rem; }
header p { margin: .3rem 0 0; color: var(--soft); }
kbd { padding: .05rem .4rem; border: 1px solid var(--line); border-radius: .3rem; background: var(--card);
  font: inherit; font-size: .85em; }
section { margin-top: 2rem; }
blockquote { margin: 0 0 1rem; padding: .1rem 0 .1rem 1rem; border-left: .25rem solid var(--line); white-space: pre-line;
  max-height: 12rem; overflow: auto; overflow-wrap: anywhere; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: .6rem; }
li { display: grid; grid-template-columns: minmax(8rem, 1fr) minmax(0, 2fr); align-items: center; gap: .5rem 1rem;
  padding: .6rem 1rem; border: 1px solid var(--line); border-radius: .6rem; background: var(--card); }
li.chosen { border-color: var(--mark); box-shadow: inset .3rem 0 var(--mark); }
li:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
b { min-width: 0; overflow-wrap: anywhere; }
audio { width: 100%; height: 2.6rem; }
@media (max-width: 36rem) { main { padding-top: 1.2rem; } li { grid-template-columns: minmax(0, 1fr); } }
"""

_SCRIPT = """
const rows = [...document.querySelectorAll("li")];
const players = rows.map(row => row.querySelector("audio"));
let chosen = 0;

function choose(k) {
  rows[chosen].classList.remove("chosen");
  chosen = Math.max(0, Math.min(rows.length - 1, k));
  rows[chosen].classList.add("chosen");
  rows[chosen].scrollIntoView({ block: "nearest" });
  rows[chosen].focus({ preventScroll: true });
}

function start(k) {
  players.forEach(player => player.pause());
  choose(k);
  players[chosen].currentTime = 0;
  players[chosen].play();
}

players.forEach((player, k) => player.addEventListener("play", () => {
  players.forEach(other => { if (other !== player) other.pause(); });
  if (k !== chosen) choose(k);
}));

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || !rows.length) return;
  if (event.key === "j") start(chosen + 1);
  else if (event.key === "k") start(chosen - 1);
  else if (event.key === " ") {
    const player = players[chosen];
    player.paused ? player.play() : player.pause();
  } else return;
  event.preventDefault();
  event.stopPropagation();
}, true);

if (rows.length) choose(0);
"""

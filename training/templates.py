"""Sentences made from templates: numbers, prices, dates, times and names; questions, exclamations, answers, dialogue."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence

_NAMES = (
    "Adam", "Alice", "Amy", "Andrew", "Anna", "Arthur", "Ben", "Brian", "Carol", "Charles", "Chris", "Claire",
    "Daniel", "David", "Diana", "Edward", "Ellen", "Emily", "Emma", "Eric", "Frank", "George", "Grace", "Hannah",
    "Harry", "Helen", "Henry", "Irene", "Jack", "James", "Jane", "Jean", "John", "Joseph", "Julia", "Karen", "Kate",
    "Kevin", "Laura", "Leo", "Linda", "Louis", "Lucy", "Maria", "Mark", "Martha", "Mary", "Michael", "Nancy",
    "Nina", "Oliver", "Oscar", "Paul", "Peter", "Rachel", "Richard", "Robert", "Rose", "Ruth", "Sam", "Sarah",
    "Simon", "Sophie", "Stephen", "Susan", "Thomas", "Tom", "Victor", "Walter", "William",
)  # fmt: skip
_THINGS = (
    "apples", "bags", "beds", "bees", "birds", "boats", "books", "bottles", "boxes", "bricks", "buttons", "cars",
    "cats", "chairs", "coins", "cows", "cups", "days", "dogs", "doors", "eggs", "feet", "fish", "flowers", "games",
    "guests", "hours", "houses", "keys", "kilos", "letters", "meters", "miles", "minutes", "months", "nights",
    "pages", "pens", "people", "photographs", "pieces", "pounds", "questions", "rooms", "seats", "sheep", "ships",
    "songs", "stamps", "stones", "tickets", "trees", "weeks", "windows", "words", "years",
)  # fmt: skip
_OBJECTS = (
    "bag", "bicycle", "bill", "boat", "book", "bottle", "bread", "bridge", "camera", "chair", "cheese", "clock",
    "coat", "coffee", "computer", "dinner", "door", "garden", "hat", "horse", "house", "kettle", "key", "kitchen",
    "ladder", "lamp", "letter", "map", "meeting", "milk", "money", "museum", "music", "newspaper", "orange juice",
    "painting", "parcel", "piano", "picture", "plan", "radio", "report", "ring", "road", "shirt", "soup", "station",
    "story", "suitcase", "table", "telephone", "ticket", "train", "umbrella", "watch", "weather", "window",
    "yellow dress",
)  # fmt: skip
_QUALITIES = (
    "bad", "beautiful", "big", "bright", "broken", "busy", "cheap", "cold", "dangerous", "dark", "dirty", "dry",
    "easy", "empty", "excellent", "expensive", "famous", "fast", "full", "funny", "good", "happy", "heavy", "hot",
    "hungry", "important", "late", "loud", "lovely", "lucky", "new", "nice", "old", "open", "perfect", "quiet",
    "ready", "rich", "sad", "safe", "sharp", "silly", "slow", "small", "soft", "strange", "strong", "sweet",
    "terrible", "tired", "ugly", "useful", "warm", "wet", "wonderful", "wrong", "young",
)  # fmt: skip
_DOINGS = (
    "answer the telephone", "ask for help", "bake a cake", "be quiet", "break it", "bring some water",
    "buy a new one", "call your mother", "carry this", "catch the bus", "clean the kitchen", "close the window",
    "come home early", "count to ten", "cut the grass", "draw a map", "drive to the coast", "eat something",
    "explain it again", "feed the cat", "fill in the form", "find the way", "finish the work", "fix the roof",
    "get up", "go to bed", "help me", "hold the rope", "keep a secret", "leave tomorrow", "listen to me",
    "look after the children", "make some tea", "meet us at the station", "move the table", "open the box",
    "pay the bill", "play the violin", "put it back", "read the letter", "remember my name", "ring the bell",
    "say that again", "see the sea from here", "sell the house", "send him a message", "sing in the choir",
    "sit down", "sleep on the floor", "speak more slowly", "stay for dinner", "swim across the lake",
    "take the dog for a walk", "tell the truth", "think about it", "travel by train", "try once more",
    "turn left at the corner", "turn off the light", "wait for me", "walk to school", "wash your hands",
    "water the plants", "win the race", "write it down",
)  # fmt: skip
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_UNITS = (
    "km",
    "kg",
    "miles",
    "meters",
    "feet",
    "inches",
    "pounds",
    "hours",
    "minutes",
    "degrees",
    "percent",
    "gallons",
)

_NUMBERED = (
    "There are {n} {things} in the {object}.",
    "She paid {price} for the {object}.",
    "{name} was born on {date}, {year}.",
    "{name} was born in {year}, and died in {year} at the age of {s}.",
    "In {year} the town had only {n} people.",
    "It is {time} in the morning.",
    "The train to {place} leaves at {time}, and the next one goes at {time}.",
    "We counted {n} {things} and {n} {things}.",
    "Chapter {s}.",
    "Chapter {s}, page {n}.",
    "The answer is {n}.",
    "Turn to page {n}.",
    "They lived here from {year} to {year}.",
    "Call me at {h} o'clock.",
    "My number is {s} {s} {s} {s}.",
    "Please call {phone}.",
    "About {s} percent of the {things} were lost.",
    "About {s}% of the {things} were {quality}.",
    "The bus number {n} leaves at {h}.",
    "On {date}, {year}, it rained.",
    "On {weekday}, {date}, we met {name} in {place}.",
    "The meeting is on {weekday} at {time}.",
    "{n}",
    "{n}.",
    "{s}, {s}, {s}.",
    "I bought {s} {things} for {price}.",
    "That will be {price}, please.",
    "Did you really pay {price} for that {object}?",
    "The {ordinal} of {month} is a {weekday}.",
    "She came {ordinal} in the race.",
    "This is the {ordinal} time that I ask!",
    "The {object} weighs {s} {unit}, and the box is {decimal} meters long.",
    "The temperature fell from {s} to {s} degrees.",
    "It was the {decade}s, and everything was {quality}.",
    "{n} plus {s} is more than {s}.",
    "Only {s} of {n} {things} were {quality}.",
    "There were {n} {things}, {s} {things}, and {s} {things}.",
    "He lives at {n} {name} Street, {place}.",
    "The population of {place} was {m} in {year}.",
    "{place} won {s} to {s}.",
    "Open from {h} a.m. to {h} p.m.",
    "At {time} {name} called; at {time} nobody answered.",
    "You are number {s} in the line.",
    "It costs {price} a week, or {price} a year.",
    "Two thirds of the {things} are {quality}, and {s} are not.",
    "{name} the {ordinal} was king until {year}.",
    "The distance is {decimal} {unit}.",
    "Do you have change for {price}?",
    "Is it {time} already?",
    "What happened in {year}?",
)
_ASKED = (
    "Where is the {object}?",
    "Where is {name}?",
    "Who is {name}?",
    "Who told you to {doing}?",
    "Why did you {doing}?",
    "Why don't we {doing}?",
    "When will {name} {doing}?",
    "How did {name} {doing}?",
    "How {quality} is the {object}?",
    "How far is it to {place}?",
    "How many {things} do you have?",
    "What is the name of that {object}?",
    "What do you think of {place}?",
    "What will you do if {name} can't {doing}?",
    "Which {object} is yours, the {quality} one or the {quality} one?",
    "Whose {object} is this?",
    "Can you {doing}?",
    "Can {name} {doing}?",
    "Could you {doing}, please?",
    "Would you like to {doing}?",
    "Will you {doing} if I {doing}?",
    "Do you want to {doing}, or shall we {doing}?",
    "Did {name} {doing}?",
    "Did you see the {quality} {object}?",
    "Does it look {quality} to you?",
    "Is {name} here?",
    "Is it {quality}?",
    "Is the {object} {quality}, or is it {quality}?",
    "Are you {quality}?",
    "Are the {things} ready?",
    "Have you ever been to {place}?",
    "Has {name} been {quality} today?",
    "Isn't it {quality}?",
    "Shall we {doing}?",
    "May I {doing}?",
    "You are going to {doing}, aren't you?",
    "{name} is {quality}, isn't he?",
    "It was a {quality} {object}, wasn't it?",
    "Really?",
    "The {quality} {object}?",
    "{name}?",
    "And {name}?",
    "Are you sure, {name}?",
)
_EXCLAIMED = (
    "What a {quality} {object}!",
    "How {quality}!",
    "How {quality} it is!",
    "Don't {doing}!",
    "{Doing}!",
    "{Doing}, {name}!",
    "Please {doing}!",
    "Look at the {object}!",
    "Look at that, {name}!",
    "I can't {doing}!",
    "You must {doing}!",
    "Let's {doing}!",
    "Never {doing}!",
    "Oh no, the {object} is {quality}!",
    "Hurry up, {name}!",
    "Happy birthday, {name}!",
    "Good morning, {name}!",
    "Wait, {name}, don't {doing}!",
    "Welcome to {place}!",
    "It's {quality}!",
    "That is the most {quality} {object} in {place}!",
)
_ANSWERED = (
    "Yes.",
    "No.",
    "Yes, of course.",
    "No, thank you.",
    "Yes, I can.",
    "No, I can't.",
    "Maybe.",
    "Perhaps tomorrow.",
    "I don't know.",
    "I don't think so.",
    "I hope so.",
    "Not yet.",
    "Not at all.",
    "Of course not.",
    "Certainly.",
    "Never.",
    "Sometimes.",
    "It's {quality}.",
    "It is not {quality}, it is {quality}.",
    "Only if you {doing}.",
    "Because I had to {doing}.",
    "In {place}.",
    "On {weekday}.",
    "At {time}.",
    "{name}.",
    "{name} and {name}.",
    "{name} did.",
    "Ask {name}.",
    "Under the {object}.",
    "Behind the {quality} {object}, I think.",
    "Well, it depends.",
    "Sorry, I forgot to {doing}.",
    "Thank you, {name}.",
    "You're welcome.",
    "No, {name} is going to {doing}.",
    "Yes, and then we can {doing}.",
    "{s}.",
    "That's {quality}.",
    "So do I.",
    "Neither did {name}.",
    "Nothing, really.",
    "{price}.",
)
_TOLD = (
    "My name is {name}, and I come from {place}.",
    "{name} and {name} went to {place} to {doing}.",
    "If you {doing}, {name} will {doing}.",
    "When {name} came home, the {object} was {quality}, so we had to {doing}.",
    "The {object}, which {name} had left in {place}, was {quality} but {quality}.",
    "Although it was {quality}, nobody wanted to {doing}, because the {object} was {quality}.",
    "First we {doing}, then we {doing}, and finally we {doing}.",
    "I would like the {quality} {object}, the {object}, and some {things}.",
    "He said that the {object} was {quality}; she said that it was {quality}.",
    "We took the {things}, the {things}, and the {object}, and went to {place}.",
    '"{Doing}," said {name}.',
    '"It is {quality}," {name} said, "but I can\'t {doing}."',
    '{name} asked, "Can you {doing}?"',
    "Unlike {name}, who is {quality}, {name} can {doing}.",
    "Before you {doing}, remember to {doing}.",
    "There it was: a {quality} {object}.",
    "I know {place}, I know {name}, and I know that it is {quality}.",
    "Mr. {name} and Mrs. {name} live in {place}.",
    "Dr. {name} will see you on {weekday}.",
    "Dear {name}, thank you for the {quality} {object}.",
)


def _decimal(rng: random.Random) -> str:
    return f"{rng.randrange(100)}.{rng.randrange(1, 10)}"


def _price(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.5:
        return f"${rng.randrange(1, rng.choice((20, 100, 1_000)))}"
    if kind < 0.85:
        return f"${rng.randrange(1, 200)}.{rng.randrange(1, 100):02}"
    return f"{rng.choice('£€')}{rng.randrange(1, 200)}"


def _time(rng: random.Random) -> str:
    half = rng.choice(("", "", " a.m.", " p.m.", " am", " pm"))
    return f"{rng.randrange(1, 13)}:{rng.randrange(60):02}{half}"


def _date(rng: random.Random) -> str:
    return f"{rng.choice(_MONTHS)} {rng.randrange(1, 29)}"


def _ordinal(rng: random.Random) -> str:
    number = rng.randrange(1, 32)
    ending = "th" if 10 < number < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


class Templates:
    """Fills templates with random words; names of people and places are partly rare ones."""

    def __init__(self, rng: random.Random, people: Sequence[str], places: Sequence[str]):
        self._rng = rng
        self._fillers: Mapping[str, Callable[[], str]] = {
            "n": lambda: str(rng.choice((rng.randrange(100), rng.randrange(1_000), rng.randrange(10_000)))),
            "m": lambda: f"{rng.randrange(1, 1_000)},{rng.randrange(1_000):03}",
            "s": lambda: str(rng.randrange(1, rng.choice((11, 100)))),
            "h": lambda: str(rng.randrange(1, 13)),
            "year": lambda: str(rng.randrange(1_700, 2_040)),
            "decade": lambda: str(rng.randrange(180, 203) * 10),
            "decimal": lambda: _decimal(rng),
            "price": lambda: _price(rng),
            "time": lambda: _time(rng),
            "date": lambda: _date(rng),
            "ordinal": lambda: _ordinal(rng),
            "month": lambda: rng.choice(_MONTHS),
            "weekday": lambda: rng.choice(_WEEKDAYS),
            "phone": lambda: f"{rng.randrange(200, 999)}-{rng.randrange(10_000):04}",
            "unit": lambda: rng.choice(_UNITS),
            "things": lambda: rng.choice(_THINGS),
            "object": lambda: rng.choice(_OBJECTS),
            "quality": lambda: rng.choice(_QUALITIES),
            "doing": lambda: rng.choice(_DOINGS),
            "Doing": lambda: rng.choice(_DOINGS).capitalize(),
            "name": lambda: rng.choice(_NAMES if rng.random() < 0.6 else people),
            "place": lambda: rng.choice(places),
        }

    def _filled(self, templates: Sequence[str]) -> str:
        filled = re.sub(r"\{(\w+)\}", lambda match: self._fillers[match[1]](), self._rng.choice(templates))
        filled = re.sub(r"\b([Aa]) (?=[aeio]|ugly|umbrella)", r"\1n ", filled)
        return filled.replace("..", ".")  # "at 10 p.m.."

    def numbered(self) -> str:
        """A sentence with digits: a count, a sum of money, a date or a time."""
        return self._filled(_NUMBERED)

    def said(self) -> str:
        """What people say to each other: one sentence, a question with its answer, or some of them."""
        kind = self._rng.random()
        if kind < 0.25:
            return self._filled(_ASKED)
        if kind < 0.4:
            return self._filled(_EXCLAIMED)
        if kind < 0.5:
            return self._filled(_ANSWERED)
        if kind < 0.75:
            return self._filled(_TOLD)
        if kind < 0.9:
            return f"{self._filled(_ASKED)} {self._filled(_ANSWERED)}"
        return f"{self._filled(_TOLD)} {self._filled(_ASKED)}"

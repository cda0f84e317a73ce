"""The small domain of the tiny model: numbers, times, commands and short sentences of about 200 words.

A text belongs to the training or to the test by its own hash, so the two never share one, whatever is drawn.
"""

from __future__ import annotations

import random
import zlib

ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEENS = [
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
NTH = ["first", "second", "third", "fifth", "tenth"]
ROOMS = ["kitchen", "bedroom", "bathroom", "office", "garage", "garden", "living room", "hall"]
DEVICES = ["light", "lights", "radio", "heater", "fan", "television", "camera", "alarm", "music"]
NAMES = ["alice", "robert", "maria", "peter", "susan", "david", "anna", "michael"]
THINGS = [
    "door",
    "window",
    "book",
    "table",
    "chair",
    "bottle",
    "paper",
    "letter",
    "camera",
    "coffee",
    "water",
    "bread",
]
COLOURS = ["red", "green", "blue", "yellow", "black", "white", "brown", "orange"]
SIZES = ["small", "large", "old", "new", "heavy", "short", "long", "empty"]
ANIMALS = ["dog", "cat", "horse", "bird", "fish", "rabbit"]
PLACES = ["station", "market", "school", "airport", "bank", "library", "park", "hotel"]

TEST_ONE_IN = 12


def number(dice: random.Random) -> str:
    kind = dice.randrange(5)
    if kind == 0:
        return dice.choice(ONES + TEENS)
    if kind == 1:
        return f"{dice.choice(TENS)} {dice.choice(ONES[1:])}"
    if kind == 2:
        return f"{dice.choice(ONES[1:])} hundred and {dice.choice(TENS)} {dice.choice(ONES[1:])}"
    if kind == 3:
        return f"{dice.choice(ONES[1:])} thousand {dice.choice(ONES[1:])} hundred"
    return dice.choice(TENS)


def digits(dice: random.Random) -> str:
    return " ".join(dice.choice(ONES) for _ in range(dice.randint(3, 8)))


def time_of_day(dice: random.Random) -> str:
    hour = dice.choice(ONES[1:] + TEENS[:3])
    minute = dice.choice(
        ["o'clock", "fifteen", "thirty", "forty five", f"{dice.choice(TENS[:4])} {dice.choice(ONES[1:])}"]
    )
    return f"{hour} {minute}" + dice.choice(["", " in the morning", " in the evening"])


def date(dice: random.Random) -> str:
    day, which, month = dice.choice(DAYS), dice.choice(NTH), dice.choice(MONTHS)
    return f"{day} the {which} of {month}"


def command(dice: random.Random) -> str:
    room, device, name = dice.choice(ROOMS), dice.choice(DEVICES), dice.choice(NAMES)
    return dice.choice(
        [
            f"turn on the {device} in the {room}",
            f"turn off the {device} in the {room}",
            f"please turn the {device} {dice.choice(['up', 'down'])}",
            f"set the {dice.choice(['alarm', 'timer'])} for {time_of_day(dice)}",
            f"set the heater to {number(dice)} degrees",
            f"call {name}",
            f"call {name} at {digits(dice)}",
            f"send a message to {name}",
            f"open the {dice.choice(['door', 'window'])} of the {room}",
            f"close the {dice.choice(['door', 'window'])} of the {room}",
            f"play the next song in the {room}",
            f"stop the {device}",
            f"what time is it in the {room}",
            f"remind {name} on {date(dice)}",
            f"add {number(dice)} and {number(dice)}",
        ]
    )


def sentence(dice: random.Random) -> str:
    size, colour = dice.choice(SIZES), dice.choice(COLOURS)
    name, thing, place, animal = (dice.choice(words) for words in (NAMES, THINGS, PLACES, ANIMALS))
    return dice.choice(
        [
            f"the {size} {thing} is {colour}",
            f"the {colour} {animal} is in the {place}",
            f"{name} has a {size} {colour} {thing}",
            f"{name} went to the {place} on {dice.choice(DAYS)}",
            f"{name} and {dice.choice(NAMES)} are at the {place}",
            f"there are {number(dice)} {thing}s on the table",
            f"i would like {number(dice)} {colour} {thing}s please",
            f"the {animal} and the {dice.choice(ANIMALS)} are {size}",
            f"where is the {colour} {thing}",
            f"the train leaves at {time_of_day(dice)}",
            f"we will meet at the {place} at {time_of_day(dice)}",
            f"it is {date(dice)}",
            f"the number is {digits(dice)}",
            f"my {animal} is {number(dice)} years old",
        ]
    )


def text(dice: random.Random) -> str:
    kind = dice.random()
    if kind < 0.2:
        return digits(dice)
    if kind < 0.3:
        return number(dice)
    if kind < 0.6:
        return command(dice)
    return sentence(dice)


def is_for_the_test(one: str) -> bool:
    return zlib.crc32(one.encode()) % TEST_ONE_IN == 0


def texts(seed: int, count: int, *, test: bool) -> list[str]:
    """Each at most once in a test."""
    dice = random.Random(seed)
    found: list[str] = []
    seen: set[str] = set()
    while len(found) < count:
        one = text(dice)
        if is_for_the_test(one) is test and not (test and one in seen):
            seen.add(one)
            found.append(one)
    return found

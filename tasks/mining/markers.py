"""What is said between a detour and the way on: a doubt, then where to go from here.

What must stay true: there are far more than 50 different markers of each kind, drawn evenly, so that none is more than a few
percent of any set large enough to train on; a marker names no step, number or reason, because it does not know them.
"""

from __future__ import annotations

from random import Random
from typing import Final

_DOUBTS: Final = (
    "Wait, that's wrong.",
    "Hold on, something is off here.",
    "Hmm, that does not add up.",
    "No, this cannot be right.",
    "Let me stop: I made a mistake.",
    "Actually, that step does not hold.",
    "I should doubt that last part.",
    "Looking at this again, it is not correct.",
    "That is a mistake on my side.",
    "This does not fit what the problem says.",
    "Checking what I just wrote, it fails.",
    "Something went wrong above.",
    "I do not trust this line of thought any more.",
    "On a second look, that is an error.",
    "That was too quick, and it is wrong.",
    "Wait, I slipped up.",
    "No, I went astray there.",
    "Reading that back, I see an error.",
    "This leads nowhere, because a step is wrong.",
    "I have to take that back.",
)

_BACK: Final = (
    "Back to the last step that holds.",
    "I'll pick it up from before the error.",
    "Let me redo it from where it was still right.",
    "Going back to the point before that.",
    "I keep what was right and redo the rest.",
    "Let me return to the part that I am sure of.",
)

_OVER: Final = (
    "Let me start over.",
    "I'll begin again from the problem itself.",
    "Let me try another way, from the beginning.",
    "What if I set it up afresh?",
    "Once more, from the start.",
    "Let me work it out anew.",
)

#: Markers before going on from a shared prefix, and before beginning again.
RESUMING: Final = tuple(f"{doubt} {way}" for doubt in _DOUBTS for way in _BACK)
RESTARTING: Final = tuple(f"{doubt} {way}" for doubt in _DOUBTS for way in _OVER)


def marker(rng: Random, resuming: bool) -> str:
    """One marker, all alike likely."""
    return rng.choice(RESUMING if resuming else RESTARTING)

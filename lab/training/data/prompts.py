"""Prompts that a person might write for a motion. Some wordings are kept for the test."""

from __future__ import annotations

import re

from lab.training.data.motions import Motion
from lab.training.data.pictures import Dice

_SUBJECTS = (
    "the picture", "the scene", "the photo", "a cat", "a dog", "a cup of coffee", "a woman", "a man", "a house",
    "the town", "a rocket", "the sky", "a landscape", "some flowers", "a tree", "a street", "coloured shapes",
    "a wall", "a table", "the sea", "a portrait", "a face", "an astronaut", "the cat", "a garden", "the mountains",
    "old stones", "a painting", "a still life", "the night", "a bird", "a car", "people", "a river", "the forest",
)  # fmt: skip
_PACES = {
    "slow": ("slowly", "gently", "softly", "very slowly", "calmly", "a little"),
    "plain": ("", "", "steadily", "smoothly", "evenly"),
    "quick": ("quickly", "fast", "rapidly", "swiftly", "a lot", "strongly"),
}
#: {pace}: how fast; {subject}: what is seen; the last of each list are the test's own, but for their words
_PAN = (
    "The frame goes {to} {pace}.", "The frame moves {pace} {to} over {subject}.", "Show more of what is {to}, {pace}.",
    "Let the view go {to} {pace}.", "Everything goes {pace} {back}.", "The picture slides {back} {pace}.",
    "{subject} shifts {back} {pace}.", "Everything shifts {back} {pace}.", "The camera slides {to}.",
    "The camera goes {to} {pace}.", "{to} {pace}", "Camera {to}, {pace}.", "Slide the camera {to} {pace}.",
    "Go {to} over {subject}.", "Look {to} {pace}.", "The view goes {way} {pace}.", "Move the camera {pace} {to}.",
    "All of {subject} moves {back} {pace}.", "The whole picture slides {pace} {back}.",
    "Slide {subject} {back} {pace}.",
    "Move {subject} {pace} {back}.", "The picture drifts {back}.", "{subject} goes {back} {pace}.",
    "The camera pans {pace} {to}.", "Pan {pace} {to}.", "Pan {way}.", "Camera pan {to}, {subject}.",
    "{subject}, the camera moves {pace} {to}.", "The camera {pace} moves {to} over {subject}.",
    "The view slides {pace} {to}.", "The camera travels {to} {pace}.", "A {way} pan over {subject}.",
    "We look further and further {to}.", "{subject} drifts {pace} {back}.", "{subject} moves {back} {pace}.",
    "Everything moves {pace} {back}.", "{subject} slides {back} {pace}.", "All of it slides {back}.",
    "Let the camera go {to}.", "The frame shifts {pace} {to}, showing more of {subject}.", "camera {way}",
    "Everything slides {pace} {back}.", "The picture moves {back}.", "Let the camera move {to} {pace}.",
)  # fmt: skip
_WORDINGS: dict[str, tuple[str, ...]] = {
    "zoom_in": (
        "Zooming in {pace}.", "{subject} grows larger {pace}.", "{subject} grows and grows.",
        "Bigger and bigger, {subject} grows {pace}.",
        "The view gets closer to {subject} {pace}.", "The camera moves closer {pace}.", "Move forward {pace}.",
        "The camera goes forward {pace}.", "Go nearer to {subject} {pace}.", "Closer and closer to {subject}.",
        "Zoom {pace} in.",
        "Camera in {pace}.", "Forward {pace}, into {subject}.", "The view zooms in {pace}.",
        "{subject} comes closer {pace}.",
        "Dolly in {pace}.", "The camera zooms in {pace}.", "Zoom in {pace}.", "Zoom in on {subject}.",
        "A {pace} zoom into {subject}.",
        "The camera comes closer to {subject} {pace}.", "{subject} gets {pace} larger.", "We come nearer to {subject}.",
        "The camera pushes in {pace}.", "{subject}, zooming in", "The camera moves {pace} forward.",
        "{subject} grows {pace}.", "Dolly in on {subject}.", "The view gets closer {pace}.",
    ),
    "zoom_out": (
        "Zooming out {pace}.", "{subject} shrinks away {pace}.", "{subject} shrinks and shrinks.",
        "Smaller and smaller, {subject} shrinks {pace}.",
        "The view gets wider and wider {pace}.", "The camera moves back {pace}.", "Move backward {pace}.",
        "The camera goes backward {pace}.", "Go away from {subject} {pace}.", "Farther and farther from {subject}.",
        "Camera out {pace}.", "Backward {pace}, away from {subject}.", "The view zooms out {pace}.", "Zoom {pace} out.",
        "Move backward from {subject} {pace}.", "{subject} goes away {pace}.", "The view becomes wider {pace}.",
        "We see {pace} a wider view of {subject}.", "Wider and wider {pace}.", "The camera zooms out {pace}.",
        "Zoom out {pace}.", "Zoom out from {subject}.", "Dolly out {pace}.",
        "The camera moves {pace} away from {subject}.", "{subject} gets {pace} smaller.", "We leave {subject} behind.",
        "The camera pulls back {pace}.", "{subject} shrinks {pace}.", "{subject}, zooming out",
        "The camera moves {pace} backward.",
        "Dolly out from {subject}.", "The view gets wider {pace}.",
    ),
    "rotate_left": (
        "Turn {subject} {pace} counterclockwise.", "Rotation to the left, {pace}.",
        "{subject} rotates left {pace}.", "Let {subject} spin to the left {pace}.", "The view turns left {pace}.",
        "{subject} rotates {pace} counterclockwise.", "Rotate {pace} counterclockwise.", "{subject} turns {pace} left.",
        "The picture turns anticlockwise {pace}.", "{subject} spins {pace} counterclockwise.", "Turn left {pace}.",
        "A {pace} counterclockwise rotation.", "Everything rotates {pace} to the left.", "rotate left",
        "Spin it {pace} anticlockwise.", "Spin {subject} counterclockwise.", "The view rotates left {pace}.",
    ),
    "rotate_right": (
        "Turn {subject} {pace} clockwise.", "Rotation to the right, {pace}.",
        "{subject} rotates right {pace}.", "Let {subject} spin to the right {pace}.", "The view turns right {pace}.",
        "{subject} rotates {pace} clockwise.", "Rotate {pace} clockwise.", "{subject} turns {pace} right.",
        "The picture turns clockwise {pace}.", "{subject} spins {pace} clockwise.", "Turn right {pace}.",
        "A {pace} clockwise rotation.", "Everything rotates {pace} to the right.", "rotate right",
        "Spin it {pace} clockwise.", "Spin {subject} clockwise.", "The view rotates right {pace}.",
    ),
    "brighten": (
        "The light comes on over {subject} {pace}.", "More light falls on {subject} {pace}.",
        "The lamp lights up {pace}.",
        "Fade in.", "Brighter and brighter, {pace}.", "{subject} grows bright {pace}.", "{subject} lights up.",
        "Lights on, {pace}.",
        "The scene gets {pace} brighter.", "Let there be more light on {subject}.", "The sun lights {subject} {pace}.",
        "{subject} in more and more light",
        "{subject} brightens {pace}.", "Light up {subject} {pace}.",
        "{subject} is lit up more and more, and brightens.",
        "The lights go up {pace}.", "It gets {pace} brighter.", "{subject} gets {pace} brighter.",
        "The light grows {pace}.", "The sun comes out.",
        "Morning comes {pace}.", "Brighten {subject} {pace}.", "More and more light falls on {subject}.",
        "fade in to bright light", "The light comes on {pace}.", "{subject} lights up {pace}.",
        "The scene brightens {pace}.",
    ),
    "darken": (
        "The light goes out over {subject} {pace}.", "Less light falls on {subject} {pace}.",
        "The lights go out {pace}.",
        "Into shadow {pace}.",
        "Fade out.", "Darker and darker, {pace}.", "{subject} grows dark {pace}.", "{subject} goes dark.",
        "The lamp goes out {pace}.",
        "The scene gets {pace} darker.", "Lights out, {pace}.", "The sun goes out {pace}.",
        "Shadow over {subject} {pace}",
        "{subject} in less and less light",
        "{subject} darkens {pace}.", "fade to black", "A shadow falls over {subject} {pace}.",
        "{subject} lies in shadow more and more.",
        "The lights go down {pace}.", "It gets {pace} darker.", "{subject} gets {pace} darker.",
        "The light fades {pace}.", "The sun goes down.",
        "Night comes {pace}.", "Darken {subject} {pace}.", "Less and less light falls on {subject}.",
        "The light goes out {pace}.", "{subject} falls into shadow {pace}.", "The scene darkens {pace}.",
    ),
    "sway": (
        "{subject} sways {pace}.", "{subject} sways {pace} from side to side.", "{subject} swings to and fro.",
        "{subject} rocks {pace} back and forth.", "A {pace} swaying.", "{subject} dances {pace}.", "Sway {pace}.",
        "{subject} swings {pace} like a boat.", "{subject} rocks from side to side {pace}.",
    ),
    "tilt": (
        "{subject} tilts {pace} backward.", "Tilt {subject} {pace} in space.", "{subject} leans {pace} back.",
        "The picture tips over {pace}.", "A {pace} tilt in depth.", "The view tilts {pace} into perspective.",
        "{subject} tips backward {pace}.",
    ),
    "ripple": (
        "Rings run over {subject} {pace}.", "Waves cross {subject} {pace}.", "Ripples run over {subject}.",
        "{subject} ripples {pace} like water.", "Waves spread {pace} from the middle.",
        "{subject} seen through moving water.", "Water ripples {pace}.", "{subject} wobbles in rings.",
        "Rings of waves cross {subject} {pace}.",
    ),
    "wind": (
        "The wind blows {pace}.", "{subject} moves {pace} in the wind.", "A {pace} breeze.", "{subject} in the wind.",
        "{subject} flutters {pace}.", "Wind bends {subject} {pace}.", "A breeze moves {subject} {pace}.",
    ),
    "parallax_left": (
        "Tracking {pace} past {subject} to the left.", "A left tracking shot past {subject}.", "Track left {pace}.",
        "The camera goes past {subject} {pace} to the left, near things move more.", "Parallax {pace} to the left.",
        "The foreground moves {pace} to the right before the background.", "Depth: the camera tracks left.",
        "{subject} in parallax, camera left.", "The camera tracks {pace} left past {subject}.",
    ),
    "parallax_right": (
        "Tracking {pace} past {subject} to the right.", "A right tracking shot past {subject}.", "Track right {pace}.",
        "The camera goes past {subject} {pace} to the right, near things move more.", "Parallax {pace} to the right.",
        "The foreground moves {pace} to the left before the background.", "Depth: the camera tracks right.",
        "{subject} in parallax, camera right.", "The camera tracks {pace} right past {subject}.",
    ),
    "still": (
        "The camera stays where it is.", "The camera holds still.", "A camera without motion.", "It does not move.",
        "Nothing in {subject} moves.", "The view does not move.",
        "{subject} stays still.", "Nothing moves.", "A still picture.", "{subject} without motion.", "No motion.",
        "Hold still.", "{subject}", "{subject} does not move.", "{subject} is still.", "The camera does not move.",
    ),
}  # fmt: skip
_WAYS = {
    "left": ("left", "to the left", "leftwards", "right"),
    "right": ("right", "to the right", "rightwards", "left"),
    "up": ("up", "upwards", "to the top", "down"),
    "down": ("down", "downwards", "to the bottom", "up"),
}
_TEST_WORDINGS = 4  #: at most so many of a motion's wordings, the last of its list, are the test's


def wordings(kind: str, *, test: bool = False) -> tuple[str, ...]:
    """Return the templates of a motion, for training or for the test."""
    every = _PAN if kind.startswith("pan") else _WORDINGS[kind]
    kept = min(_TEST_WORDINGS, max(len(every) // 5, 1))
    return every[-kept:] if test else every[:-kept]


def prompt_for(motion: Motion, dice: Dice, *, test: bool = False) -> str:
    """Return a prompt for `motion`, in one of its wordings."""
    values = {"pace": dice.one_of(_PACES[motion.pace]), "subject": dice.one_of(_SUBJECTS)}
    if motion.kind.startswith("pan"):
        word, to, wards, back = _WAYS[motion.kind.removeprefix("pan_")]
        forms = _WAYS[back]
        values |= {"way": word, "to": dice.one_of((word, to, wards)), "back": dice.one_of(forms[:3])}
    text = " ".join(dice.one_of(wordings(motion.kind, test=test)).format(**values).split())
    text = text.replace(" .", ".").replace(" ,", ",")
    return text[:1].upper() + text[1:] if dice.chance(0.7) else text.lower()


def every_word() -> list[str]:
    """Return all words of all wordings, in lower case and sorted, for the vocabulary."""
    texts = [*_PAN, *_SUBJECTS, *(text for group in _WORDINGS.values() for text in group)]
    texts += [text for group in (*_PACES.values(), *_WAYS.values()) for text in group]
    return sorted(set(re.findall(r"[a-z]+", re.sub(r"{\w+}", "", " ".join(texts)).lower())))

"""Text from outside does not command the terminal."""

from __future__ import annotations

import pytest

from deploy.terminal.screen import put_table, say, visible

Out = pytest.CaptureFixture[str]
EVIL = "a cat\x1b]0;mine\x07 \x1b[2Jlooks \u202eup\x9b1A"


@pytest.mark.parametrize("text", ["plain", "Ein Käfer, 猫", "one\ntwo", "\N{WOMAN}\u200d\N{ROCKET}"])
def test_what_people_write_stays(text: str) -> None:
    """Scripts, emoji and line ends are shown as they are."""
    assert visible(text) == text


def test_control_characters_are_shown(capsys: Out) -> None:
    """A prompt cannot clear the screen, rename the window or turn the direction of the text."""
    say(EVIL)
    put_table(("prompt",), [{"prompt": EVIL}])
    out, err = capsys.readouterr()
    for shown in (out, err):
        assert "\\u001b[2Jlooks" in shown
        assert "\\u202e" in shown
        assert not set(shown) & {"\x1b", "\x07", "\x9b", "\u202e"}

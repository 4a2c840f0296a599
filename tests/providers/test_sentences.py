from __future__ import annotations

import pytest

from mailferry.model.causes import Cause
from mailferry.providers.sentences import SENTENCES, advice, client_sentence, user_advice


@pytest.mark.parametrize("cause", list(Cause))
def test_each_cause_has_a_sentence_for_user_and_administrator_in_both_languages(cause: Cause) -> None:
    for words in (advice(cause), user_advice(cause)):
        assert set(words) == {"en", "zh"}
        assert words["en"].isascii()
        assert any("\u4e00" <= letter <= "\u9fff" for letter in words["zh"])
        for text in words.values():
            assert text.isprintable()
            assert len(text.encode()) < 480


@pytest.mark.parametrize("cause", list(Cause))
def test_a_mail_program_reads_the_language_of_the_domain(cause: Cause) -> None:
    assert client_sentence(cause, "en").isascii()
    assert not client_sentence(cause, "zh").isascii()
    assert client_sentence(cause) == f"{client_sentence(cause, 'en')} {client_sentence(cause, 'zh')}"


@pytest.mark.hazard("T30")
def test_an_unknown_user_reads_the_same_as_a_wrong_password() -> None:
    for language in ("en", "zh", "both"):
        assert client_sentence(Cause.UNKNOWN_USER, language) == client_sentence(
            Cause.BAD_CREDENTIALS, language
        )


def test_the_combined_help_never_says_that_the_password_is_wrong() -> None:
    assert "refused this password" not in SENTENCES[Cause.AMBIGUOUS_REFUSAL].user.en

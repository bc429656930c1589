from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mycelnode.errors import TurnRefused
from mycelnode.privacy.exports import turns_of
from mycelnode.privacy.interactions import Influence, Turn
from tests.privacy.talk import AT, chatgpt, claude, message, pairs, said


def turns(conversation: dict[str, Any]) -> list[Turn]:
    return [one for one in turns_of(conversation) or () if isinstance(one, Turn)]


def left_out(conversation: dict[str, Any]) -> list[str]:
    return [one.reason for one in turns_of(conversation) or () if isinstance(one, TurnRefused)]


# --- ChatGPT -----------------------------------------------------------------------------------------------------------------


def test_requests_and_answers_of_chatgpt() -> None:
    conversation = chatgpt(message("user", "bread?", 5), message("assistant", "flour"), *pairs([("and?", "salt")]))
    assert turns(conversation) == [
        Turn("bread?", "flour", (AT + 5) * 1000, "chatgpt"),
        Turn("and?", "salt", AT * 1000, "chatgpt"),
    ]


def test_of_answers_made_anew_that_on_the_current_path_counts() -> None:
    conversation = chatgpt(message("user", "bread?"), message("assistant", "the second"))
    mapping = conversation["mapping"]
    mapping["first"] = {"id": "first", "message": message("assistant", "the first"), "parent": "m1", "children": []}
    mapping["m1"]["children"] = ["first", "m2"]
    assert [one.answer for one in turns(conversation)] == ["the second"]
    conversation["current_node"] = "first"
    assert [one.answer for one in turns(conversation)] == ["the first"]
    del conversation["current_node"]
    assert [one.answer for one in turns(conversation)] == ["the second"], "the last child, where nothing is named"


@pytest.mark.parametrize(
    ("between", "influenced"),
    [
        (message("tool", "42", name="python"), Influence.TOOL),
        (message("tool", "a page", name="browser"), Influence.WEB),
        (message("tool", "a page", name="web.run"), Influence.WEB),
        (message("tool", "", content={"content_type": "tether_quote", "text": "a page"}), Influence.WEB),
        (message("assistant", "print(42)", recipient="python"), Influence.TOOL),
        (message("assistant", "search(bread)", recipient="browser"), Influence.WEB),
        (message("assistant", "so", metadata={"citations": [{"url": "x"}]}), Influence.WEB),
        (message("system", "be a pirate"), Influence.SYSTEM),
        (message("assistant", "", content={"content_type": "thoughts", "thoughts": []}), Influence.NONE),
        (message("system", "I am Ann", metadata={"is_user_system_message": True}), Influence.NONE),
        (message("user", "", content={"content_type": "user_editable_context", "user_profile": "Ann"}), Influence.NONE),
        (message("tool", "42", weight=0), Influence.NONE),
    ],
)
def test_what_else_came_in_marks_this_turn_and_those_after_it(between: dict[str, Any], influenced: Influence) -> None:
    conversation = chatgpt(
        *pairs([("before", "b")]),
        message("user", "during"),
        between,
        message("assistant", "d"),
        *pairs([("after", "a")]),
    )
    before, during, after = turns(conversation)
    assert (before.influenced, during.influenced) == (Influence.NONE, influenced)
    assert after.influenced == influenced, "what was read stays in the conversation"


def test_pictures_and_files_are_no_words_of_the_person() -> None:
    picture = {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}, "what is this?"]}
    (turn,) = turns(chatgpt(message("user", "", content=picture), message("assistant", "bread")))
    assert (turn.request, turn.influenced) == ("what is this?", Influence.FILE)
    alone = chatgpt(
        message("user", "", content={"parts": [{}]}), message("assistant", "bread"), message("user", "and?")
    )
    assert (turns(alone), left_out(alone)) == ([], ["empty", "unanswered"])
    voice = {
        "content_type": "multimodal_text",
        "parts": [{"content_type": "audio_transcription", "text": "hello"}, {"content_type": "audio_asset_pointer"}],
    }
    (turn,) = turns(chatgpt(message("user", "", content=voice), message("assistant", "hi")))
    assert (turn.request, turn.influenced) == ("hello", Influence.NONE)


def test_a_gpt_of_somebody_has_instructions_of_its_own() -> None:
    (turn,) = turns(chatgpt(*pairs([("a", "b")]), gizmo_id="g-1"))
    assert turn.influenced == Influence.SYSTEM


def test_a_tree_that_bites_its_tail_ends() -> None:
    conversation = chatgpt(*pairs([("a", "b")]))
    conversation["mapping"]["root"]["parent"] = "m2"
    assert [one.request for one in turns(conversation)] == ["a"]
    conversation["mapping"]["m2"]["children"] = ["m1"]
    del conversation["current_node"]
    assert turns(conversation) == [], "it has no root, so there is no path"


# --- Claude ------------------------------------------------------------------------------------------------------------------


def test_requests_and_answers_of_claude() -> None:
    conversation = claude(said("human", "bread?"), said("assistant", "flour"), said("human", "and?"))
    assert turns(conversation) == [Turn("bread?", "flour", 1_767_340_800_000, "claude")]
    assert left_out(conversation) == ["unanswered"]


def test_old_exports_of_claude_have_the_text_alone() -> None:
    conversation = claude({"sender": "human", "text": "a"}, {"sender": "assistant", "text": "b"})
    assert [(one.request, one.answer, one.time) for one in turns(conversation)] == [("a", "b", 1_767_340_740_000)]


def test_of_answers_of_claude_made_anew_the_last_counts() -> None:
    flat = claude(said("human", "a"), said("assistant", "first"), said("assistant", "second"))
    assert [one.answer for one in turns(flat)] == ["second"]
    tree = claude(
        said("human", "a", uuid="1", parent_message_uuid="0"),
        said("assistant", "first", uuid="2", parent_message_uuid="1"),
        said("human", "left", uuid="3", parent_message_uuid="2"),
        said("assistant", "left, too", uuid="4", parent_message_uuid="3"),
        said("assistant", "second", uuid="5", parent_message_uuid="1"),
    )
    assert [(one.request, one.answer) for one in turns(tree)] == [("a", "second")]


@pytest.mark.parametrize(
    ("more", "influenced"),
    [
        ({"content": [{"type": "tool_use", "name": "web_search"}, {"type": "text", "text": "b"}]}, Influence.WEB),
        ({"content": [{"type": "tool_use", "name": "repl"}, {"type": "text", "text": "b"}]}, Influence.TOOL),
        ({"content": [{"type": "text", "text": "b", "citations": [{}]}]}, Influence.WEB),
        ({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "b"}]}, Influence.NONE),
        ({"content": [{"type": "unheard_of"}, {"type": "text", "text": "b"}]}, Influence.TOOL),
        ({"attachments": [{"extracted_content": "a letter"}]}, Influence.FILE),
    ],
)
def test_what_else_came_into_a_conversation_with_claude(more: dict[str, Any], influenced: Influence) -> None:
    conversation = claude(
        said("human", "a"), said("assistant", "b", **more), said("human", "c"), said("assistant", "d")
    )
    assert [one.influenced for one in turns(conversation)] == [influenced, influenced]


# --- nothing is believed -------------------------------------------------------------------------------------------------------

KEYS = (
    *("message", "parent", "children", "author", "role", "name", "content", "content_type", "parts", "text", "type"),
    *("metadata", "recipient", "weight", "create_time", "citations"),
    *("sender", "uuid", "parent_message_uuid", "created_at", "attachments"),
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["all", "user", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "root"]), ODD), st.lists(ODD), ODD)
def test_whatever_an_export_holds_nothing_breaks(mapping: dict[str, Any], messages: list[Any], current: Any) -> None:
    for conversation in ({"mapping": mapping, "current_node": current}, {"chat_messages": messages}):
        for one in turns_of(conversation) or ():
            assert isinstance(one, Turn | TurnRefused)


def test_what_is_no_conversation_is_none() -> None:
    assert turns_of({"request": "a", "answer": "b"}) is None
    assert turns_of({"mapping": [], "chat_messages": {}}) is None

"""Sentences that begin with a pronoun say whom it means where that is clear, and stay where it is not."""

import pytest

from models.coreference import addressed, resolved


@pytest.mark.parametrize(
    ("before", "sentence", "told"),
    [
        ("Our new head of support is Ludmila Faber.", "She sits in room 417.", "Ludmila Faber sits in room 417."),
        ("Genghis Khan united the tribes of Asia.", "He died in 1227.", "Genghis Khan died in 1227."),
        ("Ann Lee met Bob Ray on Friday.", "Her office is in Orm.", "Ann Lee's office is in Orm."),
        ("In May, Paul de la Salle took over.", "His orders were clear.", "Paul de la Salle's orders were clear."),
        ("Dr. Grace Hopper wrote it.", "In 1952, she wrote a compiler.", "In 1952, Dr. Grace Hopper wrote a compiler."),
        ("We welcome Ann Lee from Bluefin Labs.", "She starts in May.", "Ann Lee starts in May."),
        ("Genghis Khan is one of the leaders in Asia's history.", "He died.", "Genghis Khan died."),
        ("Sean O'Neill was late.", "He swam home.", "Sean O'Neill swam home."),
        ("The guest network is called Bluefin.", "Its password changes.", "The guest network's password changes."),
        ("The stream of letters is long.", "It ends.", "The stream of letters ends."),
        ("The ferry is late.", "It was sold.", "The ferry was sold."),
        ("The ferry was built in 1911.", "In 1950, it was sold.", "In 1950, the ferry was sold."),
    ],
)
def test_a_pronoun_becomes_the_name_that_it_means(before: str, sentence: str, told: str) -> None:
    assert resolved([before, sentence]) == [before, told]


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        ("The teams of Ann Lee and Bob Ray met.", "She left early."),  # of two
        ("Nobody in Orm came.", "He was sad."),
        ("Acme has hired a new manager.", "She starts in May."),
        ("Ann Lee married a baker.", "He died."),
        ("Ann Lee is our new head, and her husband works in Orm.", "He has a blue boat."),
        ("I am Petra Valk, and I have a new boss.", "He is called Karl Ott."),
        ("Our manager bought a new Toyota.", "He drives it."),
        ("Ann Lee's sister came.", "She sat."),
        ("# Project Heron", "He is back on Monday."),
        ("From: Ann Lee", "He will be away."),
        ("Ann Lee came.", "He Jiankui published it."),
        ("The town has a museum.", "It was built in 1911."),
        ("The fire is over, and the mill burnt.", "It was rebuilt."),
        ("The workers are on strike.", "It began in May."),
        ("The meeting is over.", "It was raining."),
        ("The meeting is over.", "It is dark at five."),
        ("The office opens on Monday in May.", "He has the key."),  # of nobody
        ("Despite the rain they came to Orm.", "His hat was wet."),
        ("The ferry is late again.", "It is likely that nobody waits."),  # means nothing
        ("The ferry is late again.", "It rains."),
        ("The day is over; the ferry is late.", "It was sold."),
        ("Ann Lee left.", "It was sold."),  # what was sold is not said
        ("Ann Lee left.", "They were sad."),
        ("Ann Lee left.", "Hero worship is over."),
        ("Ann Lee left.", ""),
    ],
)
def test_a_pronoun_stays_where_its_meaning_is_not_clear(before: str, sentence: str) -> None:
    assert resolved([before, sentence]) == [before, sentence]


def test_who_is_meant_is_remembered_over_sentences_that_name_nobody_but_not_for_long() -> None:
    aside = "The tea is cold."
    assert resolved(["Ann Lee came.", "She sat.", "She slept."])[1:] == ["Ann Lee sat.", "Ann Lee slept."]
    assert resolved(["Ann Lee came.", aside, aside, "She sat."])[-1] == "Ann Lee sat."
    assert resolved(["Ann Lee came.", aside, aside, aside, "She sat."])[-1] == "She sat."
    assert resolved(["Ann Lee came.", "Bob Ray went.", "He waved."])[-1] == "Bob Ray waved."
    assert resolved(["Ann Lee came.", "She sat.", "He slept."])[1:] == ["Ann Lee sat.", "He slept."]
    assert resolved(["He was a Catholic.", "His son died."])[-1] == "His son died."


def test_one_word_is_a_name_where_it_has_its_capital_within_a_sentence() -> None:
    assert resolved(["Luther was young.", "He was born in Eisleben."])[-1] == "He was born in Eisleben."
    assert resolved(["Many read Luther.", "Luther was young.", "He was born in Eisleben."])[-1].startswith("Luther was")


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        ("I moved to Orm, and my dog is called Rex.", "You moved to Orm, and your dog is called Rex."),
        ("I'm allergic to walnuts, and I was ill.", "You're allergic to walnuts, and you were ill."),
        ("We sold our house in the US for me.", "You sold your house in the US for you."),
        ("Hello, i am Ann Lee.", "Hello, you are Ann Lee."),
        ("Phil I. Adams wrote it, i.e. the book.", "Phil I. Adams wrote it, i.e. the book."),
        ("The coal mine is mine, and I wasn't there.", "The coal mine is yours, and you weren't there."),
        ("Thank you, I also am tired.", "Thank you, you also are tired."),
        ("In World War I he left us.", "In World War I he left us."),
        ('My sister said: "I am ill."', 'My sister said: "I am ill."'),
        ("Me llamo Ana, by I-95.", "Me llamo Ana, by I-95."),
        ("I told you my name.", "I told you my name."),  # both would have to change places
    ],
)
def test_what_users_say_of_themselves_is_said_to_them(said: str, answered: str) -> None:
    assert addressed(said) == answered

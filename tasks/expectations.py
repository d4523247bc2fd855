"""What is expected of a batch, as a Great Expectations suite in code, and the run of it.

Every expectation looks at one column that was measured beforehand (`tasks.measures`) and carries a sentence
that a person can read. Knows nothing of files and of what follows from a failure. Importing this takes seconds
(Great Expectations): import it in the function that needs it. Run it serially: its contexts are global to a process.
"""

import logging
import warnings
from collections.abc import Mapping
from datetime import date
from typing import Any

import pandas as pd

from tasks.personal import Kind, Policy
from tasks.report import Outcome

logging.getLogger("great_expectations").setLevel(logging.WARNING)  # it tells much at import
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # deprecated modules that it imports
    import great_expectations as gx
    import great_expectations.expectations as gxe

logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)  # it sets its own

COPY = "expect_text_to_be_new"  # the one failure that is no mistake of the sender


class ExpectBatchToHoldLines(gxe.ExpectTableRowCountToBeBetween):
    min_value: int = 1
    description: str = "The batch holds at least one line"


class ExpectLineToBeAnExperience(gxe.ExpectColumnValuesToBeNull):
    column: str = "unreadable"
    description: str = "Every line is a JSON object with the fields of an experience, its date in ISO 8601"


class ExpectContextToHoldText(gxe.ExpectColumnValuesToBeBetween):
    column: str = "characters"
    min_value: int = 1
    description: str = "Every experience has a text"


class ExpectTextToBeNew(gxe.ExpectColumnValuesToBeNull):
    column: str = "copy_of"
    description: str = (
        "No text was accepted before or stands earlier in the batch (case and white space aside), unless it brings a "
        "new pair"
    )


class ExpectIdToBeUnique(gxe.ExpectColumnValuesToBeNull):
    column: str = "id_taken_by"
    description: str = "No two experiences of the batch have the same id; the first keeps it"


class ExpectContextToFitTheWindow(gxe.ExpectColumnValuesToBeBetween):
    column: str = "tokens"


class ExpectPairsToFitTheWindow(gxe.ExpectColumnValuesToBeBetween):
    column: str = "pair_tokens"


class ExpectDateToBePlausible(gxe.ExpectColumnValuesToBeBetween):
    column: str = "day"


class ExpectMostlyNaturalLanguage(gxe.ExpectColumnValuesToBeBetween):
    column: str = "natural"


class ExpectNoSecrets(gxe.ExpectColumnValuesToBeNull):
    column: str = "secret"
    description: str = "No text holds a key, a token or a password"


class ExpectNoCardNumbers(gxe.ExpectColumnValuesToBeNull):
    column: str = "card"
    description: str = "No text holds the number of a payment card (Luhn)"


class ExpectNoIbans(gxe.ExpectColumnValuesToBeNull):
    column: str = "iban"
    description: str = "No text holds the number of a bank account (IBAN)"


class ExpectNoEmailAddresses(gxe.ExpectColumnValuesToBeNull):
    column: str = "email"
    description: str = "No text holds an e-mail address"


class ExpectNoPhoneNumbers(gxe.ExpectColumnValuesToBeNull):
    column: str = "phone"
    description: str = "No text holds a phone number"


PERSONAL: dict[Kind, type] = {
    "secret": ExpectNoSecrets,
    "card": ExpectNoCardNumbers,
    "iban": ExpectNoIbans,
    "email": ExpectNoEmailAddresses,
    "phone": ExpectNoPhoneNumbers,
}

# What a failure is called towards the sender; the braces are columns of the row.
REASONS = {
    "expect_line_to_be_an_experience": "{unreadable}",
    "expect_context_to_hold_text": "the context holds no text",
    "expect_text_to_be_new": "the same text as {copy_of}",
    "expect_id_to_be_unique": "its id is taken by {id_taken_by}",
    "expect_context_to_fit_the_window": "the text has {tokens:.0f} tokens, and {window} fit (the model's window, or "
    "validate.max_tokens): split it",
    "expect_pairs_to_fit_the_window": "a question and its answer have {pair_tokens:.0f} tokens, and {room} fit",
    "expect_date_to_be_plausible": "occurred_at is {day:%Y-%m-%d}, outside {earliest} to {latest}",
    "expect_mostly_natural_language": "{natural:.0%} of the text is words, and at least {least_natural:.0%} should be",
    "expect_no_secrets": "holds a secret: {secret}",
    "expect_no_card_numbers": "holds a card number: {card}",
    "expect_no_ibans": "holds a bank account: {iban}",
    "expect_no_email_addresses": "holds an e-mail address: {email}",
    "expect_no_phone_numbers": "holds a phone number: {phone}",
}


def suite(
    policies: Mapping[Kind, Policy],
    *,
    window: int | None,
    room: int,
    earliest: date,
    latest: date,
    least_natural: float,
) -> list[Any]:
    """The expectations, those first that say most about a row. Without a `window` lengths are not looked at."""
    lengths: list[Any] = []
    if window is not None:
        lengths = [
            ExpectContextToFitTheWindow(
                max_value=window,
                description=f"Every text fits the model's window (or validate.max_tokens): at most {window} tokens",
            ),
            ExpectPairsToFitTheWindow(
                max_value=room, description=f"Every question with its answer has at most {room} tokens"
            ),
        ]
    return [
        ExpectBatchToHoldLines(),
        ExpectLineToBeAnExperience(),
        ExpectContextToHoldText(),
        ExpectTextToBeNew(),
        ExpectIdToBeUnique(),
        *lengths,
        ExpectDateToBePlausible(
            min_value=pd.Timestamp(earliest),
            max_value=pd.Timestamp(latest),
            description=f"Every date, where there is one, lies between {earliest} and {latest}",
        ),
        ExpectMostlyNaturalLanguage(
            min_value=least_natural,
            description=f"Every text is mostly natural language: at least {least_natural:.0%} of it is words",
        ),
        *(
            expectation(severity="critical" if policies[kind] == "quarantine" else "warning")
            for kind, expectation in PERSONAL.items()
            if policies[kind] != "allow"
        ),
    ]


def judge(frame: pd.DataFrame, expectations: list[Any]) -> list[Outcome]:
    """Run the expectations over a frame with a row a line, numbered from 0; an expectation that crashes is raised."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    asset = context.data_sources.add_pandas("batches").add_dataframe_asset("experiences")
    definition = gx.ValidationDefinition(
        name="experiences",
        data=asset.add_batch_definition_whole_dataframe("batch"),
        suite=context.suites.add(gx.ExpectationSuite(name="experiences", expectations=expectations)),
    )
    # COMPLETE, for the positions of all rows that fail and not of the first twenty
    results = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame}, result_format={"result_format": "COMPLETE"}
    )
    found = {one.expectation_config.type: one for one in results.results if one.expectation_config}
    return [_outcome(found[expectation.expectation_type], expectation) for expectation in expectations]


def _outcome(result: Any, expectation: Any) -> Outcome:
    raised = result.exception_info
    if not result.success and (raised.get("raised_exception") or "raised_exception" not in raised):
        raise RuntimeError(f"{expectation.expectation_type} could not be checked: {raised}")
    return Outcome(
        expectation=expectation.expectation_type,
        description=expectation.description,
        warns_only=str(getattr(expectation.severity, "value", expectation.severity)) == "warning",
        success=bool(result.success),
        rows=tuple(result.result.get("unexpected_index_list") or ()),
    )

"""The words and phrases that no text of this project uses, and what to write instead.

A rule is a pattern, the replacement, examples that it finds, and examples that it does not find.
The patterns match whole words and ignore case.
Texts have single spaces and no line breaks.
Code spans, paths and identifiers are masked: wire names stay.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    pattern: str
    write: str
    finds: tuple[str, ...]
    allows: tuple[str, ...] = ()
    # Contributors may read that a test exists, users need not.
    for_users_only: bool = False

    @property
    def expression(self):
        return re.compile(rf"(?<![\w-])(?:{self.pattern})(?![\w-])", re.IGNORECASE)


RULES = [
    # Dead letters.
    Rule(
        r"(?<!dead )(?<!capital )(?<!case )(?<!small )letter(?:s|ed)?(?! and digits)(?!, digits)(?! or digits)",
        "dead letter",
        finds=("one letter in full", "the letter's remedy", "letters are kept", "it is lettered"),
        allows=(
            "one dead letter",
            "the dead-letter queue",
            "is dead-lettered",
            "letters and digits",
            "capital letters",
            "`letter`",
            "first_letter",
        ),
    ),
    Rule(
        r"(?:feed|feeds|feeding|fed)(?: \S+){0,3} back|feed-back",
        "redrive",
        finds=("feed letters back", "is fed back", "feeding one of them back", "each feed-back"),
        allows=("feedback is welcome", "feed-vendor"),
    ),
    Rule(
        r"\S+ redriven, \S+ stays?",
        "redrove 4 messages, 0 left",
        finds=("4 redriven, 0 stay",),
        allows=("4 dead letters were redriven",),
    ),
    # Compliance.
    Rule(
        r"(?:bring|brings|bringing|brought)(?: \S+){0,6} right|(?:come|comes|came|coming) right"
        r"|right already|already right|streams? right"
        r"|(?:\d+|half|all|every \w+|the|that|which|what|it|they|them|streams?) (?:is|are|was|were) right"
        r"|right streams?|(?:puts?|sets?) \S+ right",
        "compliant, encrypt, or re-encrypt with the configured key",
        finds=(
            "brings the streams of an account right",
            "everything came right",
            "a stream that is right",
            "the stream was right already",
            "3 right streams",
        ),
        allows=("right-to-left", "the right column", "right after the call"),
    ),
    Rule(
        r"(?:stays?|still|half|streams that|(?:half|all|some|\d+) of (?:it|them|which))"
        r" (?:(?:is|are|was|were) )?(?:still )?wrong(?! with)"
        r"|wrong streams?|streams? (?:is|are|was|were) wrong|\d+ (?:of them )?wrong(?! usage)"
        r"|wrong with (?:a|the|each|every) streams?",
        "non-compliant, not encrypted with the configured key",
        finds=(
            "half of which are wrong",
            "500 of them wrong",
            "nothing stays wrong",
            "if it is still wrong",
            "what is wrong with a stream",
            "wrong streams",
        ),
        allows=("2 wrong usage", "what is wrong with the policy", "the arguments are wrong"),
    ),
    Rule(
        r"judge(?:s|d)?|judging",
        "evaluate, audit or enforce",
        finds=("are only judged", "judging by other rules"),
        allows=("at the judgement of the operator",),
    ),
    Rule(
        r"(?:keep|keeps|keeping|kept)(?: (?:the|their|its|these))? (?:streams of|streams? too)"
        r"|accounts? (?:that )?(?:is|are) kept|streams? (?:is|are) kept(?: too)?(?! encrypted)"
        r"|whose streams are kept|this function (?:does not keep|keeps)(?! (?:the|every|all|its))",
        "manage, enforce or audit",
        finds=(
            "it keeps the streams of other accounts",
            "accounts that are kept",
            "a stream that this function does not keep",
            "whose streams are kept too",
        ),
        allows=("keeps every stream encrypted", "days that logs are kept", "keep the streams encrypted"),
    ),
    # Who reports what.
    Rule(
        r"tell|tells|telling|told",
        "publish, report, notify, log or show",
        finds=(
            "the bus that outcomes are told on",
            "What it tells",
            "cannot tell",
            "every step ended as told",
        ),
        allows=("teller", "--tell"),
    ),
    # Roles and accounts.
    Rule(
        r"(?:take|takes|taking|took|taken)(?: \S+){0,3} on"
        r"(?= [^\w]|[.,:;)]| (?:a|the|one|its|that|this|of|in|each)\b|$)",
        "assume a role",
        finds=(
            "a role to take on, by ARN",
            "take on the role",
            "the taking on of a role",
            "it takes on one role",
        ),
        allows=("take it from there", "takes one action"),
    ),
    Rule(
        r"(?<!the group )members?(?! accounts?)(?! roles?)(?! stacks?)(?! must (?:not|have|satisfy))",
        "member account",
        finds=("the role in a member", "its members", "every member's stack"),
        allows=(
            "member accounts",
            "the member account's role",
            "the member role",
            "the member stack",
            "member-role",
            "Member must not be null",
        ),
    ),
    Rule(
        r"the own (?:one|account|accounts|stack|role|region)",
        "the function's own account",
        finds=("neither the own one", "the own account"),
        allows=("its own account", "in the function's own Region"),
    ),
    # Time.
    Rule(
        r"rests(?! on)|rested|resting|rest (?:longer|for|until)|(?:come|comes|came) to rest"
        r"|nothing rests",
        "back off, retry later, or delay",
        finds=("it rests longer each time", "both come to rest", "nothing rests"),
        allows=("the rest of the sweep", "encrypted at rest", "the decision rests on facts", "all the rest"),
    ),
    Rule(
        r"quiet(?:ly)?",
        "unchanged for the grace period",
        finds=("until the stream has been quiet",),
        allows=("--quiet", "`quiet`"),
    ),
    Rule(
        r"pace|paces|paced|pacing",
        "rate limit or rate share",
        finds=("paced under half of the limits", "streams share the pace"),
        allows=("a space", "name-pace"),
    ),
    Rule(r"anew", "again, or recreate", finds=("make the queue anew",), allows=("a new queue",)),
    Rule(r"in vain", "after all retries failed", finds=("retried in vain",)),
    # Quotas.
    Rule(
        r"allowances?|(?:spend|spends|spent|spending)(?: \S+){0,3} (?:quota|applications)"
        r"|(?:is|are|was|were|be) (?:all )?spent|spent by",
        "quota, used up",
        finds=("a spent allowance", "the 25 applications are spent", "spent by whomever"),
        allows=("the time spent in KMS", "`AllowanceSpent`", "AllowanceSpent"),
    ),
    Rule(r"whomever", "any principal", finds=("by whomever",)),
    # Queues.
    Rule(
        r"(?:hide|hides|hid|hidden|hiding)(?: \S+){0,2} (?:for|until|messages?)"
        r"|(?:messages?|letters?) (?:is|are|stays?) hidden",
        "change the message's visibility timeout",
        finds=("hidden for 30 s", "the message is hidden", "hides the message"),
        allows=("hidden rows in the report",),
    ),
    Rule(
        r"(?:give|gives|given|giving|gave)(?: \S+){0,2} back"
        r"|(?:give|gives) the role \S+(?: \S+){0,4} back",
        "make visible again, return, or grant again",
        finds=(
            "letters are given back",
            "give back only what failed",
            "give the role `sqs:SendMessage` on the queue back",
        ),
        allows=("read back", "back off"),
    ),
    Rule(r"consumes nothing", "does not remove messages", finds=("Looking consumes nothing",)),
    # Tests.
    Rule(
        r"(?:hold|holds|held|holding)(?: \S+){0,5} to (?:it|them|both|that|this|the|its|their|·+)"
        r"|(?:hold|holds|held) to|(?:tests?|lints?|clippy) (?:hold|holds)"
        r"|(?:which|·+) (?:hold|holds) (?:it|them|that)",
        "verify, enforce with a test",
        finds=(
            "a test holds this list to the code",
            "an allow-list that the ARN is held to",
            "`tests/house.rs` holds it",
            "lints hold it",
        ),
        allows=("the queue holds the message", "`detail` holds the request"),
    ),
    Rule(
        r"(?:a|the) tests? (?:holds?|verif\w+|enforces?|checks?|ensures?)",
        "the fact alone: user documents do not state that a test exists",
        finds=("A test verifies this list.",),
        allows=("`make check` runs the tests",),
        for_users_only=True,
    ),
    # The sandbox.
    Rule(
        r"embedded aws|(?:account|aws) that is not embedded|(?<!policy )simulators?|simulated aws",
        "sandbox",
        finds=("on an embedded AWS", "the simulator", "the embedded AWS's part"),
        allows=("the embedded metric format", "the IAM policy simulator", "in simulated time"),
    ),
    # Translated English.
    Rule(
        r"(?:know|knows|knew) no",
        "does not support, or has no",
        finds=("the action knows no resources",),
        allows=("knows now",),
    ),
    Rule(
        r"(?<!there )(?<!here )(?:is|are) no(?! (?:longer|more|other|such|need|way|less|fewer)\b)(?= \w)",
        "is not a",
        finds=("`x` is no date", "an account that is no member account"),
        allows=("there is no policy", "it is no longer there", "is not a date", "the answer is no"),
    ),
    Rule(
        r"fight|fights|fighting|fought",
        "keep re-encrypting a stream that another principal keeps changing",
        finds=("go on fighting with somebody",),
        allows=("firefighter",),
    ),
    Rule(
        r"words the (?:\w+)|in the same words|on whose word",
        "returns the same error; with an owner",
        finds=("words the refusal like throttling", "in the same words", "on whose word, and until when"),
        allows=("the words of the message",),
    ),
    Rule(
        r"cannot be had|can be had|to be had",
        "cannot listen on …: address already in use, or is not available",
        finds=("port 4566 cannot be had",),
        allows=("had to be",),
    ),
    Rule(
        r"to be asked: give|say which (?:letters|ones|messages|of)|give --?\w+",
        "specify …, pass …",
        finds=("nobody is there to be asked: give --yes", "say which letters"),
        allows=("Say which rule decides",),
    ),
    Rule(
        r"the alarms? only shows?|is the key(?!['’])|is what guarantees|as told|who applies a",
        "one plain sentence with a subject, a verb and an object",
        finds=(
            "the alarms only show",
            "the configured key is the key",
            "the schedule is what guarantees",
            "Who applies a key",
        ),
        allows=("this is the key's ARN as a text",),
    ),
    Rule(
        r"the stream was (?:not encrypted|encrypted with another key)",
        "the stream is not encrypted, is encrypted with another key",
        finds=("the stream was not encrypted",),
        allows=("the stream was encrypted at noon",),
    ),
    Rule(
        r"expected [ui](?:8|16|32|64|size)|invalid digit found in string",
        "what the value must be, in words",
        finds=("expected u64", "invalid digit found in string"),
    ),
    Rule(
        r"(?:list-tags|list-streams|describe-key|describe-stream-summary|start-stream-encryption) of",
        "the AWS operation name, such as ListTagsForStream",
        finds=("list-tags of orders: AccessDenied",),
        allows=("ListTagsForStream of orders",),
    ),
]

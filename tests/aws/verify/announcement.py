"""What a run creates and costs, in words, before it asks."""

from __future__ import annotations

from verify.names import Names

# List prices of us-east-1 in late 2026, in dollars.
# https://aws.amazon.com/kinesis/data-streams/pricing/, https://aws.amazon.com/kms/pricing/,
# https://aws.amazon.com/cloudwatch/pricing/
SHARD_HOUR = 0.015
KEY_MONTH = 1.00
ALARM_MONTH = 0.10
METRIC_MONTH = 0.30
HOURS_A_MONTH = 730

STREAMS, KEYS, ROTATIONS, ALARM_METRICS, METRICS = 20, 4, 1, 22, 21
# Streams are deleted when their experiment ends, but each is charged for an hour at least; the rest
# lasts for two hours at most.
HOURS = 2


def dollars() -> float:
    """What a run costs at most, without free tiers, rounded up to ten cents."""
    by_month = (KEYS + ROTATIONS) * KEY_MONTH + ALARM_METRICS * ALARM_MONTH + METRICS * METRIC_MONTH
    exact = STREAMS * SHARD_HOUR * HOURS + by_month / HOURS_A_MONTH * HOURS
    # Requests of Kinesis, KMS, SQS and S3, invocations and log: a few thousand in all.
    return -(-(exact + 0.02) * 10 // 1) / 10


def announcement(names: Names, account: str, region: str) -> str:
    return f"""\
This creates in account {account}, {region}, with names that begin with {names.prefix}-:
  * the stack of this project, with a policy and a role that leave all other streams alone, without a schedule
  * up to {STREAMS} streams of one shard, {KEYS} KMS keys, aliases, a rule with a queue, and a bucket
  * roles of which each may use one of these streams
It takes an hour or two, and costs about ${dollars():.2f} at most, at the list prices of us-east-1.
It changes no other stream, key, alias, role or trail.
Afterwards it removes everything, except:
  * the keys, which KMS deletes after 7 days and does not charge for until then
  * CloudWatch's metrics in the namespace {names.prefix}, which expire
  * CloudTrail's events
Whoever reads a further trail of this account pays for some thousand more events, $2.00 per 100,000.
"""

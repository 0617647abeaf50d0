//! What the function does, from an event to the state of the account, the answer and the dead
//! letters.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

mod budgets;
mod contested;
mod crashes;
mod dead_letters;
mod denials;
mod exempt_fleet;
mod failures;
mod findings;
mod fleet;
mod grace;
mod in_the_middle;
mod keys;
mod load;
mod members;
mod one_stream;
mod operator;
mod outcome_events;
mod queue;
mod rotation;
mod rules;
mod support;
mod table;
mod together;
mod waiting;
mod warnings;

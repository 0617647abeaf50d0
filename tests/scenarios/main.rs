//! What the function does, from an event to the state of the account, the answer and the dead letters.

mod failures;
mod fleet;
mod one_stream;
mod support;

//! From many runs to one row.

use crate::Problem;
use crate::measure::{Handled, Run};
use crate::subject::{Scenario, Subject};

/// A median, and the two values that half of all lie between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

impl Spread {
    /// Nothing where there are no values.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        Some(Self { median: quantile(&values, 2)?, lower: quantile(&values, 1)?, upper: quantile(&values, 3)? })
    }
}

/// The value at so many quarters of the sorted `values`, between two neighbours in proportion.
fn quantile(values: &[f64], quarters: usize) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let (index, rest) = (last * quarters / 4, last * quarters % 4);
    let (value, next) = (*values.get(index)?, *values.get((index + 1).min(last))?);
    Some(value + (next - value) * [0.0, 0.25, 0.5, 0.75][rest])
}

/// A subject in a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) subject: Subject,
    pub(crate) scenario: Scenario,
    pub(crate) runs: usize,
    pub(crate) init: Spread,
    pub(crate) cold: Event,
    pub(crate) warm: Event,
    pub(crate) memory: Spread,
    /// In MB.
    pub(crate) size: f64,
}

/// The first or the second event of a process.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) first_call: Spread,
    pub(crate) start: Option<Spread>,
    pub(crate) answer: Spread,
    pub(crate) processor: Spread,
    /// The calls of the run that made the most, in order.
    pub(crate) calls: Vec<String>,
}

impl Event {
    fn of<'a>(events: impl Iterator<Item = &'a Handled> + Clone) -> Option<Self> {
        Some(Self {
            first_call: Spread::of(events.clone().map(|event| event.first_call))?,
            start: Spread::of(events.clone().filter_map(|event| event.start)),
            answer: Spread::of(events.clone().map(|event| event.answer))?,
            processor: Spread::of(events.clone().map(|event| event.processor))?,
            calls: events.map(|event| event.calls.clone()).max_by_key(Vec::len)?,
        })
    }
}

impl Summary {
    pub(crate) fn of(subject: Subject, scenario: Scenario, size: u64, runs: &[Run]) -> Result<Self, Problem> {
        let runs: Vec<_> = runs.iter().filter(|run| run.subject == subject && run.scenario == scenario).collect();
        let size = f64::from(u32::try_from(size)?) / 1e6;
        let summary = || {
            Some(Self {
                subject,
                scenario,
                runs: runs.len(),
                init: Spread::of(runs.iter().map(|run| run.init))?,
                cold: Event::of(runs.iter().map(|run| &run.cold))?,
                warm: Event::of(runs.iter().map(|run| &run.warm))?,
                memory: Spread::of(runs.iter().map(|run| run.memory))?,
                size,
            })
        };
        summary().ok_or_else(|| format!("{} was not run", subject.label()).into())
    }

    /// From the start of the process until the encryption was started, or, where nothing was to be
    /// started, until the answer.
    pub(crate) fn cold_start(&self) -> f64 {
        self.init.median + self.cold.start.unwrap_or(self.cold.answer).median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], expected: Option<(f64, f64, f64)>) {
        let spread = Spread::of(values.iter().copied());
        assert_eq!(spread.map(|spread| (spread.lower, spread.median, spread.upper)), expected);
    }

    #[test]
    fn a_spread_is_the_median_and_the_quarters() {
        check(&[], None);
        check(&[7.0], Some((7.0, 7.0, 7.0)));
        check(&[4.0, 2.0], Some((2.5, 3.0, 3.5)));
        check(&[5.0, 1.0, 4.0, 2.0, 3.0], Some((2.0, 3.0, 4.0)));
    }
}

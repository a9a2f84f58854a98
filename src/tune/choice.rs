//! The settings that there are to choose from, in the order of what they cost.

use std::fmt;

use serde::Serialize;

use crate::capacity::Plant;
use crate::config::Order;

/// What can be set without changing what a batch holds (but for its order).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Choice {
    /// Decoder threads.
    pub threads: usize,
    /// Reads in flight.
    pub readers: usize,
    /// Batches ahead.
    pub prefetch: usize,
    /// Ordered or not.
    pub order: Order,
}

impl Choice {
    pub(super) fn plant(self, batch_size: usize) -> Plant {
        let Choice { threads, readers, prefetch, order } = self;
        let ordered = order == Order::Ordered;
        let (files, pictures) = (usize::MAX, usize::MAX);
        Plant { threads, readers, prefetch, batch_size, ordered, files, pictures }
    }

    /// What it costs beside others: an order that was not asked for, cores, memory,
    /// reads.
    fn cost(self, asked: Order) -> (bool, usize, usize, usize) {
        (self.order != asked, self.threads, self.prefetch, self.readers)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Choice { threads, readers, prefetch, order } = self;
        write!(f, "threads {threads}, readers {readers}, prefetch {prefetch}, {order}")
    }
}

/// What to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Recommendation {
    /// The setting.
    #[serde(flatten)]
    pub choice: Choice,
    /// Whether it keeps the step fed; else it is the smallest that comes near the
    /// best.
    pub fed: bool,
}

impl Recommendation {
    /// The command line's flags.
    #[must_use]
    pub fn flags(&self) -> String {
        let Choice { threads, readers, prefetch, order } = self.choice;
        format!("--threads {threads} --readers {readers} --prefetch {prefetch} --order {order}")
    }

    /// The builder's lines.
    #[must_use]
    pub fn builder(&self) -> String {
        let Choice { threads, readers, prefetch, order } = self.choice;
        let order = match order {
            Order::Ordered => "Ordered",
            Order::Unordered => "Unordered",
        };
        format!(
            ".threads({threads})\n.readers({readers})\n.prefetch({prefetch})\n.order(Order::{order})"
        )
    }
}

/// The grid of all choices.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    asked: Order,
    threads: Vec<usize>,
    readers: Vec<usize>,
    prefetch: Vec<usize>,
    orders: Vec<Order>,
}

/// Which readers and prefetch depths are worth a difference. A few readers cost next
/// to nothing, and a storage that is asked by one alone is slow for no reason.
pub(super) const READERS: [usize; 3] = [4, 16, 64];
const PREFETCH: [usize; 6] = [1, 2, 3, 4, 6, 8];

impl Grid {
    /// Up to so many threads and batches ahead.
    pub(super) fn new(asked: Order, orders: Vec<Order>, threads: usize, prefetch: usize) -> Self {
        let most = threads;
        // Every number while they are few, then steps of about a quarter.
        let threads = std::iter::successors(Some(1), |&n| Some(n + (n / 4).max(1)));
        let mut threads: Vec<usize> = threads.take_while(|&n| n < most).collect();
        threads.push(most);
        let prefetch = PREFETCH.into_iter().filter(|&depth| depth <= prefetch).collect();
        Grid { asked, threads, readers: READERS.to_vec(), prefetch, orders }
    }

    pub(super) fn most_threads(&self) -> usize {
        self.threads.last().copied().unwrap_or(1)
    }

    pub(super) fn most_readers(&self) -> usize {
        self.readers.last().copied().unwrap_or(1)
    }

    pub(super) fn most_prefetch(&self) -> usize {
        self.prefetch.last().copied().unwrap_or(1)
    }

    /// All of them, the cheapest first.
    pub(super) fn choices(&self) -> Vec<Choice> {
        let mut choices = Vec::new();
        for &order in &self.orders {
            for &threads in &self.threads {
                for &readers in &self.readers {
                    for &prefetch in &self.prefetch {
                        choices.push(Choice { threads, readers, prefetch, order });
                    }
                }
            }
        }
        choices.sort_by_key(|choice| choice.cost(self.asked));
        choices
    }

    /// The next smaller ones, one in each respect.
    pub(super) fn smaller(&self, choice: Choice) -> Vec<Choice> {
        let below = |values: &[usize], value: usize| {
            values.iter().copied().filter(|&other| other < value).max()
        };
        let Choice { threads, readers, prefetch, .. } = choice;
        let mut smaller = Vec::new();
        smaller.extend(below(&self.threads, threads).map(|threads| Choice { threads, ..choice }));
        smaller
            .extend(below(&self.prefetch, prefetch).map(|prefetch| Choice { prefetch, ..choice }));
        smaller.extend(below(&self.readers, readers).map(|readers| Choice { readers, ..choice }));
        smaller
    }

    /// How many steps of the grid lie between two, in the respect in which they are
    /// furthest apart.
    pub(super) fn notches(&self, a: Choice, b: Choice) -> usize {
        let between = |values: &[usize], a: usize, b: usize| {
            let at = |value| values.iter().position(|&other| other == value).unwrap_or(0);
            at(a).abs_diff(at(b))
        };
        [
            between(&self.threads, a.threads, b.threads),
            between(&self.readers, a.readers, b.readers),
            between(&self.prefetch, a.prefetch, b.prefetch),
            usize::from(a.order != b.order),
        ]
        .into_iter()
        .max()
        .unwrap_or(0)
    }

    /// The cheapest that keeps the step fed; where none does, the cheapest that comes
    /// as near to the best as rates can be told apart, which is `noise` as a part of
    /// a rate. `told` says images a second and wait of a choice.
    pub(super) fn select(
        &self,
        target: f64,
        noise: f64,
        told: impl Fn(Choice) -> (f64, f64),
    ) -> Option<Recommendation> {
        let choices: Vec<_> =
            self.choices().into_iter().map(|choice| (choice, told(choice))).collect();
        let fed = choices.iter().find(|(_, (_, wait))| *wait <= target);
        if let Some(&(choice, _)) = fed {
            return Some(Recommendation { choice, fed: true });
        }
        let best = choices.iter().map(|(_, (rate, _))| *rate).fold(0.0, f64::max);
        let apart = (LUCK * noise).clamp(LITTLE, MUCH);
        let near = choices.iter().find(|(_, (rate, _))| *rate >= (1.0 - apart) * best);
        near.map(|&(choice, _)| Recommendation { choice, fed: false })
    }
}

/// Less by so much is as good as the best.
const LITTLE: f64 = 0.03;
/// Less by more is not, however noisy the machine.
const MUCH: f64 = 0.12;
/// The best of a hundred equal ones lies about so many standard deviations above
/// their mean.
const LUCK: f64 = 2.5;

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid::new(Order::Ordered, vec![Order::Ordered, Order::Unordered], 16, 4)
    }

    #[test]
    fn the_grid_ends_where_the_limits_are() {
        let grid = grid();
        assert_eq!((grid.most_threads(), grid.most_prefetch()), (16, 4));
        assert_eq!(grid.threads, [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 16]);
        assert_eq!(grid.choices().len(), 12 * 3 * 4 * 2);
        let one = Grid::new(Order::Ordered, vec![Order::Ordered], 1, 1);
        assert_eq!(one.choices().len(), 3);
        assert_eq!(one.smaller(one.choices()[0]), []);
    }

    #[test]
    fn the_cheapest_that_is_fed_is_chosen_and_else_one_near_the_best() {
        let grid = grid();
        let fed = |choice: Choice| {
            (500.0, if choice.threads >= 3 && choice.prefetch >= 2 { 0.005 } else { 0.2 })
        };
        let Recommendation { choice, fed } = grid.select(0.01, 0.0, fed).unwrap();
        let expected = Choice { threads: 3, readers: 4, prefetch: 2, order: Order::Ordered };
        assert!(fed && choice == expected, "{choice}");
        let starved = |choice: Choice| (100.0 * choice.threads.min(7) as f64, 0.5);
        let Recommendation { choice, fed } = grid.select(0.01, 0.0, starved).unwrap();
        assert!(!fed && choice == Choice { threads: 7, prefetch: 1, ..expected }, "{choice}");
        // Unordered is taken only where order costs more than a little.
        let order =
            |choice: Choice| (if choice.order == Order::Ordered { 90.0 } else { 100.0 }, 0.5);
        assert_eq!(grid.select(0.01, 0.0, order).unwrap().choice.order, Order::Unordered);
        // As much as rates scatter by is no difference.
        assert_eq!(grid.select(0.01, 0.05, order).unwrap().choice.order, Order::Ordered);
    }

    #[test]
    fn neighbours_are_one_notch_away() {
        let grid = grid();
        let choice = Choice { threads: 10, readers: 16, prefetch: 3, order: Order::Ordered };
        for smaller in grid.smaller(choice) {
            assert_eq!(grid.notches(choice, smaller), 1, "{smaller}");
        }
        let far = Choice { threads: 4, ..choice };
        assert_eq!(grid.notches(choice, far), 5);
    }

    #[test]
    fn what_is_recommended_can_be_pasted() {
        let choice = Choice { threads: 2, readers: 16, prefetch: 1, order: Order::Unordered };
        let recommendation = Recommendation { choice, fed: true };
        let flags = "--threads 2 --readers 16 --prefetch 1 --order unordered";
        assert_eq!(recommendation.flags(), flags);
        assert!(recommendation.builder().ends_with(".prefetch(1)\n.order(Order::Unordered)"));
    }

    #[test]
    fn the_cheapest_comes_first_and_what_was_not_asked_for_last() {
        let grid = Grid::new(Order::Ordered, vec![Order::Unordered, Order::Ordered], 2, 2);
        let mut expected = Vec::new();
        for order in [Order::Ordered, Order::Unordered] {
            for threads in [1, 2] {
                for prefetch in [1, 2] {
                    expected.extend(READERS.map(|readers| Choice {
                        threads,
                        readers,
                        prefetch,
                        order,
                    }));
                }
            }
        }
        assert_eq!(grid.choices(), expected);
        assert_eq!((grid.most_threads(), grid.most_readers(), grid.most_prefetch()), (2, 64, 2));
        let nine = Grid::new(Order::Ordered, vec![Order::Ordered], 9, 5);
        assert_eq!(nine.threads, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(nine.prefetch, [1, 2, 3, 4]);
        let choice = Choice { threads: 3, readers: 16, prefetch: 4, order: Order::Unordered };
        assert_eq!(choice.to_string(), "threads 3, readers 16, prefetch 4, unordered");
        let Plant { threads, readers, prefetch, batch_size, ordered, files, pictures } =
            choice.plant(32);
        assert_eq!((threads, readers, prefetch, batch_size, ordered), (3, 16, 4, 32, false));
        assert_eq!((files, pictures), (usize::MAX, usize::MAX));
        assert!(Choice { order: Order::Ordered, ..choice }.plant(1).ordered);
    }

    #[test]
    fn smaller_in_one_respect_each() {
        let grid = grid();
        let choice = Choice { threads: 10, readers: 16, prefetch: 3, order: Order::Ordered };
        let expected = [
            Choice { threads: 8, ..choice },
            Choice { prefetch: 2, ..choice },
            Choice { readers: 4, ..choice },
        ];
        assert_eq!(grid.smaller(choice), expected);
        let to = |other| (grid.notches(choice, other), grid.notches(other, choice));
        assert_eq!(to(choice), (0, 0));
        assert_eq!(to(Choice { order: Order::Unordered, ..choice }), (1, 1));
        assert_eq!(to(Choice { readers: 64, prefetch: 1, ..choice }), (2, 2));
        assert_eq!(to(Choice { readers: 64, prefetch: 2, threads: 16, ..choice }), (3, 3));
    }

    #[test]
    fn as_near_as_rates_can_be_told_apart() {
        let grid = Grid::new(Order::Ordered, vec![Order::Ordered], 2, 1);
        let cheap_is_taken = |rate, noise| {
            let told = |choice: Choice| (if choice.threads == 1 { rate } else { 100.0 }, 0.5);
            grid.select(0.01, noise, told).unwrap().choice.threads == 1
        };
        for (noise, taken, not) in [(0.0, 97.1, 96.9), (0.02, 95.1, 94.9), (1.0, 88.1, 87.9)] {
            assert!(cheap_is_taken(taken, noise), "{taken} with {noise}");
            assert!(!cheap_is_taken(not, noise), "{not} with {noise}");
        }
        let at_the_target = grid.select(0.01, 0.0, |_| (100.0, 0.01)).unwrap();
        assert!(at_the_target.fed);
        let none = Grid::new(Order::Ordered, Vec::new(), 2, 1);
        assert_eq!(none.select(0.01, 0.0, |_| (100.0, 0.5)), None);
    }
}

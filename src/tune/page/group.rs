//! Lines that cannot be told apart, as one.

use super::plot::SERIES;

/// Settings that lie on one line, as near as can be seen.
#[derive(Debug, PartialEq)]
pub(super) struct Group {
    pub(super) members: Vec<usize>,
    pub(super) points: Vec<(f64, f64)>,
}

/// `lines` as groups of those that are near each other everywhere: the one that is
/// `wanted`, and those that come nearest to it in what they stand for, no more than
/// can be told apart. How many were left out.
pub(super) fn grouped(
    mut lines: Vec<(usize, Vec<(f64, f64)>)>,
    wanted: usize,
    near: impl Fn(f64, f64) -> bool,
) -> (Vec<Group>, usize) {
    // The first and the last show how far it goes.
    let ends = [lines.first(), lines.last()].map(|line| line.map_or(0, |line| line.0));
    lines.sort_by_key(|(member, _)| match *member {
        member if member == wanted => (0, 0),
        member if ends.contains(&member) => (1, 0),
        member => (2, member.abs_diff(wanted)),
    });
    let (mut groups, mut left) = (Vec::<Group>::new(), 0);
    for (member, points) in lines {
        let same = |group: &&mut Group| {
            group.points.iter().zip(&points).all(|(a, b)| a.0 == b.0 && near(a.1, b.1))
        };
        if let Some(group) = groups.iter_mut().find(same) {
            group.members.push(member);
        } else if groups.len() < usize::from(SERIES) {
            groups.push(Group { members: vec![member], points });
        } else {
            left += 1;
        }
    }
    for group in &mut groups {
        group.members.sort_unstable();
    }
    groups.sort_by_key(|group| group.members[0]);
    (groups, left)
}

/// `1`, `2 to 8`, `1, 4`.
pub(super) fn listed(members: &[usize], all: &[usize]) -> String {
    let mut words = Vec::new();
    let mut rest = members;
    while let [first, ..] = rest {
        let from = all.iter().position(|member| member == first).unwrap_or(0);
        let run = rest.iter().zip(&all[from..]).take_while(|(a, b)| a == b).count().max(1);
        match run {
            1 => words.push(first.to_string()),
            2 => words.extend(rest[..2].iter().map(usize::to_string)),
            _ => words.push(format!("{first} to {}", rest[run - 1])),
        }
        rest = &rest[run..];
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(at: f64) -> Vec<(f64, f64)> {
        vec![(1.0, at), (2.0, 2.0 * at)]
    }

    #[test]
    fn lines_that_look_the_same_are_one_and_those_near_what_is_wanted_are_kept() {
        let near = |a: f64, b: f64| (a - b).abs() < 1.0;
        let lines = vec![(1, flat(10.0)), (2, flat(20.0)), (3, flat(20.1)), (4, flat(20.2))];
        let (groups, left) = grouped(lines, 2, near);
        let members: Vec<_> = groups.iter().map(|group| group.members.clone()).collect();
        assert_eq!((members, left), (vec![vec![1], vec![2, 3, 4]], 0));
        let many = (1..=20).map(|at| (at, flat(10.0 * at as f64))).collect();
        let (groups, left) = grouped(many, 10, near);
        let members: Vec<_> = groups.iter().flat_map(|group| group.members.clone()).collect();
        assert_eq!((members, left), (vec![1, 9, 10, 11, 20], 15));
    }

    #[test]
    fn members_are_listed_in_runs() {
        let all = [1, 2, 3, 4, 6, 8];
        assert_eq!(listed(&[2, 3, 4, 6, 8], &all), "2 to 8");
        assert_eq!(listed(&[1, 3, 4], &all), "1, 3, 4");
        assert_eq!(listed(&[8], &all), "8");
        assert_eq!(listed(&[], &all), "");
    }
}

//! Tables of codes, kept between files: those of a dataset mostly share them, and to
//! make them takes a fortieth of decoding a small photograph.

use std::cell::RefCell;
use std::rc::Rc;

use super::huffman::{AcTable, Code, DcTable};
use crate::error::{Cause, CauseKind};

/// Tables kept for each thread, of each kind: two files' worth and more.
const TABLES: usize = 8;

/// Bytes that a thread's tables take at most, with what they were made from.
pub(super) const BYTES: usize = TABLES * (size_of::<DcTable>() + AcTable::BYTES + 1024);

thread_local! {
    static DC: RefCell<Kept<DcTable>> = const { RefCell::new(Kept(Vec::new())) };
    static AC: RefCell<Kept<AcTable>> = const { RefCell::new(Kept(Vec::new())) };
}

/// The table for differences of DC coefficients.
pub(super) fn dc(code: Option<Code<'_>>) -> Result<Rc<DcTable>, Cause> {
    made(code, |code| DC.with_borrow_mut(|kept| kept.get(code, DcTable::new)))
}

/// The table for AC coefficients.
pub(super) fn ac(code: Option<Code<'_>>) -> Result<Rc<AcTable>, Cause> {
    made(code, |code| AC.with_borrow_mut(|kept| kept.get(code, AcTable::new)))
}

/// The table for a code, if there is one and it is a code.
pub(super) fn made<'c, T>(
    code: Option<Code<'c>>,
    new: impl FnOnce(Code<'c>) -> Option<T>,
) -> Result<T, Cause> {
    let corrupt = |message| Cause::new(CauseKind::Corrupt, message);
    let code = code.ok_or_else(|| corrupt("a scan without its Huffman table"))?;
    new(code).ok_or_else(|| corrupt("a Huffman table whose lengths are those of no code"))
}

/// The last ones used, and what they were made from, latest first.
struct Kept<T>(Vec<(Vec<u8>, Rc<T>)>);

impl<T> Kept<T> {
    fn get(&mut self, code: Code<'_>, new: fn(Code<'_>) -> Option<T>) -> Option<Rc<T>> {
        let same = |(source, _): &(Vec<u8>, Rc<T>)| {
            source.split_at(16) == (&code.counts[..], code.symbols)
        };
        let entry = match self.0.iter().position(same) {
            Some(0) => return Some(self.0[0].1.clone()),
            Some(at) => self.0.remove(at),
            None => {
                let table = Rc::new(new(code)?);
                self.0.truncate(TABLES - 1);
                ([&code.counts[..], code.symbols].concat(), table)
            }
        };
        let table = entry.1.clone();
        self.0.insert(0, entry);
        Some(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_made_once_while_few_others_are_used() {
        let counts = |length: usize| {
            let mut counts = [0; 16];
            counts[length] = 1;
            counts
        };
        fn code<'a>(counts: &'a [u8; 16], symbols: &'a [u8]) -> Option<Code<'a>> {
            Some(Code { counts, symbols })
        }
        let short = counts(0);
        let first = ac(code(&short, &[1])).unwrap();
        assert!(Rc::ptr_eq(&first, &ac(code(&short, &[1])).unwrap()));
        assert!(!Rc::ptr_eq(&first, &ac(code(&short, &[2])).unwrap()));
        for length in 1..=TABLES {
            ac(code(&counts(length), &[1])).unwrap();
        }
        assert!(!Rc::ptr_eq(&first, &ac(code(&short, &[1])).unwrap()), "it was forgotten");
        // Two codes of one bit: one of them is all ones.
        let mut none = counts(0);
        none[0] = 2;
        assert!(ac(code(&none, &[1, 2])).is_err());
    }
}

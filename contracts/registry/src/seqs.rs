//! An ordered set of 32-bit numbers: bitmaps of 256 bits, four levels deep.
//!
//! A pattern stands under the number of its last change, so numbers are put in at the end and taken out anywhere. A vector would
//! keep the holes for ever, which nobody paid for; here each number that is in needs at most four bitmaps, and a hole needs none.

use near_sdk::near;

use crate::keys::SeqBits;

const LEVELS: u32 = 4;

/// A bitmap.
#[near(serializers = [borsh])]
#[derive(Debug, Default, Clone)]
pub struct Bits([u128; 2]);

impl Bits {
    fn put(&mut self, bit: u8, on: bool) {
        let mask = 1u128 << (bit & 127);
        let half = &mut self.0[usize::from(bit >> 7)];
        *half = if on { *half | mask } else { *half & !mask };
    }

    fn empty(&self) -> bool {
        self.0 == [0, 0]
    }

    /// The first that is set, from `bit` on.
    fn from(&self, bit: u8) -> Option<u8> {
        let low = if bit < 128 { self.0[0] >> bit << bit } else { 0 };
        let high = if bit > 128 { self.0[1] >> (bit - 128) << (bit - 128) } else { self.0[1] };
        let place = if low == 0 { 128 + high.trailing_zeros() } else { low.trailing_zeros() };
        u8::try_from(place).ok()
    }
}

/// The set.
#[near(serializers = [borsh])]
#[derive(Default)]
pub struct Seqs {
    bits: SeqBits,
}

impl Seqs {
    /// Puts one in.
    pub fn insert(&mut self, number: u32) {
        for level in 0..LEVELS {
            let key = key(number, level);
            let mut bits = self.bits.get(&key).unwrap_or_default();
            let known = !bits.empty();
            bits.put(byte(number, level), true);
            self.bits.set(&key, &bits);
            if known {
                return;
            }
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, number: u32) {
        for level in 0..LEVELS {
            let key = key(number, level);
            let Some(mut bits) = self.bits.get(&key) else {
                return;
            };
            bits.put(byte(number, level), false);
            if !bits.empty() {
                self.bits.set(&key, &bits);
                return;
            }
            self.bits.remove(&key);
        }
    }

    /// The first one that is at least `number`.
    pub fn first(&self, number: u32) -> Option<u32> {
        (0..LEVELS).find_map(|level| {
            let from = byte(number, level).checked_add(u8::from(level > 0))?; // above the ground, what is below was looked at
            let bit = self.bits.get(&key(number, level))?.from(from)?;
            Some(self.lowest(key(number, level).1 << 8 | u32::from(bit), level))
        })
    }

    /// The lowest number below what is `above` on `level`.
    fn lowest(&self, above: u32, level: u32) -> u32 {
        let mut found = above;
        for below in (0..level).rev() {
            let bit = self.bits.get(&(level_byte(below), found)).and_then(|bits| bits.from(0));
            found = found << 8 | u32::from(bit.unwrap_or(0));
        }
        found
    }
}

fn byte(number: u32, level: u32) -> u8 {
    number.to_le_bytes()[usize::try_from(level).unwrap_or(0)]
}

fn level_byte(level: u32) -> u8 {
    u8::try_from(level).unwrap_or(u8::MAX)
}

fn key(number: u32, level: u32) -> (u8, u32) {
    (level_byte(level), number.checked_shr(8 * (level + 1)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use near_sdk::test_utils::VMContextBuilder;
    use std::collections::BTreeSet;

    #[test]
    fn it_is_an_ordered_set() {
        let (mut seqs, mut model) = (Seqs::default(), BTreeSet::new());
        let mut state = 7u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u32::try_from((state >> 33) % below).unwrap_or(0)
        };
        for round in 0..3_000 {
            if round % 20 == 0 {
                near_sdk::testing_env!(VMContextBuilder::new().build()); // new gas; what is stored stays
            }
            // near each other, on the edges of bitmaps, and anywhere
            let number = match round % 3 {
                0 => random(600),
                1 => (random(5) << 24 | random(3) << 16).wrapping_sub(1).wrapping_add(random(3)),
                _ => random(1 << 31) << 1,
            };
            if random(3) == 0 {
                seqs.remove(number);
                model.remove(&number);
            } else {
                seqs.insert(number);
                model.insert(number);
            }
            for from in [0, number, number.wrapping_add(1), random(1 << 31)] {
                assert_eq!(seqs.first(from), model.range(from..).next().copied(), "from {from}, in round {round}");
            }
        }
        for number in model {
            seqs.remove(number);
        }
        assert_eq!(seqs.first(0), None);
    }
}

//! What is paid for what is stored, a fixed price a kind of record, in yoctoNEAR.
//!
//! 10^19 a byte, with the longest account, domain and model that there can be, and all else that may have to be written later for
//! the record: the place in the index, the slot in which money waits that could not be paid out, the score in the other contract.
//! Tests measure that each bounds what is really written.

const MILLI_NEAR: u128 = 1_000_000_000_000_000_000_000;

/// Of a pattern.
pub const PATTERN: u128 = 25 * MILLI_NEAR;
/// Of these, for the score of its creator in the other contract.
pub const SCORE: u128 = 3 * MILLI_NEAR;
/// Held until 30 days after a pattern is retired.
pub const DEPOSIT: u128 = 100 * MILLI_NEAR;
/// Of a receipt.
pub const RECEIPT: u128 = 4 * MILLI_NEAR;
/// Of these, given back when it is dropped.
pub const DROPPED: u128 = MILLI_NEAR / 2;
/// Of a contribution to a model.
pub const CONTRIBUTION: u128 = 4 * MILLI_NEAR;
/// The fee from which on a rating has its full weight.
pub const FULL_WEIGHT_FEE: u128 = 10 * MILLI_NEAR;

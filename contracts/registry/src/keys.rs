//! Under which prefix each collection lies. Their numbers are part of the state: none may ever change.

use near_sdk::{near, BorshStorageKey};

/// The prefixes.
#[near(serializers = [borsh])]
#[derive(BorshStorageKey)]
pub enum Key {
    /// Patterns by their numbers.
    Patterns,
    /// Numbers by creator and hash.
    ByHash,
    /// Creators.
    Creators,
    /// Numbers by creator and position.
    ByCreator,
    /// What could not be paid out.
    Claimable,
    /// Uses by pattern and account.
    Receipts,
    /// Contributions by account and model.
    Contributions,
    /// Numbers by change.
    Changed,
    /// The numbers of changes, in order.
    Seqs,
    /// See `Index`.
    IndexUsed,
    /// See `Index`.
    IndexLengths,
    /// See `Index`.
    IndexSlots,
    /// See `Index`.
    IndexPlaces,
}

//! The state of version 1. It ended with the names of its maps; the maps lie where they lay.

use mycel_common::GovernanceBefore;
use near_sdk::{near, AccountId};

use crate::money::{Fee, Ledger};
use crate::Registry;

/// What it began with.
#[near(serializers = [borsh])]
pub struct Before {
    state_version: u16,
    instance: u64,
    reputation: AccountId,
    governance: GovernanceBefore,
    fee: Fee,
    ledger: Ledger,
    pending_ratings: u32,
    next_id: u64,
    next_seq: u32,
}

impl From<Before> for Registry {
    fn from(before: Before) -> Self {
        let governance = before.governance.into();
        Self {
            pending_ratings: before.pending_ratings,
            next_id: before.next_id,
            next_seq: before.next_seq,
            ..Self::begun(before.instance, before.reputation, governance, before.fee, before.ledger)
        }
    }
}

//! The state of version 1. It ended with the name of its map; the map lies where it lay.

use mycel_common::{GovernanceBefore, Map};
use near_sdk::{near, AccountId};

use crate::{Reputation, STATE_VERSION};

/// What it began with.
#[near(serializers = [borsh])]
pub struct Before {
    state_version: u16,
    instance: u64,
    registry: AccountId,
    governance: GovernanceBefore,
}

impl From<Before> for Reputation {
    fn from(before: Before) -> Self {
        let Before { instance, registry, governance, .. } = before;
        Self {
            state_version: STATE_VERSION,
            instance,
            registry,
            governance: governance.into(),
            accounts: Map::default(),
        }
    }
}

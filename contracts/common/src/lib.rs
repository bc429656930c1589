//! What the contracts share: who may do what and when, digests as text, and why a call is refused.

mod error;
mod governance;
mod hash;
mod map;
mod outcome;

pub use error::Error;
pub use governance::{Governance, GovernanceBefore, Staged, STILL_NS, UPGRADE_WAIT_NS};
pub use hash::Hash;
pub use map::Map;
pub use outcome::Outcome;

use near_sdk::borsh::BorshDeserialize;
use near_sdk::{env, NearToken};

/// Nanoseconds of a day.
pub const DAY_NS: u64 = 86_400_000_000_000;

/// The version of the state that is stored, which stands first in each; and its bytes.
pub fn stored_state() -> (u16, Vec<u8>) {
    let bytes = env::storage_read(b"STATE").unwrap_or_default();
    match bytes.first_chunk() {
        Some(version) => (u16::from_le_bytes(*version), bytes),
        None => env::panic_str("ERR_STATE: there is no state"),
    }
}

/// What a state begins with; what follows is left alone.
pub fn beginning<S: BorshDeserialize>(bytes: &[u8]) -> S {
    S::deserialize(&mut &*bytes)
        .unwrap_or_else(|_| env::panic_str("ERR_STATE: this code cannot take over what is stored"))
}

/// Refuses a call without exactly one yoctoNEAR: only a key with full access can attach it.
pub fn one_yocto() -> Result<(), Error> {
    if env::attached_deposit() == NearToken::from_yoctonear(1) {
        Ok(())
    } else {
        Err(Error::OneYocto)
    }
}

//! What the contracts share: who may do what and when, digests as text, and why a call is refused.

mod error;
mod governance;
mod hash;
mod map;
mod outcome;

pub use error::Error;
pub use governance::{Governance, Staged, UPGRADE_WAIT_NS};
pub use hash::Hash;
pub use map::Map;
pub use outcome::Outcome;

use near_sdk::borsh::BorshDeserialize;
use near_sdk::{env, NearToken};

/// Nanoseconds of a day.
pub const DAY_NS: u64 = 86_400_000_000_000;

/// The state that an older version of the code left, as far as it begins like that of this one.
pub fn state_so_far<S: BorshDeserialize>() -> S {
    env::storage_read(b"STATE")
        .and_then(|bytes| S::deserialize(&mut bytes.as_slice()).ok())
        .unwrap_or_else(|| env::panic_str("ERR_STATE: there is no state that this code can take over"))
}

/// Refuses a call without exactly one yoctoNEAR: only a key with full access can attach it.
pub fn one_yocto() -> Result<(), Error> {
    if env::attached_deposit() == NearToken::from_yoctonear(1) {
        Ok(())
    } else {
        Err(Error::OneYocto)
    }
}

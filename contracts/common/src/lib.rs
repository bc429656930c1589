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

use near_sdk::{env, NearToken};

/// Nanoseconds of a day.
pub const DAY_NS: u64 = 86_400_000_000_000;

/// Refuses a call without exactly one yoctoNEAR: only a key with full access can attach it.
pub fn one_yocto() -> Result<(), Error> {
    if env::attached_deposit() == NearToken::from_yoctonear(1) {
        Ok(())
    } else {
        Err(Error::OneYocto)
    }
}

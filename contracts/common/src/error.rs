//! Why a call is refused: a name for programs, and a sentence for people.

use core::fmt;
use near_sdk::{env, FunctionError};

/// Why a call is refused. Whoever called gets back all that was attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The account may not do that.
    NotAllowed(&'static str),
    /// Exactly one yoctoNEAR must be attached.
    OneYocto,
    /// The contract is paused.
    Paused,
    /// The contract must be paused first, and nothing be under way.
    NotAtRest,
    /// A field is not what it must be.
    Field(&'static str),
    /// There is nothing of this name.
    Unknown(&'static str),
    /// It is there already, under this id.
    Exists(u64),
    /// The deposit is less than this many yoctoNEAR.
    Deposit(u128),
    /// The pattern is retired.
    Retired,
    /// The pattern is another one than was expected.
    Changed,
    /// The price is higher than was agreed to: this many yoctoNEAR.
    Price(u128),
    /// The use was counted before; the next one is this.
    Nth(u32),
    /// A rating is under way.
    Pending,
    /// Every use is rated already.
    Rated,
    /// It is too early; in nanoseconds since 1970, wait until then.
    Early(u64),
    /// There are as many as there may be.
    Full(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed(who) => write!(f, "ERR_NOT_ALLOWED: only {who} may do this"),
            Self::OneYocto => write!(f, "ERR_ONE_YOCTO: attach exactly 1 yoctoNEAR"),
            Self::Paused => write!(f, "ERR_PAUSED: the contract is paused"),
            Self::NotAtRest => {
                write!(f, "ERR_NOT_AT_REST: pause the contract, and wait until no payment or rating is under way")
            }
            Self::Field(rule) => write!(f, "ERR_FIELD: {rule}"),
            Self::Unknown(what) => write!(f, "ERR_UNKNOWN: there is no such {what}"),
            Self::Exists(id) => write!(f, "ERR_EXISTS: registered as {id} already"),
            Self::Deposit(needed) => write!(f, "ERR_DEPOSIT: attach at least {needed} yoctoNEAR"),
            Self::Retired => write!(f, "ERR_RETIRED: the pattern is retired"),
            Self::Changed => write!(f, "ERR_CHANGED: the pattern has another hash by now"),
            Self::Price(price) => write!(f, "ERR_PRICE: the price is {price} yoctoNEAR"),
            Self::Nth(next) => write!(f, "ERR_NTH: the next use is number {next}"),
            Self::Pending => write!(f, "ERR_PENDING: a rating is under way"),
            Self::Rated => write!(f, "ERR_RATED: every use is rated"),
            Self::Early(from) => write!(f, "ERR_EARLY: not before {from}"),
            Self::Full(what) => write!(f, "ERR_FULL: no more {what}"),
        }
    }
}

impl FunctionError for Error {
    fn panic(&self) -> ! {
        env::panic_str(&self.to_string())
    }
}

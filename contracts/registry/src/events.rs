//! What happens, as events for whoever reads the logs (NEP-297).

use mycel_common::Hash;
use near_sdk::json_types::{U128, U64};
use near_sdk::{near, AccountId};

/// What happens.
#[allow(missing_docs)]
#[near(event_json(standard = "mycel-registry"))]
pub enum Event {
    #[event_version("1.0.0")]
    Registered {
        id: u64,
        creator: AccountId,
        pattern_hash: Hash,
        metadata_cid: String,
        domain: String,
        price_per_use: U128,
        seq: u32,
    },
    #[event_version("1.0.0")]
    Updated { id: u64, pattern_hash: Hash, metadata_cid: String, version: u32, seq: u32 },
    #[event_version("1.0.0")]
    Priced { id: u64, price_per_use: U128, seq: u32 },
    #[event_version("1.0.0")]
    Retired { id: u64, seq: u32 },
    #[event_version("1.0.0")]
    DepositReleased { id: u64, amount: U128 },
    #[event_version("1.0.0")]
    Used { id: u64, account: AccountId, nth: u32, version: u32, price: U128, fee: U128 },
    #[event_version("1.0.0")]
    Rated { id: u64, account: AccountId, success: bool, rating: u8, weight: u16 },
    #[event_version("1.0.0")]
    RatingFailed { id: u64, account: AccountId },
    #[event_version("1.0.0")]
    ReputationMirrored { account: AccountId, score: u16, version: u64 },
    #[event_version("1.0.0")]
    ReceiptDropped { id: u64, account: AccountId },
    #[event_version("1.0.0")]
    Contributed { account: AccountId, model: String, gradient_hash: Hash, count: u32 },
    #[event_version("1.0.0")]
    Claimed { account: AccountId, amount: U128 },
    #[event_version("1.0.0")]
    TransferFailed { account: AccountId, amount: U128 },
    #[event_version("1.0.0")]
    FeesWithdrawn { to: AccountId, amount: U128 },
    #[event_version("1.0.0")]
    FeeRateSet { bps: u16, from: U64 },
    #[event_version("1.0.0")]
    Paused { paused: bool },
    #[event_version("1.0.0")]
    OwnerProposed { account: AccountId },
    #[event_version("1.0.0")]
    OwnerChanged { account: AccountId },
    #[event_version("1.0.0")]
    UpgradeStaged { code_hash: Hash, from: U64 },
    #[event_version("1.0.0")]
    Migrated { state_version: u16 },
}

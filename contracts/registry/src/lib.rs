//! The registry: patterns are registered under their creators, paid for at each use, found by domain and reputation, and rated by
//! who paid. What each method does is in docs/contracts.md.

mod before;
mod events;
mod index;
mod keys;
mod money;
mod owner;
mod patterns;
mod prices;
mod ratings;
mod records;
mod seqs;
mod text;
mod uses;
mod views;

pub use events::Event;
pub use money::{Back, Ledger};
pub use records::{
    ChangeView, ChangesView, ContributionView, FoundView, PatternView, QuoteView, ReceiptView, UsedView, WeightView,
};

use mycel_common::Governance;
use near_sdk::json_types::U128;
use near_sdk::{env, near, AccountId, PanicOnDefault};

use crate::index::Index;
use crate::keys::{ByCreator, ByHash, Changed, Claimable, Contributions, Creators, Patterns, Receipts};
use crate::money::Fee;
use crate::seqs::Seqs;

/// Of the state; `migrate` brings an older one to it.
pub const STATE_VERSION: u16 = 2;

/// The state.
#[near(
    contract_state,
    contract_metadata(
        standard(standard = "nep297", version = "1.0.0"),
        standard(standard = "nep330", version = "1.2.0")
    )
)]
#[derive(PanicOnDefault)]
pub struct Registry {
    state_version: u16,
    instance: u64, // when it was made: another one begins with other numbers
    reputation: AccountId,
    governance: Governance,
    fee: Fee,
    ledger: Ledger,
    pending_ratings: u32,
    next_id: u64,
    next_seq: u32,
    patterns: Patterns,
    by_hash: ByHash,
    creators: Creators,
    by_creator: ByCreator,
    claimable: Claimable,
    receipts: Receipts,
    contributions: Contributions,
    changed: Changed,
    seqs: Seqs,
    index: Index,
}

#[near]
impl Registry {
    /// Begins, in the transaction that deploys the code: whoever came between could own it.
    #[init]
    pub fn new(owner: AccountId, reputation: AccountId, fee_bps: Option<u16>) -> Self {
        let nothing = U128(0);
        let ledger = Ledger {
            base: U128(env::account_balance().as_yoctonear()),
            storage: nothing,
            deposits: nothing,
            fees: nothing,
            claimable: nothing,
            in_flight: nothing,
        };
        let fee = Fee::new(fee_bps.unwrap_or(500));
        Self::begun(env::block_timestamp(), reputation, Governance::new(owner), fee, ledger)
    }
}

impl Registry {
    /// Without anything in it.
    fn begun(instance: u64, reputation: AccountId, governance: Governance, fee: Fee, ledger: Ledger) -> Self {
        Self {
            state_version: STATE_VERSION,
            instance,
            reputation,
            governance,
            fee,
            ledger,
            pending_ratings: 0,
            next_id: 0,
            next_seq: 0,
            patterns: Patterns::default(),
            by_hash: ByHash::default(),
            creators: Creators::default(),
            by_creator: ByCreator::default(),
            claimable: Claimable::default(),
            receipts: Receipts::default(),
            contributions: Contributions::default(),
            changed: Changed::default(),
            seqs: Seqs::default(),
            index: Index::default(),
        }
    }
}

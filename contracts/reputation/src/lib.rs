//! The reputation of creators: a mean of ratings, weighed by what they cost, that fades, and begins at 500.

mod before;
mod decay;
mod owner;

use mycel_common::{Error, Governance, Hash, Map, Outcome, DAY_NS};
use near_sdk::json_types::{U128, U64};
use near_sdk::{env, near, AccountId, NearToken, PanicOnDefault, Promise};

pub use crate::decay::{decayed, HALF_LIFE_DAYS};

/// Of the state; `migrate` brings an older one to it.
pub const STATE_VERSION: u16 = 2;
/// What an account costs that is stored, in yoctoNEAR.
pub const ACCOUNT_PRICE: u128 = 3_000_000_000_000_000_000_000;
/// Of whom nothing is known: as five ratings of 500 with full weight would make it.
pub const PRIOR_SCORE: u64 = 500;
/// Of the prior.
pub const PRIOR_WEIGHT: u64 = 5 * FULL_WEIGHT;
/// Of one rating, at most.
pub const FULL_WEIGHT: u64 = 1_000;
/// From one star to the next.
const STAR: u64 = 250;

/// What is kept of an account. Sums fade by the day.
#[near(serializers = [borsh])]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Account {
    sum: u64,    // of rating · weight, 0…1000 · 0…1000
    weight: u64, // in thousandths of a rating that cost the full fee
    day: u64,    // of the sums, since 1970
    successes: u64,
    failures: u64,
    version: u64,
    updated_at: u64,
}

impl Account {
    fn on(&self, day: u64) -> (u64, u64) {
        let days = day.saturating_sub(self.day);
        (decayed(self.sum, days), decayed(self.weight, days))
    }

    fn count(&mut self, day: u64, quality: u64, weight: u64) {
        let (sum, known) = self.on(day);
        (self.sum, self.weight, self.day) = (sum + quality * weight, known + weight, day.max(self.day));
    }
}

/// The mean with the prior in it, 0 to 1000.
fn score(sum: u64, weight: u64) -> u16 {
    let mean =
        (u128::from(PRIOR_WEIGHT * PRIOR_SCORE) + u128::from(sum)) / u128::from(PRIOR_WEIGHT.saturating_add(weight));
    u16::try_from(mean.min(1_000)).unwrap_or(1_000)
}

/// How an account stands after a rating.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdatedView {
    /// 0 to 1000.
    pub score: u16,
    /// One more with each rating.
    pub version: u64,
}

/// How an account stands now.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReputationView {
    /// 0 to 1000.
    pub score: u16,
    /// Of the ratings, without the prior, in thousandths.
    pub weight: u64,
    /// Ratings that said so.
    pub successes: u64,
    /// Ratings that said so.
    pub failures: u64,
    /// One more with each rating; 0: there is none.
    pub version: u64,
    /// When the last one came, in nanoseconds since 1970.
    pub updated_at: U64,
}

/// How the contract stands.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Another one than before: this is another contract.
    pub instance: U64,
    /// Of the state.
    pub state_version: u16,
    /// The owner.
    pub owner: AccountId,
    /// Who may count ratings.
    pub registry: AccountId,
    /// Is it paused?
    pub paused: bool,
    /// Since when.
    pub paused_since: Option<U64>,
    /// Code that is to come.
    pub staged: Option<Hash>,
    /// From when on it may.
    pub staged_from: Option<U64>,
    /// What an account costs, in yoctoNEAR.
    pub account_price: U128,
}

/// What happens (NEP-297).
#[allow(missing_docs)]
#[near(event_json(standard = "mycel-reputation"))]
pub enum Event {
    #[event_version("1.0.0")]
    Rated { account: AccountId, pattern_id: u64, success: bool, weight: u16, score: u16, version: u64 },
    #[event_version("1.0.0")]
    Paused { paused: bool },
    #[event_version("1.0.0")]
    OwnerProposed { account: AccountId },
    #[event_version("1.0.0")]
    OwnerChanged { account: AccountId },
    #[event_version("1.0.0")]
    UpgradeStaged { code_hash: mycel_common::Hash, from: U64 },
    #[event_version("1.0.0")]
    Migrated { state_version: u16 },
}

/// The state.
#[near(
    contract_state,
    contract_metadata(
        standard(standard = "nep297", version = "1.0.0"),
        standard(standard = "nep330", version = "1.2.0")
    )
)]
#[derive(PanicOnDefault)]
pub struct Reputation {
    state_version: u16,
    instance: u64,
    registry: AccountId,
    governance: Governance,
    accounts: Map<0, AccountId, Account>,
}

#[near]
impl Reputation {
    /// Begins, in the transaction that deploys the code.
    #[init]
    pub fn new(owner: AccountId, registry: AccountId) -> Self {
        Self {
            state_version: STATE_VERSION,
            instance: env::block_timestamp(),
            registry,
            governance: Governance::new(owner),
            accounts: Map::default(),
        }
    }

    /// Counts a rating; by the registry alone. The first of an account pays for its storage.
    #[payable]
    #[handle_result]
    pub fn update_reputation(
        &mut self,
        account: AccountId,
        pattern_id: u64,
        outcome: Outcome,
        weight: u16,
    ) -> Result<UpdatedView, Error> {
        self.governance.running()?;
        let caller = env::predecessor_account_id();
        if caller != self.registry {
            return Err(Error::NotAllowed("the registry"));
        }
        if u64::from(weight) > FULL_WEIGHT {
            return Err(Error::Field("a weight is 0 to 1000"));
        }
        let quality = match outcome {
            Outcome::Success { rating } if (1..=5).contains(&rating) => u64::from(rating - 1) * STAR,
            Outcome::Success { .. } => return Err(Error::Field("a rating is 1 to 5")),
            Outcome::Failure => 0,
        };
        let success = outcome != Outcome::Failure;
        let before = self.accounts.get(&account);
        let price = if before.is_some() { 0 } else { ACCOUNT_PRICE };
        let beyond = env::attached_deposit().as_yoctonear().checked_sub(price).ok_or(Error::Deposit(price))?;
        let now = env::block_timestamp();
        let mut known = before.unwrap_or_default();
        known.count(now / DAY_NS, quality, u64::from(weight));
        known.successes += u64::from(success);
        known.failures += u64::from(!success);
        known.version += 1;
        known.updated_at = now;
        self.accounts.set(&account, &known);
        let answer = UpdatedView { score: score(known.sum, known.weight), version: known.version };
        if beyond > 0 {
            Promise::new(caller).transfer(NearToken::from_yoctonear(beyond)).detach();
        }
        Event::Rated { account, pattern_id, success, weight, score: answer.score, version: answer.version }.emit();
        Ok(answer)
    }

    /// How an account stands now.
    pub fn get_reputation(&self, account: AccountId) -> ReputationView {
        let known = self.accounts.get(&account).unwrap_or_default();
        let (sum, weight) = known.on(env::block_timestamp() / DAY_NS);
        ReputationView {
            score: score(sum, weight),
            weight,
            successes: known.successes,
            failures: known.failures,
            version: known.version,
            updated_at: U64(known.updated_at),
        }
    }

    /// How the contract stands.
    pub fn info(&self) -> Info {
        let staged = self.governance.staged.as_ref();
        Info {
            instance: U64(self.instance),
            state_version: self.state_version,
            owner: self.governance.owner.clone(),
            registry: self.registry.clone(),
            paused: self.governance.paused(),
            paused_since: self.governance.paused_at.map(U64),
            staged: staged.map(|staged| staged.hash),
            staged_from: staged.map(|staged| U64(staged.from)),
            account_price: U128(ACCOUNT_PRICE),
        }
    }
}
